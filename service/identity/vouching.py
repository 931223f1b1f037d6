"""People whom a sign-in provider vouches for: on the way there and back, known, linked, signed out.

Somebody at a provider is (issuer, subject) and never an e-mail address: addresses change hands. So
an address that has an account here is never enough to open it; its owner signs in as before and
links the provider on the account page.
"""

import hashlib
import hmac
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, delete, select

from service import notices
from service.identity import groups, people, sessions
from service.identity.oidc import LEEWAY, SignedOut, Vouched
from service.identity.people import PersonError
from service.identity.secrets import fresh, key_of
from storage import audit
from storage.models import Identity, Person, SignInTry, SpentToken, now
from storage.settings import OidcProvider, Settings

LIFE = timedelta(minutes=10)
# As old counts a proof of which the provider does not say when it was.
UNSAID = timedelta(days=1)
SIGN_IN, LINK, AGAIN = "sign-in", "link", "again"


class VouchingError(Exception):
    """The provider vouched, but this cannot be done here. All three parts may be shown."""

    def __init__(self, status: int, title: str, words: str) -> None:
        super().__init__(words)
        self.status = status
        self.title = title


@dataclass(frozen=True)
class Begun:
    """What the browser takes along to the provider, and what is kept of it until it is back."""

    state: str
    nonce: str
    verifier: str


@dataclass(frozen=True)
class Linked:
    """An identity at a provider, as its owner's account page shows it."""

    issuer: str
    subject: str
    label: str
    email: str
    since: datetime
    seen_at: datetime


@dataclass(frozen=True)
class Linkable:
    """A provider that one may link, and the proof that the link stands on one's own page."""

    name: str
    label: str
    proof: str


@dataclass(frozen=True)
class Overview:
    """What an account page says of sign-in providers."""

    linked: list[Linked]
    linkable: list[Linkable]


# There and back


def begin(
    session: Session,
    provider: OidcProvider,
    purpose: str,
    *,
    visit: str,
    wanted: str,
    person_id: int | None = None,
) -> Begun:
    """Keep that a browser, known by its visit's key, is on its way to a provider.

    It counts for ten minutes. `wanted` is the path it shall see in the end.
    """
    begun = Begun(fresh(), fresh(), fresh())
    session.add(
        SignInTry(
            key=key_of(begun.state),
            provider=provider.name,
            purpose=purpose,
            visit=visit,
            nonce=begun.nonce,
            verifier=begun.verifier,
            wanted=wanted if len(wanted) <= 2000 else "",
            person_id=person_id,
            expires_at=now() + LIFE,
        )
    )
    return begun


def take(session: Session, state: str, visit: str) -> SignInTry | None:
    """Return what was kept under a state, once, and only to the browser that began it."""
    taken = session.exec(
        delete(SignInTry)
        .where(
            col(SignInTry.key) == key_of(state),
            col(SignInTry.visit) == visit,
            col(SignInTry.purpose).in_((SIGN_IN, LINK, AGAIN)),
            col(SignInTry.expires_at) > now(),
        )
        .returning(SignInTry)
    ).first()
    return None if taken is None else taken[0]


# Whom they vouch for


def signed_in(
    session: Session, settings: Settings, provider: OidcProvider, vouched: Vouched
) -> Person:
    """Return the person that a provider vouches for; at the first time, one is made.

    Groups are compared each time; see `groups`.

    Raises:
        VouchingError: the account is closed, or none can be made of what the provider says.
    """
    identity = session.get(Identity, (vouched.issuer, vouched.subject))
    if identity is None:
        identity = _met(session, settings, provider, vouched)
    person = session.get_one(Person, identity.person_id)
    if person.disabled_at is not None or person.erased_at is not None:
        raise VouchingError(
            403,
            "This account is closed",
            "You are known at your provider, but your account here was closed."
            " Ask whoever looks after this service.",
        )
    _seen(identity, provider, vouched)
    said = groups.read(vouched.claims, provider.groups_claim)
    groups.apply(session, settings, provider, identity, said)
    return person


