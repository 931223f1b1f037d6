"""What people think of talks and say about them, and how far they have listened."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Index, text
from sqlmodel import Field

from storage.models.base import Row, born, identity, maybe_moment, reference


class Rating(Row, table=True):
    """One person's stars on one episode. The truth; count and score are derived from it."""

    __tablename__ = "rating"
    __table_args__ = (CheckConstraint("stars between 1 and 5", "stars"),)
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    person_id: int = reference("person.id", primary_key=True)
    stars: int
    source: str = Field(default="page", max_length=10)
    created_at: datetime = born()
    changed_at: datetime = born()


class EpisodeScore(Row, table=True):
    """What all evidence says of one episode; derived, rebuilt by one command.

    A narrow table of its own, since every rating writes a new version of its row. PostgreSQL
    sorts NaN above every number; the check keeps it out.
    """

    __tablename__ = "episode_score"
    __table_args__ = (
        CheckConstraint("score between -10 and 10", "score"),
        Index(
            "ix_episode_score_top",
            "listed",
            text("score DESC"),
            text("episode_id DESC"),
        ),
        {"postgresql_with": {"fillfactor": "80"}},
    )
    episode_id: int = Field(
        primary_key=True, foreign_key="episode.id", ondelete="CASCADE", sa_type=BigInteger
    )
    listed: bool = False
    score: float
    count: int = 0
    total: int = 0


class Comment(Row, table=True):
    """Something said about an episode, at a moment or on the whole."""

    __tablename__ = "comment"
    id: int = identity()
    episode_id: int = reference("episode.id")
    author_id: int = reference("person.id")
    parent_id: int | None = reference(
        "comment.id", delete="SET NULL", default=None, nullable=True, index=False
    )
    body: str = Field(max_length=5000)
    at: float | None = None
    created_at: datetime = born()
    removed_at: datetime | None = maybe_moment()
    # None while removed: by its author. A moderator's removal can be undone, an author's cannot.
    removed_by: int | None = reference(
        "person.id", delete="SET NULL", default=None, nullable=True, index=False
    )
    hidden_at: datetime | None = maybe_moment()


class Position(Row, table=True):
    """How far one person has come in one episode, in seconds."""

    __tablename__ = "position"
    __table_args__ = (Index("ix_position_recent", "person_id", text("changed_at DESC")),)
    person_id: int = reference("person.id", primary_key=True, index=False)
    episode_id: int = reference("episode.id", primary_key=True)
    seconds: float
    finished: bool = False
    changed_at: datetime = born()
