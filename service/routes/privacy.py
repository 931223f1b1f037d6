"""What is kept about oneself: told, packed to take along, and erased."""

from typing import Any
from uuid import UUID

from flask import Blueprint, abort, make_response, redirect, render_template, request, url_for
from sqlmodel import select
from werkzeug import Response

from service import delivery, erasure, privacy
from service.access import Asker
from service.context import dare
from service.erasure import Wish
from service.failures import note
from service.identity import browser
from service.identity.browser import admin, me, recent, signed_in
from service.identity.people import LastAdminError
from service.publishing import NotNowError, PublishingError
from storage.models import Person

blueprint = Blueprint("privacy", __name__)
CHOICES = ("withdraw", "hand-over")


@blueprint.get("/account/privacy")
@signed_in
def show() -> str:
    """Show what is kept and why, one's archives, and the way out."""
    with dare().database.begin() as session:
        archives = privacy.mine(session, me())
    return render_template(
        "privacy/show.html",
        kinds=privacy.kept(dare().settings),
        archives=archives,
        under_way=any(one.state in privacy.UNDER_WAY for one in archives),
        days=dare().settings.keep_exports_days,
    )


@blueprint.post("/account/export")
@signed_in
@recent
def ask() -> Response:
    """Have everything packed."""
    try:
        with dare().database.begin() as session:
            privacy.ask(session, dare(), me(), browser.network())
        note("good", "Everything is being packed. You will get a notice when it is ready.")
    except NotNowError as error:
        note("plain", str(error))
    return redirect(url_for("privacy.show"), 303)


@blueprint.get("/account/export/<uuid:ref>")
@signed_in
@recent
def fetch(ref: UUID) -> Any:
    """Send one's own archive as a file."""
    with dare().database.begin() as session:
        found = privacy.ready(session, me(), ref)
        session.expunge(found)
    made_at = found.ready_at or found.created_at
    offer = delivery.stored(
        dare().store,
        found.key or "",
        size=found.size,
        content_type="application/zip",
        etag=found.ref.hex,
        modified=made_at,
    )
    headers = {
        "Content-Disposition": f'attachment; filename="dare-{made_at:%Y-%m-%d}.zip"',
        "Cache-Control": "no-store",
    }
    return delivery.answer(request, offer, delivery.Terms(headers))


@blueprint.get("/account/erase")
@signed_in
@recent
def consider_erasing() -> str:
    """Show what erasing one's account takes away, and ask."""
    return _form(me().ref, own=True)


@blueprint.post("/account/erase")
@signed_in
@recent
def erase_me() -> Any:
    """Erase one's own account and leave."""
    refused = _erased(UUID(me().ref), own=True)
    if refused is not None:
        return refused
    answer = make_response(redirect(url_for("sign_in.index"), 303))
    answer.delete_cookie(browser.COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
    answer.headers["Clear-Site-Data"] = '"cache"'
    note("good", "Your account is erased. Thank you for what you shared.")
    return answer


@blueprint.route("/admin/people/<uuid:ref>/erase", methods=["GET", "POST"])
@admin
@recent
def erase_person(ref: UUID) -> Any:
    """Erase somebody's account for them."""
    if request.method != "POST":
        return _form(str(ref), own=False)
    refused = _erased(ref, own=str(ref) == me().ref)
    if refused is None:
        note("good", "The account is erased.")
    return refused or redirect(url_for("home.index"), 303)


def _erased(ref: UUID, *, own: bool) -> Any:
    """Erase an account as the form says; return the form with words when it cannot be."""
    form = request.form
    by: Asker = me()
    with dare().database.begin() as session:
        asked = erasure.outlook(session, _living(session, ref))
    if asked.talks and form.get("talks") not in CHOICES:
        words = {"talks": "Choose what becomes of the talks."}
        return _form(str(ref), own=own, errors=words), 422
    hand_over = asked.talks and form.get("talks") == "hand-over"
    wish = Wish(hand_over=hand_over, heir=form.get("heir", ""))
    try:
        with dare().database.begin() as session:
            erasure.confirmed(_living(session, ref), form.get("typed", ""))
        erasure.erase(dare(), ref, wish, by=by, network=browser.network())
    except PublishingError as error:
        return _form(str(ref), own=own, errors=error.errors), 422
    return None


def _living(session: Any, ref: UUID | str) -> Person:
    person: Person | None = session.exec(select(Person).where(Person.ref == ref)).first()
    if person is None or person.erased_at is not None:
        abort(404)
    return person


def _form(ref: str, *, own: bool, errors: dict[str, str] | None = None) -> str:
    with dare().database.begin() as session:
        person = _living(session, ref)
        asked = erasure.outlook(session, person)
        session.expunge(person)
    return render_template(
        "privacy/erase.html",
        person=person,
        own=own,
        asked=asked,
        last=str(LastAdminError()) if asked.last_admin else "",
        errors=errors or {},
        typed=request.form,
        action=url_for("privacy.erase_me") if own else url_for("privacy.erase_person", ref=ref),
        kinds=privacy.kept(dare().settings),
    )
