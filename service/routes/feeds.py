"""Private podcast feeds at their secret addresses.

A feed never asks who somebody is: no cookie is read, no 401 is given. Answers are errors in plain
text, since podcast apps show them or nothing at all.
"""

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from flask import Blueprint, Response, request
from sqlmodel import Session
from werkzeug.http import http_date

from service.context import dare
from service.delivery import PRIVATE, refusal, unchanged
from service.feed import channel, entries, rss, tokens
from service.feed.entries import Standing
from service.feed.tokens import Opened
from service.identity.browser import keyed
from service.openings import floods, note_use, refused, unknown
from storage.models import now

blueprint = Blueprint("podcasts", __name__)

NO_PAGE = "This feed has no such page."
MOVED = "This feed has a new address."
GZIP_LEVEL = 5
TYPE = "application/rss+xml; charset=utf-8"


@dataclass(frozen=True)
class Asked:
    """A feed request that is granted: what it opens, which page of it, and what that is worth."""

    opened: Opened
    page: int
    standing: Standing

    @property
    def etag(self) -> str:
        """The weak ETag's value."""
        return channel.etag(dare().settings, self.opened, self.standing, self.page)

    @property
    def changed(self) -> datetime:
        """The last change that rows know of."""
        return channel.changed(self.opened, self.standing)

    @property
    def is_dated(self) -> bool:
        """Whether that moment proves that nothing is new.

        It does not of a ranked view, since no row says when its order last changed; nor where
        something depends on the reader's communities, which leave no trace when they change; nor
        while an older address leads here, as the app may have brought its date from there.
        """
        whole = self.opened.view.kind != entries.TOP and not self.standing.narrowed
        return whole and self.opened.graced is None


def _page_number() -> int:
    given = request.args.get("page", "1")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 0


def _asked(session: Session, opened: Opened, page: int) -> Asked | None:
    standing = entries.standing(session, opened.asker, opened.view, page)
    return Asked(opened, page, standing) if 1 <= page <= standing.pages else None


def _enter(opened: Opened) -> None:
    with dare().database.begin() as session:
        entries.enter(session, opened.asker, opened.view, now())


@blueprint.get("/f/<token>.xml")
@keyed
def show(token: str) -> Response:
    """Answer a podcast app: 200, 301, 304, 403, 404, 410 or 429.

    Two statements and no text for a 304. No rights are kept from one request to the next.
    """
    page = _page_number()
    with dare().database.begin() as session:
        opened = tokens.by_spelling(session, token)
        no = refused(opened, floods().feeds)
        here = opened is not None and opened.is_newest and no is None
        asked = _asked(session, opened, page) if opened is not None and here else None
    if no is not None or opened is None:
        return no or unknown()
    if not page or (here and asked is None):
        return refusal(404, NO_PAGE)
    note_use(opened)
    if asked is None:
        return _moved(opened, page)
    if not asked.standing.unentered and _is_held(asked):
        return Response(status=304, headers=_headers(asked))
    return _whole(asked)


def _moved(opened: Opened, page: int) -> Response:
    """Lead from an address in grace to the newest one, which the app then keeps."""
    answer = refusal(301, MOVED)
    answer.headers["Location"] = channel.Addresses(dare().settings, opened).feed(page)
    return answer


def _is_held(asked: Asked) -> bool:
    return unchanged(request, asked.etag, asked.changed if asked.is_dated else None)


def _settled(changed: datetime) -> datetime:
    """Return the date to send: never this very second, in which more may still change."""
    moment = min(changed.astimezone(UTC), now() - timedelta(seconds=1))
    return moment.replace(microsecond=0)


def _headers(asked: Asked) -> dict[str, str]:
    return PRIVATE | {
        "ETag": f'W/"{asked.etag}"',
        "Last-Modified": http_date(_settled(asked.changed)),
        "Vary": "Accept-Encoding",
    }


def _whole(asked: Asked) -> Response:
    if asked.standing.unentered:
        _enter(asked.opened)
    with dare().database.begin() as session:
        fresh = _asked(session, asked.opened, asked.page) if asked.standing.unentered else asked
        if fresh is None:
            return refusal(404, NO_PAGE)
        said = channel.channel(
            session,
            dare().settings,
            fresh.opened,
            fresh.opened.asker,
            fresh.standing,
            page=fresh.page,
            modified=fresh.changed,
        )
    return _encoded(rss.render(said).encode(), _headers(fresh))


def _encoded(body: bytes, headers: dict[str, str]) -> Response:
    if request.accept_encodings.quality("gzip") > 0:
        body = gzip.compress(body, GZIP_LEVEL, mtime=0)
        headers |= {"Content-Encoding": "gzip"}
    # Flask leaves the body out of an answer to HEAD and keeps its length.
    return Response(body, headers=headers, content_type=TYPE)
