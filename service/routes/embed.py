"""A talk in a frame on other sites, and what oEmbed tells of it.

The frame shows what anybody may see, whoever looks: browsers send no cookie into it. A talk that is
not there and one that is not for everybody look alike, and lead to the talk's own page.
"""

from typing import Any
from uuid import UUID

from flask import Blueprint, Response, abort, current_app, jsonify, request, url_for

from service import embedding, headers
from service.access import GUEST
from service.context import dare
from service.identity.browser import open_to_all, viewer

blueprint = Blueprint("embed", __name__)
LARGEST = 10_000


@blueprint.get("/embed/<uuid:guid>")
@open_to_all
def show(guid: UUID) -> Response:
    """Show a public talk's card with its player, or one that leads to the talk's page."""
    settings = dare().settings
    with dare().database.begin() as session:
        known = embedding.card(session, GUEST if settings.public_talks else None, str(guid))
    # Without what pages share: a frame has no visit to remember and so sets no cookie.
    page = current_app.jinja_env.get_template("embed/show.html").render(
        card=known,
        page_url=url_for("episodes.show", guid=guid),
        audio_url=known and url_for("media.audio", guid=guid, revision=known.revision),
        organisation=settings.organisation,
    )
    frames = " ".join(["'self'", *settings.embed_origins])
    answer = Response(page, mimetype="text/html")
    answer.headers["Content-Security-Policy"] = headers.policy(frames=frames)
    answer.headers["X-Robots-Tag"] = "noindex"
    return answer


@blueprint.get("/oembed")
@open_to_all
def describe() -> Response:
    """Describe a talk of ours by oEmbed to whoever may see it; 404 for all others, and all else."""
    if request.args.get("format", "json") != "json":
        abort(501, "This is told as JSON only.")
    settings = dare().settings
    guid = embedding.named(settings.origin, request.args.get("url", ""))
    with dare().database.begin() as session:
        known = embedding.card(session, viewer(), guid) if guid else None
    if known is None:
        abort(404)
    told = embedding.described(
        known,
        settings.origin,
        settings.organisation,
        most_wide=_pixels("maxwidth"),
        most_high=_pixels("maxheight"),
    )
    return jsonify(told)


def _pixels(name: str) -> int | None:
    """Return a length of the query's; None for one that is none, as if it was not there."""
    given: Any = request.args.get(name, type=int)
    return given if given and 0 < given <= LARGEST else None
