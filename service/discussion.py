"""Comments: Markdown, threads of one level, at a moment or on the whole."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from markupsafe import Markup
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from service import access, limits
from service.access import Asker
from service.catalogue import PersonLink
from service.publishing import NotThereError, PublishingError, many_lines
from service.text import rich
from storage.models import Comment, Episode, Person, Show, now

LONGEST = 5000
# The same words again within this time are a form that was sent twice, not a second comment.
AGAIN = timedelta(minutes=1)
PLACES = {
    "taken-back": "Removed by its author.",
    "removed": "Removed by a moderator.",
    "hidden": "Hidden while it is looked at.",
}


@dataclass(frozen=True)
class Said:
    """A comment as shown to somebody.

    One that does not stand keeps its place: `place` says why in words, and author and body are not
    told, but to those who may still read them.
    """

    id: int
    author: PersonLink | None
    body: str
    body_html: Markup
    at: float | None
    created_at: datetime
    standing: str
    removed: bool
    hidden: bool
    place: str
    mine: bool
    may_remove: bool
    may_report: bool
    may_moderate: bool
    may_answer: bool
    replies: "list[Said]" = field(default_factory=list)

    @property
    def told(self) -> bool:
        """Whether its words are shown."""
        return self.author is not None


def standing_of(comment: Comment) -> str:
    """Return how a comment stands: standing, hidden, removed (by a moderator) or taken-back."""
    if comment.removed_by is not None:
        return "removed"
    if comment.removed_at is not None:
        return "taken-back"
    return "standing" if comment.hidden_at is None else "hidden"


def comments(session: Session, asker: Asker, episode_id: int) -> list[Said]:
    """Return an episode's comments, oldest first, replies below what they answer."""
    rows = session.execute(
        sql_select(Comment, Person, col(Show.community_id))
        .join(Person, col(Person.id) == col(Comment.author_id))
        .join(Episode, col(Episode.id) == col(Comment.episode_id))
        .join(Show, col(Show.id) == col(Episode.show_id))
        .where(col(Comment.episode_id) == episode_id)
        .order_by(col(Comment.id))
    )
    shown: dict[int, Said] = {}
    threads: list[Said] = []
    for comment, author, community_id in rows:
        said = _said(asker, comment, author, access.may_moderate(asker, community_id))
        shown[comment.id] = said
        above = shown.get(comment.parent_id) if comment.parent_id else None
        (above.replies if above else threads).append(said)
    return [said for said in threads if _keeps_its_place(said)]


def _keeps_its_place(said: Said) -> bool:
    """What its author took back vanishes unless it was answered; what a moderator took stays."""
    return bool(said.told or said.replies or said.place != PLACES["taken-back"])


def _said(asker: Asker, comment: Comment, author: Person, moderates: bool) -> Said:  # noqa: FBT001
    standing = standing_of(comment)
    mine = comment.author_id == asker.id
    readers = {"standing": True, "hidden": mine or moderates, "removed": moderates}
    told = readers.get(standing, False)
    return Said(
        id=comment.id,
        author=PersonLink(author.name, str(author.ref)) if told else None,
        body=comment.body if told else "",
        body_html=rich(comment.body if told else ""),
        at=comment.at,
        created_at=comment.created_at,
        standing=standing,
        removed=comment.removed_at is not None,
        hidden=standing == "hidden",
        place=PLACES.get(standing, ""),
        mine=mine,
        may_remove=access.may_remove_comment(asker, comment.author_id)
        and comment.removed_at is None,
        may_report=standing == "standing" and not mine,
        may_moderate=moderates and not mine and standing != "taken-back",
        may_answer=mine and standing in {"hidden", "removed"},
    )


def count(threads: list[Said]) -> int:
    """Return how many comments are there to read, replies included."""
    return sum(said.told for thread in threads for said in (thread, *thread.replies))


def say(
    session: Session,
    asker: Asker,
    episode: Episode,
    *,
    body: str,
    at: float | None = None,
    parent: int | None = None,
) -> Comment:
    """Write a comment. The same one again within a minute is the one that is there.

    Raises:
        TooFastError: ten comments in a minute are the most.
        PublishingError: empty or longer than 5,000 characters.
        NotThereError: the comment that this answers is not on this episode.
    """
    # First of all, since it also makes one's comments wait for each other.
    limits.spend(session, limits.COMMENTS, asker.id)
    words = many_lines(body)
    if not words:
        raise PublishingError({"body": "Write something first."})
    if len(words) > LONGEST:
        raise PublishingError({"body": f"This has {len(words)} characters; {LONGEST} is the most."})
    if parent is not None:
        above = session.get(Comment, parent)
        if above is None or above.episode_id != episode.id:
            raise NotThereError
        parent = above.parent_id or above.id
    place = at if at is not None and 0 <= at <= (episode.duration or 0) else None
    known = _just_said(session, asker, episode, words, parent)
    if known is not None:
        return known
    comment = Comment(
        episode_id=episode.id, author_id=asker.id, parent_id=parent, body=words, at=place
    )
    session.add(comment)
    session.flush()
    return comment


def _just_said(
    session: Session, asker: Asker, episode: Episode, words: str, parent: int | None
) -> Comment | None:
    return session.exec(
        select(Comment)
        .where(
            Comment.episode_id == episode.id,
            Comment.author_id == asker.id,
            Comment.body == words,
            col(Comment.parent_id).is_not_distinct_from(parent),
            col(Comment.created_at) > now() - AGAIN,
            col(Comment.removed_at).is_(None),
        )
        .limit(1)
    ).first()


def remove(session: Session, asker: Asker, episode: Episode, comment_id: int) -> None:
    """Take one's own comment back; its place stays while there are replies.

    Raises:
        NotThereError: no such comment that this asker may remove.
    """
    # Locked: a moderator may be taking it away at this moment.
    comment = session.get(Comment, comment_id, with_for_update={"key_share": True})
    if comment is None or comment.episode_id != episode.id:
        raise NotThereError
    if not access.may_remove_comment(asker, comment.author_id):
        raise NotThereError
    comment.removed_at = comment.removed_at or now()
