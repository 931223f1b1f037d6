"""Erasing somebody: in one transaction, and again after every restore.

What goes is read from `storage/personal.py`; what has to be passed on or emptied is done here. The
order of locks is that of everybody else: talks, their shows, scores by number, and the person last,
so that colleagues who rate or edit at the same time wait a moment and never in a circle. Once the
person's row is locked nothing new can be said in their name; had something come in between, all is
begun anew.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, func, or_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, delete, exists, select, update

from service import access, notices
from service.access import Asker
from service.identity import askers, people
from service.publishing import NotNowError, NotThereError, PublishingError, relist, slug_of
from service.rating import ledger
from storage import audit, belongings, clearing, personal
from storage.floor import Floor
from storage.models import (
    Comment,
    Episode,
    EpisodeTopic,
    Erasure,
    Export,
    FeedToken,
    FeedView,
    Mail,
    Notice,
    Person,
    PersonalLink,
    Report,
    Show,
    Upload,
    now,
)
from storage.personal import Fate

NAME = "A former colleague"
WITHIN = "a former colleague"
WITHDRAWN = "A withdrawn talk"
CLOSED = "A closed show"
# Workers that still make something of a talk notice within seconds; then its objects go.
SOON = timedelta(hours=1)
TRIES = 5
# One sentence, whoever has the address or has not: it tells nobody who has an account here.
HEIR = "Nobody else who publishes here has this address. Name another colleague."
DEADLOCK = "40P01"


# Where sentences and letters begin a line with somebody's name: by kind, and the words that follow.
# A test composes each of them as the house does.
TOLD: tuple[tuple[Any, str, str], ...] = (
    (col(Notice.words), "join-request", "would like to join"),
    (col(Mail.subject), "invitation", "invites you to"),
    (col(Mail.body), "invitation", "invites you to"),
    (col(Mail.body), "membership", "added you to"),
)


class _MovedError(Exception):
    """Something was added while the locks were being taken."""


@dataclass(frozen=True)
class Wish:
    """What becomes of somebody's talks: withdrawn, or handed over without the name to `heir`.

    `heir` is the address of a colleague who takes the shows over; empty for an admin.
    """

    hand_over: bool = False
    heir: str = ""


@dataclass(frozen=True)
class Outlook:
    """What erasing somebody has to ask about: talks that are out, shows of theirs.

    `last_admin` says that it cannot be done before somebody else looks after the house.
    """

    talks: bool
    shows: bool
    last_admin: bool


def outlook(session: Session, person: Person) -> Outlook:
    """Return what erasing this person has to ask about, in one statement."""
    talks = exists().where(
        col(Episode.author_id) == person.id,
        col(Episode.published_at).is_not(None),
        col(Episode.withdrawn_at).is_(None),
    )
    shows = exists().where(col(Show.owner_id) == person.id)
    mine = exists().where(access.admins(), col(Person.id) == person.id)
    others = exists().where(access.admins(), col(Person.id) != person.id)
    return Outlook(*session.exec(select(talks, shows, mine & ~others)).one())


def confirmed(person: Person, typed: str) -> None:
    """Refuse to erase anybody whose address was not typed.

    Raises:
        PublishingError: another text was typed.
    """
    if typed.strip().lower() != person.email:
        raise PublishingError({"typed": f"Type {person.email} to confirm. Nothing was changed."})


def erase(
    floor: Floor, ref: UUID, wish: Wish | None = None, *, by: Asker | None, network: str = ""
) -> None:
    """Erase an account; erasing it again changes nothing. `by` is None for the command line.

    Raises:
        NotThereError: there is no such account.
        LastAdminError: nobody would be left to look after the house.
        PublishingError: nobody can take the shows over, or not this colleague.
        NotNowError: the account did not come to rest.
    """
    wanted = wish or Wish()
    for _ in range(TRIES):
        try:
            with floor.database.begin() as session:
                _erase(session, ref, wanted, by, network)
        except _MovedError:
            continue
        except OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != DEADLOCK:
                raise
            continue
        with floor.database.begin() as session:
            _once_more(session, ref)
        return
    raise NotNowError("This account is busy just now. Please try again in a moment.")


def _once_more(session: Session, ref: UUID) -> None:
    """Take away what a request that was on its way has added since, to the account itself too."""
    person = session.exec(select(Person).where(Person.ref == ref)).one()
    _sweep(session, person)
    session.refresh(person, with_for_update={"key_share": True})
    _blank(person)


def erased(session: Session) -> list[Erasure]:
    """Return who was erased, the first one first."""
    return list(session.exec(select(Erasure).order_by(col(Erasure.at))))


def remember(session: Session, ref: UUID, *, handed_over: bool) -> None:
    """Keep the opaque id of somebody who was erased, whether the account is there or not."""
    session.execute(
        insert(Erasure)
        .values(ref=ref, handed_over=handed_over, at=now())
        .on_conflict_do_nothing(index_elements=["ref"])
    )


def _erase(session: Session, ref: UUID, wish: Wish, by: Asker | None, network: str) -> None:
    person = session.exec(select(Person).where(Person.ref == ref)).first()
    if person is None:
        raise NotThereError
    if person.erased_at is not None:
        remember(session, ref, handed_over=wish.hand_over)
        return
    shows, episodes = _locked(session, person)
    heir = _heir(session, person, wish.heir)
    _let_go_of_talks(session, person, episodes, hand_over=wish.hand_over)
    _let_go_of_shows(session, person, shows, heir)
    _forget_the_name(session, person, episodes)
    _sweep(session, person)
    _blank(person)
    session.add(person)
    remember(session, ref, handed_over=wish.hand_over)
    audit.record(
        session,
        "erased",
        actor=by.ref if by else "command",
        subject_kind="person",
        subject=str(ref),
        network=network,
        handed_over=wish.hand_over,
    )


def _locked(session: Session, person: Person) -> tuple[list[Show], list[Episode]]:
    """Return somebody's shows and talks, with all that erasing touches locked.

    Raises:
        _MovedError: something came in between; nothing may be changed.
        LastAdminError: nobody would be left to look after the house.
    """
    episodes = _held_episodes(session, person.id)
    shows = list(
        session.exec(
            select(Show)
            .where(Show.owner_id == person.id)
            .order_by(col(Show.id))
            .with_for_update(key_share=True)
        )
    )
    own = [episode for episode in episodes if episode.author_id == person.id]
    scores = {episode.id for episode in own} | set(ledger.rated_by(session, person.id))
    ledger.lock_scores(session, scores)
    people.keep_an_admin(session, person)
    session.refresh(person, with_for_update=True)
    # Asked again without locks: a talk must not be locked after its show.
    own_shows = session.exec(select(Show.id).where(Show.owner_id == person.id)).all()
    held = {episode.id for episode in episodes}
    if (
        not set(ledger.rated_by(session, person.id)) <= scores
        or not set(session.exec(select(Episode.id).where(_concerns(person.id)))) <= held
        or set(own_shows) != {show.id for show in shows}
    ):
        raise _MovedError
    return shows, own


def _concerns(person_id: int) -> ColumnElement[bool]:
    """Return the condition of somebody's own talks, and of those that stand in their shows."""
    shows = select(Show.id).where(Show.owner_id == person_id)
    return or_(col(Episode.author_id) == person_id, col(Episode.show_id).in_(shows))


