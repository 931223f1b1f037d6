"""Assemble: from pieces to a transcript that can be read, searched and subscribed to."""

from collections import Counter

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, select

from storage import transcripts
from storage.models import Cue, Episode, Piece, Transcript, now
from storage.transcripts import Segment, Spoken, Word
from workers.errors import Interrupted
from workers.workplace import Task, Workplace, locked


def assemble(place: Workplace, task: Task) -> None:
    """Join the pieces into cues, index them, and call the talk complete."""
    place.tell(task, "assemble", "Putting the transcript together", 0.95)
    with place.floor.database.begin() as session:
        episode = locked(session, task)
        if episode is None or episode.state == "complete":
            return
        pieces = session.exec(
            select(Piece)
            .where(Piece.episode_id == task.episode_id, Piece.revision == task.revision)
            .order_by(col(Piece.position))
        ).all()
        if any(piece.done_at is None for piece in pieces):
            raise Interrupted("A part of the talk has not been written down.")
        cues = transcripts.join([_joined(piece) for piece in pieces])
        language = episode.language or _language(list(pieces))
        _write(session, task, cues, language, _engine(place))
        _complete(episode)


def _joined(piece: Piece) -> transcripts.Piece:
    segments = tuple(
        Segment(s["start"], s["end"], s["text"], tuple(Word(**word) for word in s["words"]))
        for s in piece.segments or []
    )
    spoken = Spoken(piece.language or "en", piece.probability or 0.0, segments)
    return transcripts.Piece(piece.start, piece.end, spoken)


def _language(pieces: list[Piece]) -> str:
    """Return the language that most of the time was spoken in."""
    seconds: Counter[str] = Counter()
    for piece in pieces:
        seconds[piece.language or "en"] += int((piece.end - piece.start) * 1000)
    return seconds.most_common(1)[0][0] if seconds else "en"


def _engine(place: Workplace) -> str:
    settings = place.floor.settings
    return f"{settings.speech_engine} {settings.whisper_model}"[:60]


def _write(
    session: Session, task: Task, cues: list[transcripts.Cue], language: str, engine: str
) -> None:
    session.exec(delete(Cue).where(col(Cue.episode_id) == task.episode_id))
    rows = [
        {
            "episode_id": task.episode_id,
            "position": position,
            "start": cue.start,
            "end": cue.end,
            "text": cue.text[:2000],
            "language": (cue.language or language)[:12],
            "paragraph": index == 0,
            "words": [[w.start, w.end, w.text] for w in cue.words],
        }
        for position, (index, cue) in enumerate(
            (index, cue)
            for group in transcripts.paragraphs(cues)
            for index, cue in enumerate(group)
        )
    ]
    if rows:
        session.execute(insert(Cue), rows)
    known = session.get(Transcript, task.episode_id)
    transcript = known or Transcript(episode_id=task.episode_id, revision=0)
    transcript.revision += 1
    transcript.source_revision = task.revision
    transcript.language, transcript.engine = language[:12], engine
    transcript.body = transcripts.to_text(cues)
    session.add(transcript)


def _complete(episode: Episode) -> None:
    episode.state = "complete"
    episode.transcript_revision += 1
    episode.completed_at = episode.changed_at = now()
