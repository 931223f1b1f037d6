"""Transcribe one piece of a talk."""

from sqlmodel import Session, col, select, update

from storage.models import Episode, Piece, now
from workers.workplace import Task, Workplace

STEP = "transcribe"
WORDS = "Writing down what is said"


def transcribe(place: Workplace, task: Task, position: int) -> None:
    """Hear one piece and keep what was said, unless somebody has."""
    with place.floor.database.begin() as session:
        piece = session.get(Piece, (task.episode_id, task.revision, position))
        if piece is None or piece.done_at is not None:
            return
        language = session.exec(
            select(Episode.language).where(Episode.id == task.episode_id)
        ).first()
        begin, end = _share(session, task, piece)
        session.expunge(piece)
    progress = place.teller(task, STEP, WORDS, begin=begin, end=end)
    path = place.fetched(task, piece.key, f"piece-{position}.wav")
    spoken = place.speech.transcribe(
        path, language=language, progress=progress, should_stop=place.watch(task)
    )
    path.unlink(missing_ok=True)
    with place.floor.database.begin() as session:
        session.exec(
            update(Piece)
            .where(
                col(Piece.episode_id) == task.episode_id,
                col(Piece.revision) == task.revision,
                col(Piece.position) == position,
                col(Piece.done_at).is_(None),
            )
            .values(
                language=str(spoken["language"])[:12],
                probability=float(spoken["probability"]),
                segments=spoken["segments"],
                done_at=now(),
            )
        )
    with place.floor.database.begin() as session:
        _, reached = _share(session, task, None)
    place.tell(task, STEP, WORDS, reached)


def _share(session: Session, task: Task, piece: Piece | None) -> tuple[float, float]:
    """Return where the whole work stands before this piece and after it, by seconds of speech."""
    pieces = session.exec(
        select(Piece.start, Piece.end, Piece.done_at).where(
            Piece.episode_id == task.episode_id, Piece.revision == task.revision
        )
    ).all()
    has_video = session.exec(select(Episode.has_video).where(Episode.id == task.episode_id)).first()
    base, room = (0.55, 0.40) if has_video else (0.20, 0.75)
    whole = sum(end - start for start, end, _ in pieces) or 1.0
    done = sum(end - start for start, end, at in pieces if at is not None)
    own = piece.end - piece.start if piece else 0.0
    return base + room * done / whole, base + room * min(1.0, (done + own) / whole)
