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
from service.feed import apps, channel, entries, rss, tokens
from service.feed.entries import Standing
from service.feed.tokens import Opened
from service.identity.browser import keyed
from service.openings import UNKNOWN, refused
from storage.models import now

blueprint = Blueprint("podcasts", __name__)

NO_PAGE = "This feed has no such page."
# Noting each poll would make every read a write.
USED_GRAIN = timedelta(minutes=5)
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
    """Answer a podcast app: 200, 304, 403, 404 or 410; two statements and no text for a 304."""
    with dare().database.begin() as session:
        opened = tokens.by_spelling(session, token)
        no = refused(opened)
        asked = _asked(session, opened, _page_number()) if opened and not no else None
    if no is not None or opened is None:
        return no or refusal(404, UNKNOWN)
    if asked is None:
        return refusal(404, NO_PAGE)
    if not asked.standing.unentered and _is_held(asked):
        return _noted(opened, Response(status=304, headers=_headers(asked)))
    return _noted(opened, _whole(asked))


def _is_held(asked: Asked) -> bool:
    # Of a ranked view no row says when its order last changed, so its date proves nothing.
    dated = asked.opened.view.kind != entries.TOP
    return unchanged(request, asked.etag, asked.changed if dated else None)


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


def _noted(opened: Opened, response: Response) -> Response:
    """Remember the use, at most every five minutes and after the answer is on its way."""
    moment, by = now(), apps.family(request.user_agent.string)
    last = opened.token.used_at
    if last is None or moment - last >= USED_GRAIN:
        database, token = dare().database, opened.token.id

        @response.call_on_close
        def note() -> None:
            with database.begin() as session:
                tokens.used(session, token, by, moment)

    return response
