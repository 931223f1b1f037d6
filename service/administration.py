"""What admins do to somebody's account: role, closing, signing out, ending addresses.

Nobody does it to their own account, so that no slip shuts its maker out; and every act is written
to the audit log with the change itself.
"""

from sqlmodel import Session, col, update

from service import directory
from service.access import Asker
from service.identity import people, sessions
from service.identity.people import PersonError
from service.publishing import NotNowError, PublishingError
from storage import audit
from storage.models import AccessToken, FeedToken, Person, now

ONESELF = "This is your own account. Another admin can do this."


def _other(session: Session, by: Asker, ref: str, *, admins: bool = False) -> Person:
    """Return somebody else, locked until the commit.

    With `admins` all admins are locked first, as whoever may lose one must: two admins who close
    each other's accounts then come one after the other.

    Raises:
        NotThereError: there is nobody of this ref.
        NotNowError: it is the admin themself, or the account was erased.
    """
    if ref == by.ref:
        raise NotNowError(ONESELF)
    if admins:
        people.hold_admins(session)
    person = directory.one(session, ref, lock=True)
    if person.erased_at is not None:
        raise NotNowError("This account was erased; there is nothing left to change.")
    return person


def change_role(session: Session, by: Asker, ref: str, role: str, *, network: str = "") -> Person:
    """Give somebody another role; their sessions end when it changes.

    Raises:
        NotThereError, NotNowError: see `_other`.
        PublishingError: there is no such role.
        LastAdminError: nobody would be left to look after the house.
    """
    person = _other(session, by, ref, admins=True)
    try:
        people.change_role(session, by, person, role, network=network)
    except PersonError as error:
        raise PublishingError({error.field: str(error)}) from error
    return person


def disable(session: Session, by: Asker, ref: str, *, network: str = "") -> Person:
    """Close somebody's account at once; feeds and tokens open nothing while it is closed.

    Raises:
        NotThereError, NotNowError: see `_other`.
        LastAdminError: nobody would be left to look after the house.
    """
    person = _other(session, by, ref, admins=True)
    people.disable(session, by, person, network=network)
    return person


def enable(session: Session, by: Asker, ref: str, *, network: str = "") -> Person:
    """Open somebody's account again.

    Raises:
        NotThereError, NotNowError: see `_other`.
    """
    person = _other(session, by, ref)
    people.enable(session, by, person, network=network)
    return person


def sign_out(session: Session, by: Asker, ref: str, *, network: str = "") -> int:
    """End every session of somebody; return how many there were.

    Raises:
        NotThereError, NotNowError: see `_other`.
    """
    person = _other(session, by, ref)
    ended = sessions.end_all(session, person.id)
    if ended:
        _note(session, "session-ended", by, person, network=network, count=ended)
    return ended


def end_feeds(session: Session, by: Asker, ref: str, *, network: str = "") -> int:
    """Revoke every feed address of somebody for good; return how many there were.

    Raises:
        NotThereError, NotNowError: see `_other`.
    """
    person = _other(session, by, ref)
    ended = session.exec(
        update(FeedToken)
        .where(col(FeedToken.person_id) == person.id, col(FeedToken.revoked_at).is_(None))
        .values(revoked_at=now())
    ).rowcount
    if ended:
        _note(session, "feed-revoked", by, person, network=network, count=ended)
    return int(ended)


def end_tokens(session: Session, by: Asker, ref: str, *, network: str = "") -> int:
    """Revoke every access token of somebody for good; return how many there were.

    Raises:
        NotThereError, NotNowError: see `_other`.
    """
    person = _other(session, by, ref)
    ended = session.exec(
        update(AccessToken)
        .where(col(AccessToken.person_id) == person.id, col(AccessToken.revoked_at).is_(None))
        .values(revoked_at=now())
    ).rowcount
    if ended:
        _note(session, "token-revoked", by, person, network=network, count=ended)
    return int(ended)


def _note(
    session: Session, act: str, by: Asker, person: Person, *, network: str, count: int
) -> None:
    audit.record(
        session,
        act,
        actor=by.ref,
        subject_kind="person",
        subject=str(person.ref),
        network=network,
        count=count,
    )
