"""Looking after the people: found, one by one, and what an admin may do for them."""

from urllib.parse import urlencode

from flask import Blueprint, redirect, render_template, request, url_for
from werkzeug import Response

from service import administration, audit_log, communities, directory, memberships, resets
from service.context import dare
from service.directory import STATES, Wanted
from service.failures import note
from service.identity import browser
from service.identity.browser import admin, me, recent
from storage.models import ROLES

blueprint = Blueprint("admin_people", __name__, url_prefix="/admin/people")


@blueprint.get("/")
@admin
@recent
def index() -> str:
    """List the people by name; a search narrows the list."""
    asked = request.args
    role, state = asked.get("role", ""), asked.get("state", "")
    wanted = Wanted(
        words=asked.get("q", "")[:200],
        role=role if role in ROLES else "",
        state=state if state in STATES else "",
    )
    with dare().database.begin() as session:
        found = directory.find(session, wanted, asked.get("after", ""))
    kept = {"q": wanted.words, "role": wanted.role, "state": wanted.state}
    more = {name: value for name, value in kept.items() if value} | {"after": found.after or ""}
    return render_template(
        "admin/people.html",
        people=found.rows,
        wanted=wanted,
        roles=ROLES,
        next_url=f"{url_for('admin_people.index')}?{urlencode(more)}" if found.after else None,
    )


@blueprint.get("/<ref>")
@admin
@recent
def show(ref: str) -> str:
    """Show one person's account."""
    return _page(ref)


def _page(ref: str, *, link: str = "") -> str:
    with dare().database.begin() as session:
        found = directory.portrait(session, ref)
        acts = audit_log.named(session, found.acts)
        places = communities.places(session, me())
    belongs = {entry.slug for entry in found.belongings}
    return render_template(
        "admin/person.html",
        person=found.person,
        entry=found.entry,
        found=found,
        acts=acts,
        roles=ROLES,
        own=str(found.person.ref) == me().ref,
        choices=[(place.slug, place.name) for place in places if place.slug not in belongs],
        reset=resets.possible_for(dare().settings, found.person),
        link=link,
    )


def _back(ref: str, words: str) -> Response:
    note("good", words)
    return redirect(url_for("admin_people.show", ref=ref), 303)


@blueprint.post("/<ref>/role")
@admin
@recent
def change_role(ref: str) -> Response:
    """Give somebody another role."""
    role, network = request.form.get("role", ""), browser.network()
    with dare().database.begin() as session:
        person = administration.change_role(session, me(), ref, role, network=network)
        words = f"{person.name} is {person.role} now and signs in again to use it."
    return _back(ref, words)


@blueprint.post("/<ref>/disable")
@admin
@recent
def disable(ref: str) -> Response:
    """Close somebody's account."""
    with dare().database.begin() as session:
        person = administration.disable(session, me(), ref, network=browser.network())
    return _back(ref, f"{person.name}'s account is closed.")


@blueprint.post("/<ref>/enable")
@admin
@recent
def enable(ref: str) -> Response:
    """Open somebody's account again."""
    with dare().database.begin() as session:
        person = administration.enable(session, me(), ref, network=browser.network())
    return _back(ref, f"{person.name}'s account is open again.")


@blueprint.post("/<ref>/sign-out")
@admin
@recent
def sign_out(ref: str) -> Response:
    """End every session of somebody."""
    with dare().database.begin() as session:
        administration.sign_out(session, me(), ref, network=browser.network())
    return _back(ref, "Every browser of theirs has to sign in again.")


@blueprint.post("/<ref>/feeds/end")
@admin
@recent
def end_feeds(ref: str) -> Response:
    """Revoke every feed address of somebody."""
    with dare().database.begin() as session:
        administration.end_feeds(session, me(), ref, network=browser.network())
    return _back(ref, "All their feed addresses are closed for good.")


@blueprint.post("/<ref>/tokens/end")
@admin
@recent
def end_tokens(ref: str) -> Response:
    """Revoke every access token of somebody."""
    with dare().database.begin() as session:
        administration.end_tokens(session, me(), ref, network=browser.network())
    return _back(ref, "All their access tokens are revoked.")


@blueprint.post("/<ref>/reset")
@admin
@recent
def reset(ref: str) -> Response | tuple[str, int, dict[str, str]]:
    """Start a reset: a letter with a link, or the link itself, shown once, to hand over."""
    with dare().database.begin() as session:
        person = directory.one(session, ref)
        link = resets.start(session, dare().settings, person, me(), network=browser.network())
    if link:
        return _page(ref, link=link), 200, {"Cache-Control": "no-store"}
    return _back(ref, "A letter with a link for a new password is on its way to them.")


@blueprint.post("/<ref>/communities")
@admin
@recent
def add_membership(ref: str) -> Response:
    """Let somebody belong to a community."""
    form = request.form
    with dare().database.begin() as session:
        name = memberships.add(
            session,
            me(),
            form.get("community", ""),
            ref,
            role=form.get("role", "member"),
            network=browser.network(),
        )
    return _back(ref, f"{name} belongs there now.")


@blueprint.post("/<ref>/communities/role")
@admin
@recent
def change_membership(ref: str) -> Response:
    """Make somebody a steward of a community, or a member again."""
    slug, role = request.form.get("community", ""), request.form.get("role", "")
    with dare().database.begin() as session:
        name = memberships.change_role(session, me(), slug, ref, role, network=browser.network())
    return _back(ref, f"{name} is {role} there now.")


@blueprint.post("/<ref>/communities/remove")
@admin
@recent
def remove_membership(ref: str) -> Response:
    """Take somebody out of a community."""
    slug = request.form.get("community", "")
    with dare().database.begin() as session:
        name = memberships.remove(session, me(), slug, ref, network=browser.network())
    return _back(ref, f"{name} no longer belongs there.")
