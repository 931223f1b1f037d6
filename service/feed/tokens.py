"""Feed tokens: the secrets in private feeds' addresses, and the keys derived from them.

A token is base64url(HMAC-SHA256(server secret, "feed" ‖ nonce ‖ generation)), cut to 144 bits.
At rest lie the nonce and the token's SHA-256: a dump of the database opens nothing, and yet the
person can be shown the address again. Each episode's addresses carry a key of their own, so that a
shared enclosure opens that one episode; it dies with its token.

A token that is rotated gets a new generation, hence a new address; the older ones lead to it for a
while (grace) and are gone then. One that leaked is revoked and never leads anywhere.
"""

import base64
import dataclasses
import hmac
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Select, and_, case, func, or_, select, update
from sqlalchemy.orm import Mapped, aliased
from sqlmodel import Session, col

from service.access import Asker, sees_show, shows_listed
from service.identity import askers
from service.identity.secrets import key_of
from storage.leavers import pauses_at
from storage.models import FeedKey, FeedNetwork, FeedToken, FeedView, Person, Show, now
from storage.settings import Settings

# 18 bytes are 24 characters of base64url without padding, and 16 more bits than are needed.
SECRET_BYTES = 18
MOST_TOKENS = 50
MODES = ("audio", "video")
TOP = "Top rated"
# Instead of the title of a show that somebody has lost, which may have changed since.
LOST = "A show that is not open to you any more"
DAY = timedelta(days=1)
# episode_key or artwork_key: of the server's secret, a token, a guid and a generation.
Derivation = Callable[[bytes, FeedToken, UUID, int], str]


class TooManyTokensError(Exception):
    """The person holds as many open addresses as one may."""

    def __init__(self) -> None:
        super().__init__("Remove an address you no longer use.")


class ClosedError(Exception):
    """The address was revoked, or has run out: nothing can be made of it any more."""

    def __init__(self) -> None:
        super().__init__("This address is closed. Make a new one.")


@dataclass(frozen=True)
class Held:
    """One of a person's tokens with the title of what it opens, or LOST.

    `networks` is from how many networks it was used within the last day; `graced` until when the
    address before it still leads to it.
    """

    token: FeedToken
    title: str
    kind: str
    networks: int = 0
    graced: datetime | None = None


def _derived(
    secret: bytes, purpose: str, token: FeedToken, *subject: str, generation: int | None = None
) -> str:
    # No part can contain the separator: fixed words, hexadecimal, digits and a UUID.
    words = "\0".join((purpose, token.nonce, str(generation or token.generation), *subject))
    digest = hmac.digest(secret, words.encode(), "sha256")
    return base64.urlsafe_b64encode(digest[:SECRET_BYTES]).decode("ascii")


def spelled(secret: bytes, token: FeedToken) -> str:
    """Return the token as it stands in its address."""
    return _derived(secret, "feed", token)


def episode_key(secret: bytes, token: FeedToken, guid: UUID, generation: int | None = None) -> str:
    """Return the key that opens one episode's audio, video and transcripts to one token.

    Of the newest generation, unless told which.
    """
    return _derived(secret, "episode", token, str(guid), generation=generation)


def artwork_key(secret: bytes, token: FeedToken, guid: UUID, generation: int | None = None) -> str:
    """Return the key that opens one show's or view's artwork to one token, as `episode_key`."""
    return _derived(secret, "artwork", token, str(guid), generation=generation)


def fits(given: str, right: str) -> bool:
    """Tell whether a key from an address is the right one, in constant time."""
    return hmac.compare_digest(given.encode(), right.encode())


def address(settings: Settings, token: FeedToken) -> str:
    """Return the feed's address; it stays the same until the token is rotated."""
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
    expires_at: datetime | None = None,
) -> FeedToken:
    """Make a new token of one person for one view, and return its row; None is for ever.

    Raises:
        TooManyTokensError: the person holds 50 open ones already.
        ValueError: the mode is neither audio nor video.
    """
    if mode not in MODES:
        raise ValueError(f"A feed is of audio or of video, not {mode!r}.")
    held = (
        select(func.count())
        .select_from(FeedToken)
        .where(col(FeedToken.person_id) == person_id, open_now())
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
        expires_at=expires_at,
    )
    session.add(token)
    session.flush()
    session.add(FeedKey(key=key_of(spelled(secret, token)), token_id=token.id))
    session.flush()
    return token


def open_now() -> ColumnElement[bool]:
    """Return the condition of all tokens that are neither revoked nor run out."""
    lasts = or_(col(FeedToken.expires_at).is_(None), col(FeedToken.expires_at) > func.now())
    return and_(col(FeedToken.revoked_at).is_(None), lasts)


def is_open(token: FeedToken, at: datetime | None = None) -> bool:
    """Whether `open_now` holds for this token: the same rule, of a row at hand."""
    lasts = token.expires_at is None or token.expires_at > (at or now())
    return token.revoked_at is None and lasts


def rotate(
    session: Session,
    token: FeedToken,
    *,
    secret: bytes,
    grace: timedelta,
    at: datetime | None = None,
) -> None:
    """Give a token its next generation; the address so far leads to the new one for `grace`.

    Raises:
        ClosedError: the token is revoked or has run out.
    """
    moment = at or now()
    # Two rotations at once: the second one goes on from what the first one made.
    session.refresh(token, with_for_update=True)
    if not is_open(token, moment):
        raise ClosedError
    session.execute(
        update(FeedKey)
        .where(col(FeedKey.token_id) == token.id, col(FeedKey.until).is_(None))
        .values(until=moment + grace)
    )
    token.generation += 1
    session.add(token)
    session.add(
        FeedKey(key=key_of(spelled(secret, token)), token_id=token.id, generation=token.generation)
    )
    session.flush()


