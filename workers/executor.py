"""One worker process: DBOS, a lease with its heartbeat, and the reaper.

DBOS does not notice a dead executor. So each worker process holds a lease, a row that it touches
every few seconds, and every worker looks for leases that nobody has touched for half a minute:
their work goes back to its queue, where the first free worker takes it. A worker that finds its
own lease gone was taken for dead; it ends at once, since others have its work.
"""

import logging
import os
import secrets
import shutil
import socket
import threading
from datetime import timedelta
from pathlib import Path

from dbos import DBOS, DBOSConfig, DBOSPortableJSONSerializer
from sqlalchemy import insert, text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, delete, select, update

from storage import work
from storage.database import normal_url
from storage.floor import Floor
from storage.models import Episode, WorkerLease
from workers import workflows
from workers.chores import Chores
from workers.speaking import SpeechProcess
from workers.workplace import Workplace

log = logging.getLogger(__name__)

# At most this passes before an idle worker takes new work.
QUEUE_POLL_SECONDS = 0.4
QUEUES = {
    work.PRODUCE_QUEUE: 1,
    work.SPEECH_QUEUE: 1,
    work.COMPLETE_QUEUE: 64,
    work.EXPORT_QUEUE: 1,
}
WORN_OUT = "Making this talk ended several workers. Export it again as MP4 or MP3 and replace it."
NOT_PACKED = "Packing this ended several workers. Ask again, or tell whoever runs this house."
LOST = 3


def make_name() -> str:
    """Return a name for this process that no other has had: host, process id, chance."""
    return f"{socket.gethostname()[:40]}-{os.getpid()}-{secrets.token_hex(4)}"


