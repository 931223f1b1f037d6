"""OpenID Connect: what we say to a sign-in provider, and what of its answers we believe.

OpenID Connect Core 1.0 with the authorization code and PKCE (RFC 7636), Discovery 1.0 and
Back-Channel Logout 1.0. No rows and no request are known here. Signatures and claims are checked by
Authlib and joserfc; only asymmetric algorithms count, whatever a token says of itself, so nobody
can sign with a key that is public.

Every failure is one of two: the provider is away, or its answer is not believed. What is shown says
no more than that; `why` goes to the log.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from urllib.parse import quote_plus, urlencode, urlsplit

from authlib.oauth2.claims import JWTClaims
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from authlib.oidc.core import CodeIDToken
from joserfc import jwk, jwt
from joserfc.errors import InvalidKeyIdError, JoseError

from service import outward
from service.identity import groups
from service.outward import OutwardError
from storage.settings import OidcProvider

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
KEPT = 600.0  # seconds for which a provider's documents are gone by
PAUSE = 60.0  # seconds before keys are asked for once more because a token names an unknown one
AWAY = 5.0  # seconds in which a provider that did not answer is not asked again
AT_ONCE = 4  # requests that may be under way to a provider; the web's threads are for others too
TURN = 0.5  # seconds for which one more waits for its turn
LEEWAY = 60  # seconds by which clocks may differ
LASTS = 86_400  # seconds that a logout token may last at most; two minutes are usual
LONGEST = 255
SIGNED_OUT = "http://schemas.openid.net/event/backchannel-logout"


class ProviderError(Exception):
    """A provider cannot vouch for anybody just now. The message may be shown, `why` is for us."""

    def __init__(self, words: str, why: str) -> None:
        super().__init__(words)
        self.why = why


class AwayError(ProviderError):
    """The provider does not answer, or not as the standard says."""

    def __init__(self, label: str, why: str) -> None:
        super().__init__(f"{label} does not answer just now. Please try again in a moment.", why)


class _BusyError(AwayError):
    """Too many wait for the provider; that alone does not make it one that is away."""


class NotBelievedError(ProviderError):
    """The provider's answer is not for us, not for this sign-in, or not from the provider."""

    def __init__(self, label: str, why: str) -> None:
        super().__init__(f"What {label} answered does not fit. Please sign in once more.", why)


@dataclass(frozen=True)
class Endpoints:
    """What a provider's discovery document says, as far as we use it."""

    authorization: str
    token: str
    keys: str
    userinfo: str
    names_itself: bool


@dataclass(frozen=True)
class Vouched:
    """Whom a provider vouches for: the claims of a token that was checked, and of userinfo."""

    issuer: str
    subject: str
    claims: Mapping[str, Any] = field(repr=False)

    @property
    def email(self) -> str:
        """The address as the provider writes it; empty without one."""
        return self._text("email")

    @property
    def has_confirmed_email(self) -> bool:
        """Whether the provider says that this person can read what is sent to the address.

        `xms_edov` is how Microsoft Entra says that the address's domain belongs to the tenant.
        """
        said = (str(self.claims.get(name)).lower() for name in ("email_verified", "xms_edov"))
        return bool(self.email) and any(one in {"true", "1"} for one in said)

    @property
    def name(self) -> str:
        """The best name for people that the provider has; empty without one."""
        both = f"{self._text('given_name')} {self._text('family_name')}".strip()
        return self._text("name") or both or self._text("preferred_username")

    @property
    def sid(self) -> str | None:
        """The provider's own name of its session."""
        said = self._text("sid")
        return said if 0 < len(said) <= LONGEST else None

    @property
    def proved_at(self) -> float | None:
        """When this person last proved to the provider who they are, in seconds since 1970.

        None where it does not say so, or names no moment that has been.
        """
        said = self.claims.get("auth_time")
        if not isinstance(said, int | float) or isinstance(said, bool):
            return None
        return float(said) if 0 <= said <= time.time() + LEEWAY else None

    def _text(self, name: str) -> str:
        said = self.claims.get(name)
        if not isinstance(said, str):
            return ""
        # Neither a NUL nor half a character can be stored.
        return said.replace("\x00", "").encode("utf-8", "ignore").decode().strip()


