"""Invitations: how somebody who has no account yet comes in.

An admin, or a steward for their community, names addresses; each gets a letter with a link that
works once, for a week. Where no letters can be sent the link is shown to whoever invites, once, to
hand it over. Who has an account already simply belongs to the community from then on, and learns so
by a notice: from then on the list of members names them, and that of open invitations does not. An
admin who invites into no community is told who is here already, since there is nothing to accept.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import aliased
from sqlmodel import Session, col, exists, select, update

from service import access, communities, letters, limits, memberships, notices, personal_links
from service.access import Asker
from service.identity import askers, people
from service.identity.people import PersonError
from service.publishing import NotNowError, NotThereError, PublishingError
from storage import audit
from storage.models import ROLES, Community, Membership, Person, PersonalLink, now
from storage.settings import Settings

LIFE = timedelta(days=7)
MOST = 50
BETWEEN = re.compile(r"[\r\n,;]+")
TAKEN = "Somebody has just come in with this address. Please sign in."
OTHERS = (
    "This invitation was sent to another address than that of your account."
    " Please ask whoever invited you to invite that one."
)


@dataclass(frozen=True)
class Invited:
    """One address that was invited; `link` is to be handed over, "" when it went by letter.

    `known` says that nothing was done: an admin invited into no community who has an account.
    """

    address: str
    link: str
    known: bool = False


@dataclass(frozen=True)
class Opened:
    """An invitation that can still be accepted, as its page shows it.

    `community` is where it leads, if anywhere; `known` whose the address is by now.
    """

    link: PersonalLink
    inviter: Person
    community: Community | None
    known: Person | None

    def is_for(self, person: Person | Asker) -> bool:
        """Whether it was sent to this person's own address."""
        return self.known is not None and self.known.id == person.id


@dataclass(frozen=True)
class Waiting:
    """An open invitation in a list; `key` names it to take it back, and opens nothing."""

    key: str
    address: str
    role: str
    community: str
    inviter: str
    created_at: datetime
    expires_at: datetime


# Inviting


def addresses_of(text: str) -> list[str]:
    """Return the addresses in a text, one a line or between commas, each once, in lower case.

    Raises:
        PublishingError: none, too many, or some that are no addresses, which are named.
    """
    typed = [entry.strip() for entry in BETWEEN.split(text) if entry.strip()]
    found: dict[str, None] = {}
    strange: list[str] = []
    for entry in typed[: MOST + 1]:
        try:
            found[people.normal_email(entry)] = None
        except PersonError:
            strange.append(f"“{entry[:60]}”")
    if not typed:
        words = "Name at least one e-mail address."
    elif len(typed) > MOST:
        words = f"These are {len(typed)} addresses; {MOST} at once is the most."
    elif strange:
        words = f"No e-mail address: {', '.join(strange[:5])}."
    else:
        return list(found)
    raise PublishingError({"addresses": words})


def invite(
    session: Session,
    settings: Settings,
    asker: Asker,
    addresses: str,
    *,
    community: str = "",
    role: str = "",
    network: str = "",
) -> list[Invited]:
    """Invite everybody at these addresses, into the community with this slug if one is named.

    An empty `role` is what new people are by the settings. Who has an account keeps their role.

    Raises:
        NotThereError: this asker may not invite there, or to this role.
        PublishingError: addresses or a role that cannot be.
        TooFastError: see `limits.INVITATIONS`.
    """
    # One order for all: the community, then the addresses by the alphabet. So two who invite the
    # same people at once do not wait for each other.
    place = communities.locked(session, asker, community) if community else None
    wanted = role or settings.new_people
    if wanted not in ROLES:
        raise PublishingError({"role": "Choose what they will be."})
    if not access.may_invite(asker, place.id if place else None, wanted):
        raise NotThereError
    invited = []
    for address in sorted(addresses_of(addresses)):
        limits.spend(session, limits.INVITATIONS, asker.id)
        known = people.by_email(session, address)
        if known is not None and place is None:
            invited.append(Invited(address, "", known=True))
            continue
        link = personal_links.make(
            session,
            settings,
            "invitation",
            email=address,
            life=LIFE,
            role=wanted,
            community_id=place.id if place else None,
            made_by=asker.id,
        )
        audit.record(
            session,
            "invited",
            actor=asker.ref,
            subject_kind="invitation",
            subject=link.row.key,
            network=network,
            role=wanted,
            community=place.slug if place else "",
        )
        if known is None:
            letters.invitation(
                session,
                settings,
                link,
                inviter=asker.name,
                community=place.name if place else "",
            )
        elif place is not None:
            _let_in(session, settings, asker, place, known, network=network)
        invited.append(Invited(address, "" if letters.possible(settings) else link.address))
    return invited


def _let_in(
    session: Session,
    settings: Settings,
    inviter: Asker,
    place: Community,
    person: Person,
    *,
    network: str,
) -> None:
    """Let somebody with an account belong, and write to them; a closed account stays as it is."""
    if person.disabled_at is not None:
        return
    memberships.add(session, inviter, place.slug, str(person.ref), network=network)
    path = f"/communities/{place.slug}"
    letters.membership(
        session, settings, person, inviter=inviter.name, community=place.name, path=path
    )


# What is open


