"""Shows, episodes and everything that is made of one talk."""

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Computed, Index, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TSVECTOR
from sqlmodel import Field

from storage.models.base import UUID, Row, born, identity, maybe_moment, opaque, reference

STATES = ("draft", "uploading", "processing", "playable", "transcribing", "complete", "failed")
# In these states the talk can be heard, whatever else is still being made of it.
HEARABLE = ("playable", "transcribing", "complete")
VISIBILITIES = ("organisation", "communities", "public")


def _communities() -> Any:
    """Return a column of community ids; NULL is everybody, an empty list nobody."""
    return Field(default=None, sa_column=Column(ARRAY(BigInteger), nullable=True))


class Show(Row, table=True):
    """What RSS calls a channel: a line of episodes under one title.

    `community_id` is where it is at home; `audience` names the communities that may see it when
    its visibility is `communities`, and is NULL otherwise.
    """

    __tablename__ = "show"
    __table_args__ = (
        CheckConstraint("visibility in ('organisation','communities','public')", "visibility"),
        CheckConstraint("(visibility = 'communities') = (audience is not null)", "audience"),
    )
    id: int = identity()
    guid: UUID = opaque()
    slug: str = Field(unique=True, max_length=80)
    title: str = Field(max_length=200)
    description: str = Field(default="", max_length=4000)
    language: str = Field(default="en", max_length=12)
    owner_id: int = reference("person.id", delete="RESTRICT")
    community_id: int | None = reference(
        "community.id", delete="SET NULL", default=None, nullable=True
    )
    artwork_key: str | None = Field(default=None, max_length=200)
    visibility: str = Field(default="organisation", max_length=12)
    audience: list[int] | None = _communities()
    created_at: datetime = born()
    changed_at: datetime = born()


class Topic(Row, table=True):
    """A subject that people browse by."""

    __tablename__ = "topic"
    id: int = identity()
    slug: str = Field(unique=True, max_length=80)
    name: str = Field(max_length=80)


class Episode(Row, table=True):
    """One talk. `guid` never changes; `revision` counts replaced sources.

    `published_at` is set once, when the talk first becomes playable, or when its author says so if
    it is `held`; `changed_at` moves whenever something that a feed shows has changed.

    Who may hear it: `show_audience` is a copy of its show's audience, `audience` narrows it further
    (never widens); NULL is everybody, and both must let somebody pass. `public` is a copy too: the
    show is public and the talk is not narrowed. `service/publishing.py` keeps the copies true.
    """

    __tablename__ = "episode"
    __table_args__ = (
        CheckConstraint(
            "state in ('draft','uploading','processing','playable','transcribing',"
            "'complete','failed')",
            "state",
        ),
        Index("ix_episode_words", "words", postgresql_using="gin"),
        Index(
            "ix_episode_newest",
            text("published_at DESC"),
            text("id DESC"),
            postgresql_where=text("published_at IS NOT NULL AND withdrawn_at IS NULL"),
        ),
        Index(
            "ix_episode_show_newest",
            "show_id",
            text("published_at DESC"),
            text("id DESC"),
            postgresql_where=text("published_at IS NOT NULL AND withdrawn_at IS NULL"),
        ),
        Index("ix_episode_author_newest", "author_id", text("id DESC")),
        # Feeds ask when anything in a show changed last, withdrawn talks with them.
        Index(
            "ix_episode_show_changed",
            "show_id",
            "changed_at",
            postgresql_where=text("published_at IS NOT NULL"),
        ),
    )
    id: int = identity()
    guid: UUID = opaque()
    show_id: int = reference("show.id", delete="RESTRICT", index=False)
    author_id: int = reference("person.id", delete="RESTRICT", index=False)
    title: str = Field(max_length=200)
    notes: str = Field(default="", max_length=10_000)
    language: str | None = Field(default=None, max_length=12)
    state: str = Field(default="draft", max_length=20)
    reason: str | None = Field(default=None, max_length=500)
    notice: str | None = Field(default=None, max_length=500)
    revision: int = 0
    attempt: int = 0
    transcript_revision: int = 0
    duration: float | None = None
    has_video: bool = False
    created_at: datetime = born()
    uploaded_at: datetime | None = maybe_moment()
    playable_at: datetime | None = maybe_moment()
    completed_at: datetime | None = maybe_moment()
    published_at: datetime | None = maybe_moment()
    withdrawn_at: datetime | None = maybe_moment()
    withdrawn_by: int | None = reference(
        "person.id", delete="SET NULL", default=None, nullable=True, index=False
    )
    held: bool = False
    hidden_at: datetime | None = maybe_moment()
    hidden_words: str = Field(default="", max_length=300)
    show_audience: list[int] | None = _communities()
    audience: list[int] | None = _communities()
    public: bool = False
    changed_at: datetime = born()
    words: Any = Field(
        default=None,
        sa_column=Column(
            TSVECTOR,
            Computed(
                "setweight(to_tsvector('english', title), 'A') || "
                "setweight(to_tsvector('english', notes), 'B')",
                persisted=True,
            ),
        ),
    )


