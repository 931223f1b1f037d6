"""Sessions of browsers: rows of our own, so that ending one is real."""

from datetime import datetime, timedelta

from sqlmodel import Session as Database
from sqlmodel import col, delete, select

from service.identity.secrets import fresh, key_of
from storage.models import Person, Session, now

IDLE = timedelta(days=7)
ABSOLUTE = timedelta(days=30)
# Writing "last seen" on every request would make every read a write.
GRAIN = timedelta(minutes=5)
MOST = 50


def start(database: Database, person: Person, label: str) -> str:
    """Begin a session and return the secret for the cookie. The oldest beyond fifty end."""
    secret = fresh()
    database.add(Session(key=key_of(secret), person_id=person.id, label=label[:200]))
    database.flush()
    kept = (
        select(Session.key)
        .where(Session.person_id == person.id)
        .order_by(col(Session.created_at).desc())
        .limit(MOST)
    )
    database.exec(
        delete(Session).where(col(Session.person_id) == person.id, col(Session.key).not_in(kept))
    )
    return secret


def find(database: Database, secret: str, at: datetime | None = None) -> Person | None:
    """Return whose session this is, or None when it has ended, by hand or by time."""
    moment = at or now()
    found = database.exec(
        select(Session, Person)
        .join(Person, col(Person.id) == col(Session.person_id))
        .where(Session.key == key_of(secret))
    ).first()
    if found is None:
        return None
    session, person = found
    if person.disabled_at is not None:
        return None
    if moment - session.created_at > ABSOLUTE or moment - session.seen_at > IDLE:
        return None
    if moment - session.seen_at > GRAIN:
        session.seen_at = moment
    return person


def mine(database: Database, person_id: int) -> list[Session]:
    """Return a person's sessions, newest first."""
    return list(
        database.exec(
            select(Session)
            .where(Session.person_id == person_id)
            .order_by(col(Session.seen_at).desc())
        )
    )


def end(database: Database, secret: str) -> None:
    """End the session of this cookie."""
    database.exec(delete(Session).where(col(Session.key) == key_of(secret)))


def end_of(database: Database, person_id: int, key: str) -> None:
    """End one of a person's own sessions, named by its key."""
    database.exec(
        delete(Session).where(col(Session.key) == key, col(Session.person_id) == person_id)
    )


def end_all(database: Database, person_id: int) -> None:
    """End every session of a person."""
    database.exec(delete(Session).where(col(Session.person_id) == person_id))
