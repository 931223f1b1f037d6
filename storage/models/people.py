"""People, how they prove who they are, and the communities they belong to."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from storage.models.base import UUID, Row, born, identity, maybe_moment, moment, opaque, reference

# What somebody is in the whole house; who looks after a community says its membership.
ROLES = ("learner", "contributor", "moderator", "admin")
JOINING = ("open", "request", "group")
SCOPES = ("read", "take-part", "publish")


class Person(Row, table=True):
    """Somebody with an account. The e-mail address is stored in lower case."""

    __tablename__ = "person"
    __table_args__ = (
        CheckConstraint("role in ('learner','contributor','moderator','admin')", "role"),
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
    # The secret of one-time codes, sealed with the server's secret; in force once confirmed.
    totp: str | None = Field(default=None, max_length=255)
    totp_at: datetime | None = maybe_moment()
    totp_last: int = Field(default=0, sa_type=BigInteger)
    # May sign in with a password even where local sign-in is switched off.
    emergency: bool = False
    created_at: datetime = born()
    signed_in_at: datetime | None = maybe_moment()
    # When a sign-in provider last vouched for this person; None for those who have none.
    vouched_at: datetime | None = maybe_moment()
    disabled_at: datetime | None = maybe_moment()
    erased_at: datetime | None = maybe_moment()


class Session(Row, table=True):
    """A signed-in browser. The key is the SHA-256 of the cookie's value, never the value.

    `proved_at` is when this person last proved who they are in this browser; `network` is cut to
    /24 or /64; `issuer` and `sid` name the provider's own session, which may end ours.
    """

    __tablename__ = "session"
    __table_args__ = (Index("ix_session_provider", "issuer", "sid"),)
    key: str = Field(primary_key=True, max_length=64)
    person_id: int = reference("person.id")
    label: str = Field(default="", max_length=200)
    network: str = Field(default="", max_length=64)
    method: str = Field(default="password", max_length=20)
    issuer: str | None = Field(default=None, max_length=255)
    sid: str | None = Field(default=None, max_length=255)
    created_at: datetime = born()
    proved_at: datetime = born()
    seen_at: datetime = born()
    ended_at: datetime | None = maybe_moment()


class Identity(Row, table=True):
    """Somebody at a sign-in provider: (issuer, subject), never an e-mail address.

    `trouble` says in words why the last sign-in's groups granted nothing; empty when they did.
    `granted` is what they gave when they were last read: `role`, and `communities` (id → role).
    """

    __tablename__ = "identity"
    issuer: str = Field(primary_key=True, max_length=255)
    subject: str = Field(primary_key=True, max_length=255)
    person_id: int = reference("person.id")
    provider: str = Field(max_length=40)
    email: str = Field(default="", max_length=254)
    trouble: str = Field(default="", max_length=300)
    granted: dict[str, Any] = Field(default_factory=dict, sa_column=Column(JSONB, nullable=False))
    created_at: datetime = born()
    seen_at: datetime = born()


class SignInTry(Row, table=True):
    """A sign-in on its way to a provider and back; the key is the SHA-256 of its state.

    Bound to the browser that began it by the SHA-256 of that browser's visit cookie.
    """

    __tablename__ = "sign_in_try"
    key: str = Field(primary_key=True, max_length=64)
    provider: str = Field(max_length=40)
    purpose: str = Field(default="sign-in", max_length=10)
    visit: str = Field(max_length=64)
    nonce: str = Field(max_length=64)
    verifier: str = Field(max_length=128)
    wanted: str = Field(default="", max_length=2000)
    person_id: int | None = reference("person.id", default=None, nullable=True, index=False)
    expires_at: datetime = moment(index=True)


class SpentToken(Row, table=True):
    """The SHA-256 of something that counts once, such as a logout token's id."""

    __tablename__ = "spent_token"
    key: str = Field(primary_key=True, max_length=64)
    expires_at: datetime = moment(index=True)


