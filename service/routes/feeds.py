"""Private podcast feeds at their secret addresses, and the page where people make and revoke them.

A feed never asks who somebody is: no cookie is read, no 401 is given. Answers are errors in plain
text, since podcast apps show them or nothing at all.
"""

import gzip
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import segno
from flask import Blueprint, Response, abort, redirect, render_template, request, url_for
from markupsafe import Markup
from sqlalchemy import select
from sqlmodel import Session, col
from werkzeug.http import http_date

from service.access import asker_of
from service.context import dare
from service.delivery import PRIVATE, refusal, unchanged
from service.feed import apps, channel, entries, rss, tokens
from service.feed.entries import Standing
from service.feed.tokens import Opened
from service.identity.browser import keyed, me, signed_in
from storage.models import FeedToken, FeedView, Show, now

blueprint = Blueprint("feeds", __name__)

CLOSED = "This feed was closed by its owner."
SUSPENDED = "Sign in once to open this feed again."
UNKNOWN = "There is no feed at this address."
NO_PAGE = "This feed has no such page."
DAY = 86_400
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


def refused(opened: Opened | None) -> Response | None:
    """Return why nothing leaves under this token, or None when it is in order."""
    if opened is None:
        return refusal(404, UNKNOWN)
    if opened.closed:
        return refusal(410, CLOSED)
    if opened.suspended:
        return refusal(403, SUSPENDED, retry_after=DAY)
    return None


def _page_number() -> int:
    given = request.args.get("page", "1")
    return int(given) if given.isascii() and given.isdigit() and len(given) < 7 else 0


def _asked(session: Session, opened: Opened, page: int) -> Asked | None:
    standing = entries.standing(session, asker_of(opened.person), opened.view, page)
    return Asked(opened, page, standing) if 1 <= page <= standing.pages else None


def _enter(opened: Opened) -> None:
    with dare().database.begin() as session:
        entries.enter(session, asker_of(opened.person), opened.view, now())


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
            asker_of(fresh.opened.person),
            fresh.standing,
            page=fresh.page,
            modified=_settled(fresh.changed),
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
    if last is None or moment - last >= USED_GRAIN or opened.token.used_by != by:
        database, token = dare().database, opened.token.id

        @response.call_on_close
        def note() -> None:
            with database.begin() as session:
                tokens.used(session, token, by, moment)

    return response


@dataclass(frozen=True)
class Card:
    """One of a person's feeds as the page shows it."""

    id: int
    title: str
    label: str
    mode: str
    address: str
    masked: str
    created_at: datetime
    used_at: datetime | None
    used_by: str
    revoked: bool
    qr_svg: Markup | None


def _card(held: tokens.Held) -> Card:
    token, address = held.token, tokens.address(dare().settings, held.token)
    revoked = token.revoked_at is not None
    return Card(
        id=token.id,
        title=held.title,
        label=token.label,
        mode=token.mode,
        address="" if revoked else address,
        masked=tokens.masked(address),
        created_at=token.created_at,
        used_at=token.used_at,
        used_by=token.used_by,
        revoked=revoked,
        qr_svg=None if revoked else _qr(address),
    )


def _qr(address: str) -> Markup:
    # Drawn here: a service that draws it elsewhere would learn the secret.
    drawn = segno.make(address, error="m").svg_inline(scale=4, omitsize=True, border=2)
    return Markup(drawn)  # noqa: S704  made of our own address, by segno


def _choices(session: Session) -> list[tuple[str, str]]:
    shows = session.execute(select(Show.slug, Show.title).order_by(col(Show.title))).all()
    return [("top", channel.TOP_TITLE), *((f"show:{slug}", title) for slug, title in shows)]


@blueprint.get("/feeds")
@signed_in
def index() -> Any:
    """Show my feeds, and what another one could be of."""
    return _page({})


def _page(errors: dict[str, str], status: int = 200) -> Any:
    with dare().database.begin() as session:
        cards = [_card(held) for held in tokens.mine(session, me().id)]
        choices = _choices(session)
    fresh = request.args.get("fresh", type=int)
    body = render_template(
        "feeds/index.html", tokens=cards, choices=choices, errors=errors, fresh=fresh
    )
    return Response(body, status, headers={"Cache-Control": "no-store"}, mimetype="text/html")


def _chosen(session: Session, choice: str) -> FeedView:
    if choice == "top":
        return channel.view_top(session)
    slug = choice.removeprefix("show:")
    show_id = session.execute(select(Show.id).where(col(Show.slug) == slug)).scalar_one_or_none()
    if show_id is None or slug == choice:
        abort(404)
    return channel.view_of_show(session, show_id)


@blueprint.post("/feeds")
@signed_in
def create() -> Any:
    """Make a feed of one's own and show its address."""
    mode = "video" if request.form.get("mode") == "video" else "audio"
    try:
        with dare().database.begin() as session:
            view = _chosen(session, request.form.get("view", ""))
            label, secret = request.form.get("label", ""), dare().settings.secret
            made = tokens.issue(session, me().id, view, label, mode, secret=secret)
    except tokens.TooManyTokensError as error:
        return _page({"view": str(error)}, 409)
    return redirect(url_for("feeds.index", fresh=made.id, _anchor=f"feed-{made.id}"), 303)


@blueprint.post("/feeds/revoke")
@signed_in
def revoke() -> Any:
    """Close one of my feeds for good."""
    with dare().database.begin() as session:
        token: FeedToken | None = tokens.of_person(
            session, me().id, request.form.get("token", 0, type=int)
        )
        if token is None:
            abort(404)
        tokens.revoke(session, token)
    return redirect(url_for("feeds.index"), 303)
