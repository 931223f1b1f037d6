"""Communities as admins make them, and what the groups of a sign-in provider grant."""

from flask import Blueprint, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service import communities, grants
from service.context import dare
from service.failures import note
from service.identity import browser
from service.identity.browser import admin, me, recent
from service.publishing import PublishingError

blueprint = Blueprint("admin_groups", __name__, url_prefix="/admin")
JOINING = (
    ("open", "Anybody may join"),
    ("request", "One asks, a steward answers"),
    ("group", "By a steward or a provider's group; others do not see it"),
)

Answer = Response | str | tuple[str, int]
Words = dict[str, str] | None


# Groups


@blueprint.get("/groups")
@admin
@recent
def groups() -> str:
    """Show what groups grant, and whose groups could not be read."""
    with dare().database.begin() as session:
        return _groups(session)


def _groups(session: Session, *, errors: Words = None, typed: Words = None) -> str:
    settings = dare().settings
    places = communities.places(session, me())
    return render_template(
        "admin/groups.html",
        grants=grants.table(session, settings),
        troubled=grants.troubled(session),
        providers=[(known.name, known.label or known.name) for known in settings.oidc],
        choices=[("", "No community"), *((place.slug, place.name) for place in places)],
        roles=[("", "No role"), *((role, role) for role in grants.ROLES)],
        errors=errors or {},
        typed=typed or {},
    )


@blueprint.post("/groups")
@admin
@recent
def add_grant() -> Answer:
    """Let a group grant something."""
    typed = request.form.to_dict()
    try:
        with dare().database.begin() as session:
            grants.add(
                session,
                dare().settings,
                me(),
                provider=typed.get("provider", ""),
                value=typed.get("value", ""),
                community=typed.get("community", ""),
                member_as=typed.get("member_as", "member"),
                role=typed.get("role", ""),
                network=browser.network(),
            )
    except PublishingError as error:
        with dare().database.begin() as session:
            return _groups(session, errors=error.errors, typed=typed), 422
    note("good", "It holds from the next sign-in of each person on.")
    return redirect(url_for("admin_groups.groups"), 303)


@blueprint.post("/groups/remove")
@admin
@recent
def remove_grant() -> Response:
    """Take a grant away."""
    with dare().database.begin() as session:
        wanted = request.form.get("grant", 0, int)
        grants.remove(session, me(), wanted, network=browser.network())
    note("good", "Removed. What it gave goes at the next sign-in of each person.")
    return redirect(url_for("admin_groups.groups"), 303)


# Communities


@blueprint.get("/communities")
@admin
@recent
def places() -> str:
    """Show all communities, and the form for a new one."""
    with dare().database.begin() as session:
        return _places(session)


def _places(session: Session, *, errors: Words = None, typed: Words = None) -> str:
    return render_template(
        "admin/communities.html",
        communities=communities.places(session, me()),
        joining=JOINING,
        errors=errors or {},
        typed=typed or {},
    )


@blueprint.post("/communities")
@admin
@recent
def found() -> Answer:
    """Make a community."""
    typed = request.form.to_dict()
    try:
        with dare().database.begin() as session:
            made = communities.found(
                session,
                me(),
                name=typed.get("name", ""),
                purpose=typed.get("purpose", ""),
                joining=typed.get("joining", ""),
                network=browser.network(),
            )
    except PublishingError as error:
        with dare().database.begin() as session:
            return _places(session, errors=error.errors, typed=typed), 422
    note("good", f"{made.name} is there, and you are its first steward.")
    return redirect(url_for("admin_groups.places"), 303)


@blueprint.route("/communities/<slug>", methods=["GET", "POST"])
@admin
@recent
def edit(slug: str) -> Answer:
    """Change what a community is called, what it is for and how one joins."""
    typed, errors, status = request.form.to_dict(), {}, 200
    if request.method == "POST":
        try:
            with dare().database.begin() as session:
                communities.edit(
                    session,
                    me(),
                    slug,
                    name=typed.get("name", ""),
                    purpose=typed.get("purpose", ""),
                    joining=typed.get("joining", ""),
                    network=browser.network(),
                )
            note("good", "Saved.")
            return redirect(url_for("admin_groups.places"), 303)
        except PublishingError as error:
            errors, status = error.errors, 422
    with dare().database.begin() as session:
        place = communities.place(session, me(), slug)
    page = render_template(
        "admin/community.html", community=place, joining=JOINING, errors=errors, typed=typed
    )
    return page, status
