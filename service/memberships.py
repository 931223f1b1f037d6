"""Who belongs to a community: joining, asking, answering, leaving, and what stewards do.

Whoever changes who belongs locks the community's row first, so that two stewards who leave at once
do not both believe that the other stays. Nothing about belonging is cached anywhere: it holds with
the next request. What a sign-in provider's group has granted is taken away by that group alone.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func, tuple_
from sqlalchemy import select as sql_select
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Session, col, delete, select

from service import limits, notices
from service.access import Asker
from service.communities import MEMBER_ROLES, Place, locked, looked_after, place, tell_steward
from service.identity import people
from service.publishing import NotNowError, NotThereError, PublishingError, one_line
from storage import audit
from storage.models import Community, JoinRequest, Membership, Person

WORDS_MOST = 300
PAGE = 50
LAST_STEWARD = "You are the last steward of {name}. Name another steward first."
ONLY_STEWARD = "{who} is the last steward of {name}. Name another steward first."
BY_GROUP = "This membership comes from your sign-in provider and can only be changed there."


@dataclass(frozen=True)
class Member:
    """Somebody who belongs to a community.

    `last` says that no other steward could act without them, so they cannot leave or be a member.
    """

    ref: str
    name: str
    department: str | None
    role: str
    by_group: bool
    since: datetime
    last: bool = False


@dataclass(frozen=True)
class Members:
    """One page of a community's members by name; `after` begins the next, None at the end."""

    rows: list[Member]
    after: str | None = None


@dataclass(frozen=True)
class Wish:
    """Somebody's wish to join, with their words."""

    ref: str
    name: str
    department: str | None
    words: str
    since: datetime


# Who belongs


def _members_query(community_id: int) -> Any:
    return (
        sql_select(Person, Membership)
        .join(Membership, col(Membership.person_id) == col(Person.id))
        .where(col(Membership.community_id) == community_id)
        .order_by(func.lower(col(Person.name)), col(Person.id))
    )


def _member(person: Person, membership: Membership, *, last: bool = False) -> Member:
    return Member(
        ref=str(person.ref),
        name=person.name,
        department=person.department,
        role=membership.role,
        by_group=membership.by_group,
        since=membership.since,
        last=last,
    )


def stewards(session: Session, community_id: int) -> list[Member]:
    """Return who looks after a community, by name."""
    query = _members_query(community_id).where(col(Membership.role) == "steward")
    active = set(_active_stewards(session, community_id))
    return [
        _member(person, membership, last=active <= {person.id})
        for person, membership in session.execute(query.limit(100))
    ]


def members(session: Session, community_id: int, after: str | None = None) -> Members:
    """Return one page of those who belong and are not stewards, by name.

    A cursor that names nobody begins at the start.
    """
    query = _members_query(community_id).where(col(Membership.role) == "member")
    last = people.by_ref(session, after) if after else None
    if last is not None:
        query = query.where(
            tuple_(func.lower(col(Person.name)), col(Person.id))
            > tuple_(func.lower(last.name), last.id)
        )
    rows = [_member(*row) for row in session.execute(query.limit(PAGE + 1))]
    return Members(rows[:PAGE], rows[PAGE - 1].ref if len(rows) > PAGE else None)


def wishes(session: Session, community_id: int) -> list[Wish]:
    """Return who waits for an answer, the longest first; a hundred at most."""
    rows = session.execute(
        sql_select(Person, JoinRequest)
        .join(JoinRequest, col(JoinRequest.person_id) == col(Person.id))
        .where(col(JoinRequest.community_id) == community_id)
        .order_by(col(JoinRequest.created_at), col(Person.id))
        .limit(100)
    )
    return [
        Wish(str(person.ref), person.name, person.department, wish.words, wish.created_at)
        for person, wish in rows
    ]


# Joining and leaving


def join(session: Session, asker: Asker, slug: str, *, words: str = "", network: str = "") -> Place:
    """Join an open community at once, or ask its stewards where that is wanted.

    Who belongs or has asked already stays as they are; `words` go to the stewards.

    Raises:
        NotThereError: there is no such community for this person.
        NotNowError: people come into it by their sign-in provider alone.
        PublishingError: the words are too long.
        TooFastError: see `limits.JOINING`.
    """
    community = locked(session, asker, slug)
    if session.get(Membership, (community.id, asker.id)) is None:
        if community.joining == "group":
            raise NotNowError("People come into this community by their sign-in provider.")
        limits.spend(session, limits.JOINING, asker.id)
        if community.joining == "open":
            _let_in(session, community, asker.id)
            _record(
                session, "joined", community, actor=asker.ref, subject=asker.ref, network=network
            )
        else:
            _ask(session, asker, community, words)
    return place(session, asker, slug)


