"""What moderators read: what is reported, one thing with its history, and what was decided.

Each function runs a fixed number of statements, however many rows it returns.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import select as sql_select
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, func, select

from service import access
from service.access import Asker
from service.catalogue import PAGE, PersonLink, ShowLink
from service.moderation import reports, things
from service.moderation.things import Thing
from service.publishing import NotThereError
from storage.models import Comment, Decision, Episode, Person, Report, Show

# Of the words that came with reports, so many are shown; one thing may have hundreds.
TOLD = 10
# A thing's key: its episode's id, and its comment's or 0.
Key = tuple[int, int]


@dataclass(frozen=True)
class Told:
    """One report as moderators read it: its reason and words, and not who sent it."""

    reason: str
    words: str
    is_answer: bool
    created_at: datetime


@dataclass(frozen=True)
class Past:
    """One decision about a thing. `last` is the one that can be undone now."""

    id: int
    act: str
    words: str
    by: PersonLink | None
    at: datetime
    undone_at: datetime | None
    undone_words: str
    undone_by: PersonLink | None
    last: bool


@dataclass(frozen=True)
class Case:
    """A thing before its moderators: what it says, how it stands, what is reported of it.

    `count` is of all that waits, `answers` of its author's among them.
    Of what is their `own` they read how often it is reported, and neither reasons nor words.
    """

    guid: str
    comment_id: int | None
    title: str
    says: str
    author: PersonLink
    show: ShowLink
    standing: str
    acts: tuple[str, ...]
    turn: int
    own: bool
    count: int = 0
    answers: int = 0
    since: datetime | None = None
    upto: int = 0
    reasons: tuple[tuple[str, int], ...] = ()
    told: tuple[Told, ...] = ()
    past: tuple[Past, ...] = field(default=())

    @property
    def key(self) -> str:
        """What names this case, as it stands, in a form: talk, comment, turn, latest report."""
        return f"{self.guid}.{self.comment_id or 0}.{self.turn}.{self.upto}"

    @property
    def undoable(self) -> Past | None:
        """The decision that can be undone now, if any."""
        return next((past for past in self.past if past.last), None)


@dataclass(frozen=True)
class Cases:
    """One page of the queue, oldest first; `after` begins the next page, None at the end."""

    rows: list[Case]
    after: int | None = None


def queue(session: Session, asker: Asker, after: int = 0) -> Cases:
    """Return what is reported and not decided, of all that this person moderates."""
    comment_id = func.coalesce(col(Report.comment_id), 0)
    first = func.min(col(Report.id))
    found = session.execute(
        sql_select(col(Report.episode_id), comment_id, first)
        .join(Episode, col(Episode.id) == col(Report.episode_id))
        .where(col(Report.state) == "open", access.moderated(asker))
        .group_by(col(Report.episode_id), comment_id)
        .having(first > after)
        .order_by(first)
        .limit(PAGE + 1)
    ).all()
    shown = found[:PAGE]
    rows = _cases(session, asker, [(episode_id, comment) for episode_id, comment, _ in shown])
    return Cases(rows, shown[-1][2] if len(found) > PAGE else None)


def case(session: Session, asker: Asker, guid: str, comment_id: int | None = None) -> Case:
    """Return one thing that this person moderates, reported or not, with all decisions about it.

    Raises:
        NotThereError: no such thing, or they do not moderate it.
    """
    episode = session.exec(
        select(Episode).where(Episode.guid == guid, access.moderated(asker))
    ).first()
    if episode is None:
        raise NotThereError
    thing = things.on(session, episode, comment_id)
    return _cases(session, asker, [(episode.id, thing.comment_id or 0)])[0]


def of_decision(session: Session, asker: Asker, decision_id: int) -> tuple[UUID, int | None]:
    """Return the talk, and the comment if it was one, that a decision was about.

    Raises:
        NotThereError: no such decision about something that this person moderates.
    """
    found = session.execute(
        sql_select(col(Episode.guid), col(Decision.comment_id))
        .join(Decision, col(Decision.episode_id) == col(Episode.id))
        .where(col(Decision.id) == decision_id, access.moderated(asker))
    ).first()
    if found is None:
        raise NotThereError
    guid, comment_id = found
    return guid, comment_id


def _cases(session: Session, asker: Asker, keys: Sequence[Key]) -> list[Case]:
    talks = {
        episode.id: (episode, show)
        for episode, show in session.execute(
            sql_select(Episode, Show)
            .join(Show, col(Show.id) == col(Episode.show_id))
            .where(col(Episode.id).in_({episode_id for episode_id, _ in keys}))
        )
    }
    comments = _by_id(session, Comment, {comment_id for _, comment_id in keys})
    found = {key: Thing(talks[key[0]][0], comments.get(key[1])) for key in keys}
    people = _by_id(session, Person, {thing.author_id for thing in found.values()})
    reported, past = _reported(session, talks), _past(session, talks)
    return [
        _case(
            asker,
            thing,
            show=talks[key[0]][1],
            author=people[thing.author_id],
            past=past.get(key, ()),
            reported=reported.get(key, {}),
        )
        for key, thing in found.items()
    ]


def _by_id(session: Session, table: Any, ids: Collection[int]) -> dict[int, Any]:
    return {row.id: row for row in session.exec(select(table).where(table.id.in_(ids)))}


def _case(
    asker: Asker,
    thing: Thing,
    *,
    show: Show,
    author: Person,
    past: tuple[Past, ...],
    reported: dict[str, Any],
) -> Case:
    standing, comment = thing.standing, thing.comment
    taken_back = comment is not None and standing == "taken-back"
    own = thing.author_id == asker.id
    if own:
        # Others decide about it, and who reported it is not to be guessed from the words.
        reported = reported | {"reasons": (), "told": ()}
    return Case(
        guid=str(thing.episode.guid),
        comment_id=thing.comment_id,
        title=thing.episode.title,
        says="" if taken_back else comment.body if comment else thing.episode.notes,
        author=PersonLink(author.name, str(author.ref)),
        show=ShowLink(show.title, show.slug),
        standing=standing,
        acts=() if own else things.possible(standing, comment=comment is not None),
        turn=turn(past),
        own=own,
        past=past,
        **reported,
    )


def _comment_of(table: Any) -> Any:
    return func.coalesce(col(table.comment_id), 0)


def _reported(session: Session, episode_ids: Collection[int]) -> dict[Key, dict[str, Any]]:
    """Return what is open of each thing on these talks, as `Case` has it."""
    which = (col(Report.state) == "open", col(Report.episode_id).in_(episode_ids))
    key = (col(Report.episode_id), _comment_of(Report))
    told = _told(session, key, which)
    grouped: dict[Key, list[Any]] = {}
    for episode_id, comment_id, *sums in session.execute(
        sql_select(
            *key,
            col(Report.reason),
            func.count(),
            func.min(col(Report.created_at)),
            func.max(col(Report.id)),
        )
        .where(*which)
        .group_by(*key, col(Report.reason))
        .order_by(func.count().desc(), col(Report.reason))
    ):
        grouped.setdefault((episode_id, comment_id), []).append(sums)
    return {
        thing: {
            "count": sum(count for _, count, _, _ in sums),
            "answers": sum(count for reason, count, _, _ in sums if reason == things.APPEAL),
            "since": min(since for _, _, since, _ in sums),
            "upto": max(upto for _, _, _, upto in sums),
            "reasons": tuple((in_words(reason), count) for reason, count, _, _ in sums),
            "told": tuple(told.get(thing, ())),
        }
        for thing, sums in grouped.items()
    }


def in_words(reason: str) -> str:
    """Return a report's reason as moderators read it."""
    return "Its author answers" if reason == things.APPEAL else reports.REASONS.get(reason, reason)