def _held_episodes(session: Session, person_id: int) -> list[Episode]:
    rows = session.exec(
        select(Episode)
        .where(_concerns(person_id))
        .order_by(col(Episode.id))
        .with_for_update(key_share=True)
    )
    return list(rows)


def _heir(session: Session, person: Person, email: str) -> Person | None:
    """Return who takes shows over: the named colleague, or the longest-standing admin."""
    if email.strip():
        found = people.by_email(session, email)
        takes = (
            found is not None
            and found.id != person.id
            and found.disabled_at is None
            and askers.as_asker(session, found).may_publish
        )
        if not takes:
            raise PublishingError({"heir": HEIR})
        return found
    return session.exec(
        select(Person)
        .where(Person.id != person.id, access.admins())
        .order_by(col(Person.id))
        .limit(1)
    ).first()


def _let_go_of_talks(
    session: Session, person: Person, episodes: list[Episode], *, hand_over: bool
) -> None:
    """Hand published talks over without the name, or withdraw them; what was never out goes."""
    for episode in episodes:
        out = episode.published_at is not None and episode.withdrawn_at is None
        if out and hand_over:
            _hand_over(session, person, episode)
            continue
        clearing.remove_later(session, clearing.prefixes_of(episode), now() + SOON)
        if episode.published_at is None and episode.withdrawn_at is None:
            session.delete(episode)
        else:
            _leave_shell(session, episode)
    session.flush()


