"""What moderators do: dismiss reports; hide, remove and restore; and take each of it back.

Every act has a reason in words, tells those whom it concerns, and is a row of the audit log, all in
the caller's transaction. Who acts names the thing's turn, a number that moves with every act: of
two moderators who decide at once, the second is told, instead of undoing what the first has done.
"""

from collections.abc import Sequence

from sqlmodel import Session, col, func, select, update

from service import access, discussion, publishing
from service.access import Asker
from service.moderation import telling, things
from service.moderation.things import STANDS, Thing
from service.publishing import NotNowError, NotThereError, PublishingError
from storage.floor import Floor
from storage.models import Comment, Decision, Episode, Report, now

ACTS = ("dismissed", "hidden", "removed", "restored")


def decide(
    session: Session,
    floor: Floor,
    asker: Asker,
    guid: str,
    *,
    act: str,
    words: str,
    turn: int,
    comment_id: int | None = None,
    upto: int | None = None,
    network: str = "",
) -> Decision:
    """Dismiss what is reported of a thing; or hide, remove or restore it.

    `turn` is the thing's turn as the moderator saw it. `upto` is the latest report that they saw:
    dismissing answers no later ones.

    Raises:
        NotThereError: no such thing that this person moderates.
        NotNowError: it is their own; somebody acted meanwhile; or it does not stand so.
        PublishingError: no such act, no reason, or a reason of more than 300 characters.
    """
    thing = things.moderated(session, asker, guid, comment_id)
    reason = things.reason(words)
    if act not in ACTS:
        raise PublishingError({"act": "Choose what is to be done."})
    before = thing.standing
    if turn != turn_of(session, thing):
        raise NotNowError(f"Somebody decided this just now: {STANDS[before]}. Nothing was changed.")
    dismissing = act == "dismissed"
    reports = _open_reports(session, thing, upto if dismissing else None)
    fits = things.possible(before, comment=thing.comment is not None)
    if not (reports if dismissing else act in fits):
        raise NotNowError(f"This cannot be done any more: {STANDS[before]}.")
    decision = Decision(
        episode_id=thing.episode.id,
        comment_id=comment_id,
        act=act,
        before=before,
        words=reason,
        decided_by=asker.id,
    )
    session.add(decision)
    session.flush()
    if not dismissing:
        _put(session, floor, asker, thing, "standing" if act == "restored" else act)
        if act == "hidden":
            _say_why(thing, reason)
    for answered in reports:
        answered.state = "dismissed" if dismissing else "acted"
        answered.decision_id = decision.id
    telling.author(session, thing, decision, reports)
    telling.reporters(session, asker, thing, act, reports)
    things.noted(session, asker, act, thing, network, before=before, reports=len(reports))
    return decision


def turn_of(session: Session, thing: Thing) -> int:
    """Return a thing's turn: how many acts it has seen, undoing included."""
    acts, undone = session.exec(
        select(func.count(), func.count(col(Decision.undone_at))).where(
            Decision.episode_id == thing.episode.id,
            col(Decision.comment_id).is_not_distinct_from(thing.comment_id),
        )
    ).one()
    return int(acts + undone)


def _open_reports(session: Session, thing: Thing, upto: int | None) -> Sequence[Report]:
    query = select(Report).where(
        Report.episode_id == thing.episode.id,
        col(Report.comment_id).is_not_distinct_from(thing.comment_id),
        Report.state == "open",
    )
    if upto is not None:
        query = query.where(col(Report.id) <= upto)
    return session.exec(query.order_by(col(Report.id)).with_for_update()).all()


def _put(session: Session, floor: Floor, asker: Asker, thing: Thing, standing: str) -> None:
    """Make a thing stand like this, wherever it stood."""
    if thing.comment is not None:
        _put_comment(asker, thing.comment, standing)
    else:
        _put_talk(session, floor, asker, thing.episode, standing)


