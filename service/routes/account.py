"""One's own account: name, theme, password, and where one is signed in."""

from types import SimpleNamespace

from flask import Blueprint, abort, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service import resets, shows
from service.context import dare
from service.failures import note
from service.identity import browser, people, proof, sessions, tokens, vouching
from service.identity.browser import me, recent, signed_in
from service.identity.people import PersonError
from service.identity.proof import Place
from service.limits import TooFastError
from service.publishing import many_lines, one_line
from storage import audit
from storage.models import Person

blueprint = Blueprint("account", __name__, url_prefix="/account")
THEMES = ("system", "light", "dark")
# How a session was begun, as people say it.
METHODS = {
    "password": "by password",
    "code": "by password and code",
    "set-up": "by the first link",
    "invitation": "by invitation",
    "reset": "by a new password",
}

Answer = Response | str | tuple[str, int] | tuple[str, int, dict[str, str]]


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
) -> str:
    current = browser.session_key()
    return render_template(
        "account/show.html",
        person=_mine(session),
        sessions=[
            SimpleNamespace(
                id=kept.key,
                label=kept.label,
                network=kept.network,
                method=METHODS.get(kept.method, "by your provider"),
                created_at=kept.created_at,
                seen_at=kept.seen_at,
                current=kept.key == current,
            )
            for kept in sessions.mine(session, me().id)
        ],
        tokens=len(tokens.mine(session, me().id)),
        local=_has_password(_mine(session)),
        vouching=vouching.overview(session, dare().settings, me().id, me().ref),
        errors=errors or {},
        typed=typed or {},
    )


def _mine(session: Session, *, lock: bool = False) -> Person:
    """Return one's own row; with `lock` to change it, so that erasing waits and then empties it."""
    held = {"key_share": True} if lock else None
    person = session.get(Person, me().id, with_for_update=held)
    if person is None or person.erased_at is not None:
        abort(404)
    return person


def _has_password(person: Person) -> bool:
    """Whether somebody has a password that opens their account."""
    opens = dare().settings.local_sign_in or person.emergency
    return opens and person.password_hash is not None


@blueprint.post("/")
@signed_in
def save() -> Response | tuple[str, int]:
    """Change how colleagues see one."""
    typed = request.form.to_dict()
    try:
        with dare().database.begin() as session:
            person = _mine(session, lock=True)
            before, person.name = person.name, people.clean_name(typed.get("name", ""))
            person.department = one_line(typed.get("department", ""))[:120] or None
            person.about = many_lines(typed.get("about", ""))[:2000]
            if person.name != before:
                shows.renamed(session, person.id)
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
        _mine(session, lock=True).theme = chosen
    return redirect(url_for("account.show"), 303)


@blueprint.route("/password", methods=["GET", "POST"])
@signed_in
@recent
def password() -> Answer:
    """Choose a new password; the old one is asked for, and every other browser signed out."""
    floor, form = dare(), request.form
    with floor.database.begin() as session:
        person = _mine(session)
    if not _has_password(person):
        abort(404)
    if request.method != "POST":
        return render_template("account/password.html", person=person, errors={})
    place = Place(browser.network(), request.cookies.get(browser.DEVICE, ""))
    try:
        proved = proof.by_password(floor, person.email, form.get("old", ""), place)
        if proved is None:
            return _refused(person, "old", "This is not your password as it was until now."), 422
        stored = people.new_password(person, form.get("new", ""), floor.settings.organisation)
    except TooFastError as error:
        page = _refused(person, "old", str(error))
        return page, 429, {"Retry-After": str(error.wait)}
    except PersonError as error:
        return _refused(person, "new", str(error)), 422
    with floor.database.begin() as session:
        owner = _mine(session, lock=True)
        if owner.password_hash != proved.password_hash:
            abort(409, browser.CHANGED)
        people.change_password(
            session, owner, stored, but=browser.session_key(), network=browser.network()
        )
        resets.changed(session, floor.settings, owner)
    note("good", "Your password is changed, and every other browser is signed out.")
    return browser.renew(url_for("account.show"), method="code" if person.totp_at else "password")


def _refused(person: Person, field: str, words: str) -> str:
    return render_template("account/password.html", person=person, errors={field: words})


@blueprint.post("/sessions/end")
@signed_in
def end_session() -> Response:
    """End one of one's other sessions."""
    with dare().database.begin() as session:
        _record_ended(session, sessions.end_of(session, me().id, request.form.get("session", "")))
    return redirect(url_for("account.show"), 303)


@blueprint.post("/sessions/end-others")
@signed_in
def end_sessions() -> Response:
    """End every session but this one."""
    with dare().database.begin() as session:
        _record_ended(session, sessions.end_all(session, me().id, but=browser.session_key()))
    note("good", "Every other browser is signed out.")
    return redirect(url_for("account.show"), 303)


def _record_ended(session: Session, count: int) -> None:
    if count:
        ref, network = me().ref, browser.network()
        audit.record(session, "session-ended", actor=ref, network=network, count=count)
