"""Encode: sound first, so that the talk can be heard; the picture follows."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, select

from storage import keys
from storage.models import Rendition
from workers import encoding
from workers.encoding import Encoded
from workers.errors import Cancelled
from workers.inspection import SourceFacts
from workers.steps.inspect import fetch_source
from workers.workplace import Task, Workplace, locked

KINDS = {"audio/mpeg": "mp3", "audio/x-m4a": "m4a", "audio/mp4": "m4a", "video/mp4": "mp4"}


def encode_audio(place: Workplace, task: Task, facts: SourceFacts) -> None:
    """Make the MP3 and the M4A of a talk, unless they are there."""
    span = 0.15 if facts.has_video else 0.20
    progress = place.teller(task, "encode-audio", "Making the sound", begin=0.05, end=span)
    if {"mp3", "m4a"} <= _made(place, task):
        return
    _, source = fetch_source(place, task)
    outputs = encoding.encode_audio(
        source,
        facts,
        place.folder(task),
        target=place.floor.settings.loudness_lufs,
        progress=progress,
        should_stop=place.watch(task),
    )
    publish(place, task, [outputs.mp3, outputs.m4a])


def encode_video(place: Workplace, task: Task, facts: SourceFacts) -> None:
    """Make the playable MP4 of a filmed talk, unless it is there."""
    progress = place.teller(task, "encode-video", "Making the picture", begin=0.20, end=0.55)
    if "mp4" in _made(place, task):
        return
    _, source = fetch_source(place, task)
    with place.floor.database.begin() as session:
        m4a = session.get(Rendition, (task.episode_id, task.revision, "m4a"))
        if m4a is None:
            raise Cancelled("The sound is gone.")
        session.expunge(m4a)
    sound = Encoded(
        path=place.fetched(task, m4a.key, "sound.m4a"),
        type=m4a.type,
        size=m4a.size,
        duration=m4a.duration,
        bitrate=m4a.bitrate,
        lufs=m4a.lufs or 0.0,
        dbtp=m4a.dbtp or 0.0,
    )
    made = encoding.encode_video(
        source,
        facts,
        place.folder(task),
        audio=sound,
        progress=progress,
        should_stop=place.watch(task),
    )
    publish(place, task, [made])


def publish(place: Workplace, task: Task, made: list[Encoded]) -> None:
    """Put renditions into the store and their rows beside them, all or none.

    Keys are fresh for each attempt. Where another attempt was first, its rows stay and what this
    one stored is removed again.
    """
    store = place.floor.store
    rows = [_stored(place, task, output) for output in made]
    with place.floor.database.begin() as session:
        episode = locked(session, task)
        lost = rows if episode is None else [row for row in rows if not _insert(session, row)]
        if episode is not None and any(row.kind == "mp4" for row in rows):
            episode.has_video = True
    for row in lost:
        store.delete(row.key)


def _stored(place: Workplace, task: Task, output: Encoded) -> Rendition:
    kind = KINDS[output.type]
    key = keys.rendition(task.guid, task.revision, kind)
    found = place.floor.store.put_file(key, output.path, output.type)
    return Rendition(
        episode_id=task.episode_id,
        revision=task.revision,
        kind=kind,
        key=key,
        size=output.size,
        type=output.type,
        etag=found.etag,
        duration=output.duration,
        bitrate=output.bitrate,
        width=output.width or None,
        height=output.height or None,
        lufs=output.lufs,
        dbtp=output.dbtp,
    )


def _insert(session: Session, row: Rendition) -> bool:
    inserted = session.execute(
        insert(Rendition)
        .values(row.model_dump())
        .on_conflict_do_nothing()
        .returning(col(Rendition.kind))
    )
    return inserted.first() is not None


def _made(place: Workplace, task: Task) -> set[str]:
    with place.floor.database.begin() as session:
        return set(
            session.exec(
                select(Rendition.kind).where(
                    Rendition.episode_id == task.episode_id, Rendition.revision == task.revision
                )
            )
        )
