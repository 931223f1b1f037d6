"""What people are told of a decision: the author why and how to answer, reporters how it ended."""

from collections.abc import Sequence

from sqlmodel import Session

from service import notices
from service.access import Asker
from service.moderation.reports import APPEAL
from service.moderation.things import STANDS, Thing
from service.presentation import day
from storage.models import Decision, Report

KIND = "moderation"
OUTCOMES = {
    "dismissed": "it stays as it is",
    "hidden": "it is hidden now",
    "removed": "it was removed",
    "restored": "it stands again",
}
ACTED = {
    "hidden": "A moderator hid {own}, while it is looked at. You can answer there. Reason: {why}",
    "removed": "A moderator removed {own}. You can answer there. Reason: {why}",
    "restored": "A moderator put {own} back; it stands again. Reason: {why}",
}
HEARD = "Your answer about {own} was read, and it stays as it is. Reason: {why}"


def author(session: Session, thing: Thing, decision: Decision, reports: Sequence[Report]) -> None:
    """Tell the author what was done and why; of dismissed reports only that an answer was read."""
    words = ACTED.get(decision.act)
    if words is None and any(row.reason == APPEAL for row in reports):
        words = HEARD
    if words is not None:
        told = words.format(own=_own(thing), why=decision.words)
        notices.tell(session, thing.author_id, KIND, told, thing.path)


def _own(thing: Thing) -> str:
    # A comment is named by its day: whoever wrote it may see the talk and its title no longer.
    if thing.comment is not None:
        return f"your comment of {day(thing.comment.created_at)}"
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


def undone(session: Session, thing: Thing, decision: Decision) -> None:
    """Tell the author that what was done on a day was undone, and how the thing stands now."""
    words = (
        f"What a moderator did about {_own(thing)} on {day(decision.decided_at)} was undone:"
        f" {STANDS[thing.standing]}. Reason: {decision.undone_words}"
    )
    notices.tell(session, thing.author_id, KIND, words, thing.path)
