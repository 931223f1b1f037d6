"""The audit log: acts that somebody may have to answer for, in a chain that shows any change.

Rows are appended by whoever acts, in the act's own transaction; a trigger refuses to change or
delete them. Every minute at most, a worker links the rows that are not linked yet: each link's hash
covers the row and the link before it, so a row that was changed, taken away or slipped in later
breaks the chain at its place. The hashes are HMACs under a key derived from the server's secret:
whoever can write to the database alone cannot forge them. Rows can be let go by retention, oldest
first; their links stay, and a row of its own says up to where, signed with the same key.

What no chain can show by itself is that its newest end was cut off: for that, whoever checks notes
the head, and asks later whether it is still there.
"""

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, DateTime, Row, delete, exists, func, insert, select, text
from sqlmodel import Session, col

from storage.models import Audit, AuditLink, now

# What is written down, each act in the past tense. A test keeps this list and the house alike.
ACTS = (
    "account-disabled",
    "account-enabled",
    "account-made",
    "audit-downloaded",
    "audit-let-go",
    "community-changed",
    "community-founded",
    "dismissed",
    "emergency-changed",
    "erased",
    "exported",
    "feed-made",
    "feed-replaced",
    "feed-revoked",
    "feed-rotated",
    "feed-used-widely",
    "grant-made",
    "grant-removed",
    "group-added",
    "group-removed",
    "hidden",
    "invitation-taken-back",
    "invited",
    "join-declined",
    "joined",
    "left",
    "membership-changed",
    "membership-ended",
    "moved",
    "opened-as-moderator",
    "password-changed",
    "proved-again",
    "provider-linked",
    "provider-unlinked",
    "published",
    "removed",
    "reported",
    "reset-asked",
    "reset-started",
    "restored",
    "review-asked",
    "review-ended",
    "role-changed",
    "second-factor-changed",
    "session-ended",
    "sign-in-failed",
    "signed-in",
    "signed-out",
    "signed-out-by-provider",
    "token-made",
    "token-revoked",
    "undone",
    "visibility-changed",
    "withdrawn",
)
# One sealer at a time.
SEALING = 0x6461726503
START = "0" * 64
BATCH = 1000
# What one sealing links at most, so that its transaction stays short after a long pause.
MOST = 50_000
# Writers commit a moment after they took their number, never this long: no statement may take more
# than half a minute. So a number that is older than this and has no link came in another way.
PATIENCE = timedelta(minutes=10)
LET_GO = "audit-let-go"
LOG = "audit"
PROOF = "proof"
# How many of the newest links the page checks; `dare audit verify` checks all.
NEWEST = 100


@dataclass(frozen=True)
class Verdict:
    """What a check of the chain found. `broken` says where and how, or is empty.

    `rows` stand in the chain, `let_go` of its links lost their rows to retention, `waiting` rows
    are not linked yet; `noted` is the position of the head that was asked for, 0 if there is none.
    """

    rows: int
    head: str
    let_go: int
    waiting: int
    broken: str = ""
    noted: int = 0


@dataclass(frozen=True)
class End:
    """The newest end of the chain: its last link, and whether the newest rows fit theirs."""

    position: int
    head: str
    sealed_at: datetime | None
    waiting: int
    oldest: datetime | None
    holds: bool

    def is_late(self, at: datetime | None = None) -> bool:
        """Whether rows wait for a link for longer than a running worker would let them."""
        return self.oldest is not None and self.oldest < (at or now()) - PATIENCE


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


# The row as the database holds it, never as an object of this process remembers it.
ROW = (
    col(Audit.id),
    col(Audit.at),
    col(Audit.act),
    col(Audit.actor),
    col(Audit.subject_kind),
    col(Audit.subject),
    col(Audit.network),
    col(Audit.facts),
)
LINK = (col(AuditLink.position), col(AuditLink.audit_id), col(AuditLink.hash))


def _hash(key: bytes, before: str, row: Row[Any]) -> str:
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


def _unlinked() -> ColumnElement[bool]:
    # Not NOT IN, whose plan is quadratic once the inner list outgrows the memory of one sort.
    return ~exists().where(col(AuditLink.audit_id) == col(Audit.id))


def _moment(session: Session, at: datetime | None) -> datetime:
    """Return the present moment, or the one that a test asks for.

    By the database's clock, which all processes share: one of them may have a clock that is wrong,
    and what it links must not look older than it is.
    """
    if at is not None:
        return at
    clock = func.clock_timestamp(type_=DateTime(timezone=True))
    found: datetime = session.execute(select(clock)).scalar_one()
    return found


