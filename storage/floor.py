"""The floor as one process holds it: settings, database, store and queue."""

from dataclasses import dataclass

from storage.database import Database, open_database
from storage.objects import ObjectStore
from storage.settings import Settings
from storage.work import Work


@dataclass(frozen=True)
class Floor:
    """Everything at rest, within reach. Safe to share between threads, not across a fork."""

    settings: Settings
    database: Database
    store: ObjectStore
    work: Work


def open_floor(settings: Settings, *, pool: int = 10, name: str = "dare") -> Floor:
    """Return the floor that the settings name; connections are made when first needed."""
    database = open_database(settings, pool=pool, name=name)
    return Floor(settings, database, ObjectStore(settings), Work(database))
