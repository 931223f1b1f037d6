"""What keeps the house healthy: reports, notices, the audit log, limits, mail, personal data."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from storage.models.base import UUID, Row, born, identity, maybe_moment, moment, opaque, reference

REPORT_REASONS = ("wrong", "unsafe", "confidential", "personal", "rude", "rights", "other")


class Decision(Row, table=True):
    """What a moderator did about a talk, or a comment on it, and why.

    `before` is how the thing stood, so that undoing is exact. Reports that a decision answers name
    it; once it is undone they are open again, and the row stays.
    """

    __tablename__ = "decision"
    __table_args__ = (
        CheckConstraint("act in ('dismissed','hidden','removed','restored')", "act"),
        CheckConstraint("before in ('standing','hidden','removed','taken-back')", "before"),
    )
    id: int = identity()
    episode_id: int = reference("episode.id")
    comment_id: int | None = reference("comment.id", default=None, nullable=True)
    act: str = Field(max_length=10)
    before: str = Field(max_length=10)
    words: str = Field(max_length=300)
    decided_by: int | None = reference(
        "person.id", delete="SET NULL", default=None, nullable=True, index=False
    )
    decided_at: datetime = born()
    undone_by: int | None = reference(
        "person.id", delete="SET NULL", default=None, nullable=True, index=False
    )
    undone_at: datetime | None = maybe_moment()
    undone_words: str = Field(default="", max_length=300)


class Report(Row, table=True):
    """Somebody's word that a talk, or a comment on it, should not stand as it is."""

    __tablename__ = "report"
    __table_args__ = (
        CheckConstraint("state in ('open','acted','dismissed')", "state"),
        Index(
            "uq_report_open",
            "reporter_id",
            "episode_id",
            text("coalesce(comment_id, 0)"),
            unique=True,
            postgresql_where=text("state = 'open'"),
        ),
        Index("ix_report_queue", "state", "id"),
    )
    id: int = identity()
    episode_id: int = reference("episode.id")
    comment_id: int | None = reference("comment.id", default=None, nullable=True)
    reporter_id: int | None = reference("person.id", delete="SET NULL", default=None, nullable=True)
    reason: str = Field(max_length=20)
    words: str = Field(default="", max_length=1000)
    state: str = Field(default="open", max_length=10)
    created_at: datetime = born()
    decision_id: int | None = reference(
        "decision.id", delete="SET NULL", default=None, nullable=True
    )


class Notice(Row, table=True):
    """A sentence for one person, shown in the house until it is read. `path` is where it leads."""

    __tablename__ = "notice"
    __table_args__ = (
        Index("ix_notice_unread", "person_id", postgresql_where=text("read_at IS NULL")),
        Index("ix_notice_mine", "person_id", text("id DESC")),
    )
    id: int = identity()
    person_id: int = reference("person.id", index=False)
    kind: str = Field(max_length=30)
    words: str = Field(max_length=1000)
    path: str = Field(default="", max_length=300)
    created_at: datetime = born()
    read_at: datetime | None = maybe_moment()


class Audit(Row, table=True):
    """One act that somebody may have to answer for. Append-only: a trigger refuses all else.

    `actor` and `subject` are opaque ids, so that erasing a person changes nothing here.
    """

    __tablename__ = "audit"
    __table_args__ = (
        Index("ix_audit_subject", "subject", "id"),
        Index("ix_audit_actor", "actor", "id"),
    )
    id: int = identity()
    at: datetime = born()
    act: str = Field(max_length=40)
    actor: str = Field(default="", max_length=40)
    subject_kind: str = Field(default="", max_length=20)
    subject: str = Field(default="", max_length=64)
    network: str = Field(default="", max_length=64)
    facts: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))


class AuditLink(Row, table=True):
    """One link of the audit log's chain: position by position, each hash covers the one before."""

    __tablename__ = "audit_link"
    position: int = Field(
        primary_key=True, sa_type=BigInteger, sa_column_kwargs={"autoincrement": False}
    )
    audit_id: int = Field(unique=True, sa_type=BigInteger)
    hash: str = Field(max_length=64)
    sealed_at: datetime = born()


class Allowance(Row, table=True):
    """How much of a limit somebody has used since a moment; counted here for all web processes."""

    __tablename__ = "allowance"
    bucket: str = Field(primary_key=True, max_length=160)
    since: datetime = born()
    used: int = 1


class SignInFailure(Row, table=True):
    """Failed sign-ins to one account from one network or known browser, and the wait they cost."""

    __tablename__ = "sign_in_failure"
    account: str = Field(primary_key=True, max_length=64)
    origin: str = Field(primary_key=True, max_length=80)
    failures: int = 0
    until: datetime | None = maybe_moment()
    last_at: datetime = born()


class Mail(Row, table=True):
    """A letter on its way. `{link}` in the body stands for an address whose secret is derived from
    `link_nonce` when it is sent, so that no secret lies here.
    """

    __tablename__ = "mail"
    __table_args__ = (
        Index(
            "ix_mail_due",
            "due_at",
            postgresql_where=text("sent_at IS NULL AND failed_at IS NULL"),
        ),
    )
    id: int = identity()
    kind: str = Field(max_length=30)
    address: str = Field(max_length=254)
    person_id: int | None = reference("person.id", default=None, nullable=True)
    subject: str = Field(max_length=200)
    body: str
    link_path: str = Field(default="", max_length=100)
    link_nonce: str = Field(default="", max_length=64)
    created_at: datetime = born()
    due_at: datetime = born()
    attempts: int = 0
    sent_at: datetime | None = maybe_moment()
    failed_at: datetime | None = maybe_moment()
    trouble: str = Field(default="", max_length=300)


class Export(Row, table=True):
    """All that is held about a person, packed by a worker; the file lives a week."""

    __tablename__ = "export"
    __table_args__ = (
        CheckConstraint("state in ('waiting','building','ready','failed','gone')", "state"),
    )
    id: int = identity()
    ref: UUID = opaque()
    person_id: int = reference("person.id")
    state: str = Field(default="waiting", max_length=10)
    key: str | None = Field(default=None, max_length=200)
    size: int = Field(default=0, sa_type=BigInteger)
    reason: str | None = Field(default=None, max_length=300)
    created_at: datetime = born()
    ready_at: datetime | None = maybe_moment()
    expires_at: datetime | None = maybe_moment()


class Erasure(Row, table=True):
    """The opaque id of somebody who was erased; applied again after every restore.

    `handed_over` is what they chose for their talks: to stay without the name, or to go.
    """

    __tablename__ = "erasure"
    ref: UUID = Field(primary_key=True)
    handed_over: bool = False
    at: datetime = born()


class Removal(Row, table=True):
    """Objects whose rows are gone: everything under a key or prefix, to be removed when due."""

    __tablename__ = "removal"
    key: str = Field(primary_key=True, max_length=300)
    due_at: datetime = moment(index=True)


class Chore(Row, table=True):
    """When a regular piece of housekeeping was last begun, so that many workers do it once."""

    __tablename__ = "chore"
    name: str = Field(primary_key=True, max_length=40)
    begun_at: datetime = born()
