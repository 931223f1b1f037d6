"""The audit log as admins read it: searched, page by page, with names beside the opaque ids.

Names are looked up when the log is read and stand nowhere in it, so that of somebody who was erased
only the id is left.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlmodel import Session, col

from service import audit_names
from service.identity import people
from storage.models import Audit

PAGE = 50
# A download reads as many at a time.
BATCH = 1000
COLUMNS = (
    "number",
    "time",
    "act",
    "actor",
    "actor name",
    "subject kind",
    "subject",
    "subject name",
    "network",
    "facts",
)


@dataclass(frozen=True)
class Wanted:
    """What is looked for; all may be empty.

    `actor` and `subject` are an address of somebody or an id as the log holds it; `since` and
    `until` are days in UTC, both included, as 2026-03-01.
    """

    act: str = ""
    actor: str = ""
    subject: str = ""
    since: str = ""
    until: str = ""

    @classmethod
    def read(cls, told: Mapping[str, str]) -> "Wanted":
        """Return what a form asks for; other fields are left aside."""
        return cls(**{f.name: told.get(f.name, "").strip()[:254] for f in fields(cls)})

    def given(self) -> dict[str, str]:
        """Return the fields that are not empty."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name)}


class WantedError(ValueError):
    """Something that is looked for cannot be; `errors` has a sentence for each field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


@dataclass(frozen=True)
class Entry:
    """One row of the log with the names that its ids have now; "" where they have none.

    `subject_words` and `told` are the subject and the facts in words, for a page.
    """

    id: int
    at: datetime
    act: str
    actor: str
    actor_name: str
    subject_kind: str
    subject: str
    subject_name: str
    network: str
    facts: dict[str, Any]
    subject_words: str
    told: list[tuple[str, str]]

    def row(self) -> list[object]:
        """Return the cells of COLUMNS."""
        moment = self.at.astimezone(UTC).isoformat(timespec="microseconds")
        facts = json.dumps(self.facts, ensure_ascii=False, sort_keys=True)
        return [
            self.id,
            moment,
            self.act,
            self.actor,
            self.actor_name,
            self.subject_kind,
            self.subject,
            self.subject_name,
            self.network,
            facts,
        ]


@dataclass(frozen=True)
class Entries:
    """A page of the log; `before` begins the next, older one, None at the end."""

    rows: list[Entry]
    before: int | None = None


class Condition:
    """What is looked for, as the database is asked: addresses looked up, days as moments."""

    def __init__(self, session: Session, wanted: Wanted) -> None:
        """Read what is wanted.

        Raises:
            WantedError: nobody has this address, or it is no day.
        """
        errors: dict[str, str] = {}
        self.facts: dict[str, str] = {}
        self.clauses: list[ColumnElement[bool]] = []
        if wanted.act:
            self._keep("act", wanted.act, col(Audit.act) == wanted.act)
        for name, column in (("actor", col(Audit.actor)), ("subject", col(Audit.subject))):
            typed = getattr(wanted, name)
            ref = _ref_of(session, typed)
            if ref is None:
                errors[name] = "Nobody here has this address."
            elif ref:
                self._keep(name, ref, column == ref)
        for name in ("since", "until"):
            typed = getattr(wanted, name)
            try:
                day = datetime.combine(date.fromisoformat(typed), time(), UTC) if typed else None
                if day is not None and name == "until":
                    day += timedelta(days=1)
            except (ValueError, OverflowError):
                errors[name] = "Write a day like 2026-03-01."
                continue
            if day is not None:
                clause = col(Audit.at) >= day if name == "since" else col(Audit.at) < day
                self._keep(name, typed, clause)
        if errors:
            raise WantedError(errors)

    def _keep(self, name: str, told: str, clause: ColumnElement[bool]) -> None:
        self.facts[name] = told
        self.clauses.append(clause)


def _ref_of(session: Session, typed: str) -> str | None:
    """Return the id that somebody typed, or that of the address; None for nobody's address."""
    if "@" not in typed:
        return typed.replace("\x00", "")
    person = people.by_email(session, typed)
    return str(person.ref) if person else None


def entries(
    session: Session, condition: Condition, before: int = 0, *, most: int = PAGE
) -> Entries:
    """Return rows that match, newest first; those older than row `before`."""
    query = select(Audit).where(*condition.clauses).order_by(col(Audit.id).desc())
    if before > 0:
        query = query.where(col(Audit.id) < min(before, 2**63 - 1))
    found = list(session.execute(query.limit(most + 1)).scalars())
    rows = named(session, found[:most])
    return Entries(rows, rows[-1].id if len(found) > most else None)


def named(session: Session, rows: list[Audit]) -> list[Entry]:
    """Return rows with the names that their ids have now, in five statements at most."""
    names = audit_names.looked_up(session, rows)
    return [
        Entry(
            id=row.id,
            at=row.at,
            act=row.act,
            actor=row.actor,
            actor_name=names.people.get(row.actor, ""),
            subject_kind=row.subject_kind,
            subject=row.subject,
            subject_name=names.people.get(row.subject, "") if row.subject_kind == "person" else "",
            network=row.network,
            facts=row.facts,
            subject_words=names.subject(row),
            told=names.facts(row),
        )
        for row in rows
    ]