def _hand_over(session: Session, person: Person, episode: Episode) -> None:
    episode.title = _without_name(episode.title, person.name)
    episode.notes = _without_name(episode.notes, person.name)
    episode.changed_at = now()
    sources = belongings.rows_of(personal.table("source"))
    session.execute(
        sources.update().where(sources.c.episode_id == episode.id).values(given_name="")
    )


def _leave_shell(session: Session, episode: Episode) -> None:
    """Leave a nameless place of a talk, so that its addresses say that it has gone."""
    clearing.clear(session, episode)
    episode.title, episode.notes = WITHDRAWN, ""
    episode.notice, episode.hidden_words, episode.hidden_at = None, "", None
    episode.withdrawn_at = episode.withdrawn_at or now()
    episode.withdrawn_by = None
    episode.changed_at = now()
    session.exec(delete(EpisodeTopic).where(col(EpisodeTopic.episode_id) == episode.id))
    session.exec(
        update(Report)
        .where(col(Report.episode_id) == episode.id, col(Report.state) == "open")
        .values(state="acted")
    )
    relist(session, episode)


def _let_go_of_shows(
    session: Session, person: Person, shows: list[Show], heir: Person | None
) -> None:
    """Pass on the shows that talks still stand in, without the name; close the others."""
    for show in shows:
        stands = session.exec(
            select(Episode.id, Episode.author_id)
            .where(Episode.show_id == show.id, col(Episode.withdrawn_at).is_(None))
            .order_by(col(Episode.id))
        ).all()
        if stands:
            _pass_on(session, person, show, heir, {author for _, author in stands} - {person.id})
        else:
            _close(session, show)


def _pass_on(
    session: Session, person: Person, show: Show, heir: Person | None, authors: set[int]
) -> None:
    if heir is None and not authors:
        raise PublishingError({"heir": "Name a colleague who takes the shows over."})
    show.owner_id = heir.id if heir else min(authors)
    show.title = _without_name(show.title, person.name)
    show.description = _without_name(show.description, person.name)
    if _names(show.slug, person.name):
        show.slug = _slug(show)
    show.changed_at = now()
    words = f"The show “{show.title}” is yours now: a colleague who left handed it over."
    notices.tell(session, show.owner_id, "show", words, f"/shows/{show.slug}")
    session.flush()


def _close(session: Session, show: Show) -> None:
    """Leave nothing of an empty show but what old addresses need to say that it is closed."""
    if show.artwork_key:
        clearing.remove_later(session, [show.artwork_key], now() + SOON)
    held = session.exec(
        select(
            exists().where(col(Episode.show_id) == show.id)
            | exists().where(col(FeedView.show_id) == show.id)
        )
    ).one()
    if not held:
        session.delete(show)
        session.flush()
        return
    show.title, show.description, show.slug = CLOSED, "", _slug(show)
    show.artwork_key, show.community_id = None, None
    # An audience of nobody: neither lists nor feeds show it any more.
    show.visibility, show.audience = "communities", []
    show.changed_at = now()
    session.exec(
        update(Episode)
        .where(col(Episode.show_id) == show.id)
        .values(show_audience=[], public=False)
    )
    session.flush()


def _slug(show: Show) -> str:
    return f"show-{show.guid.hex[:12]}"


