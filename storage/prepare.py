"""Make the floor ready: tables, DBOS's tables, the bucket. `python -m storage.prepare`.

Run by `dare up` and `dare migrate` as a process of its own, so that the supervisor stays small.
Prints one JSON line: {"people": n, "set_up_token": token or null}.
"""

import hashlib
import json
import secrets
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlmodel import Session, func, select

from storage import work
from storage.database import Database, open_database
from storage.models import Person, SetupLink, now
from storage.objects import ObjectStore
from storage.settings import Settings, load_settings

ROOT = Path(__file__).parent.parent
# Any number that no other advisory lock of ours uses: one migrator at a time.
MIGRATING = 0x6461726501
SET_UP_LIFE = timedelta(minutes=30)


def migrate(database: Database) -> None:
    """Bring the tables to the newest revision; two callers at once do it once."""
    with database.engine.connect() as connection:
        connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATING})
        connection.commit()
        try:
            _upgrade(connection)
            connection.commit()
        finally:
            connection.rollback()
            connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": MIGRATING})
            connection.commit()


def _upgrade(connection: Connection) -> None:
    config = Config(ROOT / "alembic.ini")
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def set_up_token(session: Session) -> str | None:
    """Return a fresh one-time token for making the first account, or None when there is one."""
    if session.exec(select(func.count()).select_from(Person)).one():
        return None
    for link in session.exec(select(SetupLink)).all():
        session.delete(link)
    token = secrets.token_urlsafe(32)
    key = hashlib.sha256(token.encode()).hexdigest()
    session.add(SetupLink(key=key, expires_at=now() + SET_UP_LIFE))
    return token


def prepare(settings: Settings) -> dict[str, int | str | None]:
    """Make tables and bucket ready and say who is there."""
    database = open_database(settings, pool=3, name="dare-prepare")
    try:
        with ThreadPoolExecutor(1) as pool:
            bucket = pool.submit(lambda: ObjectStore(settings).ensure_bucket())
            migrate(database)
            work.migrate(settings.database_url.get_secret_value())
            bucket.result()
        with database.begin() as session:
            token = set_up_token(session)
            people = session.exec(select(func.count()).select_from(Person)).one()
        return {"people": people, "set_up_token": token}
    finally:
        database.close()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(prepare(load_settings())) + "\n")
