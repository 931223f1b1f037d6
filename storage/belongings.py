"""One person's rows, found and told as `storage/personal.py` says.

What others wrote or are called is never told: a talk's title only where it is one's own or open to
the whole house, everybody else by "somebody else", and no community that keeps itself to itself to
those who do not belong to it.
"""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, TextClause, and_, case, cast, exists, func, literal, or_, text
from sqlalchemy import String as Text
from sqlalchemy import Table as Rows
from sqlalchemy import select as sql_select
from sqlmodel import Session, col

from storage.models import Community, Episode, FeedView, Membership, Person, Row, Show, Topic
from storage.personal import Table

BATCH = 500
NAMED = re.compile(r":(\w+)")
YOU, OTHERS, NOBODY = "you", "somebody else", ""
UNKNOWN = "a community that you do not belong to"


@dataclass(frozen=True)
class Owner:
    """Whose rows: the number that tables refer to, the opaque id and the address."""

    id: int
    ref: str
    email: str

    @property
    def binds(self) -> dict[str, Any]:
        """Return the values that conditions of `storage/personal.py` name."""
        return {
            "person": self.id,
            "their_ref": self.ref,
            "their_email": self.email,
            # As service/identity/attempts.py and service/resets.py name an account.
            "their_account": _hash(f"account\0{self.email}"),
            "their_code_account": _hash(f"account\0code of {self.ref}"),
            "their_hashed": _hash(self.email),
        }


def _hash(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()


def owner_of(person: Person) -> Owner:
    """Return whose rows a person's are."""
    return Owner(person.id, str(person.ref), person.email)


def rows_of(table: Table) -> Rows:
    """Return the table itself."""
    return Row.metadata.tables[table.name]


def condition(table: Table, owner: Owner) -> TextClause:
    """Return the condition of this person's rows."""
    named = set(NAMED.findall(table.of))
    return text(table.of).bindparams(
        **{name: value for name, value in owner.binds.items() if name in named}
    )


def told(session: Session, table: Table, owner: Owner) -> Iterator[dict[str, Any]]:
    """Give this person's rows as the archive tells them, in the order of the primary key."""
    rows = rows_of(table)
    columns: list[ColumnElement[Any]] = [rows.c[name].label(name) for name in table.told.split()]
    for column, kind in table.shown.items():
        columns += _shown(rows, rows.c[column], kind, owner)
    found = session.execute(
        sql_select(*columns)
        .select_from(rows)
        .where(condition(table, owner))
        .order_by(*rows.primary_key.columns),
        execution_options={"yield_per": BATCH},
    )
    for row in found:
        yield dict(row._mapping)  # noqa: SLF001  SQLAlchemy's public name for a row as a mapping


def described(table: Table) -> list[str]:
    """Return the names under which `told` gives the columns."""
    names = table.told.split()
    for column, kind in table.shown.items():
        names += ["talk", "title"] if kind == "talk" else [_name(column, kind)]
    return names


def _name(column: str, kind: str) -> str:
    return kind if column.endswith("_id") else column


def _shown(
    rows: Rows, column: ColumnElement[Any], kind: str, owner: Owner
) -> list[ColumnElement[Any]]:
    """Return what people read in place of a reference."""
    if kind == "talk":
        return _talk(rows, column, owner)
    made: ColumnElement[Any]
    if kind == "community":
        made = _named(rows, _known(owner), col(Community.id), column)
    elif kind == "communities":
        made = (
            sql_select(func.array_agg(_known(owner)))
            .where(col(Community.id) == func.any(column))
            .correlate(rows)
            .scalar_subquery()
        )
    elif kind == "topic":
        made = _named(rows, col(Topic.name), col(Topic.id), column)
    elif kind == "show":
        made = _named(rows, col(Show.title), col(Show.id), column)
    elif kind == "view":
        made = _view(rows, column)
    elif kind == "network":
        # Where an act on this account came from is told only when it was the person's own.
        made = case((rows.c.actor == owner.ref, column), else_=literal(NOBODY))
    else:
        mine = owner.ref if kind == "actor" else owner.id
        nobody = or_(column.is_(None), cast(column, Text) == NOBODY)
        made = case(
            (column == mine, literal(YOU)), (nobody, literal(NOBODY)), else_=literal(OTHERS)
        )
    return [made.label(_name(column.name, kind))]


def _known(owner: Owner) -> ColumnElement[Any]:
    """Return a community's name where this person may know of it, as on pages."""
    belongs = exists().where(
        col(Membership.community_id) == col(Community.id), col(Membership.person_id) == owner.id
    )
    known = or_(col(Community.joining) != "group", belongs)
    return case((known, col(Community.name)), else_=literal(UNKNOWN))


def _named(rows: Rows, name: Any, key: Any, column: ColumnElement[Any]) -> ColumnElement[Any]:
    made: ColumnElement[Any] = (
        sql_select(name).where(key == column).correlate(rows).scalar_subquery()
    )
    return made


def _view(rows: Rows, column: ColumnElement[Any]) -> ColumnElement[Any]:
    title = (
        sql_select(func.coalesce(_open_title(), col(FeedView.kind)))
        .select_from(FeedView)
        .join(Show, col(Show.id) == col(FeedView.show_id), isouter=True)
        .where(col(FeedView.id) == column)
        .correlate(rows)
    )
    made: ColumnElement[Any] = title.scalar_subquery()
    return made


def _open_title() -> ColumnElement[Any]:
    return case((col(Show.audience).is_(None), col(Show.title)))


def _talk(rows: Rows, column: ColumnElement[Any], owner: Owner) -> list[ColumnElement[Any]]:
    guid = _named(rows, col(Episode.guid), col(Episode.id), column)
    out = and_(
        col(Episode.published_at).is_not(None),
        col(Episode.withdrawn_at).is_(None),
        col(Episode.hidden_at).is_(None),
        col(Episode.show_audience).is_(None),
        col(Episode.audience).is_(None),
    )
    title = (
        sql_select(col(Episode.title))
        .where(col(Episode.id) == column, or_(out, col(Episode.author_id) == owner.id))
        .correlate(rows)
        .scalar_subquery()
    )
    return [guid.label("talk"), title.label("title")]
