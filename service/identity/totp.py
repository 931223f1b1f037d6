"""The second factor: one-time codes from an authenticator app, and codes for when it is lost.

One-time codes are RFC 6238 with its defaults: SHA-1, six digits, thirty seconds; the step before
and the one after count too, since clocks differ. Each code counts once. The secret lies sealed
under a key derived from the server's secret, so that a dump of the database makes no codes.
Recovery codes hold 140 bits each, so that their SHA-256 alone may be kept.
"""

import base64
import hmac
import secrets
from datetime import datetime

import pyotp
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from sqlmodel import Session, col, delete, func, select, update

from service import notices
from service.identity.secrets import key_of
from storage import audit
from storage.models import Person, RecoveryCode, now

STEP = 30
DRIFT = (0, -1, 1)
ISSUER = "Dare to Share"
RECOVERY_CODES = 10
# No 0, 1, l, o: they are read for one another.
_LETTERS = "23456789abcdefghijkmnpqrstuvwxyz"
_LENGTH = 28


class SealError(Exception):
    """A secret was sealed under another server secret; the second factor must be set up anew."""


def _fernet(server_secret: bytes) -> Fernet:
    derived = HKDF(hashes.SHA256(), length=32, salt=None, info=b"dare one-time codes")
    return Fernet(base64.urlsafe_b64encode(derived.derive(server_secret)))


def fresh_secret(server_secret: bytes) -> str:
    """Return a new secret of 160 bits, sealed as it is stored."""
    return _fernet(server_secret).encrypt(pyotp.random_base32().encode()).decode()


def opened(server_secret: bytes, sealed: str) -> str:
    """Return a sealed secret in base32, as authenticator apps take it.

    Raises:
        SealError: it was sealed under another server secret, or changed since.
    """
    try:
        return _fernet(server_secret).decrypt(sealed.encode()).decode()
    except InvalidToken as error:
        raise SealError("The second factor cannot be read; it has to be set up anew.") from error


def address(secret: str, email: str, organisation: str) -> str:
    """Return the otpauth address that an authenticator app reads off a QR picture."""
    return pyotp.TOTP(secret).provisioning_uri(name=email, issuer_name=f"{ISSUER}, {organisation}")


def code_at(secret: str, at: datetime) -> str:
    """Return the code that an app shows at a moment."""
    return pyotp.HOTP(secret).at(_step(at))


def _step(at: datetime) -> int:
    return int(at.timestamp()) // STEP


def step_of(secret: str, code: str, at: datetime) -> int | None:
    """Return the time step whose code this is, of the three around a moment; None for none."""
    typed = _digits(code).encode()
    for drift in DRIFT:
        step = _step(at) + drift
        if hmac.compare_digest(pyotp.HOTP(secret).at(step).encode(), typed):
            return step
    return None


def _digits(code: str) -> str:
    return "".join(character for character in code if not character.isspace())


def spend(
    session: Session, server_secret: bytes, person: Person, code: str, at: datetime | None = None
) -> bool:
    """Whether a one-time code is right and was not used before; it is used up with this.

    A conditional update decides, so of two browsers with the same code one is refused.

    Raises:
        SealError: see `opened`.
    """
    if person.totp is None:
        return False
    step = step_of(opened(server_secret, person.totp), code, at or now())
    if step is None:
        return False
    spent = session.exec(
        update(Person)
        .where(col(Person.id) == person.id, col(Person.totp_last) < step)
        .values(totp_last=step)
    )
    return bool(spent.rowcount == 1)


def begin(session: Session, server_secret: bytes, person: Person) -> None:
    """Make a secret for somebody to put into their app; it is in force once confirmed.

    One that is in force stays; one that was never confirmed gives way.
    """
    if person.totp_at is None:
        person.totp = fresh_secret(server_secret)
        session.add(person)


def confirm(
    session: Session, server_secret: bytes, person: Person, code: str, at: datetime | None = None
) -> list[str] | None:
    """Put the second factor into force with a first code; return fresh recovery codes.

    None when the code is wrong, or when there is nothing to confirm.
    """
    if person.totp_at is not None or not spend(session, server_secret, person, code, at):
        return None
    person.totp_at = at or now()
    _note(session, person, "on", "Your second factor was switched on")
    return fresh_codes(session, person)


def switch_off(session: Session, person: Person, *, actor: str = "") -> None:
    """Forget somebody's second factor and its recovery codes; they are told.

    `actor` is who did it, if not they themselves.
    """
    was_on = person.totp_at is not None
    person.totp, person.totp_at, person.totp_last = None, None, 0
    _forget_codes(session, person)
    if was_on:
        _note(session, person, "off", "Your second factor was switched off", actor)


def fresh_codes(session: Session, person: Person) -> list[str]:
    """Return ten new recovery codes, to be shown once; those from before are worth nothing."""
    _forget_codes(session, person)
    codes = [_fresh_code() for _ in range(RECOVERY_CODES)]
    session.add_all(RecoveryCode(key=_key(code), person_id=person.id) for code in codes)
    session.flush()
    return codes


def renewed_codes(session: Session, person: Person) -> list[str] | None:
    """Return new recovery codes for somebody whose second factor is in force, else None."""
    if person.totp_at is None:
        return None
    _note(session, person, "renewed", "You have new recovery codes; the old ones are worth nothing")
    return fresh_codes(session, person)


def _forget_codes(session: Session, person: Person) -> None:
    session.exec(delete(RecoveryCode).where(col(RecoveryCode.person_id) == person.id))


def _fresh_code() -> str:
    letters = "".join(secrets.choice(_LETTERS) for _ in range(_LENGTH))
    return "-".join(letters[start : start + 4] for start in range(0, _LENGTH, 4))


def _key(code: str) -> str:
    return key_of("".join(character for character in code.lower() if character.isalnum()))


def recover(session: Session, person: Person, code: str) -> bool:
    """Whether this is one of somebody's unused recovery codes; it is used up with this."""
    used = session.exec(
        update(RecoveryCode)
        .where(
            col(RecoveryCode.key) == _key(code),
            col(RecoveryCode.person_id) == person.id,
            col(RecoveryCode.used_at).is_(None),
        )
        .values(used_at=now())
    )
    return bool(used.rowcount == 1)


def codes_left(session: Session, person_id: int) -> int:
    """Return how many of somebody's recovery codes are unused."""
    return session.exec(
        select(func.count())
        .select_from(RecoveryCode)
        .where(RecoveryCode.person_id == person_id, col(RecoveryCode.used_at).is_(None))
    ).one()


def _note(session: Session, person: Person, state: str, words: str, actor: str = "") -> None:
    ref = str(person.ref)
    words = f"{words}. If that was not you, change your password."
    notices.tell(session, person.id, "second-factor", words, "/account/")
    audit.record(
        session,
        "second-factor-changed",
        actor=actor or ref,
        subject_kind="person",
        subject=ref,
        now=state,
    )
