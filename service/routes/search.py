"""Search over titles and speech."""

from types import SimpleNamespace

from flask import Blueprint, render_template, request, url_for

from service import catalogue, limits
from service.context import dare
from service.identity.browser import me, signed_in
from service.text import marked
from storage.search import LONGEST, Moment

blueprint = Blueprint("search", __name__)


@blueprint.get("/search")
@signed_in
def index() -> str:
    """List talks that match, with the moments where the words were said."""
    words = request.args.get("q", "").replace("\x00", "")[:LONGEST].strip()
    page = max(1, request.args.get("page", 1, int))
    with dare().database.begin() as session:
        if words:
            limits.spend(session, limits.SEARCHES, me().id)
        hits, count = catalogue.searched(session, me(), words, page=page)
    more = url_for("search.index", q=words, page=page + 1)
    return render_template(
        "search/index.html",
        q=words,
        results=[(hit.row, [_moment(hit.row.guid, m) for m in hit.moments]) for hit in hits],
        count=count,
        next_url=more if page * catalogue.PAGE < count else None,
    )


def _moment(guid: str, moment: Moment) -> SimpleNamespace:
    return SimpleNamespace(
        start=moment.start,
        snippet_html=marked(moment.snippet),
        url=url_for("episodes.show", guid=guid, t=int(moment.start), _anchor="player"),
    )
