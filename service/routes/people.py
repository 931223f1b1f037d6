"""One person."""

from typing import Any

from flask import Blueprint, abort, render_template, request, url_for
from sqlmodel import col, select

from service import catalogue
from service.context import dare
from service.identity.browser import me, signed_in
from storage.models import Person, Show

blueprint = Blueprint("people", __name__, url_prefix="/people")


@blueprint.get("/<uuid:ref>")
@signed_in
def show(ref: Any) -> str:
    """Show who somebody is and what they have shared."""
    with dare().database.begin() as session:
        person = session.exec(
            select(Person).where(Person.ref == ref, col(Person.disabled_at).is_(None))
        ).first()
        if person is None:
            abort(404)
        page = catalogue.newest(
            session, me(), after=request.args.get("after"), within=catalogue.by_person(person.id)
        )
        shows = catalogue.shows(session, me(), col(Show.owner_id) == person.id)
    more = url_for("people.show", ref=ref, after=page.after) if page.after else None
    return render_template(
        "people/show.html", person=person, rows=page.rows, shows=shows, next_url=more
    )
