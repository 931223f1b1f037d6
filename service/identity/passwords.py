"""Passwords: argon2id, checked at most four at a time.

Parameters are OWASP's floor (t = 2, 19 MiB, p = 1). A hash costs memory, so a flood of sign-ins
would cost all of it: a semaphore caps how many run at once in a process.
"""

import threading

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

SHORTEST = 12
LONGEST = 1024
AT_ONCE = 4
PATIENCE = 2.0

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_turn = threading.BoundedSemaphore(AT_ONCE)
# Checked for accounts that do not exist, so that they take the same time.
_DUMMY = _hasher.hash("nobody has this password")


class TooBusyError(Exception):
    """Too many sign-ins at once; try again shortly."""


class PasswordError(ValueError):
    """The password may not be used; the message says why."""


def _take_turn() -> None:
    if not _turn.acquire(timeout=PATIENCE):
        raise TooBusyError("Many people are signing in just now. Please try again in a moment.")


def hashed(password: str) -> str:
    """Return the hash of a new password.

    Raises:
        PasswordError: it is shorter than 12 or longer than 1,024 characters.
        TooBusyError: no turn within two seconds.
    """
    if len(password) < SHORTEST:
        raise PasswordError(f"A password needs at least {SHORTEST} characters.")
    if len(password) > LONGEST:
        raise PasswordError(f"A password may have at most {LONGEST} characters.")
    _take_turn()
    try:
        return _hasher.hash(password)
    finally:
        _turn.release()


def matches(stored: str | None, password: str) -> bool:
    """Whether a password is the one that was hashed; always false, in equal time, without one.

    Raises:
        TooBusyError: no turn within two seconds.
    """
    if len(password) > LONGEST:
        return False
    _take_turn()
    try:
        return _hasher.verify(stored or _DUMMY, password) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
    finally:
        _turn.release()
