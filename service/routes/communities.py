"""Communities: find one, join it, look after it."""

from collections.abc import Sequence

from flask import Blueprint, redirect, render_template, request, url_for
from sqlmodel import Session, col
from werkzeug import Response

from service import access, catalogue, communities, invitations, letters, memberships
from service.communities import Place
from service.context import dare
from service.failures import note
from service.identity.browser import me, network, signed_in, steward
from service.invitations import Invited
from service.presentation import counted
from service.publishing import NotThereError, PublishingError
from storage.models import Show

blueprint = Blueprint("communities", __name__, url_prefix="/communities")
FEW = 10


@blueprint.get("/")
@signed_in
def index() -> str:
    """List the communities: one's own first, then those one may join."""
    with dare().database.begin() as session:
        found = communities.places(session, me())
    return render_template(
        "communities/index.html",
        mine=[place for place in found if place.belongs],
        others=[place for place in found if not place.belongs],
    )


@blueprint.get("/<slug>")
@signed_in
def show(slug: str) -> str:
    """Show what a community is for, who looks after it, its shows and its talks."""
    with dare().database.begin() as session:
        return _show(session, slug, {}, {})


def _show(session: Session, slug: str, errors: dict[str, str], typed: dict[str, str]) -> str:
    place = communities.place(session, me(), slug)
    here = catalogue.in_community(place.id)
    at_home = catalogue.shows(session, me(), col(Show.community_id) == place.id)
    keepers = memberships.stewards(session, place.id)
    return render_template(
        "communities/show.html",
        community=place,
        may_see_members=access.may_see_members(me(), place.id),
        stewards=keepers,
        is_last=any(one.last and one.ref == me().ref for one in keepers),
        shows=at_home,
        share_url=_share_url(place, at_home),
        top=catalogue.top(session, me(), limit=FEW, within=here).rows,
        newest=catalogue.newest(session, me(), limit=FEW, within=here).rows,
        errors=errors,
        typed=typed,
    )


def _share_url(place: Place, at_home: Sequence[Show]) -> str | None:
    """Return where to share a talk of this community: in one's own show here, or a new one."""
    own = next((show for show in at_home if access.may_edit_show(me(), show)), None)
    if own is not None:
        return url_for("studio.index", show=own.slug)
    if me().may_publish and place.belongs:
        return url_for("shows.new", community=place.slug)
    return None


@blueprint.post("/<slug>/join")
@signed_in
def join(slug: str) -> Response | tuple[str, int]:
    """Join, or ask to join."""
    words = request.form.get("words", "")
    try:
        with dare().database.begin() as session:
            place = memberships.join(session, me(), slug, words=words, network=network())
    except PublishingError as error:
        with dare().database.begin() as session:
            return _show(session, slug, error.errors, {"words": words}), 422
    if place.belongs:
        note("good", f"You belong to {place.name} now.")
    else:
        note("good", f"The stewards of {place.name} know that you would like to join.")
    return _back(slug)


@blueprint.post("/<slug>/leave")
@signed_in
def leave(slug: str) -> Response:
    """Leave, or take back one's wish to join."""
    with dare().database.begin() as session:
        before = communities.place(session, me(), slug)
        memberships.leave(session, me(), slug, network=network())
    words = "You have left {}." if before.belongs else "You no longer ask to join {}."
    note("good", words.format(before.name))
    return redirect(url_for("communities.index"), 303)


def _back(slug: str) -> Response:
    return redirect(url_for("communities.show", slug=slug), 303)


@blueprint.get("/<slug>/members")
@signed_in
def members(slug: str) -> str:
    """List who belongs, for those who do; its stewards answer wishes here and change roles."""
    with dare().database.begin() as session:
        return _members(session, slug)


def _members(
    session: Session,
    slug: str,
    *,
    errors: dict[str, str] | None = None,
    typed: dict[str, str] | None = None,
    made: list[Invited] | None = None,
) -> str:
    place = communities.place(session, me(), slug)
    if not access.may_see_members(me(), place.id):
        raise NotThereError
    after = request.args.get("after")
    page = memberships.members(session, place.id, after)
    more = url_for("communities.members", slug=slug, after=page.after) if page.after else None
    may = place.may_steward
    return render_template(
        "communities/members.html",
        community=place,
        stewards=memberships.stewards(session, place.id) if not after else [],
        members=page.rows,
        next_url=more,
        wishes=memberships.wishes(session, place.id) if may else [],
        waiting=invitations.waiting(session, community_id=place.id) if may else [],
        most=invitations.MOST,
        mail=letters.possible(dare().settings),
        made=made or [],
        errors=errors or {},
        typed=typed or {},
    )


