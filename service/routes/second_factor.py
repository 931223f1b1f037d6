"""One's own second factor: set up, confirmed, its recovery codes, switched off."""

from flask import Blueprint, abort, redirect, render_template, request, url_for
from sqlmodel import Session
from werkzeug import Response

from service.access import needs_second_factor
from service.context import dare
from service.failures import note
from service.identity import attempts, browser, proof, sessions, totp
from service.identity.browser import me, recent, signed_in
from service.limits import TooFastError
from service.routes.my_feeds import qr_code
from storage.models import Person

blueprint = Blueprint("second_factor", __name__, url_prefix="/account/second-factor")
WRONG = "This code is not right. Wait for the next one and look that your device's clock is right."
PROVIDERS_OWN = "You sign in without a password here, so your provider asks for a second factor."


@blueprint.get("/")
@signed_in
@recent
def show() -> str:
    """Show whether there is a second factor, and how to set one up."""
    with dare().database.begin() as session:
        return _page(session, session.get_one(Person, me().id))


def _page(
    session: Session, person: Person, *, codes: list[str] | None = None, error: str = ""
) -> str:
    floor = dare()
    secret = None
    if person.totp is not None and person.totp_at is None:
        try:
            secret = totp.opened(floor.settings.secret, person.totp)
        except totp.SealError:
            secret = None
    address = totp.address(secret, person.email, floor.settings.organisation) if secret else None
    return render_template(
        "account/second_factor.html",
        person=person,
        secret_text=" ".join(secret[n : n + 4] for n in range(0, len(secret), 4)) if secret else "",
        address=address,
        qr_svg=qr_code(address) if address else None,
        codes=codes,
        codes_left=totp.codes_left(session, person.id) if person.totp_at else 0,
        owed=needs_second_factor(me()) and not floor.settings.is_loopback,
        errors={"code": error} if error else {},
    )


@blueprint.post("/begin")
@signed_in
@recent
def begin() -> Response:
    """Make a secret to put into an authenticator app."""
    with dare().database.begin() as session:
        person = session.get_one(Person, me().id)
        if person.password_hash is None:
            abort(409, PROVIDERS_OWN)
        totp.begin(session, dare().settings.secret, person)
    return redirect(url_for("second_factor.show"), 303)


@blueprint.post("/confirm")
@signed_in
@recent
def confirm() -> str | tuple[str, int] | tuple[str, int, dict[str, str]]:
    """Put the second factor into force with a first code, and show the recovery codes once."""
    floor, network = dare(), browser.network()
    try:
        with floor.database.begin() as session:
            attempt = attempts.begin(session, f"code of {me().ref}", network=network)
    except TooFastError as error:
        with floor.database.begin() as session:
            page = _page(session, session.get_one(Person, me().id), error=str(error))
        return page, 429, {"Retry-After": str(error.wait)}
    with floor.database.begin() as session:
        person = session.get_one(Person, me().id)
        typed = request.form.get("code", "")[: proof.LONGEST_CODE]
        codes = totp.confirm(session, floor.settings.secret, person, typed)
        if codes is None:
            return _page(session, person, error=WRONG), 422
        attempts.succeeded(session, attempt)
        # Those were begun with a password alone, and nobody knows whose hands they are in.
        sessions.end_all(session, person.id, but=browser.session_key())
        sessions.gave_code(session, browser.session_key())
        return _page(session, person, codes=codes)


@blueprint.post("/codes")
@signed_in
@recent
def codes() -> str:
    """Make ten new recovery codes and show them once."""
    with dare().database.begin() as session:
        person = session.get_one(Person, me().id)
        made = totp.renewed_codes(session, person)
        if made is None:
            abort(409, "Set up your second factor first.")
        return _page(session, person, codes=made)


@blueprint.post("/off")
@signed_in
@recent
def off() -> Response:
    """Switch the second factor off."""
    with dare().database.begin() as session:
        totp.switch_off(session, session.get_one(Person, me().id))
    note("good", "The second factor is off. Your password alone opens your account now.")
    return redirect(url_for("account.show"), 303)
