"""What every request can reach: settings, database, store and queue of this process."""

from dataclasses import dataclass

from flask import current_app

from storage.database import Database
from storage.objects import ObjectStore
from storage.settings import Settings
from storage.work import Work


@dataclass(frozen=True)
class Dare:
    """The floor, as one process holds it."""

    settings: Settings
    database: Database
    store: ObjectStore
    work: Work


def dare() -> Dare:
    """Return the floor under the current application."""
    held: Dare = current_app.extensions["dare"]
    return held
