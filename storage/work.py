"""Queued work: enqueue in the caller's transaction, tell and read progress, cancel.

The client side of DBOS. Nothing here knows what the workflows do; it knows their names, which are
the contract between the rooms. DBOS keeps its tables in the schema `dbos` of the same database,
so a job and the row that caused it are committed together or not at all.
"""

from typing import Any

from dbos import DBOS, DBOSClient, DBOSPortableJSONSerializer
from sqlalchemy import ColumnElement, case, func, text
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col

from storage.database import Database, normal_url
from storage.models import WorkProgress, now

APPLICATION = "dare"
# Raised only when the order of steps changes; otherwise work of the old release goes on in the new.
VERSION = "1"
SCHEMA = "dbos"
PRODUCE_QUEUE = "produce"
SPEECH_QUEUE = "speech"
# Work that mostly waits for pieces: many at once in each worker, so that it holds up nobody.
COMPLETE_QUEUE = "complete"
# Archives of personal data: one at a time in each worker, beside the talks and not before them.
EXPORT_QUEUE = "export"
PRODUCE = "produce"
COMPLETE = "complete"
EXPORT = "export"
TRANSCRIBE_PIECE = "transcribe_piece"


class Work:
    """The client side of the queue, sharing the database's own connections."""

    def __init__(self, database: Database) -> None:
        self._client = DBOSClient(
            system_database_engine=database.engine,
            dbos_system_schema=SCHEMA,
            serializer=DBOSPortableJSONSerializer(),
            application_name=APPLICATION,
            lazy=True,
            retry_connection_errors=False,
        )

    def produce(self, session: Session, *, guid: str, revision: int, attempt: int) -> None:
        """Queue the making of one revision of an episode, committed with the caller's rows.

        The workflow's id names revision and attempt, so the same call twice queues one work.
        """
        self._client.enqueue_in_transaction(
            session,
            {
                "workflow_name": PRODUCE,
                "queue_name": PRODUCE_QUEUE,
                "workflow_id": f"produce-{guid}-{revision}-{attempt}",
            },
            guid,
            revision,
            attempt,
        )

    def export(self, session: Session, ref: str) -> None:
        """Queue the packing of an archive, named by its opaque id, with the caller's rows."""
        self._client.enqueue_in_transaction(
            session,
            {
                "workflow_name": EXPORT,
                "queue_name": EXPORT_QUEUE,
                "workflow_id": f"export-{ref}",
            },
            ref,
        )


def migrate(url: str) -> None:
    """Make or renew DBOS's own tables."""
    DBOS.migrate(normal_url(url), schema=SCHEMA)


def tell(
    session: Session,
    *,
    episode_id: int,
    revision: int,
    step: str,
    fraction: float,
    words: str,
    executor: str,
    afresh: bool = False,
) -> None:
    """Say how far the work on an episode is.

    `fraction` is of the whole work, 0 to 1, and never goes back within a revision unless the work
    begins `afresh`.
    """
    row = {
        "episode_id": episode_id,
        "revision": revision,
        "step": step,
        "fraction": max(0.0, min(1.0, fraction)),
        "words": words,
        "executor": executor,
        "changed_at": now(),
    }
    statement = insert(WorkProgress).values(row)
    new: dict[str, ColumnElement[Any]] = {
        name: statement.excluded[name] for name in row if name != "episode_id"
    }
    if not afresh:
        stays = col(WorkProgress.revision) == statement.excluded.revision
        furthest = func.greatest(col(WorkProgress.fraction), statement.excluded.fraction)
        new["fraction"] = case((stays, furthest), else_=statement.excluded.fraction)
    session.execute(statement.on_conflict_do_update(index_elements=["episode_id"], set_=new))


def queue_counts(session: Session) -> dict[str, dict[str, int]]:
    """Return how much is waiting and running in each queue that holds any work."""
    rows = session.execute(
        text(
            "SELECT queue_name, count(*) FILTER (WHERE status = 'ENQUEUED') AS waiting,"
            " count(*) FILTER (WHERE status = 'PENDING') AS running"
            " FROM dbos.workflow_status"
            " WHERE status IN ('ENQUEUED', 'PENDING') AND queue_name IS NOT NULL"
            " GROUP BY queue_name ORDER BY queue_name"
        )
    )
    return {name: {"waiting": waiting, "running": running} for name, waiting, running in rows}