def replace(
    session: Session, token: FeedToken, *, secret: bytes, until: datetime | None = None
) -> FeedToken:
    """Close a token that somebody else has, and return a new one of the same person and view.

    It ends when the old one would have, at `until` if that is sooner.

    Nothing leads from the old address to the new one, or its finder would be led there too.

    Raises:
        ClosedError: the token is revoked or has run out.
    """
    session.refresh(token, with_for_update=True)
    if not is_open(token):
        raise ClosedError
    revoke(session, token)
    view = session.get_one(FeedView, token.view_id)
    ends = min(filter(None, (token.expires_at, until)), default=None)
    return issue(
        session,
        token.person_id,
        view,
        token.label,
        token.mode,
        secret=secret,
        expires_at=ends,
    )


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


def mine(session: Session, asker: Asker) -> list[Held]:
    """Return somebody's own tokens, the newest first, the open ones before the closed.

    A show that they may no longer see is not named.
    """
    networks = (
        select(func.count())
        .where(
            col(FeedNetwork.token_id) == col(FeedToken.id), col(FeedNetwork.seen_at) > now() - DAY
        )
        .correlate(FeedToken)
        .scalar_subquery()
    )
    graced = (
        select(func.max(col(FeedKey.until)))
        .where(col(FeedKey.token_id) == col(FeedToken.id), col(FeedKey.until) > now())
        .correlate(FeedToken)
        .scalar_subquery()
    )
    title = case(
        (col(FeedView.show_id).is_(None), TOP), (shows_listed(asker), col(Show.title)), else_=LOST
    )
    rows = session.execute(
        select(FeedToken, col(FeedView.kind), title, networks, graced)
        .join(FeedView, col(FeedView.id) == col(FeedToken.view_id))
        .join(Show, col(Show.id) == col(FeedView.show_id), isouter=True)
        .where(col(FeedToken.person_id) == asker.id)
        .order_by(open_now().desc(), col(FeedToken.id).desc())
    )
    return [Held(token, named, kind, many, until) for token, kind, named, many, until in rows]


@dataclass(frozen=True)
class Opened:
    """What a key or a ref led to: the token, its person and its view, whatever their state.

    `generation` is that of the key that was given; `older` says until when each older generation
    is in grace.
    """

    token: FeedToken
    person: Person
    view: FeedView
    show: Show | None
    owner: Person | None
    generation: int
    older: dict[int, datetime]
    asker: Asker

    @property
    def is_newest(self) -> bool:
        """Whether the key that was given is of the newest generation."""
        return self.generation == self.token.generation

    @property
    def graced(self) -> datetime | None:
        """Until when an older address leads to this one; None when none does any more."""
        return max((until for until in self.older.values() if until > now()), default=None)

    @property
    def settled(self) -> datetime | None:
        """When the last grace ended, which changed what the feed says."""
        return max((until for until in self.older.values() if until <= now()), default=None)

    @property
    def closed(self) -> bool:
        """Whether this address was withdrawn for good, has run out, or its grace is over."""
        gone = not self.is_newest and self.older.get(self.generation, now()) <= now()
        return gone or not is_open(self.token)

    @property
    def lost(self) -> bool:
        """Whether this person may no longer see the show that this feed is of."""
        return self.show is not None and not sees_show(self.asker, self.show)

    def suspended_since(self, settings: Settings) -> datetime | None:
        """Return since when no bytes leave though the address may return; None when they do.

        The account is disabled, or no sign-in provider has vouched for it for too long.
        """
        since = [self.person.disabled_at, pauses_at(settings, self.person)]
        return min((moment for moment in since if moment and moment <= now()), default=None)


def _opening(generation: Mapped[int]) -> Select[*tuple[Any, ...]]:
    owner, older = aliased(Person), aliased(FeedKey)
    graced = (
        select(
            func.jsonb_object_agg(col(older.generation), func.extract("epoch", col(older.until)))
        )
        .where(col(older.token_id) == col(FeedToken.id), col(older.until).is_not(None))
        .correlate(FeedToken)
        .scalar_subquery()
    )
    return (
        select(FeedToken, Person, FeedView, Show, owner, generation, graced, *askers.standing())
        .join(Person, col(Person.id) == col(FeedToken.person_id))
        .join(FeedView, col(FeedView.id) == col(FeedToken.view_id))
        .join(Show, col(Show.id) == col(FeedView.show_id), isouter=True)
        .join(owner, col(owner.id) == col(Show.owner_id), isouter=True)
    )


def _opened(session: Session, statement: Select[*tuple[Any, ...]]) -> Opened | None:
    row = session.execute(statement).one_or_none()
    if row is None:
        return None
    token, person, view, show, owner, generation, graced, *standing = row
    asker = askers.asker_from(person, *standing)
    older = {
        int(number): datetime.fromtimestamp(float(until), UTC)
        for number, until in (graced or {}).items()
    }
    return Opened(token, person, view, show, owner, generation, older, asker)


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


def by_key(
    session: Session, ref: str, key: str, guid: UUID, derived: Derivation, *, secret: bytes
) -> Opened | None:
    """Return what the key for `guid` opens, of whichever generation; None when it fits none."""
    found = by_ref(session, ref)
    if found is None:
        return None
    given = [
        generation
        for generation in range(1, found.token.generation + 1)
        if fits(key, derived(secret, found.token, guid, generation))
    ]
    return dataclasses.replace(found, generation=given[0]) if given else None
