"""The arithmetic of ratings: pure, on plain numbers, O(1) for each rating.

For now the Bayesian mean, the best simple baseline of our own benchmark of orders: the mean of an
episode's stars, drawn towards the general level as if `WEIGHT` ratings of that level had been given
before the first one. One 5★ therefore does not beat ten 4.8★, and a talk nobody has rated stands in
the middle, not at the bottom.

    score = (Σ stars + WEIGHT · LEVEL) / (n + WEIGHT)

LEVEL is a constant and not the mean of all ratings: a moving one would change every score with
every rating. See docs/decisions/0004-bayesian-mean-first.md.
"""

import math
from dataclasses import dataclass

LEVEL = 3.8
WEIGHT = 2.0
FEWEST, MOST = 1, 5


class StarsError(ValueError):
    """Stars are whole numbers from 1 to 5."""

    def __init__(self) -> None:
        super().__init__("Stars go from 1 to 5.")


@dataclass(frozen=True)
class Evidence:
    """All that is known of one episode: how many ratings, and their sum in stars."""

    count: int = 0
    total: int = 0


def stars_of(value: object) -> int:
    """Return a rating as a whole number of stars.

    Raises:
        StarsError: anything but a whole number from 1 to 5, NaN and text included.
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise StarsError
    try:
        number = float(value)
    except (ValueError, OverflowError) as error:
        raise StarsError from error
    if not math.isfinite(number) or number != int(number) or not FEWEST <= number <= MOST:
        raise StarsError
    return int(number)


def rated(evidence: Evidence, stars: int, previous: int | None) -> Evidence:
    """Return the evidence after one person's rating, which may replace a previous one."""
    kept = withdrawn(evidence, previous) if previous is not None else evidence
    return Evidence(kept.count + 1, kept.total + stars)


def withdrawn(evidence: Evidence, previous: int) -> Evidence:
    """Return the evidence without one person's rating."""
    return Evidence(evidence.count - 1, evidence.total - previous)


def score(evidence: Evidence) -> float:
    """Return the Bayesian mean, in stars; LEVEL when nobody has rated."""
    return (evidence.total + WEIGHT * LEVEL) / (evidence.count + WEIGHT)
