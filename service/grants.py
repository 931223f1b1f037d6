"""What the groups of a sign-in provider grant here: memberships, and roles where that is said."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlmodel import Session, col

from service import access
from service.access import Asker
from service.publishing import NotThereError, PublishingError
from storage import audit
from storage.models import Community, GroupGrant, Identity, Person
from storage.settings import Settings

MOST = 500
VALUE_MOST = 255
MEMBER_AS = ("member", "steward")
# Everybody is a learner at least, so a group can only raise somebody.
ROLES = ("contributor", "moderator", "admin")


@dataclass(frozen=True)
class Grant:
    """One row of the table: who is in this group of this provider belongs there, or is that.

    `known` is False when the settings name no such provider any more.
    """

    id: int
    provider: str
    known: bool
    value: str
    community: str
    slug: str
    member_as: str
    role: str


@dataclass(frozen=True)
class Troubled:
    """Somebody whose last sign-in brought groups that could not be read, and why."""

    ref: str
    name: str
    provider: str
    trouble: str
    seen_at: datetime


def table(session: Session, settings: Settings) -> list[Grant]:
    """Return every grant, by provider and value; five hundred at most."""
    rows = session.execute(
        select(GroupGrant, Community)
        .join(Community, col(Community.id) == col(GroupGrant.community_id), isouter=True)
        .order_by(col(GroupGrant.provider), col(GroupGrant.value), col(GroupGrant.id))
        .limit(MOST)
    )
    return [
        Grant(
            id=grant.id,
            provider=grant.provider,
            known=settings.provider(grant.provider) is not None,
            value=grant.value,
            community=community.name if community else "",
            slug=community.slug if community else "",
            member_as=grant.member_as,
            role=grant.role or "",
        )
        for grant, community in rows
    ]


def troubled(session: Session, limit: int = 50) -> list[Troubled]:
    """Return whose groups granted nothing at their last sign-in, the latest first."""
    rows = session.execute(
        select(Person, Identity)
        .join(Identity, col(Identity.person_id) == col(Person.id))
        .where(col(Identity.trouble) != "", col(Person.erased_at).is_(None))
        .order_by(col(Identity.seen_at).desc())
        .limit(limit)
    )
    return [
        Troubled(str(person.ref), person.name, found.provider, found.trouble, found.seen_at)
        for person, found in rows
    ]


def add(
    session: Session,
    settings: Settings,
    by: Asker,
    *,
    provider: str,
    value: str,
    community: str = "",
    member_as: str = "member",
    role: str = "",
    network: str = "",
) -> GroupGrant:
    """Let a group grant something from the next sign-in of its people on.

    `value` is compared exactly as the provider sends it; `community` is a slug.

    Raises:
        PublishingError: a sentence for each of provider, value, community, member_as, role that
            cannot be.
    """
    exact, place = value.strip(), None
    errors: dict[str, str] = {}
    if settings.provider(provider) is None:
        errors["provider"] = "Choose a provider that the settings name."
    if not exact or len(exact) > VALUE_MOST or not exact.isprintable():
        errors["value"] = f"Give the group's value, {VALUE_MOST} characters at most."
    if community:
        place = session.execute(
            select(Community).where(col(Community.slug) == community, access.communities_listed(by))
        ).scalar_one_or_none()
        if place is None:
            errors["community"] = "Choose a community from the list."
    if member_as not in MEMBER_AS:
        errors["member_as"] = "Choose member or steward."
    if role and role not in ROLES:
        errors["role"] = "Choose a role from the list."
    if not community and not role:
        errors["community"] = "Choose a community, a role, or both: else nothing is granted."
    if errors:
        raise PublishingError(errors)
    grant = GroupGrant(
        provider=provider,
        value=exact,
        community_id=place.id if place else None,
        member_as=member_as,
        role=role or None,
    )
    if _is_there(session, grant):
        raise PublishingError({"value": "This group grants that already."})
    session.add(grant)
    session.flush()
    slug = place.slug if place else ""
    _note(session, "grant-made", by, grant, community=slug, network=network)
    return grant


def _is_there(session: Session, grant: GroupGrant) -> bool:
    same = select(func.count()).where(
        col(GroupGrant.provider) == grant.provider,
        col(GroupGrant.value) == grant.value,
        col(GroupGrant.community_id).is_not_distinct_from(grant.community_id),
        col(GroupGrant.member_as) == grant.member_as,
        col(GroupGrant.role).is_not_distinct_from(grant.role),
    )
    return bool(session.execute(same).scalar_one())


def remove(session: Session, by: Asker, grant_id: int, *, network: str = "") -> None:
    """Take a grant away; what it gave goes at the next sign-in of each person.

    Raises:
        NotThereError: there is no such row.
    """
    row = session.execute(
        select(GroupGrant, Community)
        .join(Community, col(Community.id) == col(GroupGrant.community_id), isouter=True)
        .where(col(GroupGrant.id) == grant_id)
        .with_for_update(of=GroupGrant)
    ).first()
    if row is None:
        raise NotThereError
    grant, place = row
    session.delete(grant)
    slug = place.slug if place else ""
    _note(session, "grant-removed", by, grant, community=slug, network=network)


def _note(
    session: Session, act: str, by: Asker, grant: GroupGrant, *, community: str, network: str
) -> None:
    audit.record(
        session,
        act,
        actor=by.ref,
        subject_kind="grant",
        subject=str(grant.id),
        network=network,
        provider=grant.provider,
        value=grant.value,
        community=community,
        member_as=grant.member_as if community else "",
        role=grant.role or "",
    )
