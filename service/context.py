"""How a request reaches the floor, and what a page's script has told with it."""

from typing import Any

from flask import current_app, request

from service.api.body import BodyError, parsed
from storage.floor import Floor


def dare() -> Floor:
    """Return the floor under the current application."""
    held: Floor = current_app.extensions["dare"]
    return held


def told() -> dict[str, Any]:
    """Return the JSON object that a page's script has sent; an empty one for anything else."""
    try:
        found = parsed(request.get_data())
    except BodyError:
        return {}
    return found if isinstance(found, dict) else {}