def _met(
    session: Session, settings: Settings, provider: OidcProvider, vouched: Vouched
) -> Identity:
    """Make an account for somebody whom nobody here knows yet."""
    label = _label(provider)
    if not vouched.has_confirmed_email:
        raise VouchingError(
            403,
            "Your address is not confirmed",
            f"{label} does not say that your e-mail address is confirmed, so no account was made."
            " Confirm it there, or ask whoever looks after this service.",
        )
    try:
        with session.begin_nested():
            person = people.add(
                session,
                email=vouched.email,
                name=_name(vouched),
                password=None,
                role=settings.new_people,
            )
            identity = _joined(session, provider, vouched, person)
    except (PersonError, IntegrityError) as error:
        # Two tabs may have come back at once: then the other one was faster.
        known = session.get(Identity, (vouched.issuer, vouched.subject))
        if known is not None:
            return known
        if people.by_email(session, vouched.email) is None:
            raise VouchingError(
                403,
                "Your address cannot be used",
                f"{label} names an e-mail address for you that cannot be used here.",
            ) from error
        raise VouchingError(
            409,
            "You have an account here already",
            f"There is an account with the address {vouched.email}. Sign in the way you did so"
            f" far, then link {label} on your account page.",
        ) from error
    audit.record(
        session,
        "account-made",
        actor=str(person.ref),
        subject_kind="person",
        subject=str(person.ref),
        provider=provider.name,
        role=person.role,
    )
    return identity


def _name(vouched: Vouched) -> str:
    """Return a name that posts can carry, whatever the provider says."""
    for said in (vouched.name, vouched.email.partition("@")[0]):
        try:
            return people.clean_name(said[:120])
        except PersonError:
            continue
    return "Somebody"


def _joined(session: Session, provider: OidcProvider, vouched: Vouched, person: Person) -> Identity:
    identity = Identity(
        issuer=vouched.issuer,
        subject=vouched.subject,
        person_id=person.id,
        provider=provider.name,
    )
    _seen(identity, provider, vouched)
    session.add(identity)
    session.flush()
    return identity


def _seen(identity: Identity, provider: OidcProvider, vouched: Vouched) -> None:
    # A provider may have been given another name in the settings.
    identity.provider = provider.name
    identity.email = vouched.email.replace("\x00", "")[:254]
    identity.seen_at = now()


def _label(provider: OidcProvider) -> str:
    return provider.label or provider.name


# Linking


def proof(settings: Settings, person_ref: str, provider: str) -> str:
    """Return what the account page's link to a provider carries.

    Without it another page could have somebody link an identity that is not theirs.
    """
    message = f"link\0{person_ref}\0{provider}".encode()
    return hmac.digest(settings.secret, message, hashlib.sha256).hex()


def link(session: Session, provider: OidcProvider, vouched: Vouched, person_id: int) -> bool:
    """Let an identity open somebody's account from now on; return whether it is new.

    Raises:
        VouchingError: it opens another account already.
    """
    person = session.get_one(Person, person_id)
    known = session.get(Identity, (vouched.issuer, vouched.subject))
    try:
        with session.begin_nested():
            identity = known or _joined(session, provider, vouched, person)
    except IntegrityError:  # linked twice at once
        identity = session.get_one(Identity, (vouched.issuer, vouched.subject))
    if identity.person_id != person.id:
        raise VouchingError(
            409,
            "This opens another account",
            f"Whom you signed in as at {_label(provider)} has another account here.",
        )
    if known is not None:
        return False
    person.vouched_at = now()
    _tell(session, person, "provider-linked", provider.name, _label(provider))
    return True


