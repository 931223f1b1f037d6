"""One's own access tokens for the API: made, shown once, revoked."""

from datetime import timedelta

from flask import Blueprint, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service.context import dare
from service.failures import note
from service.identity import browser, tokens
from service.identity.browser import me, recent, signed_in
from service.identity.tokens import TokenError
from service.publishing import one_line
from storage import audit

blueprint = Blueprint("access_tokens", __name__, url_prefix="/account/tokens")
# Days of life, and what the form calls them.
LIVES = ((30, "30 days"), (90, "90 days"), (365, "A year"))
SCOPES = (
    ("read", "Read", "see talks, feeds and what is yours"),
    ("take-part", "Take part", "rate, comment, follow"),
    ("publish", "Publish", "draft, upload and publish talks of yours"),
)


@blueprint.get("/")
@signed_in
@recent
def index() -> str:
    """List one's tokens and offer a new one."""
    with dare().database.begin() as session:
        return _page(session)


def _page(session: Session, *, new_token: str | None = None, error: str = "") -> str:
    form = request.form
    return render_template(
        "account/tokens.html",
        access_tokens=tokens.mine(session, me().id),
        new_token=new_token,
        lives=LIVES,
        scopes=SCOPES,
        errors={"scopes": error} if error else {},
        chosen=form.getlist("scopes") if error else ["read"],
        typed={"label": form.get("label", ""), "days": form.get("days", "")} if error else {},
    )


@blueprint.post("/")
@signed_in
@recent
def create() -> str | tuple[str, int]:
    """Make a token and show it once."""
    life = request.form.get("days", 90, int)
    with dare().database.begin() as session:
        try:
            token, secret = tokens.issue(
                session,
                me().id,
                one_line(request.form.get("label", "")),
                scopes=request.form.getlist("scopes"),
                life=timedelta(days=life if life in dict(LIVES) else 0),
            )
        except TokenError as error:
            return _page(session, error=str(error)), 422
        _record(session, "token-made", token.id, scopes=token.scopes, days=life)
        return _page(session, new_token=secret)


@blueprint.post("/revoke")
@signed_in
def revoke() -> Response:
    """Revoke one of one's own tokens; no fresh proof is wanted to close something."""
    number = request.form.get("token", 0, int)
    with dare().database.begin() as session:
        if tokens.revoke(session, me().id, number):
            _record(session, "token-revoked", number)
    note("good", "The token is revoked. Scripts that use it get nothing more.")
    return redirect(url_for("access_tokens.index"), 303)


def _record(session: Session, act: str, number: int, **facts: object) -> None:
    audit.record(
        session,
        act,
        actor=me().ref,
        subject_kind="token",
        subject=str(number),
        network=browser.network(),
        **facts,
    )
