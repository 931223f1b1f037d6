"""The first account, made with the link that the first start prints."""

from flask import Blueprint, abort, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service.context import dare
from service.identity import browser, people
from service.identity.browser import open_to_all
from service.identity.people import PersonError

blueprint = Blueprint("set_up", __name__)


def _dead(session: Session) -> tuple[str, int]:
    """Say what to do instead: sign in where somebody is, else begin anew."""
    lived_in = people.count(session) > 0
    return render_template("sign_in/set_up_over.html", lived_in=lived_in), 404


@blueprint.route("/set-up/<token>", methods=["GET", "POST"])
@open_to_all
def show(token: str) -> Response | str | tuple[str, int]:
    """Make the first account with the one-time link."""
    with dare().database.begin() as session:
        if people.set_up_link(session, token) is None:
            return _dead(session)
    if request.method != "POST":
        return render_template("sign_in/set_up.html", token=token)
    typed = request.form.to_dict()
    email, name, password = typed.get("email", ""), typed.get("name", ""), typed.pop("password", "")
    house = dare().settings.organisation
    try:
        # No connection is held while the hash is computed.
        stored = people.first_password(
            email=email, name=name, password=password, organisation=house
        )
        with dare().database.begin() as session:
            person = people.set_up(session, token, email=email, name=name, stored=stored)
    except PersonError as error:
        errors = {error.field: str(error)}
        return render_template("sign_in/set_up.html", token=token, errors=errors, typed=typed), 422
    if person is None:
        abort(404)
    return browser.begin(person, url_for("home.index"), method="set-up")
