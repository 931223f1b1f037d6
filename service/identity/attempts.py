"""Guessing is slowed: wrong passwords and codes are counted before they are looked at.

Counted first and taken back when right, so that fifty guesses at once are fifty. Per account and
network five are free, then each costs a wait that doubles from a second to fifteen minutes; per
network there are 300 an hour, whosever accounts they are for. A browser in which somebody has
signed in before carries a device cookie and is counted by itself, so that strangers who guess at
an account cannot keep its owner out. An account is named by a hash of what was typed, whether
there is such an account or not.
"""

import hashlib
import hmac
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, text
from sqlmodel import Session, col, delete, select

from service import limits
from service.identity.secrets import fresh, key_of
from storage import audit
from storage.models import Person, SignInFailure, now

FREE = 5
LONGEST = 900
FROM_ONE_NETWORK = limits.Limit("sign-in", 300, 3600)
# So many wrong passwords elsewhere since the last sign-in are told to the account's owner.
WORTH_TELLING = 5

_COUNT = text(
    "INSERT INTO sign_in_failure AS held (account, origin, failures, until, last_at)"
    " VALUES (:account, :origin, 1, NULL, clock_timestamp())"
    " ON CONFLICT (account, origin) DO UPDATE SET"
    " failures = CASE WHEN held.last_at < clock_timestamp() - interval '1 day'"
    " THEN 1 ELSE held.failures + 1 END,"
    " until = CASE WHEN held.failures < :free"
    " OR held.last_at < clock_timestamp() - interval '1 day' THEN NULL"
    " ELSE clock_timestamp() + make_interval("
    "secs => least(power(2, least(held.failures - :free, 20)), :longest)) END,"
    " last_at = clock_timestamp()"
    " WHERE held.until IS NULL OR held.until <= clock_timestamp()"
    " RETURNING failures"
)
_LEFT = text(
    "SELECT extract(epoch FROM until - clock_timestamp()) FROM sign_in_failure"
    " WHERE account = :account AND origin = :origin"
)


@dataclass(frozen=True)
class Attempt:
    """One guess that has been counted; `network` is empty where a known browser made it."""

    account: str
    origin: str
    network: str
    count: int


def begin(
    session: Session, name: str, *, network: str, device: str = "", anywhere: bool = False
) -> Attempt:
    """Count a guess at an account, in the caller's transaction; commit before looking at it.

    `name` is the address as typed. `device` is what `known_device` returned. `anywhere` counts all
    networks together.

    Raises:
        TooFastError: too many were wrong; nothing more is counted while one has to wait.
    """
    account = account_of(name)
    by_network = "" if device else network or "unknown"
    origin = f"device {device}" if device else "anywhere" if anywhere else f"from {by_network}"
    mark = {"account": account, "origin": origin}
    count = session.execute(_COUNT, mark | {"free": FREE, "longest": LONGEST}).scalar()
    if count is None:
        wait = float(session.execute(_LEFT, mark).scalar() or 0)
        raise _too_fast(wait)
    if by_network:
        try:
            limits.spend(session, FROM_ONE_NETWORK, by_network)
        except limits.TooFastError as error:
            raise _too_fast(error.wait) from error
    return Attempt(account, origin, by_network, count)


def _too_fast(wait: float) -> limits.TooFastError:
    seconds = max(1, round(wait))
    words = f"Too many tries were wrong. Please wait {limits.in_words(seconds)}, then try again."
    return limits.TooFastError(seconds, words)


def succeeded(session: Session, attempt: Attempt) -> None:
    """Forget what was wrong before at this account from here: it was its owner after all."""
    session.exec(
        delete(SignInFailure).where(
            col(SignInFailure.account) == attempt.account,
            col(SignInFailure.origin) == attempt.origin,
        )
    )
    _give_back(session, attempt)


def undone(session: Session, attempt: Attempt) -> None:
    """Take back a guess that could not be looked at."""
    session.execute(
        text(
            "UPDATE sign_in_failure SET failures = greatest(failures - 1, 0)"
            " WHERE account = :account AND origin = :origin"
        ),
        {"account": attempt.account, "origin": attempt.origin},
    )
    _give_back(session, attempt)


def _give_back(session: Session, attempt: Attempt) -> None:
    if attempt.network:
        limits.give_back(session, FROM_ONE_NETWORK, attempt.network)


def failed(session: Session, person: Person | None, network: str, *, step: str) -> None:
    """Write down that a guess was wrong; `step` is password or code."""
    subject = str(person.ref) if person else ""
    audit.record(
        session,
        "sign-in-failed",
        subject_kind="person" if subject else "",
        subject=subject,
        network=network,
        step=step,
    )


def elsewhere(session: Session, attempt: Attempt, since: datetime | None) -> int:
    """Return how many guesses at this account were wrong from other places since a moment."""
    counted = session.exec(
        select(func.coalesce(func.sum(SignInFailure.failures), 0)).where(
            SignInFailure.account == attempt.account,
            SignInFailure.origin != attempt.origin,
            SignInFailure.last_at > (since or now()),
        )
    ).one()
    return int(counted)


def account_of(name: str) -> str:
    """Return what stands for an account in the table: a hash of its address as people type it."""
    return hashlib.sha256(f"account\0{name.strip().lower()}".encode()).hexdigest()


def device_for(secret: bytes, ref: str) -> str:
    """Return a new value of the device cookie for somebody; it does not say for whom."""
    salt = fresh()
    return f"{salt}.{_signed(secret, ref, salt)}"


def known_device(secret: bytes, ref: str, cookie: str) -> str:
    """Return the key of a browser in which this person has signed in before; empty for others."""
    salt, _, signature = cookie.partition(".")
    expected = _signed(secret, ref, salt)
    fits = hmac.compare_digest(signature.encode(), expected.encode())
    return key_of(salt) if fits else ""


def _signed(secret: bytes, ref: str, salt: str) -> str:
    return hmac.new(secret, f"device\0{ref}\0{salt}".encode(), hashlib.sha256).hexdigest()
