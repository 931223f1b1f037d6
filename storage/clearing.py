"""Taking away all that was made of a talk: its rows at once, its objects when they are due."""

from collections.abc import Iterable
from datetime import datetime

from sqlalchemy import func
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, select

from storage.models import (
    Cue,
    Episode,
    Piece,
    Removal,
    Rendition,
    Source,
    Transcript,
    Upload,
    WorkProgress,
)

MADE = (Cue, Transcript, Piece, Rendition, Source, Upload, WorkProgress)
ROOMS = ("sources", "renditions", "speech")


def remove_later(session: Session, keys: Iterable[str], due_at: datetime) -> None:
    """Have objects removed when due; a key that ends with a slash stands for all below it."""
    rows = [{"key": key, "due_at": due_at} for key in sorted(set(keys))]
    if not rows:
        return
    statement = insert(Removal).values(rows)
    earlier = func.least(col(Removal.due_at), statement.excluded.due_at)
    session.execute(
        statement.on_conflict_do_update(index_elements=["key"], set_={"due_at": earlier})
    )


def keys_of(session: Session, episode: Episode) -> list[str]:
    """Return the keys that this talk's rows name."""
    return [
        key
        for table in (Source, Rendition, Piece, Upload)
        for key in session.exec(select(table.key).where(table.episode_id == episode.id))
    ]


def prefixes_of(episode: Episode) -> list[str]:
    """Return the prefixes under which everything of this talk lies, also what no row names."""
    return [f"{room}/{episode.guid}/" for room in ROOMS]


def clear(session: Session, episode: Episode) -> None:
    """Leave the shell of a talk: a draft without a recording, that is published afresh or never.

    The caller holds the episode's lock and has noted the objects.
    """
    for table in MADE:
        session.exec(delete(table).where(col(table.episode_id) == episode.id))
    episode.state = "draft"
    episode.reason = None
    episode.duration = None
    episode.has_video = False
    episode.transcript_revision = 0
    episode.uploaded_at = episode.playable_at = episode.completed_at = None
    episode.published_at = None
    session.add(episode)
    session.flush()
