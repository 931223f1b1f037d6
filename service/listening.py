"""How far a person has come in a talk: one row, the newest word wins."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session

from service.access import Asker
from service.publishing import PublishingError
from storage.models import Episode, Position, now

NEARLY = 15.0


def keep_position(
    session: Session, asker: Asker, episode: Episode, *, seconds: float, finished: bool = False
) -> None:
    """Remember where somebody is; finished when 15 seconds or less remain.

    Raises:
        PublishingError: not a number, negative, or past the end by more than a minute.
    """
    length = episode.duration or 0.0
    # NaN lies nowhere, and whole numbers too large for a float are compared all the same.
    if not 0 <= seconds <= length + 60:
        raise PublishingError({"seconds": "A position lies between 0 and the end of the talk."})
    row = {
        "person_id": asker.id,
        "episode_id": episode.id,
        "seconds": min(seconds, length),
        "finished": finished or (length > 2 * NEARLY and length - seconds <= NEARLY),
        "changed_at": now(),
    }
    statement = insert(Position).values(row)
    session.execute(
        statement.on_conflict_do_update(
            index_elements=["person_id", "episode_id"],
            set_={key: row[key] for key in ("seconds", "finished", "changed_at")},
        )
    )
