"""Where a worker process works: its floor, its scratch folder, its speech process.

A workspace belongs to one attempt at one revision of an episode in one worker process. Files
fetched once stay there for the following steps; another worker that takes over starts with an
empty one.
"""

import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from uuid import UUID

from sqlalchemy import ColumnElement, and_
from sqlmodel import Session, col, select

from storage import work
from storage.floor import Floor
from storage.models import Episode
from workers.errors import Cancelled
from workers.speaking import SpeechProcess
from workers.streams import Limits

POLL_SECONDS = 1.0
TELL_SECONDS = 0.5


@dataclass(frozen=True)
class Task:
    """What to work on: one attempt at one revision of one episode."""

    episode_id: int
    guid: UUID
    revision: int
    attempt: int


@dataclass
class Workplace:
    """One worker process. `stopping` is set when it has to hand its work back."""

    floor: Floor
    executor: str
    speech: SpeechProcess
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def scratch(self) -> Path:
        """This process's own folder below the scratch folder."""
        return self.floor.settings.scratch_folder / self.executor

    def park(self) -> None:
        """Hold this thread until the process ends, so that it answers nothing any more."""
        while True:
            time.sleep(POLL_SECONDS)

    @property
    def limits(self) -> Limits:
        """The largest source that we take."""
        settings = self.floor.settings
        return Limits(bytes=settings.max_upload_bytes, seconds=settings.max_talk_seconds)

    def task(self, guid: str, revision: int, attempt: int) -> Task:
        """Return the task that a workflow's arguments name.

        Raises:
            Cancelled: the episode is gone.
        """
        with self.floor.database.begin() as session:
            found = session.exec(select(Episode.id).where(col(Episode.guid) == UUID(guid))).first()
        if found is None:
            raise Cancelled("The talk is gone.")
        return Task(found, UUID(guid), revision, attempt)

    def folder(self, task: Task) -> Path:
        """Return the workspace of a task, made if missing."""
        path = self.scratch / f"{task.guid}-{task.revision}-{task.attempt}"
        path.mkdir(parents=True, exist_ok=True)
        return path

    def fetched(self, task: Task, key: str, name: str) -> Path:
        """Return a local copy of an object, fetched once for this workspace."""
        path = self.folder(task) / name
        if not path.exists():
            draft = path.with_name(f"{name}.part")
            self.floor.store.fetch(key, draft)
            draft.rename(path)
        return path

    def leave(self, task: Task) -> None:
        """Remove the workspace of a task."""
        shutil.rmtree(self.folder(task), ignore_errors=True)

    def watch(self, task: Task) -> Callable[[], bool]:
        """Return a question that is true once the work has become pointless.

        It asks the rows at most once a second: withdrawn, or replaced by a newer revision.
        """
        last = [0.0, False]

        def should_stop() -> bool:
            if self.stopping.is_set():
                return True
            if time.monotonic() - float(last[0]) >= POLL_SECONDS:
                with self.floor.database.begin() as session:
                    last[1] = not is_current(session, task)
                last[0] = time.monotonic()
            return bool(last[1])

        return should_stop

    def teller(
        self, task: Task, step: str, words: str, *, begin: float, end: float
    ) -> Callable[[float], None]:
        """Return a function that writes a step's own progress as a part of the whole's.

        One write in half a second at most, and always one at the step's beginning.
        """
        self.tell(task, step, words, begin, afresh=begin == 0.0)
        last = [time.monotonic()]

        def progress(fraction: float) -> None:
            if time.monotonic() - last[0] >= TELL_SECONDS:
                last[0] = time.monotonic()
                self.tell(task, step, words, begin + (end - begin) * fraction)

        return progress

    def tell(
        self, task: Task, step: str, words: str, fraction: float, *, afresh: bool = False
    ) -> None:
        """Write how far the whole work is."""
        with self.floor.database.begin() as session:
            if is_current(session, task):
                work.tell(
                    session,
                    episode_id=task.episode_id,
                    revision=task.revision,
                    step=step,
                    fraction=fraction,
                    words=words,
                    executor=self.executor,
                    afresh=afresh,
                )


def is_current(session: Session, task: Task) -> bool:
    """Whether this attempt at this revision is still the one that people wait for."""
    return session.exec(select(Episode.id).where(_current(task))).first() is not None


def _current(task: Task) -> ColumnElement[bool]:
    return and_(
        col(Episode.id) == task.episode_id,
        col(Episode.revision) == task.revision,
        col(Episode.attempt) == task.attempt,
        col(Episode.withdrawn_at).is_(None),
    )


def locked(session: Session, task: Task) -> Episode | None:
    """Return the episode, locked, if this attempt still counts; else None: nothing to do.

    The lock is FOR NO KEY UPDATE: a rating's foreign key must not wait for it.
    """
    return session.exec(
        select(Episode).where(_current(task)).with_for_update(key_share=True)
    ).first()
