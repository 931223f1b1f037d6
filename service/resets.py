"""A new password for somebody who forgot theirs: by a link that works once, for half an hour.

Whoever asks is told the same, in the same time, whether there is such an account or not. An admin
may start a reset, but only the person themself ever chooses the password.
"""

import hashlib
from datetime import timedelta

from sqlmodel import Session

from service import letters, limits, personal_links
from service.access import Asker
from service.identity import people
from service.limits import Limit
from service.publishing import NotNowError
from storage import audit
from storage.models import Person, PersonalLink
from storage.settings import Settings

LIFE = timedelta(minutes=30)
# A whole firm may share one network; this slows whoever tries a list of addresses.
FROM_ONE_NETWORK = Limit("reset-network", 100, 3600)


def possible_for(settings: Settings, person: Person | None) -> bool:
    """Whether somebody has a password of this house that a letter may help them to renew."""
    return (
        settings.local_sign_in
        and person is not None
        and person.disabled_at is None
        and person.password_hash is not None
    )


def ask(session: Session, settings: Settings, email: str, *, network: str = "") -> None:
    """Send a link to this address if it is somebody's; for others do the same and undo it.

    Raises:
        PersonError: it is no e-mail address.
        TooFastError: asked too often for this address, or from this network.
    """
    address = people.normal_email(email)
    # The bucket's name outlives the request, so it holds no address that nobody here has.
    limits.spend(session, limits.RESETS, hashlib.sha256(address.encode()).hexdigest())
    limits.spend(session, FROM_ONE_NETWORK, network)
    person = people.by_email(session, address)
    known = possible_for(settings, person)
    attempt = session.begin_nested()
    link = personal_links.make(
        session,
        settings,
        "reset",
        email=address,
        life=LIFE,
        person_id=person.id if person and known else None,
    )
    letters.reset(session, settings, link, name=person.name if person and known else "")
    _note(session, "reset-asked", str(person.ref) if person else "", network=network)
    session.flush()
    if known:
        attempt.commit()
    else:
        attempt.rollback()


def start(
    session: Session, settings: Settings, person: Person, by: Asker, *, network: str = ""
) -> str:
    """Start a reset for somebody; return the link to hand over, or "" when it goes by letter.

    The caller shows the link once and keeps it nowhere.

    Raises:
        NotNowError: this account has no password of this house, or is closed.
        TooFastError: started too often for this person.
    """
    if not possible_for(settings, person):
        raise NotNowError("This account has no password of this house that could be renewed.")
    limits.spend(session, limits.RESETS, f"by-admin:{person.ref}")
    link = personal_links.make(
        session,
        settings,
        "reset",
        email=person.email,
        life=LIFE,
        person_id=person.id,
        made_by=by.id,
    )
    _note(session, "reset-started", str(person.ref), actor=by.ref, network=network)
    posted = letters.reset(session, settings, link, name=person.name)
    return "" if posted else link.address


def find(session: Session, settings: Settings, secret: str) -> tuple[PersonalLink, Person] | None:
    """Return a living link and whose it is, or None."""
    link = personal_links.alive(session, "reset", secret)
    person = session.get(Person, link.person_id) if link and link.person_id else None
    if link is None or person is None or not possible_for(settings, person):
        return None
    return link, person


def finish(
    session: Session, settings: Settings, secret: str, stored: str, *, network: str = ""
) -> Person | None:
    """Give somebody the password whose hash is `stored`; None when the link is dead by now.

    All their sessions end. Feeds and access tokens go on: they are secrets of their own.
    """
    found = find(session, settings, secret)
    if found is None or not personal_links.claim(session, found[0]):
        return None
    person = found[1]
    people.change_password(session, person, stored, network=network)
    changed(session, settings, person)
    return person


def changed(session: Session, settings: Settings, person: Person) -> None:
    """Write to somebody whose password was just changed; a link for another one is dead now."""
    personal_links.end_older(session, "reset", person.email)
    letters.password_changed(session, settings, person)


def _note(session: Session, act: str, subject: str, *, actor: str = "", network: str = "") -> None:
    audit.record(
        session,
        act,
        actor=actor,
        subject_kind="person",
        subject=subject,
        network=network,
    )
