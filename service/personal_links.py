"""Single-use links for one person: made, looked up, claimed once.

What is kept of a link is the SHA-256 of its secret. A letter on its way holds a nonce from which
the worker that sends it derives the secret again (storage/links.py), so neither table opens one.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from sqlmodel import Session, col, update

from storage import links
from storage.models import PersonalLink, now
from storage.settings import Settings

Kind = Literal["invitation", "reset"]
PATHS: dict[Kind, str] = {"invitation": "/invitations/", "reset": "/resets/"}


@dataclass(frozen=True)
class Made:
    """A fresh link: its row, its full address, and the nonce for a letter that carries it."""

    row: PersonalLink
    address: str
    nonce: str


def make(
    session: Session,
    settings: Settings,
    kind: Kind,
    *,
    email: str,
    life: timedelta,
    role: str = "contributor",
    community_id: int | None = None,
    person_id: int | None = None,
    made_by: int | None = None,
) -> Made:
    """Make a link that lives for `life`; an older one of the same kind and purpose ends.

    Its address begins with the configured origin, whatever host the request named.
    """
    end_older(session, kind, email, community_id)
    nonce = links.fresh_nonce()
    secret = links.secret_of(settings.secret, kind, nonce)
    row = PersonalLink(
        key=links.key_of(secret),
        kind=kind,
        email=email,
        role=role,
        community_id=community_id,
        person_id=person_id,
        made_by=made_by,
        expires_at=now() + life,
    )
    session.add(row)
    session.flush()
    return Made(row, f"{settings.origin}{PATHS[kind]}{secret}", nonce)


def end_older(session: Session, kind: Kind, email: str, community_id: int | None = None) -> None:
    """End the open links of one kind and purpose for an address."""
    session.exec(
        update(PersonalLink)
        .where(
            col(PersonalLink.kind) == kind,
            col(PersonalLink.email) == email,
            col(PersonalLink.community_id).is_not_distinct_from(community_id),
            col(PersonalLink.used_at).is_(None),
            col(PersonalLink.expires_at) > now(),
        )
        .values(expires_at=now())
    )


def alive(
    session: Session, kind: Kind, secret: str, at: datetime | None = None
) -> PersonalLink | None:
    """Return the link of this secret, or None: it is unknown, used, taken back or too old."""
    link = session.get(PersonalLink, links.key_of(secret))
    if link is None or link.kind != kind or link.used_at is not None:
        return None
    return link if link.expires_at > (at or now()) else None


def claim(session: Session, link: PersonalLink) -> bool:
    """Use a link up, and tell whether this was the one use: of two at once, one is told so."""
    moment = now()
    claimed = session.exec(
        update(PersonalLink)
        .where(
            col(PersonalLink.key) == link.key,
            col(PersonalLink.used_at).is_(None),
            col(PersonalLink.expires_at) > moment,
        )
        .values(used_at=moment)
    )
    return int(claimed.rowcount) == 1
