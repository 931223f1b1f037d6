"""Links that the house has sent: an invitation, a new password, and the form that asks for one.

Programs open links in letters before people do, so opening one changes nothing; its button does.
The address is a secret, so these pages tell no other page where somebody came from.
"""

from flask import Blueprint, abort, redirect, render_template, request, url_for
from werkzeug import Response

from service import invitations, letters, resets
from service.context import dare
from service.failures import note
from service.identity import browser, people
from service.identity.browser import asker, open_to_all
from service.identity.people import PersonError
from service.invitations import Opened
from storage.models import Person

blueprint = Blueprint("links", __name__)
DEAD = "This link was used, taken back, or is too old. Please ask for a new one."

Answer = Response | str | tuple[str, int]


@blueprint.after_request
def say_nothing_of_the_address(response: Response) -> Response:
    """Keep the secret in the address from whatever this page leads to."""
    if "token" in (request.view_args or {}):
        response.headers["Referrer-Policy"] = "no-referrer"
    return response


# A new password


@blueprint.route("/forgotten", methods=["GET", "POST"])
@open_to_all
def forgotten() -> Answer:
    """Offer to send a link for a new password; the answer is the same for every address."""
    settings = dare().settings
    possible = settings.local_sign_in and letters.possible(settings)
    page = {"possible": possible, "contact": settings.contact, "local": settings.local_sign_in}
    if request.method != "POST" or not possible:
        return render_template("links/forgotten.html", **page)
    email = request.form.get("email", "")
    try:
        with dare().database.begin() as session:
            resets.ask(session, settings, email, network=browser.network())
    except PersonError as error:
        typed, errors = {"email": email}, {error.field: str(error)}
        return render_template("links/forgotten.html", **page, typed=typed, errors=errors), 422
    return render_template("links/forgotten.html", **page, asked=True)


@blueprint.route("/resets/<token>", methods=["GET", "POST"])
@open_to_all
def reset(token: str) -> Answer:
    """Choose a new password with a link."""
    floor = dare()
    with floor.database.begin() as session:
        found = resets.find(session, floor.settings, token)
    if found is None:
        abort(404, DEAD)
    _, person = found
    if request.method != "POST":
        return render_template("links/reset.html", token=token, person=person)
    try:
        # No connection is held while the hash is computed.
        stored = people.new_password(
            person, request.form.get("password", ""), floor.settings.organisation
        )
    except PersonError as error:
        errors = {error.field: str(error)}
        page = render_template("links/reset.html", token=token, person=person, errors=errors)
        return page, 422
    with floor.database.begin() as session:
        changed = resets.finish(session, floor.settings, token, stored, network=browser.network())
    if changed is None:
        abort(404, DEAD)
    note("good", "Your password is changed, and you were signed out everywhere. Please sign in.")
    # Whoever has a second factor must still show it, so the ordinary door is the only one.
    return redirect(url_for("sign_in.index"), 303)


# An invitation


@blueprint.route("/invitations/<token>", methods=["GET", "POST"])
@open_to_all
def invitation(token: str) -> Answer:
    """Accept an invitation: with a new account, or with the one that somebody has."""
    with dare().database.begin() as session:
        opened = invitations.find(session, token)
    if opened is None:
        abort(404, DEAD)
    if request.method != "POST":
        return _invitation(token, opened)
    if asker() is not None or opened.known is not None:
        return _accepted_as_known(token, opened)
    name, password = request.form.get("name", ""), request.form.get("password", "")
    try:
        # No connection is held while the hash is computed.
        stored = invitations.first_password(dare().settings, opened, name=name, password=password)
        with dare().database.begin() as session:
            person = invitations.accept_anew(
                session, token, name=name, stored=stored, network=browser.network()
            )
    except PersonError as error:
        typed = {"name": name}
        return _invitation(token, opened, errors={error.field: str(error)}, typed=typed), 422
    note("good", f"Welcome, {person.name}.")
    return browser.begin(person, url_for("home.index"), method="invitation")


def _invitation(
    token: str,
    opened: Opened,
    *,
    errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
) -> str:
    return render_template(
        "links/invitation.html",
        token=token,
        invitation=opened,
        local=dare().settings.local_sign_in,
        others=invitations.OTHERS,
        errors=errors or {},
        typed=typed or {},
    )


def _accepted_as_known(token: str, opened: Opened) -> Response:
    """Let who is signed in into the community, or else the one whose address was invited."""
    here = asker()
    if opened.community is None:
        return redirect(url_for("home.index"), 303)
    with dare().database.begin() as session:
        person = session.get_one(Person, here.id) if here else opened.known
        if person is not None:
            invitations.accept_as(session, token, person, network=browser.network())
    note("good", f"You belong to {opened.community.name} now.")
    if here is None:
        return redirect(url_for("sign_in.index"), 303)
    return redirect(url_for("communities.show", slug=opened.community.slug), 303)
