"""Somebody of whom the house holds something in every table, each text a canary of its own."""

from dataclasses import dataclass, field
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import uuid4

from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DataError, IntegrityError
from sqlmodel import AutoString, Session, select

from service.feed import tokens
from service.identity import attempts
from storage import audit, belongings, personal
from storage.models import (
    Allowance,
    Decision,
    Episode,
    EpisodePerson,
    Export,
    FeedNetwork,
    FeedView,
    Identity,
    JoinRequest,
    Mail,
    Notice,
    Person,
    PersonalLink,
    Piece,
    Position,
    RecoveryCode,
    Report,
    Review,
    SignInFailure,
    SignInTry,
    Upload,
    WorkProgress,
    now,
)
from storage.models import Session as SignedIn
from storage.personal import Fate
from tests import factories

_numbers = count(1)
# What leads to the rows, or must be one of a few words; all else is filled.
FIXED = {
    ("sign_in_failure", "account"), ("allowance", "bucket"), ("audit", "actor"),
    ("audit", "subject"), ("person", "email"), ("person", "name"), ("show", "artwork_key"),
    ("personal_link", "email"),
}  # fmt: skip


@dataclass
class Planted:
    """The person, somebody else, their talk, and which canary lies in which column."""

    person: Person
    other: Person
    talk: Episode
    theirs: Episode
    draft: Episode
    canaries: dict[str, dict[str, str]] = field(default_factory=dict)
    secrets: list[str] = field(default_factory=list)

    @property
    def all(self) -> dict[str, str]:
        """Return where each canary was put."""
        return {
            canary: f"{table}.{column}"
            for table, columns in self.canaries.items()
            for column, canary in columns.items()
        }


def plant(session: Session) -> Planted:
    """Make somebody with a row in every table of people, and fill every text with a canary."""
    email = f"canary-{uuid4().hex[:8]}@example.org"
    ana = factories.person(session, "Ana Canary", email=email, department="x", about="x")
    ana.password_hash, ana.totp = "x", "x"
    bo = factories.person(session, "Bo Nobody-Else")
    here = factories.community(session)
    factories.member(session, here, ana)
    show = factories.show(session, ana, "Talks by Ana Canary", artwork_key="artwork/x")
    talk = factories.episode(session, show, topics=["Deploys"])
    draft = factories.episode(session, show, "Not yet", state="draft")
    theirs = factories.episode(session, factories.show(session, bo), "Bo speaks")
    _say(session, ana, bo, talk, theirs)
    _sign_in(session, ana)
    _write(session, ana, bo, here)
    _listen(session, ana, talk, theirs)
    session.flush()
    planted = Planted(ana, bo, talk, theirs, draft)
    _fill(session, planted)
    session.refresh(ana)
    return planted


def _say(session: Session, ana: Person, bo: Person, talk: Episode, theirs: Episode) -> None:
    factories.rating(session, theirs, ana, 5)
    factories.rating(session, theirs, factories.person(session, "Cy"), 3)
    factories.rating(session, talk, bo, 4)
    said = factories.comment(session, theirs, ana, "x")
    factories.comment(session, theirs, bo, "An answer", parent_id=said.id)
    session.add(Report(episode_id=theirs.id, reporter_id=ana.id, reason="wrong", words="x"))
    session.add(Report(episode_id=talk.id, reporter_id=bo.id, reason="rude", words="About it"))
    session.add(
        Decision(
            episode_id=talk.id, act="dismissed", before="standing", words="x", decided_by=bo.id,
            undone_words="x",
        )
    )  # fmt: skip
    session.add(Review(episode_id=theirs.id, person_id=ana.id))
    session.add(EpisodePerson(episode_id=theirs.id, person_id=ana.id, role="guest"))
    session.add(Position(person_id=ana.id, episode_id=theirs.id, seconds=4.0))
    session.add(
        Upload(
            id=uuid4(), owner_id=ana.id, episode_id=talk.id, given_name="x", length=9,
            key=f"sources/{talk.guid}/upload", s3_upload_id="x",
        )
    )  # fmt: skip
    session.add(
        Piece(
            episode_id=talk.id, revision=1, position=0, start=0, end=1, key="speech/x",
            segments=[{"text": "x"}],
        )
    )  # fmt: skip
    session.add(WorkProgress(episode_id=talk.id, step="x", words="x"))


