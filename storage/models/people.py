"""People, how they prove who they are, and the communities they belong to."""

from datetime import datetime

from sqlalchemy import CheckConstraint
from sqlmodel import Field

from storage.models.base import UUID, Row, born, identity, maybe_moment, moment, opaque, reference

ROLES = ("learner", "contributor", "steward", "moderator", "admin")


class Person(Row, table=True):
    """Somebody with an account. The e-mail address is stored in lower case."""

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint("role in ('learner','contributor','steward','moderator','admin')", "role"),
        CheckConstraint("email = lower(email)", "email_lower"),
    )
    id: int = identity()
    ref: UUID = opaque()
    email: str = Field(max_length=254, unique=True)
    name: str = Field(max_length=120)
    role: str = Field(default="contributor", max_length=20)
    department: str | None = Field(default=None, max_length=120)
    about: str = Field(default="", max_length=2000)
    theme: str = Field(default="system", max_length=10)
    password_hash: str | None = Field(default=None, max_length=255)
    created_at: datetime = born()
    disabled_at: datetime | None = maybe_moment()


class Session(Row, table=True):
    """A signed-in browser. The key is the SHA-256 of the cookie's value, never the value."""

    __tablename__ = "session"
    key: str = Field(primary_key=True, max_length=64)
    person_id: int = reference("person.id")
    label: str = Field(default="", max_length=200)
    created_at: datetime = born()
    seen_at: datetime = born()


class AccessToken(Row, table=True):
    """A personal access token for the API; only its SHA-256 is kept."""

    __tablename__ = "access_token"
    id: int = identity()
    person_id: int = reference("person.id")
    key: str = Field(unique=True, max_length=64)
    label: str = Field(default="", max_length=120)
    created_at: datetime = born()
    expires_at: datetime | None = maybe_moment()
    used_at: datetime | None = maybe_moment()
    revoked_at: datetime | None = maybe_moment()


class SetupLink(Row, table=True):
    """The one-time link that makes the first administrator; only its SHA-256 is kept."""

    __tablename__ = "setup_link"
    key: str = Field(primary_key=True, max_length=64)
    expires_at: datetime = moment()
    used_at: datetime | None = maybe_moment()


class Community(Row, table=True):
    """A group of people with shows of its own and a board."""

    __tablename__ = "community"
    id: int = identity()
    slug: str = Field(unique=True, max_length=80)
    name: str = Field(max_length=120)
    purpose: str = Field(default="", max_length=500)
    created_at: datetime = born()


class Membership(Row, table=True):
    """One person's belonging to one community."""

    __tablename__ = "membership"
    community_id: int = reference("community.id", primary_key=True, index=False)
    person_id: int = reference("person.id", primary_key=True)
    role: str = Field(default="member", max_length=20)
    since: datetime = born()
