"""Home and its two boards."""

from flask import Blueprint, render_template, request, url_for

from service import catalogue
from service.context import dare
from service.identity.browser import me, signed_in

blueprint = Blueprint("home", __name__)
FEW = 10


@blueprint.get("/")
@signed_in
def index() -> str:
    """Show what is worth hearing now."""
    with dare().database.begin() as session:
        return render_template(
            "home/index.html",
            asked=catalogue.asked_to_review(session, me()),
            continuing=catalogue.continuing(session, me()),
            top=catalogue.top(session, me(), limit=FEW).rows,
            newest=catalogue.newest(session, me(), limit=FEW).rows,
            topics=catalogue.topics(session, me()),
            communities=catalogue.communities(session, me()),
            shows=catalogue.latest_shows(session, me()),
        )


@blueprint.get("/top")
@signed_in
def top() -> str:
    """List the talks that colleagues found most useful."""
    after, first = request.args.get("after"), request.args.get("n", 1, int)
    with dare().database.begin() as session:
        page = catalogue.top(session, me(), after=after)
    following = first + len(page.rows)
    more = url_for("home.top", after=page.after, n=following) if page.after else None
    return render_template(
        "home/board.html",
        title="Most useful",
        rows=page.rows,
        next_url=more,
        ranked=True,
        first=max(1, first),
    )


@blueprint.get("/new")
@signed_in
def newest() -> str:
    """List talks by publication."""
    with dare().database.begin() as session:
        page = catalogue.newest(session, me(), after=request.args.get("after"))
    more = url_for("home.newest", after=page.after) if page.after else None
    return render_template("home/board.html", title="New talks", rows=page.rows, next_url=more)
