"""Pieces: speech cut at pauses, so that one long talk spreads over all workers."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, func, select

from storage import keys
from storage.models import Piece, WorkerLease
from workers import pauses, waves
from workers.errors import Cancelled
from workers.inspection import SPEECH_NAME, SourceFacts, write_speech
from workers.steps.inspect import fetch_source
from workers.workplace import Task, Workplace, locked

TYPE = "audio/wav"


def cut(place: Workplace, task: Task, facts: SourceFacts) -> list[int]:
    """Cut the talk's speech into pieces, store each, and return their positions."""
    place.tell(task, "pieces", "Finding the pauses", 0.2)
    known = _positions(place, task)
    if known:
        return known
    speech = place.folder(task) / SPEECH_NAME
    if not speech.exists():
        _, source = fetch_source(place, task)
        write_speech(source, facts, place.folder(task), should_stop=place.watch(task))
    length = waves.seconds(speech)
    spans = []
    if length >= pauses.SHARED_FROM:
        spans = place.speech.speech_spans(speech, should_stop=place.watch(task))
    with place.floor.database.begin() as session:
        processes = session.exec(select(func.count()).select_from(WorkerLease)).one()
    rows = [
        _stored(place, task, position, piece.start, piece.end)
        for position, piece in enumerate(pauses.cut(spans, length, idle_processes=processes))
    ]
    _commit(place, task, rows)
    return _positions(place, task)


def _stored(place: Workplace, task: Task, position: int, start: float, end: float) -> Piece:
    folder = place.folder(task)
    path = waves.cut(folder / SPEECH_NAME, start, end, folder / f"piece-{position}.wav")
    key = keys.speech(task.guid, task.revision)
    place.floor.store.put_file(key, path, TYPE)
    path.unlink()
    return Piece(
        episode_id=task.episode_id,
        revision=task.revision,
        position=position,
        start=start,
        end=end,
        key=key,
    )


def _commit(place: Workplace, task: Task, rows: list[Piece]) -> None:
    """Write all pieces or, where another attempt was first, none."""
    with place.floor.database.begin() as session:
        episode = locked(session, task)
        if episode is None:
            raise Cancelled("A newer recording took its place.")
        if episode.state == "playable":
            episode.state = "transcribing"
        if not _count(session, task):
            for row in rows:
                session.execute(insert(Piece).values(row.model_dump(exclude={"segments"})))


def _count(session: Session, task: Task) -> int:
    return session.exec(
        select(func.count())
        .select_from(Piece)
        .where(Piece.episode_id == task.episode_id, Piece.revision == task.revision)
    ).one()


def _positions(place: Workplace, task: Task) -> list[int]:
    with place.floor.database.begin() as session:
        return list(
            session.exec(
                select(Piece.position)
                .where(Piece.episode_id == task.episode_id, Piece.revision == task.revision)
                .order_by(col(Piece.position))
            )
        )
