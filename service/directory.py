"""The people of the house as its admins see them: found, listed, and one by one.

Every list is one statement, whatever its length; pages go by name, fifty at a time.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_, select, tuple_
from sqlmodel import Session, col

from service.publishing import NotThereError
from storage.models import (
    AccessToken,
    Audit,
    Community,
    FeedToken,
    Identity,
    Membership,
    Person,
    now,
)
from storage.models import Session as SignedIn

PAGE = 50
LATEST = 20
# What else one can ask for beside a role; erased accounts stand in no other list.
STATES = ("disabled", "never", "erased")


@dataclass(frozen=True)
class Wanted:
    """What is looked for: words of a name or an address, a role, one of STATES; all may be ""."""

    words: str = ""
    role: str = ""
    state: str = ""


@dataclass(frozen=True)
class Entry:
    """One person in the list.

    `ways` are how they can sign in: names of providers, "password", "code".
    """

    ref: str
    name: str
    email: str
    role: str
    department: str | None
    seen_at: datetime | None
    disabled: bool
    erased: bool
    communities: int
    ways: tuple[str, ...]


@dataclass(frozen=True)
class People:
    """A page of the list; `after` begins the next, None at the end."""

    rows: list[Entry]
    after: str | None = None


@dataclass(frozen=True)
class Belonging:
    """One person's membership of one community."""

    slug: str
    name: str
    role: str
    by_group: bool


@dataclass(frozen=True)
class Portrait:
    """All that an admin sees of one person."""

    person: Person
    entry: Entry
    identities: list[Identity]
    belongings: list[Belonging]
    browsers: int
    feeds: int
    tokens: int
    acts: list[Audit]


def _matches(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [
        col(Person.erased_at).is_not(None)
        if wanted.state == "erased"
        else col(Person.erased_at).is_(None)
    ]
    words = " ".join(wanted.words.replace("\x00", "").split())
    if words:
        found.append(
            or_(
                col(Person.name).icontains(words, autoescape=True),
                col(Person.email).icontains(words, autoescape=True),
            )
        )
    if wanted.role:
        found.append(col(Person.role) == wanted.role)
    if wanted.state == "disabled":
        found.append(col(Person.disabled_at).is_not(None))
    if wanted.state == "never":
        found.append(col(Person.signed_in_at).is_(None))
    return found


def _facts() -> tuple[Any, ...]:
    """Return the columns of an Entry beside Person, each correlated to it."""
    seen = select(func.max(col(SignedIn.seen_at))).where(col(SignedIn.person_id) == col(Person.id))
    belongs = (
        select(func.count())
        .select_from(Membership)
        .where(col(Membership.person_id) == col(Person.id))
    )
    providers = (
        select(col(Identity.provider))
        .where(col(Identity.person_id) == col(Person.id))
        .order_by(col(Identity.provider))
    )
    return (
        func.greatest(seen.correlate(Person).scalar_subquery(), col(Person.signed_in_at)),
        belongs.correlate(Person).scalar_subquery(),
        func.array(providers.correlate(Person).scalar_subquery()),
    )


def _entry(row: Any) -> Entry:
    person, seen_at, communities, providers = row
    ways = list(dict.fromkeys(providers))
    if person.password_hash is not None:
        ways.append("password")
    if person.totp_at is not None:
        ways.append("code")
    return Entry(
        ref=str(person.ref),
        name=person.name,
        email=person.email,
        role=person.role,
        department=person.department,
        seen_at=seen_at,
        disabled=person.disabled_at is not None,
        erased=person.erased_at is not None,
        communities=communities,
        ways=tuple(ways),
    )


def find(session: Session, wanted: Wanted, after: str = "") -> People:
    """Return a page of the people who match, by name; `after` is the ref of the last one shown.

    A cursor that names nobody begins at the start.
    """
    place = tuple_(func.lower(col(Person.name)), col(Person.id))
    query = (
        select(Person, *_facts())
        .where(*_matches(wanted))
        .order_by(func.lower(col(Person.name)), col(Person.id))
        .limit(PAGE + 1)
    )
    last = known(session, after) if after else None
    if last is not None:
        query = query.where(place > tuple_(func.lower(last.name), last.id))
    rows = [_entry(row) for row in session.execute(query)]
    return People(rows[:PAGE], rows[PAGE - 1].ref if len(rows) > PAGE else None)


def known(session: Session, ref: str) -> Person | None:
    """Return the person of this ref, or None; what is no ref at all is nobody's."""
    try:
        wanted = UUID(ref)
    except ValueError:
        return None
    return session.execute(select(Person).where(col(Person.ref) == wanted)).scalar_one_or_none()


def one(session: Session, ref: str, *, lock: bool = False) -> Person:
    """Return a person, for a change with their row locked until the caller commits.

    Raises:
        NotThereError: there is nobody of this ref.
    """
    person = known(session, ref)
    if person is None:
        raise NotThereError
    if lock:
        session.refresh(person, with_for_update=True)
    return person


def portrait(session: Session, ref: str) -> Portrait:
    """Return all that an admin sees of one person, in six statements.

    Raises:
        NotThereError: there is nobody of this ref.
    """
    person = one(session, ref)
    row = session.execute(select(Person, *_facts()).where(col(Person.id) == person.id)).one()
    identities = session.execute(
        select(Identity)
        .where(col(Identity.person_id) == person.id)
        .order_by(col(Identity.provider))
    )
    belongings = session.execute(
        select(
            col(Community.slug), col(Community.name), col(Membership.role), col(Membership.by_group)
        )
        .join(Membership, col(Membership.community_id) == col(Community.id))
        .where(col(Membership.person_id) == person.id)
        .order_by(func.lower(col(Community.name)), col(Community.id))
    )
    browsers, feeds, tokens = session.execute(select(*_open(person.id))).one()
    mine = str(person.ref)
    acts = session.execute(
        select(Audit)
        .where(or_(col(Audit.subject) == mine, col(Audit.actor) == mine))
        .order_by(col(Audit.id).desc())
        .limit(LATEST)
    )
    return Portrait(
        person=person,
        entry=_entry(row),
        identities=list(identities.scalars()),
        belongings=[Belonging(*entry) for entry in belongings],
        browsers=browsers,
        feeds=feeds,
        tokens=tokens,
        acts=list(acts.scalars()),
    )


def _open(person_id: int) -> tuple[Any, ...]:
    """Return how many browsers, feeds and access tokens are open, as columns."""
    browsers = select(func.count()).where(
        col(SignedIn.person_id) == person_id, col(SignedIn.ended_at).is_(None)
    )
    feeds = select(func.count()).where(
        col(FeedToken.person_id) == person_id, col(FeedToken.revoked_at).is_(None)
    )
    tokens = select(func.count()).where(
        col(AccessToken.person_id) == person_id,
        col(AccessToken.revoked_at).is_(None),
        or_(col(AccessToken.expires_at).is_(None), col(AccessToken.expires_at) > now()),
    )
    return browsers.scalar_subquery(), feeds.scalar_subquery(), tokens.scalar_subquery()