class EpisodeTopic(Row, table=True):
    """An episode's belonging to a topic."""

    __tablename__ = "episode_topic"
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    topic_id: int = reference("topic.id", primary_key=True)


class EpisodePerson(Row, table=True):
    """A person heard in an episode, as host or guest."""

    __tablename__ = "episode_person"
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    person_id: int = reference("person.id", primary_key=True)
    role: str = Field(default="host", max_length=10)


class Review(Row, table=True):
    """A named person's leave to open a talk before it is out; a moderator's ends by itself."""

    __tablename__ = "review"
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    person_id: int = reference("person.id", primary_key=True)
    created_at: datetime = born()
    until: datetime | None = maybe_moment()


class Source(Row, table=True):
    """The bytes as uploaded, one row for each revision of an episode."""

    __tablename__ = "source"
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    revision: int = Field(primary_key=True)
    key: str = Field(max_length=200)
    given_name: str = Field(default="", max_length=255)
    size: int = Field(sa_type=BigInteger)
    sha256: str | None = Field(default=None, max_length=64)
    container: str | None = Field(default=None, max_length=60)
    audio_codec: str | None = Field(default=None, max_length=30)
    video_codec: str | None = Field(default=None, max_length=30)
    width: int | None = None
    height: int | None = None
    duration: float | None = None
    created_at: datetime = born()


class Upload(Row, table=True):
    """Bytes on their way in: one S3 multipart upload with its offset and the parts that count.

    `parts` lists ETags in order; part n holds bytes (n-1) · 8 MiB onwards.
    """

    __tablename__ = "upload"
    __table_args__ = (
        CheckConstraint("state in ('open','finished','aborted')", "state"),
        CheckConstraint('"offset" >= 0 AND "offset" <= length', "offset"),
        # One open upload for each draft: a second one takes its place or is refused.
        Index("uq_upload_open", "episode_id", unique=True, postgresql_where=text("state = 'open'")),
    )
    id: UUID = Field(primary_key=True)
    owner_id: int = reference("person.id")
    episode_id: int = reference("episode.id")
    given_name: str = Field(default="", max_length=255)
    length: int = Field(sa_type=BigInteger)
    offset: int = Field(default=0, sa_type=BigInteger)
    key: str = Field(max_length=200)
    s3_upload_id: str = Field(max_length=1024)
    parts: list[str] = Field(default_factory=list, sa_column=Column(JSONB, nullable=False))
    lock: UUID | None = None
    locked_at: datetime | None = maybe_moment()
    state: str = Field(default="open", max_length=10)
    created_at: datetime = born()
    changed_at: datetime = born()


class Rendition(Row, table=True):
    """One encoded version of one revision. Kinds: mp3, m4a, mp4."""

    __tablename__ = "rendition"
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    revision: int = Field(primary_key=True)
    kind: str = Field(primary_key=True, max_length=10)
    key: str = Field(max_length=200)
    size: int = Field(sa_type=BigInteger)
    type: str = Field(max_length=40)
    etag: str = Field(max_length=80)
    duration: float
    bitrate: int = 0
    width: int | None = None
    height: int | None = None
    lufs: float | None = None
    dbtp: float | None = None
    created_at: datetime = born()


class Piece(Row, table=True):
    """A stretch of speech transcribed as one unit of work; times in seconds of the talk.

    `segments` is null until the piece is done; then [{start, end, text, words: [{start, end,
    text, probability}]}], times already those of the talk.
    """

    __tablename__ = "piece"
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    revision: int = Field(primary_key=True)
    position: int = Field(primary_key=True)
    start: float
    end: float
    key: str = Field(max_length=200)
    language: str | None = Field(default=None, max_length=12)
    probability: float | None = None
    segments: list[dict[str, Any]] | None = Field(default=None, sa_column=Column(JSONB))
    done_at: datetime | None = maybe_moment()


class Transcript(Row, table=True):
    """What is known of an episode's transcript as a whole. `body` is the text, for search."""

    __tablename__ = "transcript"
    __table_args__ = (Index("ix_transcript_spoken", "spoken", postgresql_using="gin"),)
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    revision: int = 1
    source_revision: int = 1
    language: str = Field(default="en", max_length=12)
    engine: str = Field(default="", max_length=60)
    body: str = ""
    created_at: datetime = born()
    spoken: Any = Field(
        default=None,
        sa_column=Column(TSVECTOR, Computed("to_tsvector('english', body)", persisted=True)),
    )


class Cue(Row, table=True):
    """One timed line. `paragraph` says whether a new paragraph begins with it."""

    __tablename__ = "cue"
    episode_id: int = reference("episode.id", primary_key=True, index=False)
    position: int = Field(primary_key=True)
    start: float
    end: float
    text: str = Field(max_length=2000)
    language: str = Field(default="en", max_length=12)
    paragraph: bool = False
    words: list[dict[str, Any]] = Field(
        default_factory=list, sa_column=Column("timed_words", JSONB, nullable=False)
    )
    spoken: Any = Field(
        default=None,
        sa_column=Column(TSVECTOR, Computed("to_tsvector('english', text)", persisted=True)),
    )
