"""My feeds: the addresses that open talks in podcast apps.

The list shows addresses masked. Making, renewing and closing one tells nothing, so a session is
enough; reading one out wants a recent sign-in.
"""

import io
from types import SimpleNamespace

import segno
from flask import Blueprint, abort, make_response, redirect, render_template, request, url_for
from markupsafe import Markup
from sqlmodel import Session
from werkzeug import Response

from service import catalogue, subscriptions
from service.context import dare
from service.failures import note
from service.feed import tokens
from service.feed.tokens import Held
from service.identity import browser
from service.identity.browser import me, recent, signed_in
from service.presentation import day
from service.publishing import PublishingError
from service.subscriptions import Desk, Wanted

blueprint = Blueprint("feeds", __name__, url_prefix="/feeds")
TOP = "top"
LIVES = [("", "For ever"), ("90", "90 days"), ("365", "A year")]


def _desk() -> Desk:
    return Desk(me(), dare().settings, browser.network())


@blueprint.get("/")
@signed_in
def index() -> str:
    """List one's addresses, masked, and offer a new one."""
    with dare().database.begin() as session:
        return _page(session)


def _page(session: Session, *, errors: dict[str, str] | None = None) -> str:
    typed = request.form.to_dict()
    wanted = typed.get("view") or request.args.get("view", TOP)
    shows = catalogue.shows(session, me())
    choices = [(TOP, "Top rated: the most useful talks"), *((s.slug, s.title) for s in shows)]
    choices.sort(key=lambda choice: choice[0] != wanted)
    return render_template(
        "feeds/index.html",
        tokens=[_shown(entry) for entry in tokens.mine(session, me())],
        choices=choices,
        lives=LIVES,
        grace_days=dare().settings.feed_grace_days,
        errors=errors or {},
        typed=typed,
    )


def _shown(held: Held) -> SimpleNamespace:
    token = held.token
    return SimpleNamespace(
        id=token.id,
        title=held.title,
        label=token.label,
        mode=token.mode,
        masked=tokens.masked(tokens.address(dare().settings, token)),
        created_at=token.created_at,
        expires_at=token.expires_at,
        graced=held.graced,
        used_at=token.used_at,
        used_by=token.used_by,
        networks=held.networks,
        closed=not tokens.is_open(token),
        revoked=token.revoked_at is not None,
    )


@blueprint.get("/<int:feed_id>")
@signed_in
@recent
def address(feed_id: int) -> Response:
    """Show one address whole, to copy it or to point a phone at it; never kept by the browser."""
    with dare().database.begin() as session:
        held = next((one for one in tokens.mine(session, me()) if one.token.id == feed_id), None)
    if held is None or not tokens.is_open(held.token):
        abort(404)
    spelled = tokens.address(dare().settings, held.token)
    page = render_template(
        "feeds/address.html", token=_shown(held), address=spelled, qr_svg=qr_code(spelled)
    )
    answer = make_response(page)
    answer.headers["Cache-Control"] = "no-store"
    return answer


def qr_code(address: str) -> Markup:
    """Return an address as a QR picture, drawn here: no other host sees it."""
    picture = io.BytesIO()
    segno.make(address, error="m").save(
        picture, kind="svg", xmldecl=False, svgns=True, scale=4, border=4, omitsize=True
    )
    return Markup(picture.getvalue().decode())  # noqa: S704  drawn by segno, holds no text


@blueprint.post("/")
@signed_in
def create() -> Response | tuple[str, int]:
    """Make an address, and lead to where it is shown."""
    form = request.form
    chosen, days = form.get("view", TOP), form.get("days", "")
    wanted = Wanted(
        show=None if chosen == TOP else chosen,
        label=form.get("label", ""),
        mode=form.get("mode", "audio"),
        days=form.get("days", -1, int) if days else None,
    )
    with dare().database.begin() as session:
        try:
            token = subscriptions.make(session, _desk(), wanted)
        except PublishingError as error:
            errors = {"view" if name == "show" else name: why for name, why in error.errors.items()}
            return _page(session, errors=errors), 422
    return _to_address(token.id)


def _to_address(token_id: int) -> Response:
    return redirect(url_for("feeds.address", feed_id=token_id), 303)


def _chosen() -> int:
    return request.form.get("token", 0, int)


@blueprint.post("/label")
@signed_in
def relabel() -> Response:
    """Say anew which app an address is for."""
    with dare().database.begin() as session:
        token = subscriptions.relabel(session, _desk(), _chosen(), request.form.get("label", ""))
    note("good", "The label is changed.")
    return redirect(url_for("feeds.index", _anchor=f"feed-{token.id}"), 303)


@blueprint.post("/rotate")
@signed_in
def rotate() -> Response:
    """Renew an address; apps find the new one by themselves."""
    with dare().database.begin() as session:
        token = subscriptions.rotate(session, _desk(), _chosen())
        held = next(one for one in tokens.mine(session, me()) if one.token.id == token.id)
    until = f" until {day(held.graced)}" if held.graced else ""
    note("good", f"The address is new. Apps are led to it from the old one{until}.")
    return redirect(url_for("feeds.index", _anchor=f"feed-{token.id}"), 303)


@blueprint.post("/replace")
@signed_in
def replace() -> Response:
    """Close an address that somebody else has, and lead to a new one."""
    with dare().database.begin() as session:
        made = subscriptions.replace(session, _desk(), _chosen())
    note("good", "The old address is closed for everybody. Add this new one to your app.")
    return _to_address(made.id)


@blueprint.post("/revoke")
@signed_in
def revoke() -> Response:
    """Close an address for good."""
    with dare().database.begin() as session:
        subscriptions.revoke(session, _desk(), _chosen())
    note("good", "The address is closed. Apps that use it get nothing more.")
    return redirect(url_for("feeds.index"), 303)
