"""Communities: those that somebody may know of, founding one, changing it.

Who belongs is the business of `memberships`.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import func
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, delete, select

from service import access, notices
from service.access import Asker
from service.publishing import (
    NotThereError,
    PublishingError,
    free_slug,
    lock_names,
    many_lines,
    one_line,
    slug_of,
)
from storage import audit
from storage.models import JOINING, Community, JoinRequest, Membership, Person

NAME_MOST = 120
PURPOSE_MOST = 500
MEMBER_ROLES = ("member", "steward")


@dataclass(frozen=True)
class Place:
    """A community as one person sees it.

    `standing` is that person's: member, steward, asked (waiting for an answer), or empty.
    `waiting` counts those who wait for an answer, for those who may give one; 0 for others.
    """

    id: int
    slug: str
    name: str
    purpose: str
    joining: str
    members: int
    standing: str
    by_group: bool
    may_steward: bool
    waiting: int

    @property
    def belongs(self) -> bool:
        """Whether this person is one of its members."""
        return self.standing in MEMBER_ROLES


# What there is


def _places_query(asker: Asker) -> Any:
    belonging = (
        sql_select(func.count())
        .select_from(Membership)
        .where(col(Membership.community_id) == col(Community.id))
        .correlate(Community)
    )
    waiting = (
        sql_select(func.count())
        .select_from(JoinRequest)
        .where(col(JoinRequest.community_id) == col(Community.id))
        .correlate(Community)
    )
    own = (col(Membership.community_id) == col(Community.id)) & (
        col(Membership.person_id) == asker.id
    )
    asked = (col(JoinRequest.community_id) == col(Community.id)) & (
        col(JoinRequest.person_id) == asker.id
    )
    return (
        sql_select(
            Community,
            Membership,
            JoinRequest,
            belonging.scalar_subquery(),
            waiting.scalar_subquery(),
        )
        .outerjoin(Membership, own)
        .outerjoin(JoinRequest, asked)
        .where(access.communities_listed(asker))
    )


def _place(asker: Asker, row: Any) -> Place:
    community, membership, wish, members, waiting = row
    stewards = access.may_steward(asker, community.id)
    standing = membership.role if membership else "asked" if wish else ""
    return Place(
        id=community.id,
        slug=community.slug,
        name=community.name,
        purpose=community.purpose,
        joining=community.joining,
        members=members,
        standing=standing,
        by_group=bool(membership and membership.by_group),
        may_steward=stewards,
        waiting=waiting if stewards else 0,
    )


def places(session: Session, asker: Asker, limit: int = 500) -> list[Place]:
    """Return the communities that this person may know of: their own first, then by name."""
    query = _places_query(asker).order_by(
        col(Membership.person_id).is_(None), func.lower(col(Community.name)), col(Community.id)
    )
    return [_place(asker, row) for row in session.execute(query.limit(limit))]


def place(session: Session, asker: Asker, slug: str) -> Place:
    """Return one community as this person sees it.

    Raises:
        NotThereError: there is none, or it is not for this person to know of.
    """
    row = session.execute(_places_query(asker).where(col(Community.slug) == slug)).first()
    if row is None:
        raise NotThereError
    return _place(asker, row)


# Founding and changing


def found(
    session: Session,
    asker: Asker,
    *,
    name: str,
    purpose: str = "",
    joining: str = "open",
    steward: Person | None = None,
    network: str = "",
) -> Community:
    """Make a community; its first steward is the one named, or else its founder.

    Raises:
        NotThereError: this person may not found one.
        PublishingError: a sentence for each of name, purpose, joining that cannot be.
    """
    if not access.may_found_communities(asker):
        raise NotThereError
    told = _cleaned(name, purpose, joining)
    slug = free_slug(session, Community, slug_of(told["name"], "community"))
    _check_name_is_free(session, asker, told["name"])
    community = Community(
        slug=slug, name=told["name"], purpose=told["purpose"], joining=told["joining"]
    )
    session.add(community)
    session.flush()
    keeper = steward.id if steward is not None else asker.id
    session.add(Membership(community_id=community.id, person_id=keeper, role="steward"))
    session.flush()
    audit.record(
        session,
        "community-founded",
        actor=asker.ref,
        subject_kind="community",
        subject=slug,
        network=network,
        joining=joining,
    )
    if keeper != asker.id:
        tell_steward(session, community, keeper)
    return community


def edit(
    session: Session,
    asker: Asker,
    slug: str,
    *,
    name: str,
    purpose: str = "",
    joining: str = "",
    network: str = "",
) -> Community:
    """Change what a community is called, what it is for and how one joins; its address stays.

    An empty `joining` leaves it as it is. Only who may found communities changes whether people
    come by the groups of a sign-in provider: everything that stands in it depends on that.

    Raises:
        NotThereError: no such community that this person looks after.
        PublishingError: a sentence for each field that cannot be.
    """
    community = looked_after(session, asker, slug)
    told = _cleaned(name, purpose, joining or community.joining)
    guarded = "group" in {told["joining"], community.joining}
    changes = told["joining"] != community.joining
    if guarded and changes and not access.may_found_communities(asker):
        raise PublishingError({"joining": "Only an admin can change this: please ask one."})
    changed = [field for field, value in told.items() if getattr(community, field) != value]
    if "name" in changed:
        lock_names(session)
        _check_name_is_free(session, asker, told["name"], but=community.id)
    for field in changed:
        setattr(community, field, told[field])
    if changed:
        audit.record(
            session,
            "community-changed",
            actor=asker.ref,
            subject_kind="community",
            subject=community.slug,
            network=network,
            changed=changed,
            joining=community.joining,
        )
    if community.joining != "request":
        session.exec(delete(JoinRequest).where(col(JoinRequest.community_id) == community.id))
    session.flush()
    return community


def _check_name_is_free(session: Session, asker: Asker, name: str, but: int = 0) -> None:
    """Check that no other community that this person may know of is called so.

    One that they may not know of is passed over: refusing its name would tell of it.

    Raises:
        PublishingError: there is one, in capitals or not.
    """
    taken = select(Community.id).where(
        func.lower(col(Community.name)) == func.lower(name),
        col(Community.id) != but,
        access.communities_listed(asker),
    )
    if session.exec(taken).first() is not None:
        raise PublishingError({"name": "There is a community of this name already."})


def _cleaned(name: str, purpose: str, joining: str) -> dict[str, str]:
    errors: dict[str, str] = {}
    called, aim = one_line(name), many_lines(purpose)
    if not called:
        errors["name"] = "A community needs a name."
    elif len(called) > NAME_MOST:
        errors["name"] = f"The name has {len(called)} characters; {NAME_MOST} is the most."
    if len(aim) > PURPOSE_MOST:
        errors["purpose"] = f"The purpose has {len(aim)} characters; {PURPOSE_MOST} is the most."
    if joining not in JOINING:
        errors["joining"] = "Choose how people join."
    if errors:
        raise PublishingError(errors)
    return {"name": called, "purpose": aim, "joining": joining}


def locked(session: Session, asker: Asker, slug: str) -> Community:
    """Return a community that this person may know of; others who change it wait.

    Raises:
        NotThereError: there is none.
    """
    community = session.exec(
        select(Community)
        .where(Community.slug == slug, access.communities_listed(asker))
        .with_for_update(key_share=True)
    ).first()
    if community is None:
        raise NotThereError
    return community


def looked_after(session: Session, asker: Asker, slug: str) -> Community:
    """Return a community that this person looks after; others who change it wait.

    Raises:
        NotThereError: there is none.
    """
    community = locked(session, asker, slug)
    if not access.may_steward(asker, community.id):
        raise NotThereError
    return community


def tell_steward(session: Session, community: Community, person_id: int) -> None:
    """Tell somebody that they look after a community now."""
    told = f"You look after {community.name} now, as one of its stewards."
    notices.tell(session, person_id, "membership", told, f"/communities/{community.slug}/members")
