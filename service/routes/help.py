"""Help."""

from flask import Blueprint, render_template

from service.identity.browser import signed_in

blueprint = Blueprint("help", __name__)


@blueprint.get("/help/keys")
@signed_in
def keys() -> str:
    """List the keys of the player."""
    return render_template("help/keys.html")
