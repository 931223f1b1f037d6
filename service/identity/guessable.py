"""Passwords that attackers try first: common ones, padded ones, and those made of names.

Rules of composition keep nobody out; lists do (NIST SP 800-63B, 3.1.1.2). The list holds the
commonest passwords of known breaches; see `common_passwords.LICENSE` for where it comes from. What
people add to make one longer is looked through: capitals, digits and signs around it, digits for
letters, the same again, two in a row.
"""

from collections.abc import Iterable
from functools import cache
from pathlib import Path

LIST = Path(__file__).with_name("common_passwords.txt")
PRODUCT = ("dare to share",)
# A password of fewer different characters than this is a pattern.
VARIETY = 5
# Names shorter than this stand in too many words to mean anything.
SHORTEST_NAME = 4
SHORTEST_PART = 3
ROWS = (
    "1234567890",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
    "abcdefghijklmnopqrstuvwxyz",
)

# What is left of a password without its decoration counts as all of it from this share on.
BULK = 0.4
# The same again is no longer what was repeated, until that is long enough to stand alone.
LONGEST_REPEATED = 11
LONGEST_PADDED = 40

_UNLEET = str.maketrans("4@0135$7!", "aaoiessti")

COMMON = "This password is among those that are tried first. Several words of your own are better."
PATTERN = "This password is a pattern of few characters, which is tried early. Try several words."
HOUSE = "This password holds the name of this house, which is tried first. Leave it out."
PERSON = "This password is mostly your own name or address, which is tried first. Try other words."


def why(password: str, *, house: Iterable[str] = (), person: Iterable[str] = ()) -> str | None:
    """Return in a sentence why a password is easily guessed, or None when nothing speaks for it.

    `house` are names that no password may hold (the product's is always one of them); `person` are
    names and addresses of its owner, which may not be half of it or more.
    """
    squeezed = _squeezed(password)
    if any(_holds(squeezed, name) for name in (*PRODUCT, *house)):
        return HOUSE
    if len(set(squeezed)) < VARIETY:
        return PATTERN
    if _is_about(squeezed, person):
        return PERSON
    return COMMON if _is_common(password) else None


def _squeezed(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _holds(squeezed: str, name: str) -> bool:
    wanted = _squeezed(name)
    return len(wanted) >= SHORTEST_NAME and wanted in squeezed


def _is_about(squeezed: str, person: Iterable[str]) -> bool:
    """Whether little is left of a password without its owner's names and some digits."""
    left = squeezed
    for part in sorted(_parts(person), key=len, reverse=True):
        left = left.replace(part, "")
    return left != squeezed and len(left.strip("0123456789")) < BULK * len(squeezed)


def _parts(person: Iterable[str]) -> set[str]:
    """Return what somebody is called: whole, word by word, and both sides of an address."""
    found: set[str] = set()
    for name in person:
        local, _, domain = name.partition("@")
        words = [name, local, *local.replace(".", " ").split(), *domain.split(".")]
        found |= {_squeezed(word) for word in words}
    return {part for part in found if len(part) >= SHORTEST_PART}


def _is_common(password: str) -> bool:
    lowered = password.casefold()
    return any(_is_listed(core) or _is_twofold(core) for core in _cores(lowered))


def _cores(lowered: str) -> set[str]:
    """Return a password without what people add around it, as long as enough of it is left.

    Signs go wherever they stand. Digits may be the password's own or added: each cut is tried, in
    a password short enough for somebody to have made it that way.
    """
    bare = _squeezed(lowered)
    # Inside, signs may stand for letters.
    strays = "".join(character for character in set(lowered) if not character.isalpha())
    cores = {lowered, bare, bare.strip("0123456789"), lowered.strip(strays)}
    if len(bare) <= LONGEST_PADDED:
        begins = range(len(bare) - len(bare.lstrip("0123456789")) + 1)
        ends = range(len(bare.rstrip("0123456789")), len(bare) + 1)
        cores |= {bare[begin:end] for begin in begins for end in ends}
    return {core for core in cores if core and len(core) >= BULK * len(lowered)}


def _is_twofold(core: str) -> bool:
    """Whether it is one short thing again and again, or two common ones in a row."""
    lengths = range(1, min(len(core) // 2, LONGEST_REPEATED) + 1)
    if any(core == (core[:n] * (len(core) // n + 1))[: len(core)] for n in lengths):
        return True
    return any(_is_listed(core[:cut]) and _is_listed(core[cut:]) for cut in range(3, len(core) - 2))


def _is_listed(core: str) -> bool:
    listed = _listed()
    return core in listed or core.translate(_UNLEET) in listed or _is_run(core)


def _is_run(core: str) -> bool:
    """Whether it walks along the keyboard or the alphabet, one way or the other."""
    walks = (row * 2 for row in ROWS)
    return len(core) >= 3 and any(core in walk or core in walk[::-1] for walk in walks)


@cache
def _listed() -> frozenset[str]:
    return frozenset(LIST.read_text(encoding="ascii").split())