def _told(session: Session, key: tuple[Any, Any], which: tuple[Any, ...]) -> dict[Key, list[Told]]:
    place = func.row_number().over(partition_by=key, order_by=col(Report.id))
    spoken = (
        sql_select(
            key[0].label("episode_id"),
            key[1].label("comment_id"),
            col(Report.reason),
            col(Report.words),
            col(Report.created_at),
            place.label("place"),
        )
        .where(*which, col(Report.words) != "")
        .subquery()
    )
    told: dict[Key, list[Told]] = {}
    for row in session.execute(
        sql_select(spoken).where(spoken.c.place <= TOLD).order_by(spoken.c.place)
    ):
        told.setdefault((row.episode_id, row.comment_id), []).append(
            Told(in_words(row.reason), row.words, row.reason == things.APPEAL, row.created_at)
        )
    return told


By, UndoneBy = aliased(Person), aliased(Person)


def _decisions() -> Any:
    """Return the query of decisions with who made them and who undid them."""
    later = aliased(Decision)
    is_last = ~(
        sql_select(later.id)  # type: ignore[call-overload]
        .where(
            col(later.episode_id) == col(Decision.episode_id),
            col(later.comment_id).is_not_distinct_from(col(Decision.comment_id)),
            col(later.id) > col(Decision.id),
            col(later.undone_at).is_(None),
        )
        .exists()
    )
    return (
        sql_select(Decision, By, UndoneBy, is_last.label("is_last"))
        .outerjoin(By, col(By.id) == col(Decision.decided_by))
        .outerjoin(UndoneBy, col(UndoneBy.id) == col(Decision.undone_by))
    )


