"""A stored transcript as a file: WebVTT, SubRip, JSON or plain text, made from its cues."""

from sqlalchemy import select
from sqlmodel import Session, col

from storage import transcripts
from storage.models import Cue

TYPES = {
    "vtt": "text/vtt; charset=utf-8",
    "srt": "application/x-subrip; charset=utf-8",
    "json": "application/json",
    "txt": "text/plain; charset=utf-8",
}


def written(session: Session, episode_id: int, extension: str) -> bytes | None:
    """Return an episode's transcript in one of the formats of TYPES; None when it has no cues."""
    rows = session.execute(
        select(Cue).where(col(Cue.episode_id) == episode_id).order_by(col(Cue.position))
    )
    found = list(rows.scalars())
    if not found:
        return None
    if extension == "txt":
        return _paragraphs(found).encode()
    cues = [transcripts.Cue(cue.start, cue.end, cue.text, language=cue.language) for cue in found]
    write = {"vtt": transcripts.to_vtt, "srt": transcripts.to_srt, "json": transcripts.to_json}
    return write[extension](cues).encode()


def _paragraphs(cues: list[Cue]) -> str:
    """Return the text in the paragraphs that the page shows."""
    parts = ("\n\n" if cue.paragraph and number else " " for number, cue in enumerate(cues))
    return (
        "".join(f"{part}{cue.text}" for part, cue in zip(parts, cues, strict=True)).strip() + "\n"
    )