@dataclass(frozen=True)
class SignedOut:
    """What a logout token says: whose session is over, or which one, and until when it counts."""

    token_id: str
    expires_at: float
    subject: str
    sid: str


class Client:
    """This house as one provider's client. Safe to share between threads."""

    def __init__(
        self,
        provider: OidcProvider,
        internal_hosts: tuple[str, ...],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.provider = provider
        self.label = provider.label or provider.name
        self._hosts = internal_hosts
        self._clock = clock
        self._lock = threading.Lock()
        self._endpoints: tuple[float, Endpoints] | None = None
        self._keys: tuple[float, jwk.KeySet] | None = None
        self._renewed_at: float | None = None
        self._turns = threading.BoundedSemaphore(AT_ONCE)
        self._away: tuple[float, str] | None = None

    # What is asked

    def address(
        self, *, back: str, state: str, nonce: str, verifier: str, again: bool = False
    ) -> str:
        """Return where a browser goes to sign in; `again` has people prove it whatever they did.

        Raises:
            AwayError: the provider's discovery document cannot be had.
        """
        asked = {
            "response_mode": "query",
            "nonce": nonce,
            "code_challenge": create_s256_code_challenge(verifier),
            "code_challenge_method": "S256",
            **({"prompt": "login", "max_age": "0"} if again else {}),
        }
        address = prepare_grant_uri(
            self._found().authorization,
            client_id=self.provider.client_id,
            response_type="code",
            redirect_uri=back,
            scope=self.provider.scopes,
            state=state,
            **asked,
        )
        return str(address)

    def vouched(
        self, *, code: str, issuer: str | None, back: str, nonce: str, verifier: str
    ) -> Vouched:
        """Exchange a code for what the provider vouches for.

        `issuer` is the parameter of that name that came with the code, which tells providers apart
        that share one way back (RFC 9207).

        Raises:
            AwayError: the provider does not answer.
            NotBelievedError: the code is worth nothing, or the token is not what it must be.
        """
        found = self._found()
        if (issuer is not None or found.names_itself) and issuer != self.provider.issuer:
            raise self._not_believed("the answer names another issuer")
        answer = self._exchanged(found, code, back, verifier)
        access = answer.get("access_token")
        header, claims = self._opened(str(answer.get("id_token", "")))
        self._check(
            CodeIDToken(
                claims,
                header,
                self._expected(),
                {
                    "nonce": nonce,
                    "client_id": self.provider.client_id,
                    "access_token": access if isinstance(access, str) else None,
                },
            )
        )
        subject = claims["sub"]
        if not 0 < len(subject) <= LONGEST or not subject.isprintable():
            raise self._not_believed("the subject is empty, too long or unprintable")
        more = self._userinfo(found, access, claims)
        return Vouched(self.provider.issuer, subject, {**more, **claims})

    def signed_out(self, token: str) -> SignedOut:
        """Return what a logout token says (Back-Channel Logout 1.0 sections 2.4 and 2.6).

        That it counts only once is for the caller to see to, by `token_id` until `expires_at`.

        Raises:
            AwayError: the provider's keys cannot be had.
            NotBelievedError: it is not a logout token of this provider for us.
        """
        header, claims = self._opened(token)
        if str(header.get("typ", "jwt")).lower() not in {"logout+jwt", "jwt"}:
            raise self._not_believed("the token is of another type")
        expected = self._expected()
        expected |= {name: {"essential": True} for name in ("iat", "exp", "jti")}
        self._check(JWTClaims(claims, header, expected))
        events, sid, subject = claims.get("events"), claims.get("sid", ""), claims.get("sub", "")
        if not isinstance(events, dict) or not isinstance(events.get(SIGNED_OUT), dict):
            raise self._not_believed("the token tells of no sign-out")
        if "nonce" in claims:
            raise self._not_believed("a logout token has no nonce")
        if not isinstance(sid, str) or not isinstance(subject, str) or not (sid or subject):
            raise self._not_believed("the token says neither who nor which session")
        if not f"{sid}{subject}".isprintable():
            raise self._not_believed("the token's session or subject is unprintable")
        if claims["exp"] > time.time() + LASTS:
            raise self._not_believed("a logout token does not last that long")
        return SignedOut(claims["jti"], float(claims["exp"]), subject, sid)

    # What is believed

    def _expected(self) -> dict[str, dict[str, Any]]:
        return {
            "iss": {"essential": True, "value": self.provider.issuer},
            "aud": {"essential": True, "value": self.provider.client_id},
        }

    def _check(self, claims: Any) -> None:
        try:
            claims.validate(int(time.time()), LEEWAY)
        except JoseError as error:
            raise self._not_believed(str(error)) from error

    def _opened(self, token: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return header and claims of a token whose signature is this provider's."""
        try:
            try:
                opened = jwt.decode(token, self._key_set(), ALGORITHMS)
            except InvalidKeyIdError:
                # Keys are rotated; but whoever makes names up must not have us ask all day.
                opened = jwt.decode(token, self._renewed_keys(), ALGORITHMS)
        except (JoseError, ValueError) as error:
            raise self._not_believed(f"{type(error).__name__}: {error}") from error
        return dict(opened.header), opened.claims

    def _renewed_keys(self) -> jwk.KeySet:
        with self._lock:
            at = self._clock()
            if self._renewed_at is not None and at - self._renewed_at < PAUSE:
                raise self._not_believed("the token names a key that the provider does not have")
            self._renewed_at = at
        return self._key_set(anew=True)

    def _not_believed(self, why: str) -> NotBelievedError:
        return NotBelievedError(self.label, why)

    # What is fetched

    def _found(self) -> Endpoints:
        """Return the provider's endpoints (Discovery 1.0 section 4)."""
        kept = self._endpoints
        if kept is not None and self._clock() - kept[0] < KEPT:
            return kept[1]
        issuer = self.provider.issuer
        told = self._document(f"{issuer.rstrip('/')}/.well-known/openid-configuration")
        if told.get("issuer") != issuer:
            raise AwayError(self.label, f"the document is another issuer's, not {issuer}'s")
        asks_more = "userinfo_endpoint" in told
        found = Endpoints(
            authorization=self._endpoint(told, "authorization_endpoint"),
            token=self._endpoint(told, "token_endpoint"),
            keys=self._endpoint(told, "jwks_uri"),
            userinfo=self._endpoint(told, "userinfo_endpoint") if asks_more else "",
            names_itself=told.get("authorization_response_iss_parameter_supported") is True,
        )
        self._endpoints = (self._clock(), found)
        return found

    def _endpoint(self, told: Mapping[str, Any], name: str) -> str:
        """Return an endpoint; as safe as the issuer's own address."""
        address = told.get(name)
        safe = {"https", urlsplit(self.provider.issuer).scheme}
        if not isinstance(address, str) or urlsplit(address).scheme not in safe:
            raise AwayError(self.label, f"its document has no usable {name}")
        return address

    def _key_set(self, *, anew: bool = False) -> jwk.KeySet:
        kept = self._keys
        if kept is not None and not anew and self._clock() - kept[0] < KEPT:
            return kept[1]
        told = self._document(self._found().keys).get("keys")
        usable = [key for one in told if (key := _key(one))] if isinstance(told, list) else []
        if not usable:
            raise AwayError(self.label, "it publishes no key that we can use")
        made = jwk.KeySet(usable)
        self._keys = (self._clock(), made)
        return made

    def _exchanged(
        self, found: Endpoints, code: str, back: str, verifier: str
    ) -> Mapping[str, Any]:
        """Return the token endpoint's answer (Core 1.0 section 3.1.3)."""
        sent = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": verifier,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        secret = self.provider.client_secret.get_secret_value()
        if secret:  # RFC 6749 section 2.3.1: both are form-encoded before they are joined
            pair = f"{quote_plus(self.provider.client_id)}:{quote_plus(secret)}"
            headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
        else:
            sent["client_id"] = self.provider.client_id
        status, told = self._answered(found.token, body=urlencode(sent).encode(), headers=headers)
        if status >= 500:
            raise self._is_away(f"its token endpoint answered {status}")
        if status != 200:
            raise self._not_believed(f"the code was refused: {str(told.get('error'))[:80]!r}")
        return told

    def _userinfo(
        self, found: Endpoints, access: object, claims: Mapping[str, Any]
    ) -> Mapping[str, Any]:
        """Return more claims when address or groups are missing; nothing when they cannot be had.

        Core 1.0 section 5.3.2: an answer about another subject must not be used.
        """
        wanted = self.provider.groups_claim
        complete = "email" in claims and (
            wanted in claims or groups.points_elsewhere(claims, wanted)
        )
        if complete or not found.userinfo or not isinstance(access, str) or not access.isascii():
            return {}
        try:
            headers = {"Authorization": f"Bearer {access}"}
            status, told = self._asked(found.userinfo, headers=headers)
        except (AwayError, ValueError):
            return {}
        return told if status == 200 and told.get("sub") == claims["sub"] else {}

    def _document(self, url: str) -> Mapping[str, Any]:
        """Return a public document."""
        status, told = self._answered(url)
        if status != 200:
            raise self._is_away(f"{url} answered {status}")
        return told

    def _answered(
        self, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """Return as `_asked`; a provider that was away a moment ago is not asked again."""
        away = self._away
        if away is not None and self._clock() - away[0] < AWAY:
            raise AwayError(self.label, away[1])
        try:
            return self._asked(url, body=body, headers=headers)
        except _BusyError:
            raise
        except AwayError as error:
            raise self._is_away(error.why) from error

    def _is_away(self, why: str) -> AwayError:
        """Note that the provider is away, and return that as an error."""
        self._away = (self._clock(), why)
        return AwayError(self.label, why)

    def _asked(
        self, url: str, *, body: bytes | None = None, headers: Mapping[str, str] | None = None
    ) -> tuple[int, Mapping[str, Any]]:
        """Return status and JSON object of an answer; an empty object when there is none.

        A slow provider must not take every thread of the web, so few may wait for it at once.
        """
        if not self._turns.acquire(timeout=TURN):
            raise _BusyError(self.label, f"{AT_ONCE} requests wait for it already")
        try:
            answer = outward.fetch(
                self._hosts,
                url,
                method="GET" if body is None else "POST",
                body=body,
                headers={"Accept": "application/json", **(headers or {})},
                most_bytes=1024**2,
            )
        except OutwardError as error:
            raise AwayError(self.label, f"{url}: {error}") from error
        finally:
            self._turns.release()
        try:
            told = json.loads(answer.content)
        except (ValueError, RecursionError):
            told = None
        return answer.status, told if isinstance(told, dict) else {}


def _key(told: object) -> jwk.Key | None:
    """Return a public key that may check signatures, or None for any other."""
    if not isinstance(told, dict) or told.get("use", "sig") != "sig" or told.get("kty") == "oct":
        return None
    try:
        return jwk.import_key(told)
    except (JoseError, ValueError, TypeError, KeyError):
        return None


@lru_cache(maxsize=64)
def client(provider: OidcProvider, internal_hosts: tuple[str, ...]) -> Client:
    """Return this process's client of a provider; what it learnt of the provider is kept there."""
    return Client(provider, internal_hosts)