def waiting(session: Session, *, community_id: int | None = None) -> list[Waiting]:
    """Return the open invitations, newest first, five hundred at most; or one community's alone.

    Those that somebody's account has answered are left out: see `_unanswered`.
    """
    query = (
        select(PersonalLink, Person, Community)
        .join(Person, col(Person.id) == col(PersonalLink.made_by), isouter=True)
        .join(Community, col(Community.id) == col(PersonalLink.community_id), isouter=True)
        .where(*_open(), _unanswered())
        .order_by(col(PersonalLink.created_at).desc(), col(PersonalLink.key))
        .limit(500)
    )
    if community_id is not None:
        query = query.where(col(PersonalLink.community_id) == community_id)
    return [
        Waiting(
            key=link.key,
            address=link.email,
            role=link.role,
            community=community.name if community else "",
            inviter=person.name if person else "",
            created_at=link.created_at,
            expires_at=link.expires_at,
        )
        for link, person, community in session.exec(query)
    ]


def take_back(session: Session, asker: Asker, key: str, *, network: str = "") -> None:
    """Take an invitation back, so that its link opens nothing; a letter not sent yet stays here.

    Raises:
        NotThereError: there is no open invitation of this key that this asker could have made.
    """
    link = session.exec(select(PersonalLink).where(PersonalLink.key == key, *_open())).first()
    if link is None or not access.may_invite(asker, link.community_id, link.role):
        raise NotThereError
    session.exec(update(PersonalLink).where(col(PersonalLink.key) == key).values(expires_at=now()))
    audit.record(
        session,
        "invitation-taken-back",
        actor=asker.ref,
        subject_kind="invitation",
        subject=key,
        network=network,
    )


def _open() -> tuple[ColumnElement[bool], ...]:
    return (
        col(PersonalLink.kind) == "invitation",
        col(PersonalLink.used_at).is_(None),
        col(PersonalLink.expires_at) > now(),
    )


def _unanswered() -> ColumnElement[bool]:
    """Return the condition of invitations that can still bring somebody in.

    Not where whoever has the address belongs to the community, or to the house where it names none.
    A closed account that does not belong looks like none.
    """
    # Aliased, since lists name the inviter, a person too.
    invited = aliased(Person)
    theirs = col(invited.email) == col(PersonalLink.email)
    here = exists().where(theirs)
    belongs = exists().where(
        theirs,
        col(Membership.person_id) == col(invited.id),
        col(Membership.community_id) == col(PersonalLink.community_id),
    )
    return ~belongs & ~(col(PersonalLink.community_id).is_(None) & here)


# Accepting


def find(session: Session, secret: str) -> Opened | None:
    """Return what a link invites to, or None: it is dead, or its maker may no longer invite."""
    link = personal_links.alive(session, "invitation", secret)
    inviter = session.get(Person, link.made_by) if link and link.made_by else None
    if link is None or inviter is None or inviter.disabled_at is not None:
        return None
    if not access.may_invite(askers.as_asker(session, inviter), link.community_id, link.role):
        return None
    place = session.get(Community, link.community_id) if link.community_id else None
    return Opened(link, inviter, place, people.by_email(session, link.email))


def first_password(settings: Settings, opened: Opened, *, name: str, password: str) -> str:
    """Return the hash of the password that somebody who was invited chooses.

    No connection need be held meanwhile.

    Raises:
        NotNowError: passwords are switched off here.
        PersonError: a name or password that cannot be.
        TooBusyError: no turn to hash it within two seconds.
    """
    if not settings.local_sign_in:
        raise NotNowError("Accounts here come from a sign-in provider. Please sign in with it.")
    return people.first_password(
        email=opened.link.email,
        name=name,
        password=password,
        organisation=settings.organisation,
    )


def accept_anew(
    session: Session, secret: str, *, name: str, stored: str, network: str = ""
) -> Person:
    """Make the account of somebody who was invited, and let them into the community.

    `stored` is the hash of their password; see `first_password`.

    Raises:
        NotThereError: the link is dead by now; of two at once one finds it so.
        NotNowError: the address has an account by now.
        PersonError: a name that cannot be; the link still works.
    """
    opened = _claimed(session, secret)
    if opened.known is not None:
        raise NotNowError(TAKEN)
    try:
        person = people.add(
            session,
            email=opened.link.email,
            name=name,
            stored=stored,
            role=opened.link.role,
        )
    except IntegrityError as error:
        raise NotNowError(TAKEN) from error
    audit.record(
        session,
        "account-made",
        actor=str(person.ref),
        subject_kind="person",
        subject=str(person.ref),
        network=network,
        role=person.role,
        invitation=opened.link.key,
    )
    _welcome(session, opened, person, network=network)
    return person


def accept_as(session: Session, secret: str, person: Person, *, network: str = "") -> None:
    """Let somebody with an account into the community that a link invites to; their role stays.

    Only whom the link was sent to: what others come to know of it opens nothing to them.

    Raises:
        NotThereError: the link is dead by now.
        NotNowError: it was sent to another address; the account is closed. The link still works.
    """
    opened = _claimed(session, secret)
    if not opened.is_for(person):
        raise NotNowError(OTHERS)
    if person.disabled_at is not None:
        raise NotNowError("This account is closed. Please ask whoever looks after the service.")
    _welcome(session, opened, person, network=network)


def _claimed(session: Session, secret: str) -> Opened:
    opened = find(session, secret)
    if opened is not None and opened.community is not None:
        # The community before the link, as `invite` locks them.
        session.refresh(opened.community, with_for_update={"key_share": True})
    if opened is None or not personal_links.claim(session, opened.link):
        raise NotThereError
    return opened


def _welcome(session: Session, opened: Opened, person: Person, *, network: str) -> None:
    inviter, place = opened.inviter, opened.community
    if place is not None:
        by = askers.as_asker(session, inviter)
        key = opened.link.key
        memberships.accept(session, by, place.slug, person, invitation=key, network=network)
    # So that the row, which holds the address, goes when the person goes.
    opened.link.person_id = person.id
    words = f"{person.name} accepted your invitation."
    notices.tell(session, inviter.id, "invitation", words, f"/people/{person.ref}")
