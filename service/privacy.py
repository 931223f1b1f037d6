"""What is kept about somebody, told to them: the archive of everything, and the words for it."""

from dataclasses import dataclass
from uuid import UUID

from sqlmodel import Session, col, select

from service import limits
from service.access import Asker
from service.publishing import NotNowError, NotThereError
from storage import audit, personal
from storage.floor import Floor
from storage.models import Export, Person, now
from storage.settings import Settings

UNDER_WAY = ("waiting", "building")
SHOWN = 5


@dataclass(frozen=True)
class Kept:
    """One kind of data in words: what, why, who sees it, for how long, what erasing does."""

    title: str
    what: str
    why: str
    seen: str
    kept: str
    erased: str


def kept(settings: Settings) -> list[Kept]:
    """Return all that is kept, in words, with the days that this house has set."""
    days = settings.model_dump(
        include={name for name in type(settings).model_fields if name.startswith("keep_")}
    )
    return [
        Kept(
            title=group.title,
            what=group.what,
            why=group.why,
            seen=group.seen,
            kept=group.kept.format_map(days),
            erased=group.erased,
        )
        for group in personal.GROUPS
    ]


def ask(session: Session, floor: Floor, asker: Asker, network: str = "") -> Export:
    """Ask for an archive of everything that is kept about somebody; a worker packs it.

    Raises:
        NotNowError: one is under way.
        TooFastError: two were asked for within a day.
    """
    # The person's row is locked, so that two clicks at once make one archive.
    session.exec(select(Person.id).where(Person.id == asker.id).with_for_update(key_share=True))
    busy = session.exec(
        select(Export.id).where(Export.person_id == asker.id, col(Export.state).in_(UNDER_WAY))
    ).first()
    if busy is not None:
        raise NotNowError("An archive is being packed already. It will be here when it is ready.")
    limits.spend(session, limits.EXPORTS, asker.id)
    made = Export(person_id=asker.id)
    session.add(made)
    session.flush()
    floor.work.export(session, str(made.ref))
    audit.record(
        session,
        "exported",
        actor=asker.ref,
        subject_kind="person",
        subject=asker.ref,
        network=network,
    )
    return made


def mine(session: Session, asker: Asker) -> list[Export]:
    """Return somebody's latest archives that are under way, ready or failed, newest first."""
    found = session.exec(
        select(Export)
        .where(Export.person_id == asker.id, Export.state != "gone")
        .order_by(col(Export.id).desc())
        .limit(SHOWN)
    )
    moment = now()
    return [one for one in found if one.expires_at is None or one.expires_at > moment]


def ready(session: Session, asker: Asker, ref: UUID) -> Export:
    """Return one's own archive, ready to be fetched.

    Raises:
        NotThereError: there is none, it is somebody else's, not ready yet, or gone.
    """
    found = session.exec(
        select(Export).where(
            Export.ref == ref,
            Export.person_id == asker.id,
            Export.state == "ready",
            col(Export.expires_at) > now(),
        )
    ).first()
    if found is None or found.key is None:
        raise NotThereError
    return found