def _ask(session: Session, asker: Asker, community: Community, words: str) -> None:
    said = one_line(words)
    if len(said) > WORDS_MOST:
        raise PublishingError(
            {"words": f"This has {len(said)} characters; {WORDS_MOST} is the most."}
        )
    values = {"community_id": community.id, "person_id": asker.id, "words": said}
    fresh = session.execute(
        insert(JoinRequest)
        .values(**values)
        .on_conflict_do_nothing()
        .returning(col(JoinRequest.person_id))
    ).first()
    if fresh is None:
        return
    path = f"/communities/{community.slug}/members"
    for keeper in _active_stewards(session, community.id):
        told = f"{asker.name} would like to join {community.name}."
        notices.tell(session, keeper, "join-request", told, path)


def take_back(session: Session, asker: Asker, slug: str) -> None:
    """Take one's wish to join back; nothing happens when there is none.

    Raises:
        NotThereError: there is no such community for this person.
    """
    community = locked(session, asker, slug)
    _forget_wish(session, community.id, asker.id)


def leave(session: Session, asker: Asker, slug: str, *, network: str = "") -> None:
    """Leave a community, or take back one's wish to join; nothing happens where neither is.

    Raises:
        NotThereError: there is no such community for this person.
        NotNowError: the last steward has to name another first; a provider's group grants this.
    """
    community = locked(session, asker, slug)
    _forget_wish(session, community.id, asker.id)
    membership = session.get(Membership, (community.id, asker.id), populate_existing=True)
    if membership is None:
        return
    if membership.by_group:
        raise NotNowError(BY_GROUP)
    if _is_last_steward(session, membership):
        raise NotNowError(LAST_STEWARD.format(name=community.name))
    session.delete(membership)
    session.flush()
    _record(session, "left", community, actor=asker.ref, subject=asker.ref, network=network)


# What stewards do


def answer(
    session: Session, asker: Asker, slug: str, ref: str, *, accept: bool, network: str = ""
) -> str:
    """Let somebody in who has asked, or decline; they are told. Return their name.

    Raises:
        NotThereError: no such community that this person looks after, no such person.
        NotNowError: somebody has answered before, or the wish was taken back.
    """
    community = looked_after(session, asker, slug)
    person = people.by_ref(session, ref)
    if person is None:
        raise NotThereError
    if not _forget_wish(session, community.id, person.id):
        raise NotNowError("This was answered already, or taken back.")
    if accept:
        _welcome(session, asker, community, person, network=network)
    else:
        told = f"Your wish to join {community.name} was declined. Its stewards can tell you why."
        notices.tell(session, person.id, "join-answer", told, f"/communities/{community.slug}")
        _record(
            session,
            "join-declined",
            community,
            actor=asker.ref,
            subject=str(person.ref),
            network=network,
        )
    return person.name


def add(
    session: Session,
    asker: Asker,
    slug: str,
    ref: str,
    *,
    role: str = "member",
    network: str = "",
) -> str:
    """Let somebody belong by a steward's hand, whatever the way of joining. Return their name.

    Who belongs already stays as they are.

    Raises:
        NotThereError: no such community that this person looks after, no such person.
        PublishingError: there is no such role.
    """
    community = looked_after(session, asker, slug)
    person = people.by_ref(session, ref)
    if person is None or person.disabled_at is not None or person.erased_at is not None:
        raise NotThereError
    _check_role(role)
    _forget_wish(session, community.id, person.id)
    if session.get(Membership, (community.id, person.id), populate_existing=True) is None:
        _welcome(session, asker, community, person, network=network, role=role)
    return person.name


def accept(
    session: Session,
    inviter: Asker,
    slug: str,
    person: Person,
    *,
    invitation: str,
    network: str = "",
) -> None:
    """Let somebody belong who accepts what a steward has invited them to: it is their own act.

    Who belongs already stays as they are.

    Raises:
        NotThereError: whoever invited no longer looks after it; the account is closed.
    """
    community = looked_after(session, inviter, slug)
    if person.disabled_at is not None or person.erased_at is not None:
        raise NotThereError
    if session.get(Membership, (community.id, person.id), populate_existing=True) is None:
        facts = {"actor": str(person.ref), "invitation": invitation}
        _welcome(session, inviter, community, person, network=network, **facts)