def _to_members(slug: str) -> Response:
    return redirect(url_for("communities.members", slug=slug), 303)


@blueprint.post("/<slug>/answer")
@steward
def answer(slug: str) -> Response:
    """Let somebody in who has asked, or decline."""
    accept = request.form.get("answer") == "accept"
    with dare().database.begin() as session:
        name = memberships.answer(
            session,
            me(),
            slug,
            request.form.get("person", ""),
            accept=accept,
            network=network(),
        )
    note("good", f"{name} belongs to it now." if accept else f"{name} was told.")
    return _to_members(slug)


@blueprint.post("/<slug>/members/invitations")
@steward
def invite(slug: str) -> Response | tuple[str, int] | tuple[str, int, dict[str, str]]:
    """Invite people by their addresses; who has an account belongs at once."""
    typed, settings = request.form.to_dict(), dare().settings
    try:
        with dare().database.begin() as session:
            made = invitations.invite(
                session,
                settings,
                me(),
                typed.get("addresses", ""),
                community=slug,
                network=network(),
            )
    except PublishingError as error:
        with dare().database.begin() as session:
            return _members(session, slug, errors=error.errors, typed=typed), 422
    if letters.possible(settings):
        note("good", f"{counted(len(made), 'letter')} on the way.")
        return _to_members(slug)
    with dare().database.begin() as session:
        return _members(session, slug, made=made), 200, {"Cache-Control": "no-store"}


@blueprint.post("/<slug>/members/invitations/removal")
@steward
def take_invitation_back(slug: str) -> Response:
    """Take an invitation into this community back."""
    key = request.form.get("invitation", "")
    with dare().database.begin() as session:
        place = communities.place(session, me(), slug)
        if key not in {one.key for one in invitations.waiting(session, community_id=place.id)}:
            raise NotThereError
        invitations.take_back(session, me(), key, network=network())
    note("good", "The invitation is taken back. Its link opens nothing any more.")
    return _to_members(slug)


@blueprint.post("/<slug>/members/role")
@steward
def change_role(slug: str) -> Response:
    """Make a member a steward, or a steward a member."""
    person, role = request.form.get("person", ""), request.form.get("role", "")
    with dare().database.begin() as session:
        name = memberships.change_role(session, me(), slug, person, role, network=network())
    note("good", f"{name} is a {role} now.")
    return _to_members(slug)


@blueprint.post("/<slug>/members/removal")
@steward
def remove(slug: str) -> Response:
    """Take somebody out."""
    person = request.form.get("person", "")
    with dare().database.begin() as session:
        name = memberships.remove(session, me(), slug, person, network=network())
    note("good", f"{name} no longer belongs to it.")
    return _to_members(slug) if person != me().ref else redirect(url_for("communities.index"), 303)


@blueprint.get("/<slug>/edit")
@steward
def edit(slug: str) -> str:
    """Show what a community is called and how one joins, to its stewards, for editing."""
    with dare().database.begin() as session:
        return _edit(session, slug, {}, {})


def _edit(session: Session, slug: str, errors: dict[str, str], typed: dict[str, str]) -> str:
    place = communities.place(session, me(), slug)
    if not place.may_steward:
        raise NotThereError
    return render_template(
        "communities/edit.html",
        community=place,
        may_group=access.may_found_communities(me()),
        errors=errors,
        typed=typed,
    )


@blueprint.post("/<slug>/edit")
@steward
def save(slug: str) -> Response | tuple[str, int]:
    """Change a community."""
    typed = request.form.to_dict()
    try:
        with dare().database.begin() as session:
            communities.edit(
                session,
                me(),
                slug,
                name=typed.get("name", ""),
                purpose=typed.get("purpose", ""),
                joining=typed.get("joining", ""),
                network=network(),
            )
    except PublishingError as error:
        with dare().database.begin() as session:
            return _edit(session, slug, error.errors, typed), 422
    note("good", "Saved.")
    return _back(slug)
