"""Looking after the house: how it stands, and what it was told."""

from typing import Any

from flask import Blueprint, abort, render_template, request

from service import letters, overview
from service.context import dare
from service.identity.browser import admin, recent
from storage.settings import told

blueprint = Blueprint("admin", __name__, url_prefix="/admin")


@blueprint.get("/")
@admin
@recent
def index() -> str:
    """Show how the house stands, and where its parts are looked after."""
    settings = dare().settings
    with dare().database.begin() as session:
        counts = overview.counts(session, settings)
    return render_template("admin/index.html", counts=counts, mail=letters.possible(settings))


@blueprint.get("/settings")
@admin
@recent
def settings() -> str:
    """Show every setting, its value and where that comes from."""
    return _settings()


def _settings(**checked: Any) -> str:
    known = dare().settings
    return render_template(
        "admin/settings.html",
        settings=told(known),
        mail=letters.possible(known),
        mail_from=known.mail_from,
        smtp=f"{known.smtp_host}:{known.smtp_port}",
        providers=known.oidc,
        local=known.local_sign_in,
        public=known.public_talks,
        checked=checked,
    )


@blueprint.post("/settings/providers")
@admin
@recent
def check_provider() -> str:
    """Ask a sign-in provider for its description, now, and show what came of it."""
    known = dare().settings
    provider = known.provider(request.form.get("provider", ""))
    if provider is None:
        abort(422, "Choose a provider that the settings name.")
    good, words = overview.asked(known, provider)
    return _settings(name=provider.name, good=good, words=words)
