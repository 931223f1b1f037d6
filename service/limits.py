"""How often somebody may do something, counted in PostgreSQL so that all web processes agree."""

from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text
from sqlmodel import Session


class TooFastError(Exception):
    """A limit is used up; `wait` is how many seconds until it is free again."""

    def __init__(self, wait: float, words: str = "") -> None:
        self.wait = max(1, round(wait))
        super().__init__(words or f"That was too fast. Please wait {in_words(self.wait)}.")


@dataclass(frozen=True)
class Limit:
    """At most `most` times in a window of `seconds`."""

    name: str
    most: int
    seconds: int


COMMENTS = Limit("comment", 10, 60)
RATINGS = Limit("rating", 60, 60)
SEARCHES = Limit("search", 60, 60)
UPLOADS = Limit("upload", 20, 3600)
REPORTS = Limit("report", 10, 3600)
EXPORTS = Limit("export", 2, 86_400)
RESETS = Limit("reset", 3, 3600)
INVITATIONS = Limit("invitation", 200, 3600)
JOINING = Limit("joining", 20, 3600)
REVIEWS = Limit("review", 60, 3600)


def in_words(seconds: int) -> str:
    """Return a wait for people: "40 seconds", "3 minutes", "2 hours"."""
    for size, noun in ((3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= size:
            count = -(-seconds // size)
            return f"{count} {noun}{'' if count == 1 else 's'}"
    return "a moment"


def spend(session: Session, limit: Limit, who: object) -> None:
    """Count one use by `who`, in the caller's transaction.

    One statement: the window begins anew when it has passed. Two uses at once wait for each other
    on the row, so none is lost; a caller that rolls back has used nothing.

    Raises:
        TooFastError: the window's uses are spent.
    """
    since, used = session.execute(
        text(
            "INSERT INTO allowance AS held (bucket, since, used) VALUES (:bucket, now(), 1)"
            " ON CONFLICT (bucket) DO UPDATE SET"
            " used = CASE WHEN held.since < now() - make_interval(secs => :seconds)"
            " THEN 1 ELSE held.used + 1 END,"
            " since = CASE WHEN held.since < now() - make_interval(secs => :seconds)"
            " THEN now() ELSE held.since END"
            " RETURNING since, used"
        ),
        {"bucket": f"{limit.name}:{who}"[:160], "seconds": limit.seconds},
    ).one()
    if used > limit.most:
        passed = (datetime.now(UTC) - since).total_seconds()
        raise TooFastError(limit.seconds - passed)


def give_back(session: Session, limit: Limit, who: object) -> None:
    """Take back one use by `who` that should not have counted."""
    session.execute(
        text("UPDATE allowance SET used = greatest(used - 1, 0) WHERE bucket = :bucket"),
        {"bucket": f"{limit.name}:{who}"[:160]},
    )
