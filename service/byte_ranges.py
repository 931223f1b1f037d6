"""Which bytes a Range header asks for: RFC 9110, section 14. Pure."""

import re
from dataclasses import dataclass

# Longer numbers than any file has bytes are cut to this one, so that none is costly to read.
BEYOND = 10**18
SPEC = re.compile(r"([0-9]*)-([0-9]*)", re.ASCII)


class UnsatisfiableError(Exception):
    """The one range asked for begins at or past the end: answer 416."""


@dataclass(frozen=True)
class Span:
    """Bytes `start` to `end` of a whole, both included."""

    start: int
    end: int

    @property
    def length(self) -> int:
        """How many bytes lie in it; at least one."""
        return self.end - self.start + 1

    def content_range(self, size: int) -> str:
        """Return the Content-Range value for a part of a whole of `size` bytes."""
        return f"bytes {self.start}-{self.end}/{size}"

    def capped(self, most: int) -> "Span":
        """Return this span, cut to its first `most` bytes."""
        return Span(self.start, min(self.end, self.start + most - 1))


def _number(digits: str) -> int:
    trimmed = digits.lstrip("0") or "0"
    return int(trimmed) if len(trimmed) <= 18 else BEYOND


def _suffix(length: int, size: int) -> Span | None:
    if length == 0:
        raise UnsatisfiableError
    return Span(max(0, size - length), size - 1) if size else None


def requested(header: str | None, size: int) -> Span | None:
    """Return the span that a Range header asks of `size` bytes, or None for the whole.

    None also stands for headers that section 14.2 lets a server ignore: malformed ones, other
    units than bytes, and several ranges at once, which a download gains nothing from.

    Raises:
        UnsatisfiableError: the one range begins at or past the end, or is `-0`.
    """
    unit, equals, ranges = (header or "").partition("=")
    if not equals or unit.strip().lower() != "bytes":
        return None
    # An empty list element is no range (section 5.6.1).
    wanted = [one.strip(" \t") for one in ranges.split(",") if one.strip(" \t")]
    found = SPEC.fullmatch(wanted[0]) if len(wanted) == 1 else None
    if not found or found[0] == "-":
        return None
    first, last = found.groups()
    if not first:
        return _suffix(_number(last), size)
    start, end = _number(first), _number(last) if last else BEYOND
    if end < start:
        return None
    if start >= size:
        raise UnsatisfiableError
    return Span(start, min(end, size - 1))
