"""Sessions of browsers: rows of our own, so that ending one is real."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import and_, or_
from sqlalchemy import select as sql_select
from sqlmodel import Session as Database
from sqlmodel import col, select, update

from service.access import Asker
from service.identity import askers
from service.identity.secrets import fresh, key_of
from storage.models import Person, Session, now

IDLE = timedelta(days=7)
ABSOLUTE = timedelta(days=30)
# Pages that can hurt want somebody who has lately proved who they are.
RECENT = timedelta(minutes=30)
# Writing "last seen" on every request would make every read a write.
GRAIN = timedelta(minutes=5)
MOST = 50


@dataclass(frozen=True)
class Found:
    """A living session: whose it is, and its row."""

    asker: Asker
    session: Session
    # Whether nothing but a password stands behind it: no provider, and no code was given here.
    by_password_alone: bool = False
    # Whether its person has a second factor in force, be it given here or not.
    has_second_factor: bool = False

    def is_recent(self, at: datetime | None = None) -> bool:
        """Whether this person proved who they are in the last half hour."""
        return (at or now()) - self.session.proved_at <= RECENT


def start(
    database: Database,
    person: Person,
    label: str,
    *,
    method: str = "password",
    network: str = "",
    issuer: str | None = None,
    sid: str | None = None,
    proved_at: datetime | None = None,
) -> str:
    """Begin a session and return the secret for the cookie. The oldest beyond fifty end.

    `proved_at` is when this person proved who they are, if that was not just now.
    """
    secret = fresh()
    row = Session(
        key=key_of(secret),
        person_id=person.id,
        label=label[:200],
        method=method,
        network=network,
        issuer=issuer,
        sid=sid,
    )
    if proved_at is not None:
        row.proved_at = proved_at
    database.add(row)
    database.flush()
    kept = (
        select(Session.key)
        .where(Session.person_id == person.id, col(Session.ended_at).is_(None))
        .order_by(col(Session.created_at).desc())
        .limit(MOST)
    )
    _end(database, col(Session.person_id) == person.id, col(Session.key).not_in(kept))
    return secret


def renew(
    database: Database,
    secret: str,
    *,
    method: str,
    issuer: str | None = None,
    sid: str | None = None,
) -> str | None:
    """Give a session whose person has proved anew who they are a new secret, and return it.

    The old secret is dead at once. None when the session has ended meanwhile.
    """
    made = fresh()
    told: dict[str, Any] = {"key": key_of(made), "proved_at": now(), "method": method}
    if issuer is not None:
        told |= {"issuer": issuer, "sid": sid}
    renewed = database.exec(
        update(Session)
        .where(col(Session.key) == key_of(secret), col(Session.ended_at).is_(None))
        .values(**told)
    )
    return made if renewed.rowcount == 1 else None


def find(database: Database, secret: str, at: datetime | None = None) -> Found | None:
    """Return the session of this cookie, or None when it has ended, by hand or by time.

    One query: session, person and communities.
    """
    moment = at or now()
    found = database.execute(
        sql_select(Session, Person, *askers.standing())
        .join(Person, col(Person.id) == col(Session.person_id))
        .where(col(Session.key) == key_of(secret), col(Session.ended_at).is_(None))
    ).first()
    if found is None:
        return None
    session, person, *standing = found
    if person.disabled_at is not None:
        return None
    if moment - session.created_at > ABSOLUTE or moment - session.seen_at > IDLE:
        return None
    if moment - session.seen_at > GRAIN:
        session.seen_at = moment
    second = person.totp_at is not None
    # What this session has shown counts, not what its person could show: others may hold it.
    shown = session.method == "provider" or (session.method == "code" and second)
    return Found(
        askers.asker_from(person, *standing),
        session,
        by_password_alone=person.password_hash is not None and not shown,
        has_second_factor=second,
    )


def gave_code(database: Database, key: str) -> None:
    """Note that a code was just given in the session of this key; a provider's stays one."""
    database.exec(
        update(Session)
        .where(col(Session.key) == key, col(Session.method) != "provider")
        .values(method="code")
    )


def mine(database: Database, person_id: int, at: datetime | None = None) -> list[Session]:
    """Return a person's living sessions, the last used first."""
    moment = at or now()
    return list(
        database.exec(
            select(Session)
            .where(
                Session.person_id == person_id,
                col(Session.ended_at).is_(None),
                col(Session.created_at) > moment - ABSOLUTE,
                col(Session.seen_at) > moment - IDLE,
            )
            .order_by(col(Session.seen_at).desc())
        )
    )


def _end(database: Database, *which: Any) -> int:
    ended = database.exec(
        update(Session).where(col(Session.ended_at).is_(None), *which).values(ended_at=now())
    )
    return int(ended.rowcount)


def end(database: Database, secret: str) -> None:
    """End the session of this cookie."""
    _end(database, col(Session.key) == key_of(secret))


def end_of(database: Database, person_id: int, key: str) -> int:
    """End one of a person's own sessions, named by its key; return how many that were."""
    return _end(database, col(Session.key) == key, col(Session.person_id) == person_id)


def end_all(database: Database, person_id: int, *, but: str = "") -> int:
    """End every session of a person, but the one of this key; return how many."""
    return _end(database, col(Session.person_id) == person_id, col(Session.key) != but)


def end_vouched(
    database: Database, issuer: str, *, sid: str = "", person_id: int = 0, but: str = ""
) -> int:
    """End the sessions that a provider's sign-out names, but the one of this key; return how many.

    With `sid` those that the provider knows by it, and of this person's those whose provider's id
    we were never told; without it all of this person's that the provider vouched for.
    """
    named = col(Session.person_id) == person_id
    if sid:
        named = or_(col(Session.sid) == sid, and_(named, col(Session.sid).is_(None)))
    return _end(database, col(Session.issuer) == issuer, named, col(Session.key) != but)
