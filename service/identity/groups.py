"""What the groups of a sign-in provider grant, compared anew at each sign-in.

A provider names the groups somebody is in; the table of grants says what an exact name is worth
here. What an identity's groups gave is kept with it, so that the same is taken away when they no
longer give it, and nothing else: what was made by hand stays as it is, as does what another
identity of the same person gives. A claim that is missing or that nobody could have meant changes
nothing at all, and says so where admins look.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, select

from service.identity import people, sessions
from service.identity.people import LastAdminError
from storage import audit
from storage.models import ROLES, Community, GroupGrant, Identity, JoinRequest, Membership, Person
from storage.settings import OidcProvider, Settings

MOST = 1000
LONGEST = 255
MEMBER_AS = ("member", "steward")


class _By(Enum):
    """How somebody came by their role: by group, by hand, or because no other admin is left."""

    GROUP = auto()
    HAND = auto()
    NEED = auto()


@dataclass(frozen=True)
class Said:
    """The groups that a provider names, or None and why they are not to be gone by."""

    values: frozenset[str] | None
    trouble: str = ""


@dataclass(frozen=True)
class Granted:
    """What groups give: a role in the house, and communities (id → member or steward)."""

    role: str | None = None
    communities: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of_row(cls, kept: Mapping[str, Any]) -> "Granted":
        """Return what was kept with an identity."""
        communities = {int(key): value for key, value in kept.get("communities", {}).items()}
        return cls(kept.get("role"), communities)

    def as_row(self) -> dict[str, Any]:
        """Return what is kept with an identity."""
        return {
            "role": self.role,
            "communities": {str(key): value for key, value in self.communities.items()},
        }


def points_elsewhere(claims: Mapping[str, Any], claim: str) -> bool:
    """Whether a provider says that there are too many groups to name them here.

    Aggregated and distributed claims: OpenID Connect Core 1.0 section 5.6.2.
    """
    names = claims.get("_claim_names")
    pointed = isinstance(names, dict) and claim in names
    return pointed or str(claims.get("hasgroups")).lower() == "true"


def read(claims: Mapping[str, Any], claim: str) -> Said:
    """Return the groups that the claim of this name holds; one text counts as a list of one."""
    found = claims.get(claim)
    if isinstance(found, str):
        found = [found]
    if isinstance(found, list) and len(found) <= MOST:
        return Said(frozenset(v for v in found if isinstance(v, str) and 0 < len(v) <= LONGEST))
    if isinstance(found, list):
        why = f"named more than {MOST} groups"
    elif points_elsewhere(claims, claim):
        why = "sent a link in place of the groups, as some do when there are many"
    elif found is None:
        why = f"sent no claim {claim!r}"
    else:
        why = f"sent a claim {claim!r} that is no list"
    return Said(None, f"The provider {why}. Memberships and role stayed as they were."[:300])


def worth(values: frozenset[str], grants: Iterable[GroupGrant]) -> Granted:
    """Return what these groups give by the table: the highest role, and steward before member."""
    given = [grant for grant in grants if grant.value in values]
    roles = [grant.role for grant in given if grant.role is not None]
    return Granted(
        max(roles, key=ROLES.index, default=None),
        _highest(
            (grant.community_id, grant.member_as)
            for grant in given
            if grant.community_id is not None
        ),
    )


def together(given: Iterable[Granted]) -> Granted:
    """Return what several identities of one person give."""
    all_given = list(given)
    roles = [one.role for one in all_given if one.role is not None]
    return Granted(
        max(roles, key=ROLES.index, default=None),
        _highest(pair for one in all_given for pair in one.communities.items()),
    )


def _highest(pairs: Iterable[tuple[int, str]]) -> dict[int, str]:
    found: dict[int, str] = {}
    for community_id, member_as in pairs:
        if found.get(community_id) != "steward":
            found[community_id] = member_as
    return found


def role_after(current: str, before: str | None, after: str | None, at_first: str) -> str:
    """Return somebody's role, when groups gave `before` and now give `after`; None is nothing.

    A role that came by group goes with it, to what new people are `at_first`. A role given by hand
    stays, unless the groups give a higher one.
    """
    if before is not None and before == current:
        return after or at_first
    if after is not None and ROLES.index(after) > ROLES.index(current):
        return after
    return current


def apply(
    session: Session,
    settings: Settings,
    provider: OidcProvider,
    identity: Identity,
    said: Said,
) -> None:
    """Bring memberships and role of an identity's person in line with what its provider says.

    The identity's row is locked, so two sign-ins at once do it one after the other. All sessions of
    somebody whose role changes end.
    """
    session.flush()
    session.refresh(identity, with_for_update=True)
    grants = session.exec(select(GroupGrant).where(GroupGrant.provider == provider.name)).all()
    if grants and said.values is None:
        identity.trouble = said.trouble
        return
    identity.trouble = ""
    _give(session, settings, identity, worth(said.values or frozenset(), grants))


def withdraw(session: Session, settings: Settings, identity: Identity) -> None:
    """Take away what the groups of an identity gave, before it goes."""
    session.flush()
    session.refresh(identity, with_for_update=True)
    _give(session, settings, identity, Granted())


def _give(session: Session, settings: Settings, identity: Identity, now: Granted) -> None:
    person = session.get_one(Person, identity.person_id)
    others = [
        other
        for other in session.exec(select(Identity).where(Identity.person_id == person.id))
        if (other.issuer, other.subject) != (identity.issuer, identity.subject)
    ]
    # A provider that is no longer in the settings grants nothing; its word can never be taken back.
    known = {provider.issuer for provider in settings.oidc}
    gone = [other for other in others if other.issuer not in known]
    living = [Granted.of_row(other.granted) for other in others if other.issuer in known]
    before = together(Granted.of_row(one.granted) for one in (identity, *others))
    after = together([now, *living])
    role = _change_role(session, settings, identity, person, before=before.role, after=after.role)
    _change_memberships(session, identity, person, after)
    kept = now.role
    if role is not _By.GROUP:
        kept = None if role is _By.HAND else Granted.of_row(identity.granted).role
    identity.granted = Granted(kept, now.communities).as_row()
    for other in gone:
        held = Granted.of_row(other.granted).role if role is _By.NEED else None
        other.granted = Granted(held).as_row()
    session.flush()


def _change_role(
    session: Session,
    settings: Settings,
    identity: Identity,
    person: Person,
    *,
    before: str | None,
    after: str | None,
) -> _By:
    """Change a role as groups ask; return how this person came by the one they have now."""
    role = role_after(person.role, before, after, settings.new_people)
    by_group = before is not None and before == person.role
    if role == person.role:
        return _By.GROUP if by_group and after is not None else _By.HAND
    try:
        people.keep_an_admin(session, person)
    except LastAdminError:
        identity.trouble = "The groups no longer make this person an admin, but nobody else is one."
        return _By.NEED
    had, person.role = person.role, role
    sessions.end_all(session, person.id)
    _record(session, "role-changed", person, identity, before=had, role=role)
    return _By.GROUP


def _change_memberships(
    session: Session, identity: Identity, person: Person, after: Granted
) -> None:
    """Add and remove memberships; those made by hand are left alone."""
    slugs = dict(
        session.execute(
            select(Community.id, Community.slug).where(col(Community.id).in_(after.communities))
        ).all()
    )
    there = {
        kept.community_id: kept
        for kept in session.exec(select(Membership).where(Membership.person_id == person.id))
    }
    for community_id, slug in slugs.items():
        wanted, kept = after.communities[community_id], there.get(community_id)
        if kept is None:
            _add(session, person, community_id, wanted)
        elif kept.by_group and kept.role != wanted:
            kept.role = wanted
        else:
            continue
        _record(session, "group-added", person, identity, community=slug, role=wanted)
    gone = [key for key, kept in there.items() if kept.by_group and key not in slugs]
    for community in session.exec(select(Community).where(col(Community.id).in_(gone))).all():
        session.delete(there[community.id])
        _record(session, "group-removed", person, identity, community=community.slug)


def _add(session: Session, person: Person, community_id: int, role: str) -> None:
    told = {"community_id": community_id, "person_id": person.id, "role": role}
    # A steward may let them in by hand at this very moment: then that stands.
    session.execute(insert(Membership).values(**told, by_group=True).on_conflict_do_nothing())
    session.exec(
        delete(JoinRequest).where(
            col(JoinRequest.community_id) == community_id,
            col(JoinRequest.person_id) == person.id,
        )
    )


def _record(session: Session, act: str, person: Person, identity: Identity, **facts: str) -> None:
    audit.record(
        session,
        act,
        actor=str(person.ref),
        subject_kind="person",
        subject=str(person.ref),
        by="groups",
        provider=identity.provider,
        **facts,
    )
