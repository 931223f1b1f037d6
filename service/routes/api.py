"""The JSON API, put together: every module's views under /api/v1."""

from flask import Blueprint, Response, abort, request

from service.api import communities, feeds, opinions, places, reference, talks, uploads
from service.api.contract import MOST_BYTES, TOO_LARGE

blueprint = Blueprint("api", __name__, url_prefix="/api/v1")
for part in (talks, uploads, opinions, places, communities, feeds, reference):
    blueprint.register_blueprint(part.blueprint)


@blueprint.before_request
def limit() -> None:
    """Refuse a large body before a byte of it is read; no route here takes a recording."""
    # A body of unknown length is cut at this many bytes without a word: one more shows that it was.
    request.max_content_length = MOST_BYTES + 1
    if (request.content_length or 0) > MOST_BYTES:
        abort(413, TOO_LARGE)


@blueprint.after_request
def name_the_scheme(response: Response) -> Response:
    """Say how to prove who one is, as RFC 9110 asks of every 401."""
    if response.status_code == 401:
        response.headers["WWW-Authenticate"] = "Bearer"
    return response
