"""Personal access tokens for the API."""

from datetime import datetime, timedelta

from sqlmodel import Session, col, select

from service.identity.secrets import fresh, key_of
from storage.models import AccessToken, Person, now

PREFIX = "dare_"
LIFE = timedelta(days=365)
GRAIN = timedelta(minutes=5)


def issue(session: Session, person_id: int, label: str) -> tuple[AccessToken, str]:
    """Make a token that lasts a year; the secret is returned once and never stored."""
    secret = PREFIX + fresh()
    token = AccessToken(
        person_id=person_id,
        key=key_of(secret),
        label=label.strip()[:120] or "API",
        expires_at=now() + LIFE,
    )
    session.add(token)
    session.flush()
    return token, secret


def find(session: Session, secret: str, at: datetime | None = None) -> Person | None:
    """Return whose token this is, or None when it is unknown, old, revoked, or its owner is out."""
    moment = at or now()
    found = session.exec(
        select(AccessToken, Person)
        .join(Person, col(Person.id) == col(AccessToken.person_id))
        .where(AccessToken.key == key_of(secret))
    ).first()
    if found is None:
        return None
    token, person = found
    expired = token.expires_at is not None and token.expires_at < moment
    if expired or token.revoked_at is not None or person.disabled_at is not None:
        return None
    if token.used_at is None or moment - token.used_at > GRAIN:
        token.used_at = moment
    return person


def mine(session: Session, person_id: int) -> list[AccessToken]:
    """Return a person's tokens that still work, newest first."""
    return list(
        session.exec(
            select(AccessToken)
            .where(AccessToken.person_id == person_id, col(AccessToken.revoked_at).is_(None))
            .order_by(col(AccessToken.id).desc())
        )
    )


def revoke(session: Session, person_id: int, token_id: int) -> None:
    """Revoke one of a person's own tokens."""
    token = session.get(AccessToken, token_id)
    if token is not None and token.person_id == person_id and token.revoked_at is None:
        token.revoked_at = now()