def unlink(
    session: Session, settings: Settings, person_id: int, issuer: str, subject: str, *, but: str
) -> bool:
    """Take an identity from its owner's account, with what its groups gave; tell whether it was.

    The sessions that it began end, but the one of the key `but`.

    Raises:
        VouchingError: no way to sign in would be left.
    """
    person = session.get_one(Person, person_id, with_for_update=True)
    mine = session.exec(select(Identity).where(Identity.person_id == person.id)).all()
    going = next((one for one in mine if (one.issuer, one.subject) == (issuer, subject)), None)
    if going is None:
        return False
    left = [one for one in mine if one is not going]
    issuers = {provider.issuer for provider in settings.oidc}
    by_password = person.password_hash is not None and (settings.local_sign_in or person.emergency)
    if not by_password and not any(one.issuer in issuers for one in left):
        raise VouchingError(
            409,
            "This is your only way in",
            "Set a password or link another provider first, or you could not sign in any more.",
        )
    groups.withdraw(session, settings, going)
    session.delete(going)
    if not left:
        person.vouched_at = None
    sessions.end_vouched(session, issuer, person_id=person.id, but=but)
    known = settings.provider(going.provider)
    label = _label(known) if known else going.provider
    _tell(session, person, "provider-unlinked", going.provider, label)
    return True


def _tell(session: Session, person: Person, act: str, name: str, label: str) -> None:
    done = "can now open" if act == "provider-linked" else "no longer opens"
    notices.tell(
        session,
        person.id,
        act,
        f"Signing in with {label} {done} your account."
        " If that was not you, tell whoever looks after this service.",
        "/account/",
    )
    audit.record(
        session,
        act,
        actor=str(person.ref),
        subject_kind="person",
        subject=str(person.ref),
        provider=name,
    )


def overview(session: Session, settings: Settings, person_id: int, ref: str) -> Overview:
    """Return somebody's identities, the oldest first, and the other providers they may link."""
    mine = session.exec(
        select(Identity)
        .where(Identity.person_id == person_id)
        .order_by(col(Identity.created_at), col(Identity.subject))
    ).all()
    labels = {provider.name: _label(provider) for provider in settings.oidc}
    linked = [
        Linked(
            one.issuer,
            one.subject,
            labels.get(one.provider, one.provider),
            one.email,
            one.created_at,
            one.seen_at,
        )
        for one in mine
    ]
    there = {one.issuer for one in mine}
    linkable = [
        Linkable(provider.name, _label(provider), proof(settings, ref, provider.name))
        for provider in settings.oidc
        if provider.issuer not in there
    ]
    return Overview(linked, linkable)


# Once more, and no more


def proved_at(vouched: Vouched) -> datetime:
    """Return when somebody proved to the provider who they are; long ago where it does not say.

    A provider that knows the browser asks for nothing, so coming back from it proves nothing.
    """
    at = vouched.proved_at
    return now() - UNSAID if at is None else min(now(), datetime.fromtimestamp(at, UTC))


def check_again(session: Session, vouched: Vouched, *, person_id: int, begun_at: datetime) -> None:
    """Make sure that a provider has just now had this very person prove who they are.

    Raises:
        VouchingError: it was somebody else, or the provider went by an earlier sign-in.
    """
    identity = session.get(Identity, (vouched.issuer, vouched.subject))
    if identity is None or identity.person_id != person_id:
        raise VouchingError(
            403,
            "That was somebody else",
            "You signed in there as somebody whose account this is not. Nothing was changed.",
        )
    at = vouched.proved_at
    if at is None or at < begun_at.timestamp() - LEEWAY:
        raise VouchingError(
            403,
            "The provider did not ask you again",
            "It went by an earlier sign-in, so this does not count. Sign out there and try again.",
        )


def signed_out(session: Session, issuer: str, told: SignedOut) -> bool:
    """End the sessions that a provider's logout token names; return whether the token was new."""
    key = hashlib.sha256(f"logout\0{issuer}\0{told.token_id}".encode()).hexdigest()
    until = datetime.fromtimestamp(max(told.expires_at, time.time()) + 2 * LEEWAY, UTC)
    spent = session.execute(
        insert(SpentToken)
        .values(key=key, expires_at=until)
        .on_conflict_do_nothing()
        .returning(col(SpentToken.key))
    )
    if spent.first() is None:
        return False
    identity = session.get(Identity, (issuer, told.subject)) if told.subject else None
    person_id = identity.person_id if identity else 0
    ended = sessions.end_vouched(session, issuer, sid=told.sid, person_id=person_id)
    person = session.get(Person, person_id)
    audit.record(
        session,
        "signed-out-by-provider",
        subject_kind="person" if person else "",
        subject=str(person.ref) if person else "",
        sessions=ended,
    )
    return True
