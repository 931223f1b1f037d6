"""Accounts of people: added, signed in, changed."""

import re
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, func, select, update

from service import notices
from service.access import Asker
from service.identity import passwords, sessions
from service.identity.secrets import key_of
from storage import audit
from storage.models import ROLES, Person, SetupLink, now

# Who acts in the audit log when an act comes from the command line.
COMMAND = "command"
EMAIL = re.compile(r"^[^\s@]{1,64}@[^\s@]+\.?[^\s@]*$")


class PersonError(ValueError):
    """An account cannot be made or changed like this. `field` names the culprit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class LastAdminError(Exception):
    """Without this account nobody would look after the house; the message says so."""

    def __init__(self) -> None:
        super().__init__(
            "This is the last admin. Make somebody else an admin first, then do this once more."
        )


def add(
    session: Session,
    *,
    email: str,
    name: str,
    password: str | None = None,
    stored: str | None = None,
    role: str = "contributor",
    department: str | None = None,
    organisation: str = "",
) -> Person:
    """Make an account. No password may hold the name of the `organisation`.

    `stored` is a password's hash, made by `first_password`, where others wait for the connection.

    Raises:
        PersonError: an address, name or role that cannot be, or an address already taken.
    """
    address = normal_email(email)
    if by_email(session, address) is not None:
        raise PersonError("email", f"{address} has an account already.")
    if role not in ROLES:
        raise PersonError("role", f"There is no role {role!r}. Roles: {', '.join(ROLES)}.")
    person = Person(
        email=address,
        name=clean_name(name),
        role=role,
        department=(department or "").strip()[:120] or None,
        password_hash=stored,
    )
    if password is not None:
        person.password_hash = new_password(person, password, organisation)
    session.add(person)
    session.flush()
    return person


def new_password(person: Person, password: str, organisation: str) -> str:
    """Return the hash of a new password for somebody; no connection need be held meanwhile.

    Raises:
        PersonError: the password may not be used; field "password".
        TooBusyError: no turn to hash it within two seconds.
    """
    try:
        return passwords.hashed(password, house=(organisation,), person=(person.name, person.email))
    except passwords.PasswordError as error:
        raise PersonError("password", str(error)) from error


def first_password(*, email: str, name: str, password: str, organisation: str) -> str:
    """Return the hash of a password for somebody who has no account yet; as `new_password`.

    Raises:
        PersonError: an address, name or password that cannot be.
        TooBusyError: no turn to hash it within two seconds.
    """
    somebody = Person(email=normal_email(email), name=clean_name(name))
    return new_password(somebody, password, organisation)


def change_password(
    session: Session,
    person: Person,
    stored: str,
    *,
    but: str = "",
    actor: str = "",
    network: str = "",
) -> None:
    """Give somebody a new password by its hash; whoever calls knows that it is they who ask.

    All their sessions end with it, but the one of this key; they are told. `actor` is who did it,
    if not they themselves.
    """
    person.password_hash = stored
    sessions.end_all(session, person.id, but=but)
    notices.tell(
        session,
        person.id,
        "password-changed",
        "Your password was changed, and every other browser was signed out."
        " If that was not you, tell whoever looks after this service.",
        "/account/",
    )
    audit.record(
        session,
        "password-changed",
        actor=actor or str(person.ref),
        subject_kind="person",
        subject=str(person.ref),
        network=network,
    )


def normal_email(email: str) -> str:
    """Return an address in lower case.

    Raises:
        PersonError: it is no e-mail address.
    """
    address = email.strip().lower()
    if len(address) > 254 or not EMAIL.match(address):
        raise PersonError("email", f"{email.strip()[:80]!r} is no e-mail address.")
    return address


def clean_name(name: str) -> str:
    """Return a name with single spaces.

    Raises:
        PersonError: it is empty or longer than 120 characters.
    """
    cleaned = " ".join("".join(c for c in name if c.isprintable() or c == " ").split())
    if not cleaned:
        raise PersonError("name", "A name is needed: posts carry it.")
    if len(cleaned) > 120:
        raise PersonError("name", "A name may have at most 120 characters.")
    return cleaned


def by_email(session: Session, email: str) -> Person | None:
    """Return the person with this address, however it is written."""
    if "\x00" in email:  # which PostgreSQL refuses even to look for
        return None
    return session.exec(select(Person).where(Person.email == email.strip().lower())).first()


def by_ref(session: Session, ref: str) -> Person | None:
    """Return the person of this opaque id; None as well for what is no such id."""
    try:
        known = UUID(ref)
    except ValueError:
        return None
    return session.exec(select(Person).where(Person.ref == known)).first()


def count(session: Session) -> int:
    """Return how many accounts there are."""
    return session.exec(select(func.count()).select_from(Person)).one()


def signed_in(person: Person | None, password: str, *, local: bool = True) -> bool:
    """Whether the password is this account's, be it closed or not; as slow for nobody.

    `local` says whether passwords open accounts at all; without it, those for emergencies alone.
    """
    opens = person and person.erased_at is None and (local or person.emergency)
    stored = person.password_hash if person and opens else None
    return passwords.matches(stored, password)


def set_up_link(session: Session, token: str, at: datetime | None = None) -> SetupLink | None:
    """Return the set-up link of this token if it can still be used."""
    link = session.get(SetupLink, key_of(token))
    moment = at or now()
    if link is None or link.used_at is not None or link.expires_at < moment or count(session):
        return None
    return link


def set_up(session: Session, token: str, *, email: str, name: str, stored: str) -> Person | None:
    """Make the first administrator with a one-time link; None when the link is dead.

    `stored` is the hash of their password; see `first_password`.
    The link is claimed by a conditional update, so two browsers make one account.
    """
    if set_up_link(session, token) is None:
        return None
    claimed = session.exec(
        update(SetupLink)
        .where(col(SetupLink.key) == key_of(token), col(SetupLink.used_at).is_(None))
        .values(used_at=now())
    )
    if claimed.rowcount != 1:
        return None
    person = add(session, email=email, name=name, stored=stored, role="admin")
    _note(session, "account-made", None, person, role=person.role, how="set-up")
    return person


def change_role(
    session: Session, by: Asker | None, person: Person, role: str, *, network: str = ""
) -> None:
    """Give somebody another role; they sign in again to use it. The same role changes nothing.

    `by` is who decides, None for the command line.

    Raises:
        PersonError: there is no such role.
        LastAdminError: nobody would be left to look after the house.
    """
    if role not in ROLES:
        raise PersonError("role", f"There is no role {role!r}. Roles: {', '.join(ROLES)}.")
    if role != "admin":
        keep_an_admin(session, person)
    if person.role == role:
        return
    before, person.role = person.role, role
    sessions.end_all(session, person.id)
    _note(session, "role-changed", by, person, network=network, before=before, role=role)


def disable(session: Session, by: Asker | None, person: Person, *, network: str = "") -> None:
    """Close an account at once: its sessions end, its tokens and feeds open nothing any more.

    Raises:
        LastAdminError: nobody would be left to look after the house.
    """
    keep_an_admin(session, person)
    if person.disabled_at is not None:
        return
    person.disabled_at = now()
    sessions.end_all(session, person.id)
    _note(session, "account-disabled", by, person, network=network)


def enable(session: Session, by: Asker | None, person: Person, *, network: str = "") -> None:
    """Open an account again that was closed; an erased one stays closed.

    Raises:
        PersonError: the account was erased.
    """
    if person.erased_at is not None:
        raise PersonError("person", "This account was erased; there is nothing left to open.")
    if person.disabled_at is None:
        return
    person.disabled_at = None
    _note(session, "account-enabled", by, person, network=network)


def make_emergency(session: Session, person: Person, *, on: bool) -> None:
    """Let somebody sign in by password although local sign-in is switched off, or no longer."""
    if person.emergency != on:
        person.emergency = on
        _note(session, "emergency-changed", None, person, now="on" if on else "off")


def hold_admins(session: Session) -> list[int]:
    """Return the ids of all open admins' accounts, locked until the caller commits.

    In one order, and before any one account is locked: so no two who do it wait for each other.
    """
    return list(
        session.exec(
            select(Person.id)
            .where(Person.role == "admin", col(Person.disabled_at).is_(None))
            .order_by(col(Person.id))
            .with_for_update()
        )
    )


def keep_an_admin(session: Session, person: Person) -> None:
    """Refuse to lose the last admin.

    The admins' rows stay locked until the caller commits, so two cannot demote each other. Who
    locks the person for itself calls `hold_admins` before.

    Raises:
        LastAdminError: nobody but this person looks after the house.
    """
    session.flush()
    admins = hold_admins(session)
    session.refresh(person)
    if admins == [person.id]:
        raise LastAdminError


def _note(
    session: Session,
    act: str,
    by: Asker | None,
    person: Person,
    *,
    network: str = "",
    **facts: str,
) -> None:
    audit.record(
        session,
        act,
        actor=by.ref if by else COMMAND,
        subject_kind="person",
        subject=str(person.ref),
        network=network,
        **facts,
    )
