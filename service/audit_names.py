"""What the ids in rows of the audit log are called now, for admins who read it.

Names are looked up when the log is read, and only what an admin may know anyway: people and
communities by name, invitations by their address while they are kept, shows and talks by title only
where everybody with an account may see them. All else is named by its kind alone.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from service import access
from storage.models import Audit, Community, Episode, Person, PersonalLink, Show

HASH = re.compile(r"[0-9a-f]{64}")
SHORT = 12
# What stands before what else a row says of itself.
FIRST = ("before", "after")
KINDS = {
    "audit": "the audit log",
    "comment": "a comment",
    "episode": "a talk",
    "feed": "a feed",
    "grant": "what a group grants",
    "invitation": "an invitation",
    "show": "a show",
    "token": "an access token",
}
TITLED = {"episode": "talk", "show": "show"}


@dataclass(frozen=True)
class Names:
    """Names of what some rows speak of; what has none is left out.

    `things` has titles and addresses by kind and id, `places` communities by slug and by number.
    """

    people: dict[str, str] = field(default_factory=dict)
    things: dict[tuple[str, str], str] = field(default_factory=dict)
    places: dict[str | int, str] = field(default_factory=dict)

    def subject(self, row: Audit) -> str:
        """Return what a row is about in words; "" for people, and for what it cannot name."""
        kind, name = row.subject_kind, self.things.get((row.subject_kind, row.subject), "")
        if kind == "community":
            return f"community {self.places.get(row.subject, row.subject)}"
        if name:
            return f"{TITLED[kind]} “{name}”" if kind in TITLED else f"{kind} of {name}"
        return KINDS.get(kind, "")

    def facts(self, row: Audit) -> list[tuple[str, str]]:
        """Return what else a row says, name and value in words."""
        names = sorted(row.facts, key=lambda name: FIRST.index(name) if name in FIRST else 9)
        told = ((name, self._value(name, row.facts[name])) for name in names)
        return [(name.replace("_", " "), words) for name, words in told if words]

    def _value(self, name: str, value: Any) -> str:
        if value is None:
            return "whoever may see its show" if name in FIRST else "nothing"
        if isinstance(value, bool):
            return "yes" if value else "no"
        if isinstance(value, list):
            of_places = name in (*FIRST, "communities")
            return ", ".join(
                self.places.get(part, "a community") if of_places else str(part) for part in value
            )
        if name == "community":
            return self.places.get(value, str(value))
        if name == "person":
            return self.people.get(value, str(value))
        words = str(value)
        return f"{words[:SHORT]}…" if HASH.fullmatch(words) else words


def looked_up(session: Session, rows: list[Audit]) -> Names:
    """Return the names of what rows speak of, in five statements at most."""
    people, places = _refs(_people_in(rows)), set(_places_in(rows))
    things: dict[tuple[str, str], str] = {}
    for kind, key, title, may in (
        ("episode", col(Episode.guid), col(Episode.title), access.open_to_all_here()),
        ("show", col(Show.guid), col(Show.title), access.shows_open_to_all_here()),
    ):
        refs = _refs(row.subject for row in rows if row.subject_kind == kind)
        things |= {(kind, str(ref)): name for ref, name in _pairs(session, key, title, refs, may)}
    keys = {row.subject for row in rows if row.subject_kind == "invitation"}
    invited = _pairs(session, col(PersonalLink.key), col(PersonalLink.email), keys)
    things |= {("invitation", key): address for key, address in invited}
    named = _pairs(
        session, col(Person.ref), col(Person.name), people, col(Person.erased_at).is_(None)
    )
    known: dict[str | int, str] = {}
    if places:
        numbers = [place for place in places if isinstance(place, int)]
        slugs = [place for place in places if isinstance(place, str)]
        found = session.execute(
            select(col(Community.id), col(Community.slug), col(Community.name)).where(
                col(Community.id).in_(numbers) | col(Community.slug).in_(slugs)
            )
        )
        for number, slug, name in found:
            known |= {number: name, slug: name}
    return Names({str(ref): name for ref, name in named}, things, known)


def _pairs(
    session: Session, key: Any, name: Any, wanted: set[Any], *may: ColumnElement[bool]
) -> list[tuple[Any, str]]:
    if not wanted:
        return []
    found = session.execute(select(key, name).where(key.in_(wanted), *may))
    return [(ref, said) for ref, said in found]


def _refs(told: Iterable[Any]) -> set[UUID]:
    found = set()
    for ref in told:
        try:
            found.add(UUID(ref))
        except (AttributeError, TypeError, ValueError):
            continue
    return found


def _people_in(rows: list[Audit]) -> Iterator[Any]:
    for row in rows:
        yield row.actor
        yield row.facts.get("person")
        if row.subject_kind == "person":
            yield row.subject


def _places_in(rows: list[Audit]) -> Iterator[str | int]:
    for row in rows:
        if row.subject_kind == "community":
            yield row.subject
        if isinstance(slug := row.facts.get("community"), str) and slug:
            yield slug
        for name in (*FIRST, "communities"):
            if isinstance(numbers := row.facts.get(name), list):
                yield from (one for one in numbers if isinstance(one, int))
