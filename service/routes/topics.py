"""One topic."""

from flask import Blueprint, abort, render_template, request, url_for

from service import catalogue
from service.context import dare
from service.identity.browser import me, signed_in

blueprint = Blueprint("topics", __name__, url_prefix="/topics")


@blueprint.get("/<slug>")
@signed_in
def show(slug: str) -> str:
    """List the best talks on a topic."""
    with dare().database.begin() as session:
        topic = catalogue.find_topic(session, me(), slug)
        if topic is None:
            abort(404)
        page = catalogue.top(
            session, me(), after=request.args.get("after"), within=catalogue.on_topic(topic.id)
        )
    more = url_for("topics.show", slug=slug, after=page.after) if page.after else None
    return render_template(
        "home/board.html", title=topic.name, rows=page.rows, next_url=more, ranked=not more
    )
