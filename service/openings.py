"""What a secret in an address opens, and what is said when it opens nothing.

The words never repeat the address. Unknown and mistyped read the same; a right key of a closed
token may be told so, since it proves that its owner was once let in.
"""

from collections.abc import Callable
from uuid import UUID

from flask import Response
from sqlmodel import Session

from service.context import dare
from service.delivery import refusal
from service.feed import tokens
from service.feed.tokens import Opened
from storage.models import FeedToken

CLOSED = "This feed was closed by its owner."
SUSPENDED = "Sign in once to open this feed again."
LOST = "This show is not open to you any more."
UNKNOWN = "There is nothing at this address."
DAY = 86_400
Derivation = Callable[[bytes, FeedToken, UUID], str]


def refused(opened: Opened | None) -> Response | None:
    """Return why nothing leaves under this token, or None when it is in order."""
    if opened is None:
        return refusal(404, UNKNOWN)
    if opened.closed:
        return refusal(410, CLOSED)
    if opened.person.erased_at is not None:
        return refusal(410, CLOSED)
    if opened.suspended:
        # A disabled account may be a pause, and a 410 makes apps forget the feed for good.
        return refusal(403, SUSPENDED, retry_after=DAY)
    if opened.lost:
        return refusal(410, LOST)
    return None


def by_key(
    session: Session, ref: str, key: str, guid: UUID, derived: Derivation
) -> Opened | Response:
    """Return the token whose key for `guid` this is, or the refusal."""
    opened = tokens.by_ref(session, ref)
    if opened is None:
        return refusal(404, UNKNOWN)
    if not tokens.fits(key, derived(dare().settings.secret, opened.token, guid)):
        return refusal(404, UNKNOWN)
    return refused(opened) or opened