class Executor:
    """A worker process at work. `start`, then `run` until told to stop."""

    def __init__(self, floor: Floor) -> None:
        self.floor = floor
        self.name = make_name()
        self.place = Workplace(floor, self.name, SpeechProcess(floor.settings))
        self.chores = Chores(floor)
        self._stop = threading.Event()

    def start(self) -> None:
        """Take a lease, then work from the queues."""
        settings = self.floor.settings
        with self.floor.database.begin() as session:
            # By the database's clock, like every comparison with it: hosts' clocks differ.
            session.execute(
                insert(WorkerLease).values(
                    executor=self.name,
                    host=socket.gethostname()[:120],
                    pid=os.getpid(),
                    started_at=text("now()"),
                    heartbeat_at=text("now()"),
                )
            )
        workflows.install(self.place)
        config: DBOSConfig = {
            "name": work.APPLICATION,
            "system_database_url": normal_url(settings.database_url.get_secret_value()),
            "system_database_engine": self.floor.database.engine,
            "dbos_system_schema": work.SCHEMA,
            "application_version": work.VERSION,
            "executor_id": self.name,
            "serializer": DBOSPortableJSONSerializer(),
            "run_migrations": False,
            "log_level": "WARNING",
        }
        DBOS(config=config)
        DBOS.launch()
        for queue, at_once in QUEUES.items():
            DBOS.register_queue(
                queue, worker_concurrency=at_once, polling_interval_sec=QUEUE_POLL_SECONDS
            )
        self._sweep_scratch()
        self.chores.start()

    def stop(self) -> None:
        """Ask `run` to end; safe to call from a signal handler."""
        self._stop.set()

    def run(self) -> int:
        """Keep the lease and reap others' until told to stop; return the exit status."""
        while not self._stop.wait(self.floor.settings.heartbeat_seconds):
            try:
                if not self.beat():
                    log.warning(
                        "This worker was taken for dead; it ends so that a fresh one starts."
                    )
                    return LOST
                self.reap()
                self.place.speech.collect()
            except SQLAlchemyError as error:
                log.warning("No heartbeat: %s", error)
        self._hand_back()
        return 0

    def beat(self) -> bool:
        """Touch the lease; False when somebody has reaped it."""
        with self.floor.database.begin() as session:
            touched = session.exec(
                update(WorkerLease)
                .where(col(WorkerLease.executor) == self.name)
                .values(heartbeat_at=text("now()"))
            )
            return touched.rowcount == 1

    def reap(self) -> None:
        """Hand the work of dead workers back to its queue, and give up talks that wear workers out.

        The lease row is locked while its work is handed back and removed in the same transaction,
        so two reapers do it once; a reaper that dies leaves the lease for the next.
        """
        with self.floor.database.begin() as session:
            for name in self._dead(session):
                log.warning("Worker %s is gone; its work goes back to the queue.", name)
                # Private, but with the right predicate; resume_workflows would reset attempts.
                DBOS._recover_pending_workflows([name])  # noqa: SLF001
                session.exec(delete(WorkerLease).where(col(WorkerLease.executor) == name))
                self._remove_scratch(name)
            orphaned = self._without_lease(session)
        if orphaned:
            log.warning("Work of %s, who hold no lease, goes back to the queue.", orphaned)
            DBOS._recover_pending_workflows(orphaned)  # noqa: SLF001  as above
        self._give_up()

    def _dead(self, session: Session) -> list[str]:
        age = timedelta(seconds=self.floor.settings.lease_seconds)
        rows = session.exec(
            select(WorkerLease.executor)
            .where(
                col(WorkerLease.heartbeat_at) < text("now() - :age").bindparams(age=age),
                WorkerLease.executor != self.name,
            )
            .with_for_update(skip_locked=True)
        )
        return list(rows)

    def _without_lease(self, session: Session) -> list[str]:
        """Return who holds running work without a lease.

        A worker that slept takes work for a moment before it notices that it was given up.
        """
        rows = session.execute(
            text(
                "SELECT DISTINCT w.executor_id FROM dbos.workflow_status AS w"
                " WHERE w.status = 'PENDING' AND w.executor_id IS NOT NULL"
                " AND NOT EXISTS (SELECT 1 FROM worker_lease AS l WHERE l.executor = w.executor_id)"
            )
        )
        return [name for (name,) in rows]

    def _give_up(self) -> None:
        """Fail talks whose workflow ended without finishing them: it wore out too many workers.

        DBOS no longer starts a workflow that was recovered too often, nor one that raised.
        """
        with self.floor.database.begin() as session:
            worn = session.execute(
                text(
                    "SELECT DISTINCT episode.id FROM dbos.workflow_status AS w JOIN episode"
                    " ON w.workflow_uuid LIKE 'produce-' || episode.guid || '-'"
                    " || episode.revision || '-' || episode.attempt || '%'"
                    " WHERE w.status IN ('MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'ERROR')"
                    " AND episode.state IN ('processing', 'playable', 'transcribing')"
                    " AND episode.reason IS NULL"
                )
            )
            for (episode_id,) in worn.all():
                episode = session.get(Episode, episode_id, with_for_update={"key_share": True})
                if episode is not None:
                    heard = episode.playable_at is not None
                    episode.state = "playable" if heard else "failed"
                    episode.reason = WORN_OUT
            session.execute(
                text(
                    "UPDATE export SET state = 'failed', reason = :words"
                    " FROM dbos.workflow_status AS w"
                    " WHERE w.workflow_uuid = 'export-' || export.ref"
                    " AND w.status IN ('MAX_RECOVERY_ATTEMPTS_EXCEEDED', 'ERROR')"
                    " AND export.state IN ('waiting', 'building')"
                ),
                {"words": NOT_PACKED},
            )

    def _hand_back(self) -> None:
        """Stop running steps and let the lease lapse at once, so that others take over now."""
        self.place.stopping.set()
        self.place.speech.close()
        self.chores.stop()
        with self.floor.database.begin() as session:
            session.exec(
                update(WorkerLease)
                .where(col(WorkerLease.executor) == self.name)
                .values(heartbeat_at=text("'epoch'::timestamptz"))
            )
        shutil.rmtree(self.place.scratch, ignore_errors=True)

    def _sweep_scratch(self) -> None:
        """Remove workspaces of workers that no longer hold a lease."""
        folder = self.floor.settings.scratch_folder
        if not folder.is_dir():
            return
        with self.floor.database.begin() as session:
            alive = set(session.exec(select(WorkerLease.executor)))
        for left in folder.iterdir():
            if left.is_dir() and left.name not in alive:
                shutil.rmtree(left, ignore_errors=True)

    def _remove_scratch(self, name: str) -> None:
        shutil.rmtree(Path(self.floor.settings.scratch_folder) / name, ignore_errors=True)
