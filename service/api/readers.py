"""What the API tells: models of their own, so that a new column is never sent by accident."""

from datetime import datetime
from uuid import UUID

from pydantic import BaseModel, ConfigDict


class Read(BaseModel):
    """Base of all answers: read from the attributes of rows, and only those that are named."""

    model_config = ConfigDict(from_attributes=True, extra="ignore")


class PersonRead(Read):
    """A name, and the ref of the person's page."""

    name: str
    ref: str


class MeRead(PersonRead):
    """Who asks, and what that person may do."""

    role: str
    department: str | None
    may_publish: bool


class ShowLinkRead(Read):
    """A show's title, and the slug that names it."""

    title: str
    slug: str


class ShowRead(ShowLinkRead):
    """A show."""

    guid: UUID
    description: str
    language: str
    owner: PersonRead
    community: str | None
    visibility: str
    mine: bool
    created_at: datetime


class ShowsRead(Read):
    """Shows by slug; `next` begins the next page as `after`."""

    rows: list[ShowRead]
    next: str | None


class CommunityRead(Read):
    """A community. `membership` is one's own: member, steward, asked (no answer yet) or null."""

    slug: str
    name: str
    purpose: str
    joining: str
    members: int
    membership: str | None


class CommunitiesRead(Read):
    """Communities, one's own first."""

    rows: list[CommunityRead]


class TopicRead(Read):
    """A topic's name, and the slug that names it."""

    name: str
    slug: str


class TopicCountRead(TopicRead):
    """A topic with the number of its talks."""

    count: int


class TopicsRead(Read):
    """The topics with most talks."""

    rows: list[TopicCountRead]


class EpisodeRow(Read):
    """A talk in a list. `reason` and `withdrawn` are told to its author alone."""

    guid: UUID
    title: str
    author: PersonRead
    show: ShowLinkRead
    community: str | None
    topics: list[TopicRead]
    duration: float | None
    published_at: datetime | None
    has_video: bool
    state: str
    reason: str | None
    percent: int
    words: str
    position: float | None
    finished: bool
    my_stars: int | None
    why: str | None
    withdrawn: bool


class EpisodesRead(Read):
    """Talks in order; `next` begins the next page as `after`, null at the end."""

    rows: list[EpisodeRow]
    next: UUID | None


class SpreadRead(Read):
    """What colleagues gave: how many, their mean, and how many of one to five stars."""

    count: int
    mean: float
    spread: list[int]


class TermRead(Read):
    """One of the terms that sum to a talk's score."""

    name: str
    value: float


class EpisodeRead(EpisodeRow):
    """A talk whole. `rating` and `terms` are empty until one has rated it oneself."""

    notes: str
    language: str | None
    notice: str | None
    revision: int
    transcript_revision: int
    held: bool
    width: int | None
    height: int | None
    mine: bool
    may_rate: bool
    may_moderate: bool
    rating: SpreadRead | None
    terms: list[TermRead]
    uploaded_at: datetime | None
    playable_at: datetime | None
    completed_at: datetime | None
    page_url: str
    audio_url: str | None
    video_url: str | None
    captions_url: str | None


class ProgressRead(Read):
    """How far the making of a talk is, in per cent and in words."""

    state: str
    percent: int
    words: str
    reason: str | None
    playable_at: datetime | None
    completed_at: datetime | None


class CueRead(Read):
    """One timed line; a new paragraph may begin with it."""

    start: float
    end: float
    text: str
    language: str
    paragraph: bool


class TranscriptRead(Read):
    """All that is said in a talk."""

    language: str
    revision: int
    rows: list[CueRead]


class MyRatingRead(Read):
    """One's own stars, and what others gave."""

    stars: int
    rating: SpreadRead


class CommentRead(Read):
    """A comment. One that does not stand keeps its place, and `place` says why in words.

    Author and body are then not told, but to its author while it is hidden, and to moderators.
    """

    id: int
    author: PersonRead | None
    body: str
    body_html: str
    at: float | None
    created_at: datetime
    removed: bool
    hidden: bool
    place: str
    mine: bool
    may_remove: bool
    replies: list["CommentRead"]


class CommentsRead(Read):
    """Comments, oldest first, replies below what they answer."""

    rows: list[CommentRead]


class MomentRead(Read):
    """A second in a talk where the words were said, as text and as HTML with `<mark>`."""

    start: float
    snippet: str
    snippet_html: str
    page_url: str


class HitRead(Read):
    """A talk that matches a search, with up to three moments."""

    episode: EpisodeRow
    moments: list[MomentRead]


class HitsRead(Read):
    """One page of a search, best first; `count` talks match in all."""

    count: int
    page: int
    next: int | None
    rows: list[HitRead]


class UploadRead(Read):
    """Where to send bytes (tus 1.0), from which offset on, and how many at a time."""

    url: str
    offset: int
    chunk: int


class FeedRead(Read):
    """One of one's private addresses.

    `address` is told when it is made, and then no more: it is a key. `networks` is from how many
    networks it was used within the last day.
    """

    id: int
    title: str
    mode: str
    label: str
    address: str | None
    masked: str
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    used_at: datetime | None
    used_by: str
    networks: int


class FeedsRead(Read):
    """One's private addresses, the open ones first."""

    rows: list[FeedRead]
