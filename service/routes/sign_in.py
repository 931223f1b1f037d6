"""Signing in and out: the password, the code after it, and proving it once more."""

from flask import Blueprint, abort, g, make_response, redirect, render_template, request, url_for
from werkzeug import Response

from service.context import dare
from service.failures import note
from service.identity import browser, proof, sessions, vouching
from service.identity.browser import asker, local_path, me, open_to_all, signed_in
from service.identity.proof import ClosedError, Place
from service.limits import TooFastError
from storage import audit
from storage.models import Person

blueprint = Blueprint("sign_in", __name__)
WRONG = "This address and password do not go together."
NOT_YOURS = "This is not your password."
WRONG_CODE = "This code is not right, or was used before."
ANEW = "Too many codes were wrong. Please begin again with your password."

Answer = Response | str | tuple[str, int] | tuple[str, int, dict[str, str]]


@blueprint.route("/sign-in", methods=["GET", "POST"])
@open_to_all
def index() -> Answer:
    """Offer the ways to sign in; begin a session, or ask for the code."""
    wanted = request.values.get("next", "")
    if request.method != "POST":
        return _door(wanted) if asker() is None else redirect(local_path(wanted), 303)
    email, password = request.form.get("email", ""), request.form.get("password", "")
    try:
        person = proof.by_password(dare(), email, password, _place())
    except TooFastError as error:
        return _door(wanted, error=str(error), email=email), 429, _after(error)
    except ClosedError as error:
        return _door(wanted, error=str(error), email=email), 422
    if person is None:
        return _door(wanted, error=WRONG, email=email), 422
    if person.totp_at is not None:
        with dare().database.begin() as session:
            proof.await_code(session, person, browser.visit_key(), wanted)
        return redirect(url_for("sign_in.code"), 303)
    return browser.begin(person, local_path(wanted))


def _place() -> Place:
    return Place(browser.network(), request.cookies.get(browser.DEVICE, ""))


def _after(error: TooFastError) -> dict[str, str]:
    return {"Retry-After": str(error.wait)}


def _door(wanted: str, *, error: str | None = None, email: str = "") -> str:
    settings, emergency = dare().settings, "emergency" in request.values
    return render_template(
        "sign_in/index.html",
        next=wanted,
        error=error,
        typed={"email": email},
        local=settings.local_sign_in or emergency,
        emergency=emergency,
        contact=settings.contact,
        providers=settings.oidc,
        again=False,
    )


@blueprint.route("/sign-in/code", methods=["GET", "POST"])
@open_to_all
def code() -> Answer:
    """Ask for the one-time code of whoever has just given their password here."""
    floor, visit = dare(), browser.visit_key()
    with floor.database.begin() as session:
        found = proof.awaited(session, visit)
    if found is None:
        return redirect(url_for("sign_in.index"), 303)
    row, person = found
    if request.method != "POST":
        return render_template("sign_in/code.html", error=None)
    try:
        right, wrong = proof.by_code(floor, person, request.form.get("code", ""), _place())
    except TooFastError as error:
        page = render_template("sign_in/code.html", error=str(error))
        return page, 429, _after(error)
    if not right and wrong < proof.TRIES:
        return render_template("sign_in/code.html", error=WRONG_CODE), 422
    with floor.database.begin() as session:
        mine = proof.forget(session, visit)
    if right and mine:
        return browser.begin(person, local_path(row.wanted), method="code")
    note("bad", ANEW)
    return redirect(url_for("sign_in.index", next=row.wanted or None), 303)


@blueprint.route("/sign-in/again", methods=["GET", "POST"])
@signed_in
def again() -> Answer:
    """Let somebody who is signed in prove once more who they are, and lead them back."""
    if g.found is None:
        abort(403, "No token may do this: sign in with a browser.")
    wanted = request.values.get("next", "")
    with dare().database.begin() as session:
        person = session.get_one(Person, me().id)
        mine = vouching.overview(session, dare().settings, me().id, me().ref).linked
    issuers = frozenset(one.issuer for one in mine)
    if request.method != "POST":
        return _again(person, wanted, issuers)
    errors = {}
    try:
        errors = _unproved(person)
    except TooFastError as error:
        return _again(person, wanted, issuers, {"password": str(error)}), 429, _after(error)
    if errors:
        return _again(person, wanted, issuers, errors), 422
    return browser.renew(local_path(wanted), method="code" if person.totp_at else "password")


def _unproved(person: Person) -> dict[str, str]:
    """Return what of a proof is wrong, in words by field; nothing when all of it is right.

    Raises:
        TooFastError: too much was wrong before.
    """
    floor, form = dare(), request.form
    if proof.by_password(floor, person.email, form.get("password", ""), _place()) is None:
        return {"password": NOT_YOURS}
    if person.totp_at is None:
        return {}
    right, _ = proof.by_code(floor, person, form.get("code", ""), _place())
    return {} if right else {"code": WRONG_CODE}


def _again(
    person: Person,
    wanted: str,
    issuers: frozenset[str],
    errors: dict[str, str] | None = None,
) -> str:
    settings = dare().settings
    opens = settings.local_sign_in or person.emergency
    return render_template(
        "sign_in/again.html",
        next=wanted,
        email=person.email,
        local=opens and person.password_hash is not None,
        with_code=person.totp_at is not None,
        providers=[known for known in settings.oidc if known.issuer in issuers],
        again=True,
        errors=errors or {},
    )


@blueprint.post("/sign-out")
@signed_in
def out() -> Response:
    """End this browser's session."""
    with dare().database.begin() as session:
        sessions.end(session, request.cookies.get(browser.COOKIE, ""))
        audit.record(session, "signed-out", actor=me().ref, network=browser.network())
    return browser.sign_out(make_response(redirect(url_for("sign_in.index"), 303)))
