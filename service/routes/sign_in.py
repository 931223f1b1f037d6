"""Signing in and out."""

from flask import Blueprint, make_response, redirect, render_template, request, url_for
from werkzeug import Response

from service.context import dare
from service.identity import browser, people, sessions
from service.identity.browser import asker, open_to_all, signed_in

blueprint = Blueprint("sign_in", __name__)
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
    return browser.begin(person, _local(wanted))


def _local(wanted: str) -> str:
    """Return a path on this site, whatever was asked for.

    Backslashes and control characters are how browsers are talked into other hosts.
    """
    strange = any(ord(c) < 33 or c == "\\" for c in wanted)
    if strange or not wanted.startswith("/") or wanted.startswith("//"):
        return url_for("home.index")
    return wanted


@blueprint.post("/sign-out")
@signed_in
def out() -> Response:
    """End this browser's session."""
    with dare().database.begin() as session:
        sessions.end(session, request.cookies.get(browser.COOKIE, ""))
    return browser.sign_out(make_response(redirect(url_for("sign_in.index"), 303)))
