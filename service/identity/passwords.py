"""Passwords: argon2id, checked at most four at a time.

Parameters are OWASP's floor (t = 2, 19 MiB, p = 1). A hash costs memory, so a flood of sign-ins
would cost all of it: a semaphore caps how many run at once in a process. It also costs a core for
its whole length, so hashes run in threads of their own that stand back: none takes a core from a
page. No password is ever changed on its way: as typed, or not at all.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from service.identity import guessable

SHORTEST = 12
LONGEST = 1024
AT_ONCE = 4
PATIENCE = 2.0
# How far a hash stands back (nice, 0 to 19); on Linux each thread has its own.
STANDS_BACK = 15

Result = TypeVar("Result")

_hasher = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
_turn = threading.BoundedSemaphore(AT_ONCE)
# Checked for accounts that do not exist, so that they take the same time.
_DUMMY = _hasher.hash("nobody has this password")


class TooBusyError(Exception):
    """Too many sign-ins at once; try again shortly."""


class PasswordError(ValueError):
    """The password may not be used; the message says why."""


def _step_back() -> None:
    with contextlib.suppress(OSError):  # not everywhere is a thread's own priority known
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), STANDS_BACK)


@cache
def _threads() -> ThreadPoolExecutor:
    """Return this process's hashing threads, made at the first use: threads survive no fork."""
    return ThreadPoolExecutor(AT_ONCE, "hash", _step_back)


def _in_turn(act: Callable[[], Result]) -> Result:
    """Return what a hash comes to, computed by a thread that stands back, when it is its turn.

    Raises:
        TooBusyError: no turn within two seconds.
    """
    if not _turn.acquire(timeout=PATIENCE):
        raise TooBusyError("Many people are signing in just now. Please try again in a moment.")
    try:
        return _threads().submit(act).result()
    finally:
        _turn.release()


def check(password: str, *, house: Iterable[str] = (), person: Iterable[str] = ()) -> None:
    """Refuse what is no password for this person in this house.

    `house` is what the organisation calls itself, `person` the owner's name and address.

    Raises:
        PasswordError: it is shorter than 12 or longer than 1,024 characters, or easily guessed.
    """
    if len(password) < SHORTEST:
        raise PasswordError(f"A password needs at least {SHORTEST} characters.")
    if len(password) > LONGEST:
        raise PasswordError(f"A password may have at most {LONGEST} characters.")
    words = guessable.why(password, house=house, person=person)
    if words is not None:
        raise PasswordError(words)


def hashed(password: str, *, house: Iterable[str] = (), person: Iterable[str] = ()) -> str:
    """Return the hash of a new password.

    Raises:
        PasswordError: see `check`.
        TooBusyError: no turn within two seconds.
    """
    check(password, house=house, person=person)
    return _hash(password)


def _hash(password: str) -> str:
    return _in_turn(lambda: _hasher.hash(password))


def renewed(stored: str, password: str) -> str | None:
    """Return a hash with today's parameters for a password that has just matched an older one.

    None when the stored one is as good. The password itself was judged when it was chosen.

    Raises:
        TooBusyError: no turn within two seconds.
    """
    return _hash(password) if _hasher.check_needs_rehash(stored) else None


def matches(stored: str | None, password: str) -> bool:
    """Whether a password is the one that was hashed; always false, in equal time, without one.

    Raises:
        TooBusyError: no turn within two seconds.
    """
    if len(password) > LONGEST:
        return False
    try:
        return _in_turn(lambda: _hasher.verify(stored or _DUMMY, password)) and stored is not None
    except (VerificationError, InvalidHashError):
        return False