def _settled(session: Session, at: datetime) -> int:
    """Return a number up to which no honest row can still come: that of rows linked long ago.

    Found from the newest link backwards, past those of the last minutes, so the cost does not grow
    with the log. Within a batch links follow the numbers; the largest of a batch's length is
    therefore at or near the largest of all, and too small a number only costs a longer look.
    """
    last = session.execute(
        select(col(AuditLink.position))
        .where(col(AuditLink.sealed_at) < at - PATIENCE)
        .order_by(col(AuditLink.position).desc())
        .limit(1)
    ).scalar()
    if last is None:
        return 0
    newest = (
        select(col(AuditLink.audit_id))
        .where(col(AuditLink.position) > last - BATCH, col(AuditLink.position) <= last)
        .subquery()
    )
    return int(session.execute(select(func.max(newest.c.audit_id))).scalar_one())


def seal(session: Session, secret: bytes, at: datetime | None = None) -> int:
    """Link the rows that have no link yet, at most 50,000; return how many.

    Looks only at rows of the last minutes and those that wait, however long the log is. Returns 0
    at once while another sealer is at it. `at` is the present moment, for tests.
    """
    session.flush()
    mine = text("SELECT pg_try_advisory_xact_lock(:key)")
    if not session.execute(mine, {"key": SEALING}).scalar_one():
        return 0
    moment, key = _moment(session, at), _key(secret)
    last = session.execute(select(*LINK).order_by(col(AuditLink.position).desc()).limit(1)).first()
    position, before = (last.position, last.hash) if last else (0, START)
    begun, after = position, _settled(session, moment)
    while position - begun < MOST:
        rows = session.execute(
            select(*ROW)
            .where(col(Audit.id) > after, _unlinked())
            .order_by(col(Audit.id))
            .limit(BATCH)
        ).all()
        links = []
        for row in rows:
            position, before, after = position + 1, _hash(key, before, row), row.id
            links.append(
                {"position": position, "audit_id": row.id, "hash": before, "sealed_at": moment}
            )
        if links:
            session.execute(insert(AuditLink), links)
        if len(rows) < BATCH:
            break
    return position - begun


def verify(
    session: Session, secret: bytes, at: datetime | None = None, *, noted: str = ""
) -> Verdict:
    """Walk the whole chain and say whether it holds; the first break is named.

    `noted` is a head written down earlier: the verdict says at which link it stands. Reads the log
    as one stream that sees one moment, so neither its length nor a retention beside it matters.
    """
    key, before, rows, let_go, found = _key(secret), START, 0, 0, 0
    allowed = _let_go_up_to(session, key)
    for entry in _chain(session):
        place = rows + let_go + 1
        broken = ""
        if entry.position != place:
            broken = f"Link {place} is missing."
        elif entry.id is None and (place > allowed or rows):
            # What retention let go is the chain's beginning, without a hole and without an island.
            broken = f"Row {entry.audit_id} is missing (link {place})."
        elif entry.id is not None and _hash(key, before, entry) != entry.hash:
            broken = f"Row {entry.id} of {_said(entry.at)} does not fit link {place}."
        if broken:
            return Verdict(rows, before, let_go, 0, broken, found)
        rows, let_go = (rows, let_go + 1) if entry.id is None else (rows + 1, let_go)
        before = entry.hash
        if noted and hmac.compare_digest(noted.strip().lower().encode(), before.encode()):
            found = place
    waiting, broken = _outside(session, _moment(session, at))
    return Verdict(rows, before, let_go, waiting, broken, found)


