"""Who may see and do what: the one place that pages, API, feeds, bytes and search ask.

Two questions, one source: "may this asker do this to that" and "the SQL condition of all that this
asker may see". No other module compares roles.
"""

from dataclasses import dataclass

from sqlalchemy import ColumnElement, and_, false, or_
from sqlmodel import col

from storage.models import HEARABLE, Episode, Person, Show

PUBLISHERS = frozenset({"contributor", "steward", "moderator", "admin"})
MODERATORS = frozenset({"moderator", "admin"})


@dataclass(frozen=True)
class Asker:
    """Somebody who is signed in, or whose key was presented. An anonymous asker is None."""

    id: int
    ref: str
    name: str
    role: str
    department: str | None = None
    theme: str = "system"

    @property
    def may_publish(self) -> bool:
        """Whether this person may draft, upload and publish talks of their own."""
        return self.role in PUBLISHERS


def asker_of(person: Person) -> Asker:
    """Return the asker that a person is."""
    return Asker(
        id=person.id,
        ref=str(person.ref),
        name=person.name,
        role=person.role,
        department=person.department,
        theme=person.theme,
    )


def listed(asker: Asker | None) -> ColumnElement[bool]:
    """Return the condition of all episodes that lists, feeds and search may show to this asker."""
    if asker is None:
        return false()
    return and_(
        col(Episode.published_at).is_not(None),
        col(Episode.withdrawn_at).is_(None),
    )


def visible(asker: Asker | None) -> ColumnElement[bool]:
    """Return the condition of all episodes whose page this asker may open.

    Beside the listed ones these are one's own, in whatever state.
    """
    if asker is None:
        return false()
    return or_(listed(asker), col(Episode.author_id) == asker.id)


def may_edit(asker: Asker, episode: Episode) -> bool:
    """Whether this asker may change an episode and its bytes."""
    return asker.may_publish and episode.author_id == asker.id


def may_withdraw(asker: Asker, episode: Episode) -> bool:
    """Whether this asker may take an episode off every list."""
    return may_edit(asker, episode) or asker.role in MODERATORS


def may_edit_show(asker: Asker, show: Show) -> bool:
    """Whether this asker may change a show and add episodes to it."""
    return asker.may_publish and (show.owner_id == asker.id or asker.role in MODERATORS)


def may_remove_comment(asker: Asker, author_id: int) -> bool:
    """Whether this asker may remove a comment that `author_id` wrote."""
    return author_id == asker.id or asker.role in MODERATORS


def is_open_for_rating(episode: Episode) -> bool:
    """Whether an episode can be rated by anybody at all: published, hearable, not withdrawn."""
    return (
        episode.published_at is not None
        and episode.withdrawn_at is None
        and (episode.state in HEARABLE or episode.playable_at is not None)
    )
