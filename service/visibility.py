"""Who may hear what: set for a show by its owner, narrowed for one talk by its author.

An episode carries copies of what its show says, so that no list has to look at shows. They are
changed here in the transaction that changes the show, by one statement; `publishing` copies them
when a talk is made or moved. Nothing widens: a talk is heard by those whom both its show and its
own narrowing let pass.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import literal
from sqlmodel import Session, and_, col, select, update

from service import access
from service.access import Asker
from service.publishing import NotThereError, PublishingError
from storage import audit
from storage.models import VISIBILITIES, Community, Episode, Show, now

# In a form: the communities named before that one does not belong to (any more), as they are.
KEPT = "-"
MOST = 20
HOME = (
    "Tick the community too where the show is at home, or choose another home:"
    " its stewards can open whatever stands there."
)


@dataclass(frozen=True)
class Choice:
    """Who a show is for: `audience` names communities by id, only with visibility communities."""

    visibility: str
    audience: list[int] | None


@dataclass(frozen=True)
class Option:
    """A community that somebody may name as an audience; `chosen` says that it is named now."""

    slug: str
    name: str
    chosen: bool


def options(session: Session, asker: Asker, audience: Sequence[int] | None) -> list[Option]:
    """Return the communities that somebody may choose: their own, by name.

    Those named now that they do not belong to stand last, together and without their names.
    """
    mine = session.exec(
        select(Community)
        .where(col(Community.id).in_(asker.communities))
        .order_by(col(Community.name), col(Community.id))
    ).all()
    named = set(audience or ())
    offered = [Option(one.slug, one.name, one.id in named) for one in mine]
    left = len(named - set(asker.communities))
    if left:
        words = "A community" if left == 1 else f"{left} communities"
        offered.append(Option(KEPT, f"{words} that you do not belong to", chosen=True))
    return offered


def _chosen(
    session: Session, asker: Asker, slugs: Sequence[str], before: Sequence[int] | None
) -> list[int]:
    """Return the ids of the communities that these slugs name, sorted.

    Raises:
        PublishingError: none, too many, or one that this person does not belong to.
    """
    wanted = {slug for slug in slugs if slug and slug != KEPT}
    if len(wanted) > MOST:
        raise PublishingError({"communities": f"{MOST} communities are the most."})
    found = set(
        session.exec(
            select(Community.id).where(
                col(Community.slug).in_(wanted), col(Community.id).in_(asker.communities)
            )
        )
    )
    if len(found) < len(wanted):
        raise PublishingError({"communities": "Choose communities that you belong to."})
    if KEPT in slugs:
        found |= set(before or ()) - set(asker.communities)
    if not found:
        raise PublishingError({"communities": "Choose at least one community."})
    return sorted(found)


def choose(
    session: Session,
    asker: Asker,
    visibility: str,
    communities: Sequence[str] = (),
    *,
    public_talks: bool,
    before: Choice | None = None,
) -> Choice:
    """Return what a form says about who may see a show; `before` is what holds until now.

    Raises:
        PublishingError: no such visibility, public where the house has no public talks, or
            communities that this person does not belong to.
    """
    if visibility not in VISIBILITIES:
        raise PublishingError({"visibility": "Choose who may see this show."})
    was_public = before is not None and before.visibility == "public"
    if visibility == "public" and not (public_talks or was_public):
        raise PublishingError({"visibility": "This house has no public talks."})
    if visibility != "communities":
        return Choice(visibility, None)
    named = before.audience if before is not None else None
    return Choice(visibility, _chosen(session, asker, communities, named))


def check_home(home: int | None, choice: Choice) -> None:
    """Check that the community where a show is at home is among those it is for.

    Its stewards moderate what stands there, so they open it, whoever it is for.

    Raises:
        PublishingError: the show is for other communities only.
    """
    if home is not None and choice.audience is not None and home not in choice.audience:
        raise PublishingError({"communities": HOME})


def of_show(show: Show) -> Choice:
    """Return who a show is for now."""
    return Choice(show.visibility, show.audience)


def hold(session: Session, show: Show) -> None:
    """Read a show as it is and keep it and its episodes from changing until the caller commits.

    The episodes first and then the show, in the order in which whoever moves a talk or erases its
    author locks them, so that no two wait for each other. A talk that comes in between sends us
    back to the start: what was locked since the savepoint is free again.
    """
    inside = select(Episode.id).where(Episode.show_id == show.id).order_by(col(Episode.id))
    while True:
        with session.begin_nested() as attempt:
            held = session.exec(inside.with_for_update(key_share=True)).all()
            session.refresh(show, with_for_update=True)
            if list(session.exec(inside)) == list(held):
                return
            attempt.rollback()


def set_show(
    session: Session, asker: Asker, show: Show, choice: Choice, *, network: str = ""
) -> bool:
    """Make this who a show is for, and its episodes with it. Return whether anything changed.

    Two at once come one after the other, and so does whoever makes or moves a talk into the show
    meanwhile.

    Raises:
        NotThereError: it is not this person's show.
        PublishingError: see `check_home`.
    """
    hold(session, show)
    if not access.may_edit_show(asker, show):
        raise NotThereError
    check_home(show.community_id, choice)
    before = of_show(show)
    if before == choice:
        return False
    moment = now()
    show.visibility, show.audience, show.changed_at = choice.visibility, choice.audience, moment
    session.flush()
    session.exec(
        update(Episode)
        .where(col(Episode.show_id) == show.id)
        .values(
            show_audience=choice.audience,
            public=and_(literal(choice.visibility == "public"), col(Episode.audience).is_(None)),
            changed_at=moment,
        )
    )
    _record(
        session,
        asker,
        network,
        subject_kind="show",
        subject=str(show.guid),
        before=before.visibility,
        after=choice.visibility,
        communities=choice.audience or [],
    )
    return True


def narrow(
    session: Session,
    asker: Asker,
    episode: Episode,
    communities: Sequence[str] | None,
    *,
    network: str = "",
) -> bool:
    """Let only members of these communities hear a talk, of those who may see its show.

    None lets everybody hear it who may see its show. Return whether anything changed.

    Raises:
        NotThereError: it is not this person's talk.
        PublishingError: none named, or one that this person does not belong to.
    """
    session.refresh(episode, with_for_update={"key_share": True})
    if not access.may_edit(asker, episode):
        raise NotThereError
    before = episode.audience
    audience = None
    if communities is not None:
        audience = _chosen(session, asker, communities, before)
    if audience == before:
        return False
    # Read after the episode is ours: what the show says now, or `set_show` comes after us.
    public = (
        session.exec(select(Show.visibility).where(Show.id == episode.show_id)).one() == "public"
    )
    episode.audience, episode.public = audience, public and audience is None
    episode.changed_at = now()
    session.flush()
    _record(
        session,
        asker,
        network,
        subject_kind="episode",
        subject=str(episode.guid),
        before=before,
        after=audience,
    )
    return True


def _record(session: Session, asker: Asker, network: str, **facts: Any) -> None:
    audit.record(session, "visibility-changed", actor=asker.ref, network=network, **facts)


# In words


def audience_in_words(
    session: Session, asker: Asker, show: Show, narrowed: Sequence[int] | None, organisation: str
) -> str:
    """Return who hears a talk of this show: "everyone in Acme", "the members of Out on site".

    Where it is narrowed to others than the community where the show is at home, that community's
    stewards are named too: they can open it.
    """
    names = _names(session, asker, {*_named(show), *(narrowed or ())})
    return _told(names, show, narrowed, organisation)


def audiences_in_words(
    session: Session, asker: Asker, shows: Sequence[Show], organisation: str
) -> dict[str, str]:
    """Return who hears a talk of each of these shows that is not narrowed, by the show's slug."""
    names = _names(session, asker, {one for show in shows for one in _named(show)})
    return {show.slug: _told(names, show, None, organisation) for show in shows}


