"""Accounts of people: added, signed in, changed."""

import re
from datetime import datetime

from sqlmodel import Session, col, func, select, update

from service.identity import passwords
from service.identity.secrets import key_of
from storage.models import ROLES, Person, SetupLink, now

EMAIL = re.compile(r"^[^\s@]{1,64}@[^\s@]+\.?[^\s@]*$")


class PersonError(ValueError):
    """An account cannot be made or changed like this. `field` names the culprit."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


def add(
    session: Session,
    *,
    email: str,
    name: str,
    password: str | None,
    role: str = "contributor",
    department: str | None = None,
) -> Person:
    """Make an account.

    Raises:
        PersonError: an address, name or role that cannot be, or an address already taken.
    """
    address = normal_email(email)
    if by_email(session, address) is not None:
        raise PersonError("email", f"{address} has an account already.")
    if role not in ROLES:
        raise PersonError("role", f"There is no role {role!r}. Roles: {', '.join(ROLES)}.")
    try:
        stored = passwords.hashed(password) if password is not None else None
    except passwords.PasswordError as error:
        raise PersonError("password", str(error)) from error
    person = Person(
        email=address,
        name=clean_name(name),
        role=role,
        department=(department or "").strip()[:120] or None,
        password_hash=stored,
    )
    session.add(person)
    session.flush()
    return person


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


def count(session: Session) -> int:
    """Return how many accounts there are."""
    return session.exec(select(func.count()).select_from(Person)).one()


def signed_in(person: Person | None, password: str) -> bool:
    """Whether the password opens this account; as slow for nobody as for somebody."""
    stored = person.password_hash if person and person.disabled_at is None else None
    return passwords.matches(stored, password)


def set_up_link(session: Session, token: str, at: datetime | None = None) -> SetupLink | None:
    """Return the set-up link of this token if it can still be used."""
    link = session.get(SetupLink, key_of(token))
    moment = at or now()
    if link is None or link.used_at is not None or link.expires_at < moment or count(session):
        return None
    return link


def set_up(session: Session, token: str, *, email: str, name: str, password: str) -> Person | None:
    """Make the first administrator with a one-time link; None when the link is dead.

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
    return add(session, email=email, name=name, password=password, role="admin")
