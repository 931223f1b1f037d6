"""Shows: read one, start one, change one's own."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service import access, catalogue, shows, visibility
from service.access import Asker
from service.catalogue import PersonLink
from service.context import dare
from service.failures import note
from service.identity.browser import me, network, open_to_guests, publisher, viewer
from service.presentation import LANGUAGES
from service.publishing import NotThereError, PublishingError
from service.shows import About
from storage.models import Community, Person, Show

blueprint = Blueprint("shows", __name__, url_prefix="/shows")


@blueprint.get("/<slug>")
@open_to_guests
def show(slug: str) -> str:
    """Show one show and its talks, newest first."""
    with dare().database.begin() as session:
        found = catalogue.find_show(session, viewer(), slug)
        if found is None:
            raise NotThereError
        page = catalogue.newest(
            session, viewer(), after=request.args.get("after"), within=catalogue.in_show(found.id)
        )
        facts = _facts(session, found)
    more = url_for("shows.show", slug=slug, after=page.after) if page.after else None
    return render_template(
        "shows/show.html",
        show=facts,
        rows=page.rows,
        next_url=more,
        feed_url_for=url_for("feeds.index", view=slug),
        art_url=url_for("media.show_artwork", slug=slug),
    )


def _facts(session: Session, found: Show) -> dict[str, Any]:
    who = viewer()
    owner = session.get(Person, found.owner_id)
    mine = isinstance(who, Asker) and access.may_edit_show(who, found)
    heard_by = ""
    if isinstance(who, Asker):
        organisation = dare().settings.organisation
        heard_by = visibility.audience_in_words(session, who, found, None, organisation)
    return {
        "title": found.title,
        "slug": found.slug,
        "description": found.description,
        "language": found.language,
        "community": catalogue.community_of(session, who, found),
        "owner": PersonLink(owner.name, str(owner.ref)) if owner else None,
        "mine": mine,
        "heard_by": heard_by,
    }


@blueprint.get("/new")
@publisher
def new() -> str:
    """Offer the form for a new show."""
    with dare().database.begin() as session:
        preset = shows.preset(session, me(), request.args.get("community", "")[:80])
        typed = {"community": preset.community}
        if preset.visibility:
            typed["visibility"] = preset.visibility
        return _new(session, {}, typed, preset.communities)


@blueprint.post("/")
@publisher
def create() -> Response | tuple[str, int]:
    """Make a show."""
    try:
        with dare().database.begin() as session:
            made = shows.create(session, me(), _about(), public_talks=_public(), network=network())
    except PublishingError as error:
        with dare().database.begin() as session:
            return _new(session, error.errors, request.form.to_dict()), 422
    note("good", "The show is there. Add its first talk.")
    return redirect(url_for("shows.show", slug=made.slug), 303)


def _public() -> bool:
    return dare().settings.public_talks


def _about() -> About:
    fields = ("title", "description", "community", "visibility")
    return About(
        **{name: request.form.get(name, "") for name in fields},
        language=request.form.get("language", "")[:12],
        communities=tuple(request.form.getlist("communities")),
    )


def _new(
    session: Session,
    errors: dict[str, str],
    typed: dict[str, str],
    ticked: Sequence[str] | None = None,
) -> str:
    offered = visibility.options(session, me(), None)
    return render_template(
        "shows/new.html",
        communities=offered,
        languages=_languages("en"),
        public_talks=_public(),
        errors=errors,
        typed=typed,
        ticked=request.form.getlist("communities") if ticked is None else ticked,
    )


def _languages(held: str) -> list[tuple[str, str]]:
    """Return codes and names to choose from, by name; with what is held now, whatever it is."""
    return sorted(({held: held} | LANGUAGES).items(), key=lambda entry: entry[1])


@blueprint.get("/<slug>/edit")
@publisher
def edit(slug: str) -> str:
    """Show one's own show for editing."""
    with dare().database.begin() as session:
        return _edit(session, slug, {}, None)


def _edit(session: Session, slug: str, errors: dict[str, str], typed: dict[str, str] | None) -> str:
    found = shows.mine(session, me(), slug)
    offered = visibility.options(session, me(), found.audience)
    home = _home(session, found)
    homes = [(one.slug, one.name) for one in offered if one.slug != visibility.KEPT]
    if home and home not in dict(homes):
        home = shows.KEPT
        homes.append((shows.KEPT, "A community that you do not belong to"))
    chosen = [one.slug for one in offered if one.chosen]
    return render_template(
        "shows/edit.html",
        show={
            "title": found.title,
            "slug": found.slug,
            "description": found.description,
            "language": found.language,
            "community": home,
            "visibility": found.visibility,
        },
        homes=homes,
        communities=offered,
        languages=_languages(found.language),
        public_talks=_public() or found.visibility == "public",
        errors=errors,
        typed=typed or {},
        ticked=chosen if typed is None else request.form.getlist("communities"),
    )


def _home(session: Session, found: Show) -> str:
    home = session.get(Community, found.community_id) if found.community_id else None
    return home.slug if home else ""


@blueprint.post("/<slug>/edit")
@publisher
def save(slug: str) -> Response | tuple[str, int]:
    """Change one's own show."""
    try:
        with dare().database.begin() as session:
            shows.edit(session, me(), slug, _about(), public_talks=_public(), network=network())
    except PublishingError as error:
        with dare().database.begin() as session:
            return _edit(session, slug, error.errors, request.form.to_dict()), 422
    note("good", "Saved.")
    return redirect(url_for("shows.show", slug=slug), 303)
