"""Private podcast feeds: views, the tokens that open them, and when a talk entered a view."""

from datetime import datetime

from sqlalchemy import CheckConstraint, Index, text
from sqlmodel import Field

from storage.models.base import UUID, Row, born, identity, maybe_moment, reference


class FeedView(Row, table=True):
    """What a feed shows: `top`, or one show. `guid` is its podcast:guid, assigned once."""

    __tablename__ = "feed_view"
    id: int = identity()
    kind: str = Field(max_length=10)
    show_id: int | None = reference(
        "show.id", default=None, nullable=True, unique=True, index=False
    )
    guid: UUID = Field(unique=True)
    changed_at: datetime = born()


class FeedEntry(Row, table=True):
    """When an episode first entered a ranked view; written once and never changed."""

    __tablename__ = "feed_entry"
    __table_args__ = (
        Index("ix_feed_entry_rank", "view_id", text("entered_at DESC"), "episode_id"),
    )
    view_id: int = reference("feed_view.id", primary_key=True, index=False)
    episode_id: int = reference("episode.id", primary_key=True)
    entered_at: datetime = born()


class FeedToken(Row, table=True):
    """One person's key to one view in one app. `nonce` with the server's secret makes the token."""

    __tablename__ = "feed_token"
    __table_args__ = (CheckConstraint("mode in ('audio','video')", "mode"),)
    id: int = identity()
    person_id: int = reference("person.id")
    view_id: int = reference("feed_view.id")
    ref: str = Field(unique=True, max_length=24)
    nonce: str = Field(max_length=32)
    generation: int = 1
    mode: str = Field(default="audio", max_length=5)
    label: str = Field(default="", max_length=120)
    created_at: datetime = born()
    revoked_at: datetime | None = maybe_moment()
    expires_at: datetime | None = maybe_moment()
    used_at: datetime | None = maybe_moment()
    used_by: str = Field(default="", max_length=120)


class FeedKey(Row, table=True):
    """The SHA-256 of one generation of a feed token, kept for ever so that it can answer 410.

    `until` is when an older generation stops answering with a way to the newest; None is never.
    """

    __tablename__ = "feed_key"
    key: str = Field(primary_key=True, max_length=64)
    token_id: int = reference("feed_token.id")
    generation: int = 1
    until: datetime | None = maybe_moment()


class FeedNetwork(Row, table=True):
    """A network (cut to /24 or /64) from which a feed token was used; many at once are a leak."""

    __tablename__ = "feed_network"
    token_id: int = reference("feed_token.id", primary_key=True, index=False)
    network: str = Field(primary_key=True, max_length=64)
    seen_at: datetime = born()