def _entry(decision: Decision, by: Person | None, undone_by: Person | None, is_last: bool) -> Past:  # noqa: FBT001  a column
    return Past(
        id=decision.id,
        act=decision.act,
        words=decision.words,
        by=_link(by),
        at=decision.decided_at,
        undone_at=decision.undone_at,
        undone_words=decision.undone_words,
        undone_by=_link(undone_by),
        last=is_last and decision.undone_at is None,
    )


def _link(person: Person | None) -> PersonLink | None:
    return PersonLink(person.name, str(person.ref)) if person else None


def _past(session: Session, episode_ids: Collection[int]) -> dict[Key, tuple[Past, ...]]:
    """Return all decisions about each thing on these talks, latest first."""
    grouped: dict[Key, tuple[Past, ...]] = {}
    for decision, *rest in session.execute(
        _decisions()
        .where(col(Decision.episode_id).in_(episode_ids))
        .order_by(col(Decision.id).desc())
    ):
        key = (decision.episode_id, decision.comment_id or 0)
        grouped[key] = (*grouped.get(key, ()), _entry(decision, *rest))
    return grouped


@dataclass(frozen=True)
class Decided:
    """A decision in the list of all: what it was about, and the decision."""

    guid: str
    comment_id: int | None
    title: str
    own: bool
    past: Past


@dataclass(frozen=True)
class History:
    """One page of what was decided, latest first; `before` begins the next page."""

    rows: list[Decided]
    before: int | None = None


def history(session: Session, asker: Asker, before: int | None = None) -> History:
    """Return what was decided about all that this person moderates."""
    query = (
        _decisions()
        .add_columns(Episode, col(Comment.author_id))
        .join(Episode, col(Episode.id) == col(Decision.episode_id))
        .outerjoin(Comment, col(Comment.id) == col(Decision.comment_id))
        .where(access.moderated(asker))
        .order_by(col(Decision.id).desc())
        .limit(PAGE + 1)
    )
    if before is not None:
        query = query.where(col(Decision.id) < before)
    found = session.execute(query).all()
    rows = [
        Decided(
            guid=str(episode.guid),
            comment_id=decision.comment_id,
            title=episode.title,
            own=(said_by or episode.author_id) == asker.id,
            past=_entry(decision, *rest),
        )
        for decision, *rest, episode, said_by in found[:PAGE]
    ]
    return History(rows, rows[-1].past.id if len(found) > PAGE else None)


@dataclass(frozen=True)
class Panel:
    """What a moderator can do about a thing where it stands, and what was done last."""

    acts: tuple[str, ...]
    turn: int
    undoable: Past | None


def panels(session: Session, episode_id: int, standings: dict[int, str]) -> dict[int, Panel]:
    """Return a panel for each of these: how a talk (0) and comments on it (their id) stand."""
    past = _past(session, [episode_id])
    return {
        comment_id: Panel(
            acts=things.possible(standing, comment=comment_id != 0),
            turn=turn(past.get((episode_id, comment_id), ())),
            undoable=next((p for p in past.get((episode_id, comment_id), ()) if p.last), None),
        )
        for comment_id, standing in standings.items()
    }


def turn(past: Sequence[Past]) -> int:
    """Return the turn of a thing with these decisions; see `decisions.turn_of`."""
    return sum(1 if entry.undone_at is None else 2 for entry in past)
