"""The first account, made with the link that the first start prints."""

from flask import Blueprint, abort, render_template, request, url_for
from werkzeug import Response

from service.context import dare
from service.identity import browser, people
from service.identity.browser import open_to_all
from service.identity.people import PersonError

blueprint = Blueprint("set_up", __name__)


@blueprint.route("/set-up/<token>", methods=["GET", "POST"])
@open_to_all
def show(token: str) -> Response | str | tuple[str, int]:
    """Make the first account with the one-time link."""
    with dare().database.begin() as session:
        if people.set_up_link(session, token) is None:
            abort(404, "This link has been used or is too old. `dare up` prints a fresh one.")
    if request.method != "POST":
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
                organisation=dare().settings.organisation,
            )
    except PersonError as error:
        errors = {error.field: str(error)}
        return render_template("sign_in/set_up.html", token=token, errors=errors, typed=typed), 422
    if person is None:
        abort(404)
    return browser.begin(person, url_for("home.index"), method="set-up")
