"""What people are told of a decision: the author why and how to answer, reporters how it ended."""

from collections.abc import Sequence

from sqlalchemy import ColumnElement
from sqlmodel import Session, col, func, select

from service import access, notices
from service.access import Asker
from service.moderation.things import APPEAL, STANDS, Thing
from service.presentation import day
from storage.models import Decision, Person, Report, Show

KIND = "moderation"
# So much of a comment is quoted to whoever wrote it.
FEW = 60
OUTCOMES = {
    "dismissed": "it stays as it is",
    "hidden": "it is hidden now",
    "removed": "it was removed",
    "restored": "it stands again",
}
ACTED = {
    "hidden": "A moderator hid {own}, while it is looked at. You can answer {where}. Reason: {why}",
    "removed": "A moderator removed {own}. You can answer {where}. Reason: {why}",
    "restored": "A moderator put {own} back; it stands again. Reason: {why}",
}
# Of a talk whose recording retention has removed meanwhile.
RETURNED = (
    "A moderator gave {own} back to you, as a draft: its recording is gone by now. Upload it again"
    " to share it. Reason: {why}"
)
HEARD = "Your answer about {own} was read, and it stays as it is. Reason: {why}"


def moderators(session: Session, thing: Thing, reason: str) -> None:
    """Tell those who moderate a thing that it waits for them, once until it is decided.

    They are the stewards of its show's community, or where none can act, those of the house;
    never its author. To be called with the report in place and the thing locked.
    """
    waiting = session.exec(
        select(func.count()).where(
            Report.episode_id == thing.episode.id,
            col(Report.comment_id).is_not_distinct_from(thing.comment_id),
            Report.state == "open",
        )
    ).one()
    if waiting > 1:
        return
    home = session.exec(select(Show.community_id).where(Show.id == thing.episode.show_id)).one()
    found = _others(session, access.stewards_of(home), thing) if home is not None else []
    told = (
        f"The author of a {thing.noun} that was taken away has answered. Please look at it."
        if reason == APPEAL
        else f"Somebody reported a {thing.noun}. Please look at it."
    )
    about = f"?comment={thing.comment_id}" if thing.comment_id else ""
    for person_id in found or _others(session, access.house_moderators(), thing):
        notices.tell(session, person_id, KIND, told, f"/moderation/{thing.episode.guid}{about}")


def _others(session: Session, which: ColumnElement[bool], thing: Thing) -> Sequence[int]:
    return session.exec(
        select(Person.id).where(which, Person.id != thing.author_id).order_by(col(Person.id))
    ).all()


def author(session: Session, thing: Thing, decision: Decision, reports: Sequence[Report]) -> None:
    """Tell the author what was done and why; of dismissed reports only that an answer was read."""
    words = RETURNED if _is_returned(thing) else ACTED.get(decision.act)
    if words is None and any(row.reason == APPEAL for row in reports):
        words = HEARD
    if words is not None:
        # The words of a comment stand on a page that may be closed to its writer for a while.
        where = "there" if thing.comment is None else "there whenever the talk is open to you"
        told = words.format(own=_own(thing), where=where, why=decision.words)
        notices.tell(session, thing.author_id, KIND, told, thing.path)


def _is_returned(thing: Thing) -> bool:
    """Whether a talk that moderators had taken away is its author's draft again."""
    return thing.comment is None and not access.was_out(thing.episode)


def _own(thing: Thing) -> str:
    # A comment is named by its words and day: whoever wrote it may see the talk and its title no
    # longer.
    if thing.comment is not None:
        said = " ".join(thing.comment.body.split())
        quoted = f" “{said[:FEW]}{'…' if len(said) > FEW else ''}”" if said else ""
        return f"your comment{quoted} of {day(thing.comment.created_at)}"
    return f"your talk “{thing.episode.title}”"


def reporters(
    session: Session, asker: Asker, thing: Thing, act: str, reports: Sequence[Report]
) -> None:
    """Tell those who reported a thing how it ended.

    Without its title: that may have changed, and may not be for them any more.
    """
    for row in reports:
        if row.reporter_id is None or row.reporter_id in {asker.id, thing.author_id}:
            continue
        words = (
            f"The {thing.noun} that you reported on {day(row.created_at)} was looked at:"
            f" {OUTCOMES[act]}. Thank you for saying so."
        )
        path = thing.path if act == "dismissed" else ""
        notices.tell(session, row.reporter_id, KIND, words, path)


def _stands(thing: Thing) -> str:
    if _is_returned(thing):
        return "it is your draft again, and its recording is gone by now"
    return STANDS[thing.standing]


def undone(session: Session, thing: Thing, decision: Decision) -> None:
    """Tell the author that what was done on a day was undone, and how the thing stands now."""
    words = (
        f"What a moderator did about {_own(thing)} on {day(decision.decided_at)} was undone:"
        f" {_stands(thing)}. Reason: {decision.undone_words}"
    )
    notices.tell(session, thing.author_id, KIND, words, thing.path)
