"""Comments: Markdown, threads of one level, at a moment or on the whole."""

from dataclasses import dataclass, field
from datetime import datetime

from markupsafe import Markup
from sqlmodel import Session, col, select

from service import access
from service.access import Asker
from service.catalogue import PersonLink
from service.publishing import NotThereError, PublishingError, many_lines
from service.text import rich
from storage.models import Comment, Episode, Person, now

LONGEST = 5000


@dataclass(frozen=True)
class Said:
    """A comment as shown; one that was removed keeps its place without words."""

    id: int
    author: PersonLink
    body: str
    body_html: Markup
    at: float | None
    created_at: datetime
    removed: bool
    mine: bool
    may_remove: bool
    replies: "list[Said]" = field(default_factory=list)


def comments(session: Session, asker: Asker, episode_id: int) -> list[Said]:
    """Return an episode's comments, oldest first, replies below what they answer."""
    rows = session.exec(
        select(Comment, Person)
        .join(Person, col(Person.id) == col(Comment.author_id))
        .where(Comment.episode_id == episode_id)
        .order_by(col(Comment.id))
    )
    shown: dict[int, Said] = {}
    threads: list[Said] = []
    for comment, author in rows:
        said = _said(asker, comment, author)
        shown[comment.id] = said
        above = shown.get(comment.parent_id) if comment.parent_id else None
        (above.replies if above else threads).append(said)
    return [said for said in threads if not said.removed or said.replies]


def _said(asker: Asker, comment: Comment, author: Person) -> Said:
    removed = comment.removed_at is not None
    return Said(
        id=comment.id,
        author=PersonLink(author.name, str(author.ref)),
        body="" if removed else comment.body,
        body_html=rich("" if removed else comment.body),
        at=comment.at,
        created_at=comment.created_at,
        removed=removed,
        mine=comment.author_id == asker.id,
        may_remove=access.may_remove_comment(asker, comment.author_id) and not removed,
    )


def say(
    session: Session,
    asker: Asker,
    episode: Episode,
    *,
    body: str,
    at: float | None = None,
    parent: int | None = None,
) -> Comment:
    """Write a comment.

    Raises:
        PublishingError: empty or longer than 5,000 characters.
        NotThereError: the comment that this answers is not on this episode.
    """
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
    inside = at is not None and 0 <= at <= (episode.duration or 0)
    comment = Comment(
        episode_id=episode.id,
        author_id=asker.id,
        parent_id=parent,
        body=words,
        at=at if inside else None,
    )
    session.add(comment)
    session.flush()
    return comment


def remove(session: Session, asker: Asker, episode: Episode, comment_id: int) -> None:
    """Remove a comment's words; its place stays while there are replies.

    Raises:
        NotThereError: no such comment that this asker may remove.
    """
    comment = session.get(Comment, comment_id)
    if comment is None or comment.episode_id != episode.id:
        raise NotThereError
    if not access.may_remove_comment(asker, comment.author_id):
        raise NotThereError
    comment.removed_at = comment.removed_at or now()