def _names(slug: str, name: str) -> bool:
    """Whether an address part holds somebody's name: all of its words, none cut or within others.

    A name without a letter of our alphabet stands in no address.
    """
    words = slug_of(name, "")
    return words != "" and f"-{words}-" in f"-{slug}-"


def _without_name(words: str, name: str) -> str:
    """Return words in which somebody's full name is replaced, however it is written."""
    pattern = rf"(?<!\w){re.escape(name)}(?!\w)"

    def instead(found: re.Match[str]) -> str:
        return WITHIN if found.start() else NAME

    return re.sub(pattern, instead, words, flags=re.IGNORECASE)


def _forget_the_name(session: Session, person: Person, episodes: list[Episode]) -> None:
    """Take the name out of what the house has told others, there where the house has put it.

    Nowhere else: somebody may be called Will, or Mark, or Link.
    """
    # Asked to review what is out by now, or has gone; its title may hold the name as well.
    session.exec(
        delete(Notice).where(
            col(Notice.kind) == "review",
            col(Notice.path).in_([f"/episodes/{episode.guid}" for episode in episodes]),
        )
    )
    session.exec(
        update(Notice)
        .where(col(Notice.kind) == "invitation", col(Notice.path) == f"/people/{person.ref}")
        .values(words=f"{NAME} accepted your invitation.")
    )
    name = re.escape(person.name)
    for column, kind, following in TOLD:
        # Where a line begins: with "n" each line does.
        pattern = f"^{name}(?= {re.escape(following)} )"
        model = column.class_
        session.exec(
            update(model)
            .where(col(model.kind) == kind, column.contains(person.name, autoescape=True))
            .values({column.key: func.regexp_replace(column, pattern, NAME, "gn")})
            .execution_options(synchronize_session=False)
        )


def _sweep(session: Session, person: Person) -> None:
    """Remove or empty every row of theirs that does not have to be passed on."""
    moment = now()
    _note_objects(session, person, moment)
    owner = belongings.owner_of(person)
    for table in personal.TABLES:
        if table.fate is Fate.GONE and table.of and table.name != "rating":
            session.execute(
                belongings.rows_of(table).delete().where(belongings.condition(table, owner))
            )
    ledger.forget(session, person.id)
    session.exec(
        update(Comment)
        .where(col(Comment.author_id) == person.id)
        .values(
            body="",
            removed_at=func.coalesce(col(Comment.removed_at), moment),
            removed_by=None,
            hidden_at=None,
        )
    )
    session.exec(
        update(Report)
        .where(col(Report.reporter_id) == person.id)
        .values(reporter_id=None, words="")
    )
    decisions = personal.table("decision")
    session.execute(
        belongings.rows_of(decisions)
        .update()
        .where(belongings.condition(decisions, owner))
        .values(words="", undone_words="")
    )
    session.exec(
        update(FeedToken)
        .where(col(FeedToken.person_id) == person.id)
        .values(
            revoked_at=func.coalesce(col(FeedToken.revoked_at), moment),
            label="",
            used_by="",
            used_at=None,
        )
    )
    session.exec(
        update(PersonalLink).where(col(PersonalLink.made_by) == person.id).values(made_by=None)
    )


def _note_objects(session: Session, person: Person, moment: datetime) -> None:
    """Have archives and unfinished uploads removed from the store."""
    archives = session.exec(select(Export.ref).where(Export.person_id == person.id))
    clearing.remove_later(session, [f"exports/{ref}/" for ref in archives], moment + SOON)
    uploads = session.exec(
        select(Upload.key).where(Upload.owner_id == person.id, Upload.state == "open")
    )
    clearing.remove_later(session, uploads, moment + SOON)


def _blank(person: Person) -> None:
    moment = person.erased_at or now()
    person.email = f"erased-{person.ref}@invalid"
    person.name, person.role, person.theme = NAME, "learner", "system"
    person.department, person.about = None, ""
    person.password_hash = person.totp = person.totp_at = None
    person.totp_last, person.emergency = 0, False
    person.signed_in_at = person.vouched_at = None
    person.created_at = person.disabled_at = person.erased_at = moment
