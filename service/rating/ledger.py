"""Ratings in rows: the only file that touches them.

The rating row is the truth; count, total and score are derived in the same transaction, under a
lock on the episode's score row, so two hundred people rating at once lose nothing and cannot
deadlock: each transaction locks one score row, first.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session, col, delete, func, select

from service.access import Asker, is_open_for_rating, is_out
from service.rating import model
from service.rating.model import Evidence
from storage.models import Episode, EpisodePerson, EpisodeScore, Rating, now


class RatingError(Exception):
    """A rating cannot be taken; `status` is the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Spread:
    """What others gave, shown to somebody who has rated: how many of each, one to five stars."""

    count: int
    mean: float
    spread: tuple[int, int, int, int, int]


def rate(
    session: Session, asker: Asker, episode: Episode, value: object, *, source: str = "page"
) -> EpisodeScore:
    """Take or change one person's stars on one episode, and its score with them.

    Raises:
        RatingError: 422 not a whole number 1 to 5; 403 one's own talk; 409 not open for rating.
    """
    _check(session, asker, episode)
    try:
        stars = model.stars_of(value)
    except model.StarsError as error:
        raise RatingError(422, str(error)) from error
    row = locked_score(session, episode)
    rating = session.get(Rating, (episode.id, asker.id))
    previous = rating.stars if rating is not None else None
    if rating is None:
        session.add(Rating(episode_id=episode.id, person_id=asker.id, stars=stars, source=source))
    elif rating.stars != stars:
        rating.stars, rating.source, rating.changed_at = stars, source, now()
    return _write(row, model.rated(Evidence(row.count, row.total), stars, previous))


def withdraw(session: Session, asker: Asker, episode: Episode) -> EpisodeScore:
    """Take one person's rating back; nothing happens when there is none.

    Raises:
        RatingError: 409 not open for rating.
    """
    if not is_open_for_rating(episode):
        raise RatingError(409, "This talk is not open for rating.")
    row = locked_score(session, episode)
    rating = session.get(Rating, (episode.id, asker.id))
    if rating is None:
        return row
    session.delete(rating)
    return _write(row, model.withdrawn(Evidence(row.count, row.total), rating.stars))


def may_rate(session: Session, asker: Asker, episode: Episode) -> bool:
    """Whether this person's rating of this episode would be taken."""
    return is_open_for_rating(episode) and not _is_own(session, asker, episode)


def _check(session: Session, asker: Asker, episode: Episode) -> None:
    if _is_own(session, asker, episode):
        raise RatingError(403, "You cannot rate your own talk.")
    if not is_open_for_rating(episode):
        raise RatingError(409, "This talk is not open for rating.")


def _is_own(session: Session, asker: Asker, episode: Episode) -> bool:
    heard = session.get(EpisodePerson, (episode.id, asker.id))
    return episode.author_id == asker.id or heard is not None


def locked_score(session: Session, episode: Episode) -> EpisodeScore:
    """Return the episode's score row, made if missing, locked until the transaction ends."""
    session.execute(
        text(
            "INSERT INTO episode_score (episode_id, listed, score, count, total)"
            " VALUES (:id, :listed, :score, 0, 0) ON CONFLICT DO NOTHING"
        ),
        {
            "id": episode.id,
            "listed": is_out(episode),
            "score": model.score(Evidence()),
        },
    )
    return session.exec(
        select(EpisodeScore)
        .where(EpisodeScore.episode_id == episode.id)
        .with_for_update()
        .execution_options(populate_existing=True)
    ).one()


def _write(row: EpisodeScore, evidence: Evidence) -> EpisodeScore:
    row.count, row.total = evidence.count, evidence.total
    row.score = model.score(evidence)
    return row


def rated_by(session: Session, person_id: int) -> list[int]:
    """Return the episodes that a person has rated, in order."""
    return list(
        session.exec(
            select(Rating.episode_id)
            .where(Rating.person_id == person_id)
            .order_by(col(Rating.episode_id))
        )
    )


def lock_scores(session: Session, episode_ids: Iterable[int]) -> None:
    """Lock the score rows of these episodes until the transaction ends, in the order of ids.

    Whoever locks several at once does it here: in one order, nobody waits in a circle.
    """
    session.exec(
        select(EpisodeScore.episode_id)
        .where(col(EpisodeScore.episode_id).in_(sorted(set(episode_ids))))
        .order_by(col(EpisodeScore.episode_id))
        .with_for_update()
    ).all()


def forget(session: Session, person_id: int) -> list[int]:
    """Take back every rating of a person, and compute the scores that they touched afresh.

    The caller holds the locks of `lock_scores`. Returns the episodes.
    """
    touched = rated_by(session, person_id)
    session.exec(delete(Rating).where(col(Rating.person_id) == person_id))
    rows = session.exec(
        select(EpisodeScore)
        .where(col(EpisodeScore.episode_id).in_(touched))
        .execution_options(populate_existing=True)
    ).all()
    left = {
        episode: Evidence(int(count), int(total))
        for episode, count, total in session.exec(
            select(Rating.episode_id, func.count(), func.sum(Rating.stars))
            .where(col(Rating.episode_id).in_(touched))
            .group_by(col(Rating.episode_id))
        )
    }
    for row in rows:
        _write(row, left.get(row.episode_id, Evidence()))
    return touched


def mine(session: Session, person_id: int, episode_ids: list[int]) -> dict[int, int]:
    """Return this person's stars by episode."""
    if not episode_ids:
        return {}
    rows = session.exec(
        select(Rating.episode_id, Rating.stars).where(
            Rating.person_id == person_id, col(Rating.episode_id).in_(episode_ids)
        )
    )
    return dict(rows.all())


def spread(session: Session, episode_id: int) -> Spread:
    """Return how many gave one star, two, three, four and five."""
    rows = session.execute(
        text("SELECT stars, count(*) FROM rating WHERE episode_id = :id GROUP BY stars"),
        {"id": episode_id},
    )
    by_stars = {int(stars): int(many) for stars, many in rows}
    one, two, three, four, five = (by_stars.get(stars, 0) for stars in range(1, 6))
    counts = (one, two, three, four, five)
    total = sum(stars * many for stars, many in by_stars.items())
    return Spread(sum(counts), total / max(1, sum(counts)), counts)


def rebuild(session: Session) -> int:
    """Compute every score afresh from the ratings and return how many rows differed."""
    differed = 0
    # Locked first: no rating can come between the sums and what is written from them.
    rows = session.exec(
        select(EpisodeScore).order_by(col(EpisodeScore.episode_id)).with_for_update()
    ).all()
    sums = {
        episode: Evidence(int(count), int(total))
        for episode, count, total in session.execute(
            text("SELECT episode_id, count(*), sum(stars) FROM rating GROUP BY episode_id")
        )
    }
    for row in rows:
        evidence = sums.get(row.episode_id, Evidence())
        differed += (row.count, row.total, row.score) != (
            evidence.count,
            evidence.total,
            model.score(evidence),
        )
        _write(row, evidence)
    return differed
