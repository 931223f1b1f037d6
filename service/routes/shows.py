"""Shows: read one, start one."""

from flask import Blueprint, abort, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service import catalogue, publishing
from service.catalogue import PersonLink
from service.context import dare
from service.failures import note
from service.identity.browser import me, open_to_guests, publisher, viewer
from service.publishing import PublishingError
from storage.models import Person

blueprint = Blueprint("shows", __name__, url_prefix="/shows")


@blueprint.get("/<slug>")
@open_to_guests
def show(slug: str) -> str:
    """Show one show and its talks, newest first."""
    with dare().database.begin() as session:
        found = catalogue.find_show(session, viewer(), slug)
        if found is None:
            abort(404)
        page = catalogue.newest(
            session, viewer(), after=request.args.get("after"), within=catalogue.in_show(found.id)
        )
        owner = session.get(Person, found.owner_id)
        community = catalogue.community_of(session, viewer(), found)
    more = url_for("shows.show", slug=slug, after=page.after) if page.after else None
    facts = {
        "title": found.title,
        "slug": found.slug,
        "description": found.description,
        "language": found.language,
        "community": community,
        "owner": PersonLink(owner.name, str(owner.ref)) if owner else None,
    }
    return render_template(
        "shows/show.html",
        show=facts,
        rows=page.rows,
        next_url=more,
        feed_url_for=url_for("feeds.index", view=slug),
        art_url=url_for("media.show_artwork", slug=slug),
    )


@blueprint.get("/new")
@publisher
def new() -> str:
    """Offer the form for a new show."""
    with dare().database.begin() as session:
        return _form(session, {}, {})


@blueprint.post("/")
@publisher
def create() -> Response | tuple[str, int]:
    """Make a show."""
    typed = request.form.to_dict()
    with dare().database.begin() as session:
        try:
            made = publishing.create_show(
                session,
                me(),
                title=typed.get("title", ""),
                description=typed.get("description", ""),
                community=typed.get("community", ""),
                language=typed.get("language", "")[:12],
            )
        except PublishingError as error:
            return _form(session, error.errors, typed), 422
    note("good", "The show is there. Add its first talk.")
    return redirect(url_for("shows.show", slug=made.slug), 303)


def _form(session: Session, errors: dict[str, str], typed: dict[str, str]) -> str:
    return render_template(
        "shows/new.html",
        communities=catalogue.communities(session, me()),
        errors=errors,
        typed=typed,
    )
