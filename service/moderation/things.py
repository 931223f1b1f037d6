"""What is moderated: a talk, or a comment on one, and how it stands.

It is standing; or hidden, while it is looked at; or removed, by a moderator; or taken-back, by its
author.
"""

from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, select

from service import access, discussion
from service.access import Asker
from service.publishing import NotNowError, NotThereError, PublishingError, one_line
from storage import audit
from storage.models import Comment, Episode

REASON_MOST = 300
# An author's answer waits in the queue like a report; nobody else can give this reason.
APPEAL = "appeal"
# What can be done to a thing that stands like this; open reports can be dismissed besides.
POSSIBLE: dict[str, tuple[str, ...]] = {
    "standing": ("hidden", "removed"),
    "hidden": ("restored", "removed"),
    "removed": ("restored",),
    "taken-back": (),
}
STANDS = {
    "standing": "it stands",
    "hidden": "it is hidden",
    "removed": "it was removed",
    "taken-back": "its author has taken it back",
}


@dataclass(frozen=True)
class Thing:
    """A talk, or a comment on it."""

    episode: Episode
    comment: Comment | None

    @property
    def author_id(self) -> int:
        """Whose words these are."""
        return self.comment.author_id if self.comment else self.episode.author_id

    @property
    def standing(self) -> str:
        """How it stands; see this module."""
        return discussion.standing_of(self.comment) if self.comment else standing_of(self.episode)

    @property
    def path(self) -> str:
        """Where it is to be seen."""
        place = f"#comment-{self.comment.id}" if self.comment else ""
        return f"/episodes/{self.episode.guid}{place}"

    @property
    def comment_id(self) -> int | None:
        """The comment's number; None for a talk."""
        return self.comment.id if self.comment else None

    @property
    def noun(self) -> str:
        """What it is called: talk or comment."""
        return "comment" if self.comment else "talk"


def standing_of(episode: Episode) -> str:
    """Return how a talk stands; see this module."""
    if episode.withdrawn_at is not None and episode.withdrawn_by not in {None, episode.author_id}:
        return "removed"
    if episode.hidden_at is not None:
        return "hidden"
    return "standing" if episode.withdrawn_at is None else "taken-back"


def possible(standing: str, *, comment: bool) -> tuple[str, ...]:
    """Return what can be done to a thing that stands like this, dismissing aside.

    A talk that its author withdrew can be hidden, so that it does not come back.
    """
    return ("hidden",) if standing == "taken-back" and not comment else POSSIBLE[standing]


def on(session: Session, episode: Episode, comment_id: int | None) -> Thing:
    """Return a talk, or the comment of this number on it.

    Raises:
        NotThereError: no such comment on this talk.
    """
    if comment_id is None:
        return Thing(episode, None)
    comment = session.exec(
        select(Comment).where(Comment.id == comment_id, Comment.episode_id == episode.id)
    ).first()
    if comment is None:
        raise NotThereError
    return Thing(episode, comment)


def moderated(session: Session, asker: Asker, guid: str, comment_id: int | None) -> Thing:
    """Return a thing that this person moderates; its row is locked until the transaction ends.

    Raises:
        NotThereError: no such thing, or they do not moderate it.
        NotNowError: it is their own.
    """
    episode = session.exec(
        select(Episode).where(Episode.guid == guid, access.moderated(asker))
    ).first()
    if episode is None:
        raise NotThereError
    thing = on(session, episode, comment_id)
    # One row, whichever act it is: two acts on one thing wait for each other, and never in a ring.
    session.refresh(thing.comment or episode, with_for_update={"key_share": True})
    if thing.author_id == asker.id:
        raise NotNowError("This is your own; another moderator decides about it.")
    return thing


def reason(words: str) -> str:
    """Return a moderator's reason as it will be stored and shown to the author.

    Raises:
        PublishingError: none, or more than 300 characters.
    """
    told = one_line(words)
    if not told:
        raise PublishingError({"words": "Give the reason in a few words; the author reads it."})
    if len(told) > REASON_MOST:
        raise PublishingError(
            {"words": f"This has {len(told)} characters; {REASON_MOST} is the most."}
        )
    return told


def noted(
    session: Session, asker: Asker, act: str, thing: Thing, network: str, **facts: Any
) -> None:
    """Append an act on a thing to the audit log; `facts` as there."""
    guid = str(thing.episode.guid)
    if thing.comment is not None:
        facts["talk"] = guid
    audit.record(
        session,
        act,
        actor=asker.ref,
        subject_kind="comment" if thing.comment else "episode",
        subject=str(thing.comment.id) if thing.comment else guid,
        network=network,
        **facts,
    )
