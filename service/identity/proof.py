"""Proving who one is: by password, and by a code where a second factor is in force.

Every proof is counted by `attempts` before it is looked at, wherever it is asked for. No
connection is held while a password is hashed.
"""

import hmac
import logging
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete

from service import notices
from service.identity import attempts, passwords, people, totp
from service.identity.passwords import TooBusyError
from service.identity.secrets import key_of
from storage.floor import Floor
from storage.models import Person, SignInTry, now

log = logging.getLogger(__name__)
LONGEST_CODE = 64
# How long a browser that gave the right password may take to give the code.
PATIENCE = timedelta(minutes=10)
# A browser that gave so many wrong codes begins again with the password.
TRIES = 5


class ClosedError(Exception):
    """The password is right, and the account is closed; the message may be shown."""

    def __init__(self) -> None:
        super().__init__("This account is closed. Ask whoever looks after this service.")


@dataclass(frozen=True)
class Place:
    """Where a proof comes from: the network, and the device cookie that came along."""

    network: str
    cookie: str = ""


def by_password(floor: Floor, email: str, password: str, place: Place) -> Person | None:
    """Return the person whose address and password these are; as slow for nobody as for somebody.

    Where local sign-in is switched off, passwords open emergency accounts alone.

    Raises:
        TooFastError: too many were wrong; see `attempts.begin`.
        TooBusyError: no turn to hash within two seconds; the try does not count.
        ClosedError: both are right, and the account is closed. Counted like a wrong password.
    """
    with floor.database.begin() as session:
        person = people.by_email(session, email)
        device = _device(floor, person, place)
        attempt = attempts.begin(session, email, network=place.network, device=device)
    try:
        opened = people.signed_in(person, password, local=floor.settings.local_sign_in)
        fresh = _renewed(person, password) if opened else None
    except TooBusyError:
        with floor.database.begin() as session:
            attempts.undone(session, attempt)
        raise
    with floor.database.begin() as session:
        if not opened or person is None:
            attempts.failed(session, person, place.network, step="password")
            return None
        # Hashing takes a while: whoever changed the password meanwhile wants it to open nothing,
        # and an old one must not be written back by its renewal.
        known = session.get_one(Person, person.id, with_for_update={"key_share": True})
        same, closed = known.password_hash == person.password_hash, known.disabled_at is not None
        if same and not closed:
            wrong = attempts.elsewhere(session, attempt, known.signed_in_at)
            _tell_of_guesses(session, known, wrong)
            attempts.succeeded(session, attempt)
            known.password_hash = fresh or known.password_hash
        else:
            attempts.failed(session, person, place.network, step="password")
    if not same:
        return None
    if closed:
        raise ClosedError
    return known


def _device(floor: Floor, person: Person | None, place: Place) -> str:
    ref = str(person.ref) if person else ""
    return attempts.known_device(floor.settings.secret, ref, place.cookie) if ref else ""


def _renewed(person: Person | None, password: str) -> str | None:
    stored = person.password_hash if person else None
    return passwords.renewed(stored, password) if stored else None


def _tell_of_guesses(session: Session, person: Person, wrong: int) -> None:
    if wrong >= attempts.WORTH_TELLING:
        words = f"Somebody typed {wrong} wrong passwords for your account since you last signed in."
        notices.tell(session, person.id, "guessing", words, "/account/")


def by_code(floor: Floor, person: Person, code: str, place: Place) -> tuple[bool, int]:
    """Whether a one-time code or a recovery code is right, and how many were wrong by now.

    Codes are counted for the account as a whole, since whoever types them knows the password.

    Raises:
        TooFastError: too many were wrong.
    """
    typed = code.strip()[:LONGEST_CODE]
    with floor.database.begin() as session:
        attempt = attempts.begin(
            session,
            f"code of {person.ref}",
            network=place.network,
            device=_device(floor, person, place),
            anywhere=True,
        )
    with floor.database.begin() as session:
        known = session.get_one(Person, person.id)
        if _is_code(session, floor, known, typed):
            attempts.succeeded(session, attempt)
            return True, 0
        if totp.recover(session, known, typed):
            attempts.succeeded(session, attempt)
            left = totp.codes_left(session, known.id)
            words = f"A recovery code was used to sign in to your account; {left} are left."
            notices.tell(session, known.id, "recovery-code", words, "/account/second-factor")
            return True, 0
        attempts.failed(session, known, place.network, step="code")
    return False, attempt.count


def _is_code(session: Session, floor: Floor, person: Person, typed: str) -> bool:
    try:
        return totp.spend(session, floor.settings.secret, person, typed)
    except totp.SealError:
        log.warning("the second factor of %s was sealed under another secret", person.ref)
        return False


# Between the password and the code


def await_code(session: Session, person: Person, visit: str, wanted: str) -> None:
    """Remember that this browser gave somebody's password, until it gives the code.

    Bound to the browser's visit and to the password: a new one makes it worth nothing.
    """
    told = {
        "provider": "",
        "purpose": "code",
        "visit": visit,
        "nonce": _mark(person),
        "verifier": "",
        "wanted": wanted[:2000],
        "person_id": person.id,
        "expires_at": now() + PATIENCE,
    }
    # Two tabs may do so at once: the later one counts.
    session.execute(
        insert(SignInTry)
        .values(key=_key(visit), **told)
        .on_conflict_do_update(index_elements=["key"], set_=told)
    )


def awaited(session: Session, visit: str) -> tuple[SignInTry, Person] | None:
    """Return for whom this browser gave the password, or None when that is gone or too old."""
    row = session.get(SignInTry, _key(visit))
    if row is None or row.purpose != "code" or row.expires_at < now() or row.person_id is None:
        return None
    person = session.get(Person, row.person_id)
    if person is None or person.disabled_at is not None or person.totp_at is None:
        return None
    return (row, person) if hmac.compare_digest(row.nonce, _mark(person)) else None


def forget(session: Session, visit: str) -> bool:
    """Forget what this browser gave; tell whether there was anything, so that it counts once."""
    gone = session.exec(delete(SignInTry).where(col(SignInTry.key) == _key(visit)))
    return bool(gone.rowcount == 1)


def _key(visit: str) -> str:
    return key_of(f"code {visit}")


def _mark(person: Person) -> str:
    return key_of(f"password {person.password_hash}")