class GroupGrant(Row, table=True):
    """What one exact value of a provider's group claim grants: a membership, a role, or both."""

    __tablename__ = "group_grant"
    __table_args__ = (
        CheckConstraint("member_as in ('member','steward')", "member_as"),
        CheckConstraint("role is null or role in ('contributor','moderator','admin')", "role"),
        CheckConstraint("community_id is not null or role is not null", "grants_something"),
        Index("ix_group_grant_value", "provider", "value"),
    )
    id: int = identity()
    provider: str = Field(max_length=40)
    value: str = Field(max_length=255)
    community_id: int | None = reference("community.id", default=None, nullable=True)
    member_as: str = Field(default="member", max_length=10)
    role: str | None = Field(default=None, max_length=20)
    created_at: datetime = born()


class RecoveryCode(Row, table=True):
    """One of ten codes that stand in for a lost authenticator, once each; SHA-256 alone."""

    __tablename__ = "recovery_code"
    key: str = Field(primary_key=True, max_length=64)
    person_id: int = reference("person.id")
    used_at: datetime | None = maybe_moment()


class PersonalLink(Row, table=True):
    """A single-use link sent by mail: an invitation, or a way to a new password.

    The secret is derived from the server's secret and `nonce` (storage/links.py), so a dump of the
    database opens nothing; looked up by its SHA-256.
    """

    __tablename__ = "personal_link"
    __table_args__ = (CheckConstraint("kind in ('invitation','reset')", "kind"),)
    key: str = Field(primary_key=True, max_length=64)
    kind: str = Field(max_length=10)
    email: str = Field(max_length=254, index=True)
    role: str = Field(default="contributor", max_length=20)
    community_id: int | None = reference(
        "community.id", default=None, nullable=True, index=False, delete="SET NULL"
    )
    person_id: int | None = reference("person.id", default=None, nullable=True)
    made_by: int | None = reference(
        "person.id", delete="SET NULL", default=None, nullable=True, index=False
    )
    created_at: datetime = born()
    expires_at: datetime = moment()
    used_at: datetime | None = maybe_moment()


class AccessToken(Row, table=True):
    """A personal access token for the API; only its SHA-256 is kept. `scopes` are of SCOPES."""

    __tablename__ = "access_token"
    id: int = identity()
    person_id: int = reference("person.id")
    key: str = Field(unique=True, max_length=64)
    label: str = Field(default="", max_length=120)
    scopes: list[str] = Field(
        default_factory=lambda: list(SCOPES), sa_column=Column(JSONB, nullable=False)
    )
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
    """A group of people with shows of its own.

    Joining: `open` to everybody, on `request` to its stewards, or by `group` of a sign-in provider
    (or a steward's hand), in which case only its members and admins know of it.
    """

    __tablename__ = "community"
    __table_args__ = (CheckConstraint("joining in ('open','request','group')", "joining"),)
    id: int = identity()
    slug: str = Field(unique=True, max_length=80)
    name: str = Field(max_length=120)
    purpose: str = Field(default="", max_length=500)
    joining: str = Field(default="open", max_length=10)
    created_at: datetime = born()


class Membership(Row, table=True):
    """One person's belonging to one community, as member or as steward.

    `by_group`: granted by a provider's group, and taken away with it; else made by hand.
    """

    __tablename__ = "membership"
    __table_args__ = (CheckConstraint("role in ('member','steward')", "role"),)
    community_id: int = reference("community.id", primary_key=True, index=False)
    person_id: int = reference("person.id", primary_key=True)
    role: str = Field(default="member", max_length=20)
    by_group: bool = False
    since: datetime = born()


class JoinRequest(Row, table=True):
    """Somebody's wish to join a community, until one of its stewards answers."""

    __tablename__ = "join_request"
    community_id: int = reference("community.id", primary_key=True, index=False)
    person_id: int = reference("person.id", primary_key=True)
    words: str = Field(default="", max_length=300)
    created_at: datetime = born()
