"""Signing in and out, and the first account."""

from urllib.parse import urlsplit

from flask import Blueprint, abort, make_response, redirect, render_template, request, url_for
from werkzeug import Response

from service.context import dare
from service.identity import browser, people, sessions
from service.identity.browser import asker, open_to_all, signed_in
from service.identity.people import PersonError
from storage.models import Person

blueprint = Blueprint("sign_in", __name__)
first = Blueprint("set_up", __name__)
WRONG = "This address and password do not go together."


@blueprint.route("/sign-in", methods=["GET", "POST"])
@open_to_all
def index() -> Response | str | tuple[str, int]:
    """Offer the form, or begin a session."""
    wanted = request.values.get("next", "")
    if request.method == "GET":
        if asker() is not None:
            return redirect(_local(wanted), 303)
        return render_template("sign_in/index.html", next=wanted, error=None)
    email, password = request.form.get("email", ""), request.form.get("password", "")
    with dare().database.begin() as session:
        person = people.by_email(session, email)
    # No connection is held while the hash is computed.
    if not people.signed_in(person, password) or person is None:
        form = render_template(
            "sign_in/index.html", next=wanted, error=WRONG, typed={"email": email}
        )
        return form, 422
    return _begin(person, _local(wanted))


def _begin(person: Person, where: str) -> Response:
    old = request.cookies.get(browser.COOKIE)
    with dare().database.begin() as session:
        if old:
            sessions.end(session, old)
        secret = sessions.start(session, person, _label())
    return browser.sign_in(make_response(redirect(where, 303)), secret)


def _label() -> str:
    agent = request.user_agent.string
    names = ("Edg", "Firefox", "Chrome", "Safari")
    systems = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
    name = next((n for n in names if n in agent), "Browser").replace("Edg", "Edge")
    system = next((s for s in systems if s in agent), "")
    return f"{name} on {system}" if system else name


def _local(wanted: str) -> str:
    """Return a path on this site, whatever was asked for.

    Backslashes and control characters are how browsers are talked into other hosts.
    """
    strange = any(ord(c) < 33 or c == "\\" for c in wanted)
    parts = urlsplit(wanted) if wanted and not strange else None
    plain = parts is not None and not parts.scheme and not parts.netloc
    if not plain or not wanted.startswith("/") or wanted.startswith("//"):
        return url_for("home.index")
    return wanted


@blueprint.post("/sign-out")
@signed_in
def out() -> Response:
    """End this browser's session."""
    with dare().database.begin() as session:
        sessions.end(session, request.cookies.get(browser.COOKIE, ""))
    return browser.sign_out(make_response(redirect(url_for("sign_in.index"), 303)))


@first.route("/set-up/<token>", methods=["GET", "POST"])
@open_to_all
def show(token: str) -> Response | str | tuple[str, int]:
    """Make the first account with the one-time link."""
    with dare().database.begin() as session:
        if people.set_up_link(session, token) is None:
            abort(404, "This link has been used or is too old. `dare up` prints a fresh one.")
    if request.method == "GET":
        return render_template("sign_in/set_up.html", token=token)
    typed = request.form.to_dict()
    try:
        with dare().database.begin() as session:
            person = people.set_up(
                session,
                token,
                email=typed.get("email", ""),
                name=typed.get("name", ""),
                password=typed.pop("password", ""),
            )
    except PersonError as error:
        errors = {error.field: str(error)}
        return render_template("sign_in/set_up.html", token=token, errors=errors, typed=typed), 422
    if person is None:
        abort(404)
    return _begin(person, url_for("home.index"))


blueprint.register_blueprint(first)
