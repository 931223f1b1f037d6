"""One's own account: name, theme, sessions, access tokens."""

from types import SimpleNamespace

from flask import Blueprint, abort, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service.context import dare
from service.failures import note
from service.identity import browser, people, sessions, tokens
from service.identity.browser import me, signed_in
from service.identity.people import PersonError
from service.identity.secrets import key_of
from service.publishing import many_lines, one_line
from storage.models import Person

blueprint = Blueprint("account", __name__, url_prefix="/account")
THEMES = ("system", "light", "dark")


@blueprint.get("/")
@signed_in
def show() -> str:
    """Show one's account."""
    with dare().database.begin() as session:
        return _page(session)


def _page(
    session: Session,
    *,
    errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
    new_token: str | None = None,
) -> str:
    current = key_of(request.cookies.get(browser.COOKIE, ""))
    return render_template(
        "account/show.html",
        person=_mine(session),
        sessions=[
            SimpleNamespace(
                id=kept.key,
                label=kept.label,
                created_at=kept.created_at,
                seen_at=kept.seen_at,
                current=kept.key == current,
            )
            for kept in sessions.mine(session, me().id)
        ],
        access_tokens=tokens.mine(session, me().id),
        new_token=new_token,
        errors=errors or {},
        typed=typed or {},
    )


def _mine(session: Session) -> Person:
    person = session.get(Person, me().id)
    if person is None:
        abort(404)
    return person


@blueprint.post("/")
@signed_in
def save() -> Response | tuple[str, int]:
    """Change how colleagues see one."""
    typed = request.form.to_dict()
    try:
        with dare().database.begin() as session:
            person = _mine(session)
            person.name = people.clean_name(typed.get("name", ""))
            person.department = one_line(typed.get("department", ""))[:120] or None
            person.about = many_lines(typed.get("about", ""))[:2000]
    except PersonError as error:
        with dare().database.begin() as session:
            return _page(session, errors={error.field: str(error)}, typed=typed), 422
    note("good", "Saved.")
    return redirect(url_for("account.show"), 303)


@blueprint.post("/theme")
@signed_in
def theme() -> Response:
    """Choose light, dark, or as the device says."""
    chosen = request.form.get("theme", "")
    if chosen not in THEMES:
        abort(422, "Choose light, dark or as the device.")
    with dare().database.begin() as session:
        _mine(session).theme = chosen
    return redirect(url_for("account.show"), 303)


@blueprint.post("/sessions/end")
@signed_in
def end_session() -> Response:
    """End one of one's other sessions."""
    with dare().database.begin() as session:
        sessions.end_of(session, me().id, request.form.get("session", ""))
    return redirect(url_for("account.show"), 303)


@blueprint.post("/sessions/end-others")
@signed_in
def end_sessions() -> Response:
    """End every session but this one."""
    current = key_of(request.cookies.get(browser.COOKIE, ""))
    with dare().database.begin() as session:
        for kept in sessions.mine(session, me().id):
            if kept.key != current:
                sessions.end_of(session, me().id, kept.key)
    return redirect(url_for("account.show"), 303)


@blueprint.post("/tokens")
@signed_in
def create_token() -> str:
    """Make an access token and show it once."""
    with dare().database.begin() as session:
        _, secret = tokens.issue(session, me().id, one_line(request.form.get("label", "")))
        return _page(session, new_token=secret)


@blueprint.post("/tokens/revoke")
@signed_in
def revoke_token() -> Response:
    """Revoke one of one's own tokens."""
    with dare().database.begin() as session:
        tokens.revoke(session, me().id, request.form.get("token", 0, int))
    return redirect(url_for("account.show"), 303)
