"""How a moderator opens what was never published: with a reason, for an hour, and not unseen."""

import re
from datetime import timedelta
from uuid import UUID

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, select

from service import catalogue, notices
from service.access import Asker
from service.moderation import things
from service.moderation.things import Thing
from service.publishing import NotThereError, PublishingError
from storage.models import Episode, Review, now

GUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
LASTS = timedelta(hours=1)


def open_draft(
    session: Session, asker: Asker, address: str, *, words: str, network: str = ""
) -> Episode:
    """Let a moderator of the house open an unpublished talk for an hour; its author is told.

    `address` is the talk's, or its guid. Nothing is written for what they may open anyway.

    Raises:
        NotThereError: this person does not moderate the whole house.
        PublishingError: no such talk, no reason, or a reason of more than 300 characters.
    """
    if not asker.moderates_all:
        raise NotThereError
    reason = things.reason(words)
    episode = _named(session, address)
    if catalogue.find(session, asker, str(episode.guid)) is not None:
        return episode
    if episode.withdrawn_at is not None:
        raise _unknown()
    until = now() + LASTS
    session.execute(
        insert(Review)
        .values(episode_id=episode.id, person_id=asker.id, created_at=now(), until=until)
        .on_conflict_do_update(
            index_elements=["episode_id", "person_id"], set_={"until": until, "created_at": now()}
        )
    )
    notices.tell(
        session,
        episode.author_id,
        "moderation",
        f"A moderator opened your unpublished talk “{episode.title}” for an hour. Reason: {reason}",
        f"/episodes/{episode.guid}",
    )
    things.noted(session, asker, "opened-as-moderator", Thing(episode, None), network)
    return episode


def _named(session: Session, address: str) -> Episode:
    named = GUID.findall(address)
    found = (
        session.exec(select(Episode).where(Episode.guid == UUID(named[-1]))).first()
        if named
        else None
    )
    if found is None:
        raise _unknown()
    return found


def _unknown() -> PublishingError:
    return PublishingError({"talk": "No unpublished talk has this address."})


def leave_of(session: Session, asker: Asker, episode: Episode) -> Review | None:
    """Return this person's leave to open a talk before it is out, if they have one."""
    return session.get(Review, (episode.id, asker.id))