def _named(show: Show) -> set[int]:
    home = {show.community_id} if show.community_id is not None else set()
    return {*home, *(show.audience or ())}


def _told(
    names: dict[int, str], show: Show, narrowed: Sequence[int] | None, organisation: str
) -> str:
    home = {show.community_id} if show.community_id is not None else set()
    words = _heard_by(names, show, narrowed, organisation)
    heard = [ids for ids in (show.audience, narrowed) if ids is not None]
    if all(home <= set(ids) for ids in heard):
        return words
    place = next((names[one] for one in home if one in names), "the community it is at home in")
    return f"{words}, and the stewards of {place}"


def _heard_by(
    names: dict[int, str], show: Show, narrowed: Sequence[int] | None, organisation: str
) -> str:
    wide = _either(names, show.audience)
    if narrowed is None:
        if show.visibility == "public":
            return "anybody, without signing in"
        return f"the members of {wide}" if show.audience is not None else everyone(organisation)
    few = _either(names, narrowed)
    if show.audience is None or set(narrowed) <= set(show.audience):
        return f"the members of {few}"
    return f"those who belong to {few} and also to {wide}"


def everyone(organisation: str) -> str:
    """Return the words for everybody with an account."""
    return f"everyone in {organisation}"


def _names(session: Session, asker: Asker, ids: set[int]) -> dict[int, str]:
    if not ids:
        return {}
    known = select(Community.id, Community.name).where(
        col(Community.id).in_(ids), access.communities_listed(asker)
    )
    return dict(session.exec(known).all())


def _either(names: dict[int, str], ids: Sequence[int] | None) -> str:
    """Return "A", "A or B", "A, B or C"; those not known by name are only counted."""
    told = sorted(names[one] for one in ids or () if one in names)
    unknown = len(ids or ()) - len(told)
    if unknown:
        told.append("a community" if unknown == 1 else f"one of {unknown} communities")
        told[-1] += " that you do not belong to"
    return " or ".join(filter(None, [", ".join(told[:-1]), told[-1] if told else ""]))