def _said(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def _outside(session: Session, at: datetime) -> tuple[int, str]:
    """Return how many rows wait for a link, and what is wrong with that."""
    slipped = session.execute(
        select(col(Audit.id), col(Audit.at))
        .where(_unlinked(), col(Audit.id) <= _settled(session, at))
        .order_by(col(Audit.id))
        .limit(1)
    ).first()
    waiting, oldest = session.execute(
        select(func.count(), func.min(col(Audit.at))).where(_unlinked())
    ).one()
    if slipped is not None:
        return waiting, f"Row {slipped.id} of {_said(slipped.at)} was slipped in: it has no link."
    if oldest is not None and oldest < at - PATIENCE:
        return waiting, f"{waiting} rows stand outside the chain; is a worker running?"
    return waiting, ""


def _chain(session: Session) -> Iterator[Row[Any]]:
    found = session.execute(
        select(*LINK, *ROW)
        .select_from(AuditLink)
        .join(Audit, col(Audit.id) == col(AuditLink.audit_id), isouter=True)
        .order_by(col(AuditLink.position)),
        execution_options={"stream_results": True, "yield_per": BATCH},
    )
    try:
        yield from found
    finally:
        found.close()


def end(session: Session, secret: bytes, at: datetime | None = None) -> End:
    """Return the newest end of the chain, with its newest hundred rows checked.

    A few statements whose cost does not grow with the log, for a page.
    """
    moment, key = _moment(session, at), _key(secret)
    newest = session.execute(
        select(*LINK, col(AuditLink.sealed_at), *ROW)
        .select_from(AuditLink)
        .join(Audit, col(Audit.id) == col(AuditLink.audit_id), isouter=True)
        .order_by(col(AuditLink.position).desc())
        .limit(NEWEST + 1)
    ).all()
    links = newest[::-1]
    pairs = list(zip([None, *links], links, strict=False))
    # The oldest of those at hand has nothing before it to be checked against, but at the start.
    if links and links[0].position != 1:
        pairs = pairs[1:]
    allowed = _let_go_up_to(session, key) if any(one.id is None for one in links) else 0
    holds = all(
        one.position == (last.position if last else 0) + 1
        and (
            one.position <= allowed and (last is None or last.id is None)
            if one.id is None
            else _hash(key, last.hash if last else START, one) == one.hash
        )
        for last, one in pairs
    )
    waiting, oldest = session.execute(
        select(func.count(), func.min(col(Audit.at))).where(
            col(Audit.id) > _settled(session, moment), _unlinked()
        )
    ).one()
    if not newest:
        return End(0, START, None, waiting, oldest, holds=True)
    last = newest[0]
    return End(last.position, last.hash, last.sealed_at, waiting, oldest, holds=holds)


def _let_go_up_to(session: Session, key: bytes) -> int:
    """Return the link up to which retention has let rows go; 0 when it never has.

    Only what retention has signed counts: whoever can write rows alone can add one that says so.
    """
    told = session.execute(
        select(col(Audit.facts)).where(col(Audit.subject) == LOG, col(Audit.act) == LET_GO)
    ).scalars()
    return max((facts["position"] for facts in told if _is_signed(key, facts)), default=0)


def _signed(key: bytes, position: int, count: int) -> str:
    return hmac.new(key, f"{LET_GO}\0{position}\0{count}".encode(), hashlib.sha256).hexdigest()


def _is_signed(key: bytes, facts: dict[str, Any]) -> bool:
    position, count, proof = (facts.get(name) for name in ("position", "count", PROOF))
    if not (isinstance(position, int) and isinstance(count, int) and isinstance(proof, str)):
        return False
    return hmac.compare_digest(proof.encode(), _signed(key, position, count).encode())


def let_go(session: Session, secret: bytes, before: datetime, most: int = 10 * BATCH) -> int:
    """Delete linked rows older than a moment, the oldest `most` of them; return how many.

    Ends at the first link whose row is younger, so that what is gone is always the beginning of
    the chain. Writes down itself how many and up to where, signed under a key derived from
    `secret`, since `verify` takes no other gap.
    """
    key = _key(secret)
    gone = _let_go_up_to(session, key)
    oldest = session.execute(
        select(col(AuditLink.position), col(AuditLink.audit_id), col(Audit.at))
        .join(Audit, col(Audit.id) == col(AuditLink.audit_id), isouter=True)
        .where(col(AuditLink.position) > gone)
        .order_by(col(AuditLink.position))
        .limit(most)
    ).all()
    young = next((n for n, row in enumerate(oldest) if row.at is None or row.at >= before), None)
    old = oldest[:young]
    if not old:
        return 0
    session.execute(text("SET LOCAL dare.retention = 'audit'"))
    gone_now = select(col(AuditLink.audit_id)).where(
        col(AuditLink.position) > gone, col(AuditLink.position) <= old[-1].position
    )
    session.execute(delete(Audit).where(col(Audit.id).in_(gone_now)))
    session.execute(text("SET LOCAL dare.retention = ''"))
    record(
        session,
        LET_GO,
        subject_kind=LOG,
        subject=LOG,
        count=len(old),
        position=old[-1].position,
        **{PROOF: _signed(key, old[-1].position, len(old))},
    )
    session.flush()
    return len(old)
