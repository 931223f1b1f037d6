"""One community."""

from flask import Blueprint, abort, render_template
from sqlmodel import col, select

from service import catalogue
from service.context import dare
from service.identity.browser import me, signed_in
from storage.models import Community, Show

blueprint = Blueprint("communities", __name__, url_prefix="/communities")


@blueprint.get("/<slug>")
@signed_in
def show(slug: str) -> str:
    """Show what a community is for, its shows and its best talks."""
    with dare().database.begin() as session:
        community = session.exec(select(Community).where(Community.slug == slug)).first()
        if community is None:
            abort(404)
        shows = session.exec(
            select(Show).where(Show.community_id == community.id).order_by(col(Show.title))
        ).all()
        page = catalogue.top(session, me(), within=catalogue.in_community(community.id))
    return render_template("communities/show.html", community=community, shows=shows, top=page.rows)