def _put_talk(
    session: Session, floor: Floor, asker: Asker, episode: Episode, standing: str
) -> None:
    was_removed = things.standing_of(episode) == "removed"
    episode.hidden_at = now() if standing == "hidden" else None
    episode.hidden_words = ""
    episode.changed_at = now()
    if standing == "removed":
        episode.withdrawn_at, episode.withdrawn_by = now(), asker.id
    elif was_removed:
        publishing.put_back(session, floor, episode)
    publishing.relist(session, episode)


def _put_comment(asker: Asker, comment: Comment, standing: str) -> None:
    if discussion.standing_of(comment) == "taken-back":
        return  # its author's word is the last one
    if standing != "removed" and not comment.body:
        raise NotNowError("Its words have been deleted since; it cannot come back.")
    comment.hidden_at = now() if standing == "hidden" else None
    comment.removed_at = now() if standing == "removed" else None
    comment.removed_by = asker.id if standing == "removed" else None


def _say_why(thing: Thing, reason: str) -> None:
    if thing.comment is None:
        thing.episode.hidden_words = reason


def undo(
    session: Session,
    floor: Floor,
    asker: Asker,
    decision_id: int,
    *,
    words: str,
    network: str = "",
) -> Decision:
    """Take a decision back: the thing stands as before, and what it answered is open again.

    Raises:
        NotThereError: no such decision about something that this person moderates.
        NotNowError: it was undone already, or something was decided after it.
        PublishingError: no reason, or a reason of more than 300 characters.
    """
    found = session.exec(
        select(Decision, Episode.guid)
        .join(Episode, col(Episode.id) == col(Decision.episode_id))
        .where(Decision.id == decision_id, access.moderated(asker))
    ).first()
    if found is None:
        raise NotThereError
    decision, guid = found
    thing = things.moderated(session, asker, str(guid), decision.comment_id)
    reason = things.reason(words)
    session.refresh(decision)  # somebody may have undone it while we waited for the thing
    if decision.undone_at is not None:
        raise NotNowError("Somebody has undone this already.")
    if decision.id != _latest(session, thing):
        raise NotNowError("Something was decided after this. Undo that first.")
    decision.undone_at, decision.undone_by, decision.undone_words = now(), asker.id, reason
    if decision.act != "dismissed":
        _put(session, floor, asker, thing, decision.before)
        if decision.before == "hidden":
            _say_why(thing, why(session, thing, "hidden") or reason)
        telling.undone(session, thing, decision)
    _reopen(session, decision)
    things.noted(session, asker, "undone", thing, network, undid=decision.act)
    return decision


def _latest(session: Session, thing: Thing) -> int | None:
    return session.exec(
        select(func.max(Decision.id)).where(
            Decision.episode_id == thing.episode.id,
            col(Decision.comment_id).is_not_distinct_from(thing.comment_id),
            col(Decision.undone_at).is_(None),
        )
    ).one()


def why(session: Session, thing: Thing, act: str) -> str:
    """Return the reason of the last act of this kind on a thing that was not undone; or nothing."""
    words = session.exec(
        select(Decision.words)
        .where(
            Decision.episode_id == thing.episode.id,
            col(Decision.comment_id).is_not_distinct_from(thing.comment_id),
            Decision.act == act,
            col(Decision.undone_at).is_(None),
        )
        .order_by(col(Decision.id).desc())
        .limit(1)
    ).first()
    return words or ""


def _reopen(session: Session, decision: Decision) -> None:
    """Open again what a decision answered; but for whoever has reported the thing once more."""
    again = select(Report.reporter_id).where(
        Report.episode_id == decision.episode_id,
        col(Report.comment_id).is_not_distinct_from(decision.comment_id),
        Report.state == "open",
        col(Report.reporter_id).is_not(None),
    )
    session.exec(
        update(Report)
        .where(
            col(Report.decision_id) == decision.id,
            col(Report.reporter_id).is_(None) | col(Report.reporter_id).not_in(again),
        )
        .values(state="open", decision_id=None)
        .execution_options(synchronize_session=False)
    )
