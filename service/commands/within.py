"""How a command reaches the floor of a house that runs, or says in one line why it cannot."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from service.access import Asker
from service.commands.options import Refusal
from service.identity import people
from service.identity.askers import as_asker
from storage.floor import Floor, open_floor
from storage.objects import StoreError
from storage.settings import SettingsError, load_settings


@contextmanager
def floor_of(data: Path) -> Iterator[Floor]:
    """Give the floor below a data folder; what is away or missing ends the command in a line."""
    try:
        floor = open_floor(load_settings(data), pool=3, name="dare-command")
    except SettingsError as error:
        raise Refusal(str(error)) from error
    try:
        yield floor
    except OperationalError as error:
        raise Refusal(
            f"The database of {data} does not answer. Is `dare up --data {data}` running?"
        ) from error
    except StoreError as error:
        raise Refusal(str(error)) from error
    finally:
        floor.database.close()


def asker_by_email(session: Session, email: str) -> Asker:
    """Return the person of this address as an asker.

    Raises:
        Refusal: there is no such account, or it is disabled.
    """
    person = people.by_email(session, email)
    if person is None or person.disabled_at is not None:
        raise Refusal(f"There is no account of {email}; make one with `dare add-person`.")
    return as_asker(session, person)
