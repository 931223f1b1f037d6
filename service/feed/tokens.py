"""Feed tokens: the secrets in private feeds' addresses, and the keys derived from them.

A token is base64url(HMAC-SHA256(server secret, "feed" ‖ nonce ‖ generation)), cut to 144 bits.
At rest lie the nonce and the token's SHA-256: a dump of the database opens nothing, and yet the
person can be shown the address again. Each episode's addresses carry a key of their own, so that a
shared enclosure opens that one episode; it dies with its token.
"""

import base64
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Mapped, aliased
from sqlmodel import Session, col

from service.access import Asker, sees_show
from service.identity import askers
from service.identity.secrets import key_of
from storage.models import FeedKey, FeedToken, FeedView, Person, Show, now
from storage.settings import Settings

# 18 bytes are 24 characters of base64url without padding, and 16 more bits than are needed.
SECRET_BYTES = 18
MOST_TOKENS = 50
MODES = ("audio", "video")


class TooManyTokensError(Exception):
    """The person holds as many open addresses as one may."""

    def __init__(self) -> None:
        super().__init__("Remove an address you no longer use.")


@dataclass(frozen=True)
class Held:
    """One of a person's tokens with the title of what it opens."""

    token: FeedToken
    title: str
    kind: str


def _derived(secret: bytes, purpose: str, token: FeedToken, *subject: str) -> str:
    # No part can contain the separator: fixed words, hexadecimal, digits and a UUID.
    words = "\0".join((purpose, token.nonce, str(token.generation), *subject))
    digest = hmac.digest(secret, words.encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:SECRET_BYTES]).decode("ascii")


def spelled(secret: bytes, token: FeedToken) -> str:
    """Return the token as it stands in its address."""
    return _derived(secret, "feed", token)


def episode_key(secret: bytes, token: FeedToken, guid: UUID) -> str:
    """Return the key that opens one episode's audio, video and transcripts to one token."""
    return _derived(secret, "episode", token, str(guid))


def artwork_key(secret: bytes, token: FeedToken, guid: UUID) -> str:
    """Return the key that opens one show's or view's artwork to one token."""
    return _derived(secret, "artwork", token, str(guid))


def fits(given: str, right: str) -> bool:
    """Tell whether a key from an address is the right one, in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def address(settings: Settings, token: FeedToken) -> str:
    """Return the feed's address; it stays the same for as long as the token lives."""
    return f"{settings.origin}/f/{spelled(settings.secret, token)}.xml"


def masked(feed_address: str) -> str:
    """Return the address as it may be shown: its secret's first four characters only."""
    before, _, secret = feed_address.rpartition("/")
    return f"{before}/{secret[:4]}…{secret[-4:]}" if secret.endswith(".xml") else feed_address


def issue(
    session: Session,
    person_id: int,
    view: FeedView,
    label: str = "",
    mode: str = "audio",
    *,
    secret: bytes,
) -> FeedToken:
    """Make a new token of one person for one view, and return its row.

    Raises:
        TooManyTokensError: the person holds 50 open ones already.
        ValueError: the mode is neither audio nor video.
    """
    if mode not in MODES:
        raise ValueError(f"A feed is of audio or of video, not {mode!r}.")
    held = (
        select(func.count())
        .select_from(FeedToken)
        .where(col(FeedToken.person_id) == person_id, col(FeedToken.revoked_at).is_(None))
    )
    if session.execute(held).scalar_one() >= MOST_TOKENS:
        raise TooManyTokensError
    token = FeedToken(
        person_id=person_id,
        view_id=view.id,
        ref=secrets.token_hex(8),
        nonce=secrets.token_hex(16),
        mode=mode,
        label=" ".join(label.split())[:120],
    )
    session.add(token)
    session.flush()
    session.add(FeedKey(key=key_of(spelled(secret, token)), token_id=token.id))
    session.flush()
    return token


def revoke(session: Session, token: FeedToken) -> None:
    """Close a token for good: from the commit on, all its addresses answer 410."""
    token.revoked_at = token.revoked_at or now()
    session.add(token)
    session.flush()


def of_person(session: Session, person_id: int, token_id: int) -> FeedToken | None:
    """Return the token if it is this person's, else None."""
    return session.execute(
        select(FeedToken).where(
            col(FeedToken.id) == token_id, col(FeedToken.person_id) == person_id
        )
    ).scalar_one_or_none()


def mine(session: Session, person_id: int) -> list[Held]:
    """Return a person's tokens, the newest first, the open ones before the revoked."""
    rows = session.execute(
        select(FeedToken, col(FeedView.kind), col(Show.title))
        .join(FeedView, col(FeedView.id) == col(FeedToken.view_id))
        .join(Show, col(Show.id) == col(FeedView.show_id), isouter=True)
        .where(col(FeedToken.person_id) == person_id)
        .order_by(col(FeedToken.revoked_at).is_not(None), col(FeedToken.id).desc())
    )
    return [Held(token, title or "Top rated", kind) for token, kind, title in rows]


def used(session: Session, token_id: int, by: str, moment: datetime) -> None:
    """Remember when and by which app a token was used last."""
    token = session.get(FeedToken, token_id)
    if token is not None:
        token.used_at, token.used_by = moment, by[:120]
        session.add(token)


@dataclass(frozen=True)
class Opened:
    """What a key or a ref led to: the token, its person and its view, whatever their state."""

    token: FeedToken
    person: Person
    view: FeedView
    show: Show | None
    owner: Person | None
    generation: int
    asker: Asker

    @property
    def closed(self) -> bool:
        """Whether this address was withdrawn for good, or replaced by a newer one."""
        return self.token.revoked_at is not None or self.generation != self.token.generation

    @property
    def lost(self) -> bool:
        """Whether this person may no longer see the show that this feed is of."""
        return self.show is not None and not sees_show(self.asker, self.show)

    @property
    def suspended(self) -> bool:
        """Whether the person's account is disabled: no bytes leave, but the address may return."""
        return self.person.disabled_at is not None


def _opening(generation: Mapped[int]) -> Select[*tuple[Any, ...]]:
    owner = aliased(Person)
    return (
        select(FeedToken, Person, FeedView, Show, owner, generation, *askers.standing())
        .join(Person, col(Person.id) == col(FeedToken.person_id))
        .join(FeedView, col(FeedView.id) == col(FeedToken.view_id))
        .join(Show, col(Show.id) == col(FeedView.show_id), isouter=True)
        .join(owner, col(owner.id) == col(Show.owner_id), isouter=True)
    )


def _opened(session: Session, statement: Select[*tuple[Any, ...]]) -> Opened | None:
    row = session.execute(statement).one_or_none()
    if row is None:
        return None
    token, person, view, show, owner, generation, *standing = row
    asker = askers.asker_from(person, *standing)
    return Opened(token, person, view, show, owner, generation, asker)


def by_spelling(session: Session, spelling: str) -> Opened | None:
    """Return what the token in a feed's address opens; None for one that was never issued."""
    statement = _opening(col(FeedKey.generation)).join(
        FeedKey, col(FeedKey.token_id) == col(FeedToken.id)
    )
    return _opened(session, statement.where(col(FeedKey.key) == key_of(spelling)))


def by_ref(session: Session, ref: str) -> Opened | None:
    """Return the token of this public reference; its keys must still be compared."""
    statement = _opening(col(FeedToken.generation)).where(col(FeedToken.ref) == ref)
    return _opened(session, statement)
