"""Inspect: is this a talk, and what is in it?"""

from typing import Any

from storage.models import Source
from workers import inspection
from workers.errors import Cancelled
from workers.inspection import SourceFacts
from workers.workplace import Task, Workplace, locked

SOURCE = "source"


def fetch_source(place: Workplace, task: Task) -> tuple[Source, Any]:
    """Return the source's row and a local copy of its bytes."""
    with place.floor.database.begin() as session:
        source = session.get(Source, (task.episode_id, task.revision))
        if source is None:
            raise Cancelled("The source is gone.")
        session.expunge(source)
    return source, place.fetched(task, source.key, SOURCE)


def inspect(place: Workplace, task: Task) -> dict[str, Any]:
    """Look at the source, write down what it is, and return the facts."""
    progress = place.teller(task, "inspect", "Checking the recording", begin=0.0, end=0.05)
    source, path = fetch_source(place, task)
    facts = inspection.inspect(
        path,
        given_name=source.given_name,
        limits=place.limits,
        scratch=place.folder(task),
        progress=progress,
        should_stop=place.watch(task),
    )
    _commit(place, task, facts)
    return facts.to_json()


def _commit(place: Workplace, task: Task, facts: SourceFacts) -> None:
    with place.floor.database.begin() as session:
        episode = locked(session, task)
        source = session.get(Source, (task.episode_id, task.revision))
        if episode is None or source is None:
            raise Cancelled("A newer recording took its place.")
        source.sha256, source.container = facts.sha256, facts.container[:60]
        source.audio_codec, source.duration = facts.audio.codec, facts.duration
        if facts.video is not None:
            source.video_codec = facts.video.codec
            source.width, source.height = facts.video.width, facts.video.height
        episode.notice = facts.notice[:500] or None
