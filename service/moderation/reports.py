"""Reports of what should not stand as it is, and authors' answers to what moderators did."""

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, func, select

from service import access, catalogue, limits
from service.access import Asker
from service.moderation import telling, things
from service.moderation.things import APPEAL, Thing
from service.publishing import NotNowError, NotThereError, PublishingError, many_lines
from storage.models import Report, now

REASONS = {
    "wrong": "It is wrong or out of date",
    "unsafe": "Somebody could get hurt by doing this",
    "confidential": "It tells what must stay inside",
    "personal": "It tells private things about somebody",
    "rude": "It is rude or hurts people",
    "rights": "It uses what belongs to others",
    "other": "Something else",
}
WORDS_MOST = 1000


def report(
    session: Session,
    asker: Asker,
    guid: str,
    *,
    reason: str,
    words: str = "",
    comment_id: int | None = None,
    network: str = "",
) -> bool:
    """Report a talk or a comment; return False when this person's report is open already.

    Raises:
        TooFastError: ten reports in an hour are the most.
        NotThereError: no such thing for this person, or it was never published.
        NotNowError: it is their own, or moderators have it already.
        PublishingError: no such reason, too many words, or none for something else.
    """
    limits.spend(session, limits.REPORTS, asker.id)
    thing = _seen(session, asker, guid, comment_id)
    if thing.standing == "taken-back":
        raise NotThereError
    if thing.author_id == asker.id:
        raise NotNowError("This is your own. You can change it or take it back yourself.")
    if thing.standing != "standing":
        raise NotNowError("Moderators are looking at this already.")
    told, errors = _told(words)
    if reason not in REASONS:
        errors["reason"] = "Choose what is wrong with it."
    elif reason == "other" and not told:
        errors["words"] = "Say in a few words what is wrong with it."
    if errors:
        raise PublishingError(errors)
    return _file(session, asker, thing, reason=reason, words=told, network=network)


def appeal(
    session: Session,
    asker: Asker,
    guid: str,
    *,
    words: str,
    comment_id: int | None = None,
    network: str = "",
) -> bool:
    """Answer for one's own talk or comment that a moderator hid or removed.

    Returns False when an answer waits already.

    Raises:
        TooFastError, NotThereError: as `report`; also when it is somebody else's.
        NotNowError: no moderator has taken it away.
        PublishingError: no words, or too many.
    """
    limits.spend(session, limits.REPORTS, asker.id)
    thing = _seen(session, asker, guid, comment_id)
    if thing.author_id != asker.id:
        raise NotThereError
    if thing.standing not in {"hidden", "removed"}:
        raise NotNowError("No moderator has taken this away.")
    told, errors = _told(words)
    if not told:
        errors["words"] = "Write your answer first."
    if errors:
        raise PublishingError(errors)
    return _file(session, asker, thing, reason=APPEAL, words=told, network=network)


def _told(words: str) -> tuple[str, dict[str, str]]:
    told = many_lines(words)
    if len(told) <= WORDS_MOST:
        return told, {}
    return told, {"words": f"This has {len(told)} characters; {WORDS_MOST} is the most."}


def _seen(session: Session, asker: Asker, guid: str, comment_id: int | None) -> Thing:
    episode = catalogue.find(session, asker, guid)
    if episode is None or not access.was_out(episode):
        raise NotThereError
    return things.on(session, episode, comment_id)


def _file(
    session: Session, asker: Asker, thing: Thing, *, reason: str, words: str, network: str
) -> bool:
    # Of those who report one thing at once, the first alone tells the moderators.
    session.refresh(thing.comment or thing.episode, with_for_update={"key_share": True})
    filed = session.execute(
        insert(Report)
        .values(
            episode_id=thing.episode.id,
            comment_id=thing.comment_id,
            reporter_id=asker.id,
            reason=reason,
            words=words,
            state="open",
            created_at=now(),
        )
        .on_conflict_do_nothing()
        .returning(col(Report.id))
    ).first()
    if filed is not None:
        things.noted(session, asker, "reported", thing, network, reason=reason)
        telling.moderators(session, thing, reason)
    return filed is not None


def is_answered(session: Session, asker: Asker, episode_id: int) -> bool:
    """Whether this person's answer about their talk waits to be read."""
    waiting = select(Report.id).where(
        Report.episode_id == episode_id,
        col(Report.comment_id).is_(None),
        Report.reporter_id == asker.id,
        Report.state == "open",
    )
    return session.exec(waiting).first() is not None


def open_of(session: Session, asker: Asker, episode_id: int) -> set[int]:
    """Return what of a talk (0) and the comments on it this person has reported, and waits."""
    found = session.exec(
        select(func.coalesce(col(Report.comment_id), 0)).where(
            Report.episode_id == episode_id,
            Report.reporter_id == asker.id,
            Report.state == "open",
        )
    )
    return set(found)
