"""One community."""

from flask import Blueprint, abort, render_template
from sqlmodel import col

from service import catalogue
from service.context import dare
from service.identity.browser import me, signed_in
from storage.models import Show

blueprint = Blueprint("communities", __name__, url_prefix="/communities")


@blueprint.get("/<slug>")
@signed_in
def show(slug: str) -> str:
    """Show what a community is for, its shows and its best talks."""
    with dare().database.begin() as session:
        community = catalogue.find_community(session, me(), slug)
        if community is None:
            abort(404)
        shows = catalogue.shows(session, me(), col(Show.community_id) == community.id)
        page = catalogue.top(session, me(), within=catalogue.in_community(community.id))
    return render_template("communities/show.html", community=community, shows=shows, top=page.rows)
