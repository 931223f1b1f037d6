"""Named people who may open a talk before it is out: asked by its author, until it is out."""

from dataclasses import dataclass, field

from sqlalchemy import func, or_
from sqlalchemy import select as sql_select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, select

from service import limits, notices, publishing
from service.access import Asker
from service.catalogue import PersonLink
from service.identity import people
from service.publishing import NotNowError, NotThereError, PublishingError, one_line
from storage import audit
from storage.models import Episode, Person, Review, now

MOST = 20
FEW = 8
NOBODY = "There is nobody here by this name or address."


@dataclass(frozen=True)
class Asked:
    """What came of asking by name: the person who is asked now, or those who may be meant."""

    person: PersonLink | None
    meant: list[PersonLink] = field(default_factory=list)


def ask(session: Session, asker: Asker, guid: str, who: str, *, network: str = "") -> Asked:
    """Ask somebody to review a talk that is not out: by address, ref, or a part of their name.

    A name that several bear asks nobody yet: they are returned, to choose from.

    Raises:
        NotThereError: no such talk of this asker's.
        NotNowError: the talk is out or withdrawn, or enough people are asked.
        PublishingError: nobody is meant, too many are, or the author. Commit all the same: a guess
            that names nobody counts like any other.
        TooFastError: see `limits.REVIEWS`.
    """
    episode = publishing.mine(session, asker, guid, lock=True)
    _check_not_out(episode)
    _check_not_many(session, episode)
    limits.spend(session, limits.REVIEWS, asker.id)
    found = _meant(session, one_line(who))
    others = [person for person in found if person.id != asker.id]
    if not found:
        raise PublishingError({"reviewer": NOBODY})
    if not others:
        raise PublishingError({"reviewer": "It is your own talk: ask somebody else."})
    if len(others) > FEW:
        raise PublishingError({"reviewer": "Many people bear this name: say more of it."})
    if len(others) > 1:
        return Asked(None, [PersonLink(one.name, str(one.ref)) for one in others])
    person = others[0]
    _let_open(session, asker, episode, person, network)
    return Asked(PersonLink(person.name, str(person.ref)))


def _check_not_out(episode: Episode) -> None:
    if episode.published_at is not None:
        raise NotNowError("This talk is out: everybody who may hear it can open it.")
    if episode.withdrawn_at is not None:
        raise NotNowError("This talk is withdrawn: nobody can review it.")


def _check_not_many(session: Session, episode: Episode) -> None:
    # Before anybody is looked for: what is answered then depends on no name.
    many = session.exec(
        select(func.count()).select_from(Review).where(Review.episode_id == episode.id)
    ).one()
    if many >= MOST:
        raise NotNowError(f"{MOST} people are asked already; that is the most.")


def _meant(session: Session, who: str) -> list[Person]:
    """Return the people with open accounts whom these words may mean, one more than a few."""
    if len(who) < 2:
        return []
    here = select(Person).where(col(Person.disabled_at).is_(None), col(Person.erased_at).is_(None))
    exact = people.by_email(session, who)
    if exact is not None:
        return list(session.exec(here.where(Person.id == exact.id)))
    chosen = people.by_ref(session, who)
    if chosen is not None:
        return list(session.exec(here.where(Person.id == chosen.id)))
    name = func.lower(col(Person.name))
    whole = session.exec(here.where(name == who.lower()).limit(FEW + 2)).all()
    if whole:
        return list(whole)
    wanted = who.lower()
    near = or_(
        name.startswith(wanted, autoescape=True), name.contains(f" {wanted}", autoescape=True)
    )
    return list(session.exec(here.where(near).order_by(name, col(Person.id)).limit(FEW + 2)))


def _let_open(
    session: Session, asker: Asker, episode: Episode, person: Person, network: str
) -> None:
    known = insert(Review).values(episode_id=episode.id, person_id=person.id, created_at=now())
    # A moderator's own leave ends by itself; the author's does not.
    fresh = session.execute(
        known.on_conflict_do_update(
            index_elements=["episode_id", "person_id"],
            set_={"until": None},
            where=col(Review.until).is_not(None),
        ).returning(col(Review.person_id))
    ).first()
    if fresh is None:
        return
    told = f"{asker.name} asks you to review “{episode.title}” before it is out."
    notices.tell(session, person.id, "review", told, _page(episode))
    audit.record(
        session,
        "review-asked",
        actor=asker.ref,
        subject_kind="episode",
        subject=str(episode.guid),
        network=network,
        person=str(person.ref),
    )


def _page(episode: Episode) -> str:
    return f"/episodes/{episode.guid}"


def end(session: Session, asker: Asker, guid: str, ref: str, *, network: str = "") -> None:
    """Ask somebody no longer: the talk is closed to them with their next request.

    The notice that asked them goes too, for it names the talk.

    Raises:
        NotThereError: no such talk of this asker's, or this person was not asked.
    """
    episode = publishing.mine(session, asker, guid, lock=True)
    person = people.by_ref(session, ref)
    if person is None:
        raise NotThereError
    gone = session.exec(
        delete(Review).where(
            col(Review.episode_id) == episode.id,
            col(Review.person_id) == person.id,
            col(Review.until).is_(None),
        )
    )
    if not gone.rowcount:
        raise NotThereError
    notices.take_back(session, person.id, "review", _page(episode))
    audit.record(
        session,
        "review-ended",
        actor=asker.ref,
        subject_kind="episode",
        subject=str(episode.guid),
        network=network,
        person=str(person.ref),
    )


def of_talk(session: Session, episode: Episode) -> list[PersonLink]:
    """Return whom the author asked, by name."""
    rows = session.execute(
        sql_select(col(Person.name), col(Person.ref))
        .join(Review, col(Review.person_id) == col(Person.id))
        .where(col(Review.episode_id) == episode.id, col(Review.until).is_(None))
        .order_by(func.lower(col(Person.name)), col(Person.id))
    )
    return [PersonLink(name, str(ref)) for name, ref in rows]
