"""Inviting people, and what invitations are open."""

from flask import Blueprint, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service import communities, invitations, letters
from service.context import dare
from service.failures import note
from service.identity import browser
from service.identity.browser import admin, me, recent
from service.invitations import Invited
from service.presentation import counted
from service.publishing import PublishingError
from storage.models import ROLES

blueprint = Blueprint("admin_invitations", __name__, url_prefix="/admin/invitations")

Answer = Response | str | tuple[str, int] | tuple[str, int, dict[str, str]]


@blueprint.get("/")
@admin
@recent
def index() -> str:
    """Show the form and the invitations that are open."""
    with dare().database.begin() as session:
        return _page(session)


def _page(
    session: Session,
    *,
    errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
    made: list[Invited] | None = None,
) -> str:
    settings = dare().settings
    places = communities.places(session, me())
    return render_template(
        "admin/invitations.html",
        waiting=invitations.waiting(session),
        choices=[("", "No community"), *((place.slug, place.name) for place in places)],
        roles=ROLES,
        usual=settings.new_people,
        most=invitations.MOST,
        mail=letters.possible(settings),
        made=made or [],
        errors=errors or {},
        typed=typed or {},
    )


@blueprint.post("/")
@admin
@recent
def create() -> Answer:
    """Invite everybody whose address was given."""
    typed, settings = request.form.to_dict(), dare().settings
    try:
        with dare().database.begin() as session:
            made = invitations.invite(
                session,
                settings,
                me(),
                typed.get("addresses", ""),
                community=typed.get("community", ""),
                role=typed.get("role", ""),
                network=browser.network(),
            )
    except PublishingError as error:
        with dare().database.begin() as session:
            return _page(session, errors=error.errors, typed=typed), 422
    known = [one.address for one in made if one.known]
    made = [one for one in made if not one.known]
    if known:
        verb = "has" if len(known) == 1 else "have"
        note("plain", f"{', '.join(known)} {verb} an account here already.")
    if letters.possible(settings) and made:
        note("good", f"{counted(len(made), 'letter')} on the way.")
    if letters.possible(settings) or not made:
        return redirect(url_for("admin_invitations.index"), 303)
    with dare().database.begin() as session:
        return _page(session, made=made), 200, {"Cache-Control": "no-store"}


@blueprint.post("/take-back")
@admin
@recent
def take_back() -> Response:
    """Take an invitation back."""
    with dare().database.begin() as session:
        invitations.take_back(
            session, me(), request.form.get("invitation", ""), network=browser.network()
        )
    note("good", "The invitation is taken back. Its link opens nothing any more.")
    return redirect(url_for("admin_invitations.index"), 303)
