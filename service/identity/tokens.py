"""Personal access tokens for the API: what they may do, and until when."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, and_, func, or_
from sqlalchemy import select as sql_select
from sqlmodel import Session, col, select

from service.access import Asker
from service.identity import askers
from service.identity.secrets import fresh, key_of
from storage.leavers import pauses_at
from storage.models import SCOPES, AccessToken, Person, now
from storage.settings import Settings

PREFIX = "dare_"
LIFE = timedelta(days=365)
GRAIN = timedelta(minutes=5)
MOST_TOKENS = 50


@dataclass(frozen=True)
class Found:
    """A living token: whose it is, what it may do, and until when; None is without end."""

    asker: Asker
    scopes: frozenset[str]
    expires_at: datetime | None
    person: Person

    def is_paused(self, settings: Settings) -> bool:
        """Whether its owner has left, as far as sign-in providers tell; as with their feeds."""
        since = pauses_at(settings, self.person)
        return since is not None and since <= now()


class TokenError(ValueError):
    """A token cannot be made like this; the message says why."""


def issue(
    session: Session,
    person_id: int,
    label: str,
    *,
    scopes: Iterable[str] = SCOPES,
    life: timedelta = LIFE,
) -> tuple[AccessToken, str]:
    """Make a token; the secret is returned once and never stored.

    Raises:
        TokenError: no scope or an unknown one, a life of less than a day or more than a year, or
            the person holds as many as one may.
    """
    wanted = [scope for scope in SCOPES if scope in set(scopes)]
    if not wanted or len(set(scopes)) != len(wanted):
        raise TokenError(f"A token may do one or more of: {', '.join(SCOPES)}.")
    if not timedelta(days=1) <= life <= LIFE:
        raise TokenError("A token lives for a day at least and a year at most.")
    held = select(func.count()).select_from(AccessToken)
    if session.exec(held.where(_living(person_id))).one() >= MOST_TOKENS:
        raise TokenError(f"{MOST_TOKENS} tokens are the most. Revoke one you no longer use.")
    secret = PREFIX + fresh()
    token = AccessToken(
        person_id=person_id,
        key=key_of(secret),
        label=label.strip()[:120] or "API",
        scopes=wanted,
        expires_at=now() + life,
    )
    session.add(token)
    session.flush()
    return token, secret


def find(session: Session, secret: str, at: datetime | None = None) -> Found | None:
    """Return what this token opens, or None: it is unknown, old, revoked, or its owner is out."""
    moment = at or now()
    found = session.execute(
        sql_select(AccessToken, Person, *askers.standing())
        .join(Person, col(Person.id) == col(AccessToken.person_id))
        .where(col(AccessToken.key) == key_of(secret))
    ).first()
    if found is None:
        return None
    token, person, *standing = found
    expired = token.expires_at is not None and token.expires_at < moment
    if expired or token.revoked_at is not None or person.disabled_at is not None:
        return None
    if token.used_at is None or moment - token.used_at > GRAIN:
        token.used_at = moment
    asker = askers.asker_from(person, *standing)
    return Found(asker, frozenset(token.scopes), token.expires_at, person)


def _living(person_id: int) -> ColumnElement[bool]:
    """Return the condition of a person's tokens that are neither revoked nor run out."""
    return and_(
        col(AccessToken.person_id) == person_id,
        col(AccessToken.revoked_at).is_(None),
        or_(col(AccessToken.expires_at).is_(None), col(AccessToken.expires_at) > now()),
    )


def mine(session: Session, person_id: int) -> list[AccessToken]:
    """Return a person's tokens that still work, newest first."""
    return list(
        session.exec(
            select(AccessToken).where(_living(person_id)).order_by(col(AccessToken.id).desc())
        )
    )


def revoke(session: Session, person_id: int, token_id: int) -> bool:
    """Revoke one of a person's own tokens; tell whether there was such a one."""
    token = session.get(AccessToken, token_id)
    if token is None or token.person_id != person_id:
        return False
    token.revoked_at = token.revoked_at or now()
    return True
