"""Tables as CSV (RFC 4180) that a spreadsheet may open without running anything."""

import csv
import io
from collections.abc import Iterable

# A cell that begins with one of these is a formula to some spreadsheet, in its wide form to others.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


def cell(value: object) -> str:
    """Return a value as the text of one cell; what would be a formula gets a quote before it.

    Control characters but tab and line ends become spaces: no spreadsheet shows them as they are.
    """
    if value is None:
        return ""
    text = "".join(c if c.isprintable() or c in "\t\r\n" else " " for c in str(value))
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return f"'{text}" if text.startswith(FORMULA) and not number else text


def lines(rows: Iterable[Iterable[object]]) -> str:
    """Return rows as CSV, each ended by CR LF."""
    written = io.StringIO()
    writer = csv.writer(written, lineterminator="\r\n")
    writer.writerows([cell(value) for value in row] for row in rows)
    return written.getvalue()