def _sign_in(session: Session, ana: Person) -> None:
    soon = now() + timedelta(hours=1)
    session.add(SignedIn(key=uuid4().hex, person_id=ana.id, issuer="x", sid="x"))
    session.add(Identity(issuer="x", subject="x", person_id=ana.id, provider="x"))
    factories.token(session, ana)
    session.add(RecoveryCode(key=uuid4().hex, person_id=ana.id, used_at=now()))
    for whose in ({"person_id": ana.id, "email": "x"}, {"email": ana.email}):
        session.add(PersonalLink(key=uuid4().hex, kind="reset", expires_at=soon, **whose))
    session.add(
        SignInTry(
            key=uuid4().hex, provider="x", visit="x", nonce="x", verifier="x", person_id=ana.id,
            expires_at=soon,
        )
    )  # fmt: skip
    for account in (ana.email, f"code of {ana.ref}"):
        session.add(SignInFailure(account=attempts.account_of(account), origin="x", failures=2))
    session.add(Allowance(bucket=f"export:{ana.id}"))


def _write(session: Session, ana: Person, bo: Person, here: Any) -> None:
    elsewhere = factories.community(session, "Elsewhere")
    session.add(JoinRequest(community_id=elsewhere.id, person_id=ana.id, words="x"))
    session.add(Notice(person_id=ana.id, kind="x", words="x", path="x"))
    told = f"{ana.name} would like to join {here.name}."
    session.add(Notice(person_id=bo.id, kind="join-request", words=told))
    session.add(Mail(kind="x", address=ana.email, person_id=ana.id, subject="x", body="x"))
    session.add(
        Mail(
            kind="invitation",
            address=bo.email,
            subject=f"{ana.name} invites you to us",
            body=f"Hello,\n\n{ana.name} invites you to us.\n\n{{link}}\n",
        )
    )
    session.add(Export(person_id=ana.id, state="failed", reason="x"))
    audit.record(
        session, "signed-in", actor=str(ana.ref), subject_kind="person", subject=str(ana.ref),
        network="192.0.2.0/24", method="password",
    )  # fmt: skip


def _listen(session: Session, ana: Person, talk: Episode, theirs: Episode) -> None:
    view = FeedView(kind="show", show_id=theirs.show_id, guid=uuid4())
    session.add(view)
    session.add(FeedView(kind="show", show_id=talk.show_id, guid=uuid4()))
    session.flush()
    token = tokens.issue(session, ana.id, view, "x", secret=bytes(32))
    token.used_by = "x"
    session.add(FeedNetwork(token_id=token.id, network="x"))


def _fill(session: Session, planted: Planted) -> None:
    """Put a canary into every column of text that erasing has to take away."""
    owner = belongings.owner_of(planted.person)
    for table in personal.TABLES:
        if not table.of or table.name == "erasure":
            continue
        rows = belongings.rows_of(table)
        which = belongings.condition(table, owner)
        assert session.execute(select(rows).where(which)).first() is not None, table.name
        for column in rows.columns:
            if (table.name, column.name) in FIXED or table.fate_of(column.name) is Fate.STAYS:
                continue
            value = _canary(column)
            if value is None or not _put(session, rows, column, which, value):
                continue
            canary = value if isinstance(value, str) else value[0]["text"]
            planted.canaries.setdefault(table.name, {})[column.name] = canary
            if "secret" in table.left_out.get(column.name, ""):
                planted.secrets.append(canary)
    planted.canaries["person"] |= {"name": planted.person.name, "email": planted.person.email}


def _canary(column: Any) -> Any:
    if column.computed is not None or column.foreign_keys:
        return None
    word = f"q{next(_numbers):05d}z"
    if isinstance(column.type, JSONB):
        return [{"text": word}] if column.name == "segments" else None
    return word if isinstance(column.type, AutoString) else None


def _put(session: Session, rows: Any, column: Any, which: Any, value: Any) -> bool:
    """Write a canary; False where a column takes only words of its own, or only one row has it."""
    try:
        with session.begin_nested():
            session.execute(rows.update().where(which).values({column: value}))
    except (DataError, IntegrityError):
        return False
    return True


def everywhere(session: Session) -> list[tuple[str, str]]:
    """Return each row of each table of the whole database as text, ours and the queue's."""
    tables = session.execute(
        sql(
            "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables"
            " WHERE schemaname IN ('public', 'dbos')"
        )
    ).scalars()
    return [
        (name, str(found))
        for name in tables
        for found in session.execute(sql(f"SELECT t::text FROM {name} AS t")).scalars()  # noqa: S608
    ]
