"""Is this process alive, and can it reach the rows?"""

from flask import Blueprint, Response, jsonify
from sqlalchemy import text

from service.context import dare
from service.identity.browser import open_to_all

blueprint = Blueprint("health", __name__)


@blueprint.get("/health")
@open_to_all
def show() -> Response:
    """Answer 200 when the database answers; failures become 503 elsewhere."""
    with dare().database.begin() as session:
        session.execute(text("SELECT 1"))
    return jsonify({"state": "well"})
