"""The audit log: acts that somebody may have to answer for, in a chain that shows any change.

Rows are appended by whoever acts, in the act's own transaction; a trigger refuses to change or
delete them. Every minute at most, a worker links the rows that are not linked yet: each link's hash
covers the row and the link before it, so a row that was changed, taken away or slipped in later
breaks the chain at its place. The hashes are HMACs under a key derived from the server's secret:
whoever can write to the database alone cannot forge them. Rows can be let go by retention, oldest
first; their links stay.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, delete, func, select

from storage.models import Audit, AuditLink, now

# One sealer at a time.
SEALING = 0x6461726503
START = "0" * 64
BATCH = 1000
# Writers may commit later than they took their number; older rows without a link are suspicious.
PATIENCE = timedelta(minutes=10)


@dataclass(frozen=True)
class Verdict:
    """What a check of the chain found. `broken` says where and how, or is empty."""

    rows: int
    head: str
    let_go: int
    waiting: int
    broken: str = ""


def record(
    session: Session,
    act: str,
    *,
    actor: str = "",
    subject_kind: str = "",
    subject: str = "",
    network: str = "",
    **facts: Any,
) -> None:
    """Append one act, committed with the caller's rows.

    `actor` and `subject` are opaque ids (a person's ref, an episode's guid); `facts` are plain
    JSON without secrets and without what people typed about others.
    """
    session.add(
        Audit(
            act=act,
            actor=actor,
            subject_kind=subject_kind,
            subject=subject,
            network=network,
            facts=facts,
        )
    )


def _key(secret: bytes) -> bytes:
    return hmac.digest(secret, b"audit", "sha256")


def _hash(key: bytes, before: str, row: Audit) -> str:
    told = [
        before,
        row.id,
        row.at.astimezone(UTC).isoformat(timespec="microseconds"),
        row.act,
        row.actor,
        row.subject_kind,
        row.subject,
        row.network,
        row.facts,
    ]
    canonical = json.dumps(told, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hmac.new(key, canonical.encode(), hashlib.sha256).hexdigest()


def seal(session: Session, secret: bytes) -> int:
    """Link the rows that have no link yet, at most a thousand; return how many."""
    session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": SEALING})
    last = session.exec(select(AuditLink).order_by(col(AuditLink.position).desc()).limit(1)).first()
    position, before = (last.position, last.hash) if last else (0, START)
    linked = select(AuditLink.audit_id)
    rows = session.exec(
        select(Audit).where(col(Audit.id).not_in(linked)).order_by(col(Audit.id)).limit(BATCH)
    ).all()
    key = _key(secret)
    for row in rows:
        position, before = position + 1, _hash(key, before, row)
        session.add(AuditLink(position=position, audit_id=row.id, hash=before))
    session.flush()
    return len(rows)


def verify(session: Session, secret: bytes, at: datetime | None = None) -> Verdict:
    """Walk the whole chain and say whether it holds; the first break is named."""
    key, before, rows, let_go = _key(secret), START, 0, 0
    for link, row in _chain(session):
        if link.position != rows + let_go + 1:
            return Verdict(rows, before, let_go, 0, f"Link {rows + let_go + 1} is missing.")
        if row is None:
            if rows:
                words = f"Row {link.audit_id} is missing (link {link.position})."
                return Verdict(rows, before, let_go, 0, words)
            let_go += 1
        else:
            rows += 1
            if _hash(key, before, row) != link.hash:
                words = f"Row {row.id} of {row.at:%Y-%m-%d %H:%M:%S} UTC was changed."
                return Verdict(rows, before, let_go, 0, words)
        before = link.hash
    waiting, oldest = session.execute(
        select(func.count(), func.min(Audit.at)).where(
            col(Audit.id).not_in(select(AuditLink.audit_id))
        )
    ).one()
    broken = ""
    if oldest is not None and oldest < (at or now()) - PATIENCE:
        broken = f"{waiting} rows stand outside the chain; is a worker running?"
    return Verdict(rows, before, let_go, waiting, broken)


def _chain(session: Session) -> Iterator[tuple[AuditLink, Audit | None]]:
    position = 0
    while True:
        batch = session.execute(
            select(AuditLink, Audit)
            .join(Audit, col(Audit.id) == col(AuditLink.audit_id), isouter=True)
            .where(col(AuditLink.position) > position)
            .order_by(col(AuditLink.position))
            .limit(BATCH)
        ).all()
        if not batch:
            return
        yield from batch
        position = batch[-1][0].position


def let_go(session: Session, before: datetime) -> int:
    """Delete linked rows older than a moment, as retention asks; return how many."""
    session.execute(text("SET LOCAL dare.retention = 'audit'"))
    gone = session.exec(
        delete(Audit).where(col(Audit.at) < before, col(Audit.id).in_(select(AuditLink.audit_id)))
    )
    session.execute(text("SET LOCAL dare.retention = ''"))
    return int(gone.rowcount)
