"""The floor that other tests stand on: each begins with an empty database."""

from sqlmodel import Session, func, select

from storage.models import Person
from storage.models.people import ROLES


def _count(session: Session) -> int:
    return session.exec(select(func.count()).select_from(Person)).one()


def _add(session: Session) -> None:
    session.add(Person(name="Ada", email="ada@example.org", role=next(iter(ROLES))))
    session.commit()


def test_what_a_test_commits_is_there(session: Session) -> None:
    assert _count(session) == 0
    _add(session)
    assert _count(session) == 1


def test_the_next_test_finds_nothing_of_it(session: Session) -> None:
    assert _count(session) == 0
    _add(session)
    assert _count(session) == 1
