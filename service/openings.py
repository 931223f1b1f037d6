"""What a secret in an address opens, what is said when it opens nothing, and who used it.

The words never repeat the address. Unknown and mistyped read the same; a right key of a closed
token may be told so, since it proves that its owner was once let in.
"""

import logging
from datetime import timedelta
from uuid import UUID

from flask import Response, after_this_request, current_app, request
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session

from service import leaks
from service.context import dare
from service.delivery import refusal
from service.feed import apps, tokens, uses
from service.feed.tokens import Derivation, Opened
from service.floods import Flood, Floods
from service.identity import browser
from storage.models import now
from storage.settings import Settings

log = logging.getLogger(__name__)

CLOSED = "This feed was closed by its owner."
SUSPENDED = "Sign in once to open this feed again."
CLOSED_ACCOUNT = "This account is closed."
LOST = "This show is not open to you any more."
UNKNOWN = "There is nothing at this address."
TOO_OFTEN = "This was asked for too often. Please wait a moment."
DAY = 86_400


def floods() -> Floods:
    """Return what keeps this process from being flooded."""
    held: Floods = current_app.extensions["dare-floods"]
    return held


def unknown() -> Response:
    """Return the answer to a secret that is none; guessing from one network is slowed."""
    wait = floods().misses.wait(browser.network())
    return refusal(429, TOO_OFTEN, retry_after=wait) if wait else refusal(404, UNKNOWN)


def refused(opened: Opened | None, flood: Flood) -> Response | None:
    """Return why nothing leaves under this token, or None when it is in order.

    `flood` is the one that counts this kind of use.
    """
    if opened is None:
        return unknown()
    wait = flood.wait(opened.token.id)
    if wait:
        return refusal(429, TOO_OFTEN, retry_after=wait)
    if opened.closed or opened.person.erased_at is not None:
        return refusal(410, CLOSED)
    return _paused(opened, dare().settings) or (refusal(410, LOST) if opened.lost else None)


def _paused(opened: Opened, settings: Settings) -> Response | None:
    since = opened.suspended_since(settings)
    if since is None:
        return None
    # It may be a pause, and a 410 makes apps forget the feed for good: they are told to wait, but
    # not for ever.
    if now() - since >= timedelta(days=settings.feed_grace_days):
        return refusal(410, CLOSED)
    closed = opened.person.disabled_at is not None
    return refusal(403, CLOSED_ACCOUNT if closed else SUSPENDED, retry_after=DAY)


def by_key(
    session: Session, ref: str, key: str, guid: UUID, derived: Derivation
) -> Opened | Response:
    """Return the token whose key for `guid` this is, or the refusal."""
    opened = tokens.by_key(session, ref, key, guid, derived, secret=dare().settings.secret)
    no = refused(opened, floods().media)
    if no is not None or opened is None:
        return no or unknown()
    note_use(opened)
    return opened


def note_use(opened: Opened) -> None:
    """Remember this request as a use, once its answer is out; each network once in five minutes."""
    token, last = opened.token.id, opened.token.used_at
    by, moment = apps.family(request.user_agent.string), now()
    # Some apps fetch from their maker's servers, from wherever those stand: that is one place.
    network = by if by in apps.FETCH_FOR_OTHERS else browser.network()
    lately = last is not None and moment - last < uses.GRAIN
    if floods().noted.wait((token, network)) and lately:
        return
    database, settings = dare().database, dare().settings

    def note() -> None:
        try:
            with database.begin() as session:
                networks = uses.note(session, token, network=network, by=by, moment=moment)
                leaks.alarm(session, settings, token, networks)
        except SQLAlchemyError as error:
            # The answer is out; a use that could not be written down is no reason to fail.
            log.warning("a feed's use was not noted: %s", type(error).__name__)

    @after_this_request
    def afterwards(response: Response) -> Response:
        response.call_on_close(note)
        return response
