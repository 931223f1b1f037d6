"""My feeds: the addresses that open talks in podcast apps."""

import io
from types import SimpleNamespace

import segno
from flask import Blueprint, abort, redirect, render_template, request, url_for
from markupsafe import Markup
from sqlmodel import Session
from werkzeug import Response

from service import access, catalogue
from service.context import dare
from service.failures import note
from service.feed import channel, tokens
from service.feed.tokens import Held, TooManyTokensError
from service.identity.browser import me, signed_in
from storage.models import FeedView

blueprint = Blueprint("feeds", __name__, url_prefix="/feeds")
TOP = "top"


@blueprint.get("/")
@signed_in
def index() -> str:
    """List one's addresses and offer a new one."""
    with dare().database.begin() as session:
        held = tokens.mine(session, me().id)
        shows = catalogue.shows(session, me())
    wanted = request.args.get("view", TOP)
    choices = [(TOP, "Top rated: the most useful talks"), *((s.slug, s.title) for s in shows)]
    choices.sort(key=lambda choice: choice[0] != wanted)
    return render_template(
        "feeds/index.html",
        tokens=[_shown(entry) for entry in held],
        choices=choices,
        fresh=request.args.get("fresh", 0, int),
    )


def _shown(held: Held) -> SimpleNamespace:
    token, revoked = held.token, held.token.revoked_at is not None
    address = tokens.address(dare().settings, token)
    return SimpleNamespace(
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
        qr_svg=None if revoked else qr_code(address),
    )


def qr_code(address: str) -> Markup:
    """Return an address as a QR picture, drawn here: no other host sees it."""
    picture = io.BytesIO()
    segno.make(address, error="m").save(
        picture, kind="svg", xmldecl=False, svgns=True, scale=4, border=4, omitsize=True
    )
    return Markup(picture.getvalue().decode())  # noqa: S704  drawn by segno, holds no text


@blueprint.post("/")
@signed_in
def create() -> Response:
    """Make an address."""
    form = request.form
    with dare().database.begin() as session:
        try:
            token = tokens.issue(
                session,
                me().id,
                _view(session, form.get("view", TOP)),
                form.get("label", ""),
                form.get("mode", "audio"),
                secret=dare().settings.secret,
            )
        except TooManyTokensError as error:
            abort(409, str(error))
        except ValueError as error:
            abort(422, str(error))
    return redirect(url_for("feeds.index", fresh=token.id, _anchor=f"feed-{token.id}"), 303)


def _view(session: Session, wanted: str) -> FeedView:
    if wanted == TOP:
        return channel.view_top(session)
    show = catalogue.find_show(session, me(), wanted)
    if show is None or not access.sees_show(me(), show):
        abort(422, "Choose a show from the list.")
    return channel.view_of_show(session, show.id)


@blueprint.post("/revoke")
@signed_in
def revoke() -> Response:
    """Close an address for good."""
    with dare().database.begin() as session:
        token = tokens.of_person(session, me().id, request.form.get("token", 0, int))
        if token is None:
            abort(404)
        tokens.revoke(session, token)
    note("good", "The address is closed. Apps that use it get nothing more.")
    return redirect(url_for("feeds.index"), 303)