def change_role(
    session: Session, asker: Asker, slug: str, ref: str, role: str, *, network: str = ""
) -> str:
    """Make a member a steward, or a steward a member; they are told. Return their name.

    Raises:
        NotThereError: no such community that this person looks after, no such member.
        NotNowError: it is the last steward; a provider's group grants this membership.
        PublishingError: there is no such role.
    """
    community = looked_after(session, asker, slug)
    membership, person = _membership(session, community, ref)
    _check_role(role)
    if membership.role == role:
        return person.name
    _check_may_change(session, community, membership, person)
    membership.role = role
    session.flush()
    if role == "steward":
        tell_steward(session, community, person.id)
    else:
        told = f"You are a member of {community.name} now and no longer one of its stewards."
        notices.tell(session, person.id, "membership", told, f"/communities/{community.slug}")
    _record(
        session,
        "membership-changed",
        community,
        actor=asker.ref,
        subject=str(person.ref),
        network=network,
        role=role,
    )
    return person.name


def remove(session: Session, asker: Asker, slug: str, ref: str, *, network: str = "") -> str:
    """Take somebody out of a community; they are told. Return their name.

    Raises:
        NotThereError: no such community that this person looks after, no such member.
        NotNowError: it is the last steward; a provider's group grants this membership.
    """
    community = looked_after(session, asker, slug)
    membership, person = _membership(session, community, ref)
    _check_may_change(session, community, membership, person)
    session.delete(membership)
    session.flush()
    if person.id != asker.id:
        told = f"You no longer belong to {community.name}. Its stewards can tell you why."
        notices.tell(session, person.id, "membership", told, "/communities/")
    _record(
        session,
        "membership-ended",
        community,
        actor=asker.ref,
        subject=str(person.ref),
        network=network,
    )
    return person.name


# The rules that these share


def _membership(session: Session, community: Community, ref: str) -> tuple[Membership, Person]:
    person = people.by_ref(session, ref)
    found = (
        session.get(Membership, (community.id, person.id), populate_existing=True)
        if person
        else None
    )
    if person is None or found is None:
        raise NotThereError
    return found, person


def _check_role(role: str) -> None:
    if role not in MEMBER_ROLES:
        raise PublishingError({"role": "Somebody is a member or a steward."})


def _check_may_change(
    session: Session, community: Community, membership: Membership, person: Person
) -> None:
    if membership.by_group:
        raise NotNowError(f"{person.name} belongs to this community by their sign-in provider.")
    if _is_last_steward(session, membership):
        raise NotNowError(ONLY_STEWARD.format(who=person.name, name=community.name))


def _stewards_who_can(community_id: int) -> ColumnElement[bool]:
    """Return the condition of stewards of a community who can act: no closed accounts."""
    return (
        (col(Membership.community_id) == community_id)
        & (col(Membership.role) == "steward")
        & col(Person.disabled_at).is_(None)
        & col(Person.erased_at).is_(None)
    )


def _active_stewards(session: Session, community_id: int) -> list[int]:
    return list(
        session.exec(
            select(Membership.person_id)
            .join(Person, col(Person.id) == col(Membership.person_id))
            .where(_stewards_who_can(community_id))
            .limit(100)
        )
    )


def _is_last_steward(session: Session, membership: Membership) -> bool:
    if membership.role != "steward":
        return False
    return set(_active_stewards(session, membership.community_id)) <= {membership.person_id}


def _let_in(session: Session, community: Community, person_id: int, role: str = "member") -> None:
    _forget_wish(session, community.id, person_id)
    values = {"community_id": community.id, "person_id": person_id, "role": role}
    # A sign-in may have granted the same at this moment: what is there stays.
    session.execute(insert(Membership).values(**values, by_group=False).on_conflict_do_nothing())


def _welcome(
    session: Session,
    asker: Asker,
    community: Community,
    person: Person,
    *,
    network: str,
    role: str = "member",
    actor: str = "",
    **facts: str,
) -> None:
    _let_in(session, community, person.id, role)
    if role == "steward":
        tell_steward(session, community, person.id)
    elif person.id != asker.id:
        told = f"You belong to {community.name} now."
        notices.tell(session, person.id, "membership", told, f"/communities/{community.slug}")
    _record(
        session,
        "joined",
        community,
        actor=actor or asker.ref,
        subject=str(person.ref),
        network=network,
        role=role,
        **facts,
    )


def _forget_wish(session: Session, community_id: int, person_id: int) -> bool:
    gone = session.exec(
        delete(JoinRequest).where(
            col(JoinRequest.community_id) == community_id,
            col(JoinRequest.person_id) == person_id,
        )
    )
    return bool(gone.rowcount)


def _record(
    session: Session,
    act: str,
    community: Community,
    *,
    actor: str,
    subject: str,
    network: str,
    **facts: Any,
) -> None:
    audit.record(
        session,
        act,
        actor=actor,
        subject_kind="person",
        subject=subject,
        network=network,
        community=community.slug,
        **facts,
    )
