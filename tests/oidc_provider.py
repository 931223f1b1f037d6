"""A sign-in provider on loopback: OpenID Connect by its endpoints, honest unless told to lie.

Somebody is always signed in there: whoever `who` says. It checks what a real one checks (the
client's secret, the code once, its redirect address, PKCE), and signs with keys of its own.
"""

import base64
import hashlib
import hmac
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit
from uuid import uuid4

from joserfc import jwt
from joserfc.jwk import ECKey, KeySet, RSAKey

from storage.settings import OidcProvider

CLIENT, SECRET = "dare-of-the-house", "a secret: with/odd+signs%"
SIGNED_OUT = "http://schemas.openid.net/event/backchannel-logout"


def unpadded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


class Provider:
    """The provider's knowledge; `name` is what the house calls it."""

    def __init__(self, port: int, name: str, *, public: bool = False) -> None:
        self.name = name
        self.public = public
        self.place = f"127.0.0.1:{port}"
        self.issuer = f"http://{self.place}"
        self._first = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
        self.reset()

    def reset(self) -> None:
        """Forget everything, and tell the truth again."""
        self.keys: list[Any] = [self._first]
        self.asked: list[str] = []
        self.codes: dict[str, dict[str, str]] = {}
        self.tokens: dict[str, dict[str, Any]] = {}
        self.who: dict[str, Any] = {}
        # What it says beyond, or in place of, the truth.
        self.document: dict[str, Any] = {}
        self.claims: dict[str, Any] = {}
        self.userinfo: dict[str, Any] | None = None
        self.header: dict[str, Any] = {}
        self.forge = ""
        self.answers: dict[str, int] = {}
        self.moved: dict[str, str] = {}
        self.is_person("ana")

    @property
    def settings(self) -> OidcProvider:
        """What the house's operator writes about it."""
        return OidcProvider(
            name=self.name,
            label=self.name.title(),
            issuer=self.issuer,
            client_id=CLIENT,
            client_secret="" if self.public else SECRET,
        )

    def is_person(self, subject: str, **claims: Any) -> None:
        """Let somebody be signed in here from now on; None takes a claim away."""
        told = {
            "sub": subject,
            "name": f"{subject.title()} Lima",
            "email": f"{subject}@example.org",
            "email_verified": True,
            "groups": [],
            "sid": f"sid-of-{subject}",
            "auth_time": int(time.time()),
        }
        self.who = {key: value for key, value in (told | claims).items() if value is not None}

    def rotate(self) -> None:
        """Sign with a new key from now on; the old ones are gone."""
        self.keys = [ECKey.generate_key("P-256", {"kid": uuid4().hex, "use": "sig"})]

    # What a browser and the house ask

    def authorized(self, asked: dict[str, str]) -> str:
        """Return where the browser is sent back to."""
        assert asked["client_id"] == CLIENT
        assert (asked["response_type"], asked["response_mode"]) == ("code", "query")
        assert asked["code_challenge_method"] == "S256"
        code = uuid4().hex
        self.codes[code] = asked
        back = {"code": code, "state": asked["state"], "iss": self.issuer}
        return f"{asked['redirect_uri']}?{urlencode(back)}"

    def exchanged(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        """Return the token endpoint's answer."""
        if self.public:
            assert form["client_id"] == CLIENT
            assert not authorization
        else:
            pair = urlencode({"": CLIENT})[1:] + ":" + urlencode({"": SECRET})[1:]
            if authorization != f"Basic {base64.b64encode(pair.encode()).decode()}":
                return 401, {"error": "invalid_client"}
        asked = self.codes.pop(form["code"], None)
        if asked is None or asked["redirect_uri"] != form["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        challenge = unpadded(hashlib.sha256(form["code_verifier"].encode()).digest())
        if challenge != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        access = uuid4().hex
        self.tokens[access] = dict(self.who)
        told = {**self.who, "nonce": asked["nonce"]}
        if "max_age" in asked:
            told["auth_time"] = int(time.time())
        # What is for userinfo alone stays out of the token.
        hidden = set(self.userinfo or {}) - {"sub"}
        told = {key: value for key, value in told.items() if key not in hidden}
        return 200, {
            "access_token": access,
            "token_type": "Bearer",
            "id_token": self.signed(told),
        }

    def signed(self, told: dict[str, Any]) -> str:
        """Return an ID token, or what is made to look like one."""
        now = int(time.time())
        fixed = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300}
        claims = {**fixed, **told, **self.claims}
        claims = {key: value for key, value in claims.items() if value is not None}
        return self._signed({**self._header(), **self.header}, claims)

    def logout_token(self, header: dict[str, Any] | None = None, **claims: Any) -> str:
        """Return a logout token; None takes a claim away."""
        now = int(time.time())
        told = {
            "iss": self.issuer,
            "aud": CLIENT,
            "iat": now,
            "exp": now + 120,
            "jti": uuid4().hex,
            "events": {SIGNED_OUT: {}},
            **claims,
        }
        told = {key: value for key, value in told.items() if value is not None}
        return self._signed({**self._header(), "typ": "logout+jwt", **(header or {})}, told)

    def _header(self) -> dict[str, Any]:
        key = self.keys[0]
        return {"alg": "ES256" if isinstance(key, ECKey) else "RS256", "kid": key.kid}

    def _signed(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        key = self.keys[0]
        if self.forge == "other key":
            key = RSAKey.generate_key(2048)
        if self.forge in {"none", "HS256"}:
            return self._forged({**header, "alg": self.forge}, claims)
        return jwt.encode(header, claims, key)

    def _forged(self, header: dict[str, Any], claims: dict[str, Any]) -> str:
        """Return a token without a signature, or with one made with our public key as a secret."""
        parts = ".".join(unpadded(json.dumps(part).encode()) for part in (header, claims))
        secret = self.keys[0].as_pem(private=False)
        made = hmac.digest(secret, parts.encode(), "sha256") if self.forge == "HS256" else b""
        return f"{parts}.{unpadded(made)}"

    def said(self, path: str, bearer: str) -> tuple[int, dict[str, Any]]:
        """Return one of the documents."""
        if path == "/.well-known/openid-configuration":
            names = ("authorization", "token", "userinfo")
            ends = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in names}
            return 200, {
                "issuer": self.issuer,
                "jwks_uri": f"{self.issuer}/jwks",
                **ends,
                **self.document,
            }
        if path == "/jwks":
            return 200, dict(KeySet(self.keys).as_dict(private=False))
        if path == "/userinfo" and bearer in self.tokens:
            return 200, {"sub": self.tokens[bearer]["sub"], **(self.userinfo or {})}
        return 404, {}


class Desk(BaseHTTPRequestHandler):
    """The provider's web edge."""

    def do_GET(self) -> None:
        known = self.server.provider  # type: ignore[attr-defined]
        parts = urlsplit(self.path)
        known.asked.append(parts.path)
        if parts.path == "/authorization":
            asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
            self.send_response(302)
            self.send_header("Location", known.authorized(asked))
            self.end_headers()
            return
        bearer = self.headers.get("Authorization", "").removeprefix("Bearer ")
        self._say(parts.path, *known.said(parts.path, bearer))

    def do_POST(self) -> None:
        known = self.server.provider  # type: ignore[attr-defined]
        known.asked.append(self.path)
        sent = self.rfile.read(int(self.headers["Content-Length"])).decode()
        form = {key: values[0] for key, values in parse_qs(sent).items()}
        self._say(self.path, *known.exchanged(form, self.headers.get("Authorization", "")))

    def _say(self, path: str, status: int, told: dict[str, Any]) -> None:
        content = json.dumps(told).encode()
        known = self.server.provider  # type: ignore[attr-defined]
        self.send_response(307 if path in known.moved else known.answers.get(path, status))
        if path in known.moved:
            self.send_header("Location", known.moved[path])
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextmanager
def running(name: str = "acme", *, public: bool = False) -> Iterator[Provider]:
    """Run a provider for as long as the block lasts."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Desk)
    server.daemon_threads = True
    made = Provider(server.server_port, name, public=public)
    server.provider = made  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def visited(address: str) -> str:
    """Go where the house sends a browser, and return where the provider sends it next."""
    parts = urlsplit(address)
    connection = HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", f"{parts.path}?{parts.query}")
        answer = connection.getresponse()
        assert answer.status == 302, answer.read()
        return str(answer.getheader("Location"))
    finally:
        connection.close()
