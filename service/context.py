"""How a request reaches the floor."""

from flask import current_app

from storage.floor import Floor


def dare() -> Floor:
    """Return the floor under the current application."""
    held: Floor = current_app.extensions["dare"]
    return held
