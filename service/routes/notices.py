"""What the house has to tell one person."""

from flask import Blueprint, redirect, render_template, url_for
from werkzeug import Response

from service import notices
from service.context import dare
from service.identity.browser import me, signed_in

blueprint = Blueprint("notices", __name__, url_prefix="/notices")


@blueprint.get("/")
@signed_in
def index() -> str:
    """List the latest notices, the newest first; reading them changes nothing."""
    with dare().database.begin() as session:
        return render_template("notices/index.html", notices=notices.mine(session, me().id))


@blueprint.post("/read")
@signed_in
def read() -> Response:
    """Mark all of them as read."""
    with dare().database.begin() as session:
        notices.read_all(session, me().id)
    return redirect(url_for("notices.index"), 303)
