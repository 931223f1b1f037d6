"""A person as an asker: who they are, with the communities they belong to, in one query."""

from typing import Any

from sqlalchemy import ColumnElement, func, select
from sqlmodel import Session, col

from service.access import Asker, asker_of
from storage.models import Membership, Notice, Person


def standing() -> tuple[ColumnElement[Any], ...]:
    """Return the columns that, beside Person, make an asker; each correlated to Person."""
    belongs = select(col(Membership.community_id)).where(
        col(Membership.person_id) == col(Person.id)
    )
    unread = (
        select(func.count())
        .select_from(Notice)
        .where(col(Notice.person_id) == col(Person.id), col(Notice.read_at).is_(None))
    )
    return (
        func.array(belongs.correlate(Person).scalar_subquery()),
        func.array(
            belongs.where(col(Membership.role) == "steward").correlate(Person).scalar_subquery()
        ),
        unread.correlate(Person).scalar_subquery(),
    )


def asker_from(person: Person, belongs: list[int], looks_after: list[int], unread: int) -> Asker:
    """Return the asker of a row of Person and `standing()`."""
    return asker_of(person, tuple(belongs), tuple(looks_after), unread)


def as_asker(session: Session, person: Person) -> Asker:
    """Return a person as an asker, with their communities as they are now."""
    row = session.execute(select(*standing()).where(col(Person.id) == person.id)).one()
    return asker_from(person, *row)
