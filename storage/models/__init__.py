"""All tables. Import them from here."""

from storage.models.base import Row, now
from storage.models.feeds import FeedEntry, FeedKey, FeedToken, FeedView
from storage.models.labour import WorkerLease, WorkProgress
from storage.models.opinions import Comment, EpisodeScore, Position, Rating
from storage.models.people import (
    ROLES,
    AccessToken,
    Community,
    Membership,
    Person,
    Session,
    SetupLink,
)
from storage.models.talks import (
    HEARABLE,
    STATES,
    Cue,
    Episode,
    EpisodePerson,
    EpisodeTopic,
    Piece,
    Rendition,
    Show,
    Source,
    Topic,
    Transcript,
    Upload,
)

__all__ = [
    "HEARABLE",
    "ROLES",
    "STATES",
    "AccessToken",
    "Comment",
    "Community",
    "Cue",
    "Episode",
    "EpisodePerson",
    "EpisodeScore",
    "EpisodeTopic",
    "FeedEntry",
    "FeedKey",
    "FeedToken",
    "FeedView",
    "Membership",
    "Person",
    "Piece",
    "Position",
    "Rating",
    "Rendition",
    "Row",
    "Session",
    "SetupLink",
    "Show",
    "Source",
    "Topic",
    "Transcript",
    "Upload",
    "WorkProgress",
    "WorkerLease",
    "now",
]
