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
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, delete, select, update

from storage import work
from storage.database import normal_url
from storage.floor import Floor
from storage.models import Episode, WorkerLease
from workers import workflows
from workers.speaking import SpeechProcess
from workers.workplace import Workplace

log = logging.getLogger(__name__)

# At most this passes before an idle worker takes new work.
QUEUE_POLL_SECONDS = 0.4
WORN_OUT = "Making this talk ended several workers. Export it again as MP4 or MP3 and replace it."
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
        self._stop = threading.Event()

    def start(self) -> None:
        """Take a lease, then work from the queues."""
        settings = self.floor.settings
        with self.floor.database.begin() as session:
            session.add(WorkerLease(executor=self.name, host=socket.gethostname(), pid=os.getpid()))
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
        for queue in (work.PRODUCE_QUEUE, work.SPEECH_QUEUE):
            DBOS.register_queue(
                queue, worker_concurrency=1, polling_interval_sec=QUEUE_POLL_SECONDS
            )
        self._sweep_scratch()

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

    def _give_up(self) -> None:
        """Fail talks whose workflow DBOS no longer starts, since it ended too many workers."""
        with self.floor.database.begin() as session:
            worn = session.execute(
                text(
                    "SELECT DISTINCT episode.id FROM dbos.workflow_status AS w JOIN episode"
                    " ON w.workflow_uuid LIKE 'produce-' || episode.guid || '-'"
                    " || episode.revision || '-' || episode.attempt || '%'"
                    " WHERE w.status = 'MAX_RECOVERY_ATTEMPTS_EXCEEDED'"
                    " AND episode.state NOT IN ('complete', 'failed') AND episode.reason IS NULL"
                )
            )
            for (episode_id,) in worn.all():
                episode = session.get(Episode, episode_id, with_for_update=True)
                if episode is not None:
                    heard = episode.state in {"playable", "transcribing"}
                    episode.state = "playable" if heard else "failed"
                    episode.reason = WORN_OUT

    def _hand_back(self) -> None:
        """Stop running steps and let the lease lapse at once, so that others take over now."""
        self.place.stopping.set()
        self.place.speech.close()
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
