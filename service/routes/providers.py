"""Signing in with a provider: there, back, once more, linked, and signed out from there.

Every way there is a link and never a form: our policy forbids forms to lead to another origin, even
by a redirect. What is kept of the way lies in a row, bound to this browser.
"""

import hmac
import logging
from typing import Any

from flask import (
    Blueprint,
    abort,
    g,
    jsonify,
    make_response,
    redirect,
    render_template,
    request,
    url_for,
)
from sqlmodel import Session
from werkzeug import Response

from service.access import Asker
from service.context import dare
from service.failures import note
from service.identity import browser, oidc, vouching
from service.identity.browser import keyed, local_path, me, open_to_all, recent, signed_in
from service.identity.oidc import AwayError, Client, NotBelievedError, ProviderError, Vouched
from service.identity.vouching import AGAIN, LINK, SIGN_IN, VouchingError
from storage import audit
from storage.models import SignInTry
from storage.settings import OidcProvider

blueprint = Blueprint("providers", __name__)
log = logging.getLogger(__name__)
STALE = (
    "This sign-in was begun in another browser, was used already, or took longer than ten minutes."
)

Answer = Response | tuple[str, int]


def _provider(name: str) -> OidcProvider:
    provider = dare().settings.provider(name)
    if provider is None:
        abort(404)
    return provider


def _client(provider: OidcProvider) -> Client:
    return oidc.client(provider, dare().settings.internal_hosts)


def _back() -> str:
    """Return the address that providers lead back to; one for all of them."""
    return dare().settings.origin + url_for("providers.back")


def _trouble(status: int, title: str, words: str) -> tuple[str, int]:
    return render_template("sign_in/trouble.html", title=title, words=words), status


def _failed(name: str, error: ProviderError) -> tuple[str, int]:
    """Say that a provider is away or not believed; why goes to the log alone."""
    log.warning("request %s: provider %s: %s", g.get("request_id"), name, error.why[:300])
    if isinstance(error, AwayError):
        return _trouble(503, "The provider does not answer", str(error))
    with dare().database.begin() as session:
        audit.record(session, "sign-in-failed", network=browser.network(), provider=name)
    return _trouble(403, "That did not fit", str(error))


def _leave(provider: OidcProvider, purpose: str, wanted: str) -> Answer:
    """Lead to the provider, and keep what is needed to go on afterwards."""
    if "prefetch" in request.headers.get("Sec-Purpose", ""):
        abort(403)  # nobody has chosen to go there yet
    asker = browser.asker() if purpose != SIGN_IN else None
    with dare().database.begin() as session:
        begun = vouching.begin(
            session,
            provider,
            purpose,
            visit=browser.visit_key(),
            wanted=wanted,
            person_id=asker.id if asker else None,
        )
    try:
        where = _client(provider).address(
            back=_back(),
            state=begun.state,
            nonce=begun.nonce,
            verifier=begun.verifier,
            again=purpose == AGAIN,
        )
    except ProviderError as error:
        return _failed(provider.name, error)
    return redirect(where, 303)


@blueprint.get("/sign-in/with/<name>")
@open_to_all
def start(name: str) -> Answer:
    """Lead to a provider to sign in."""
    return _leave(_provider(name), SIGN_IN, local_path(request.args.get("next", "")))


@blueprint.get("/sign-in/again/with/<name>")
@signed_in
def again(name: str) -> Answer:
    """Lead to a provider to prove once more who one is."""
    return _leave(_provider(name), AGAIN, local_path(request.args.get("next", "")))


@blueprint.get("/account/providers/<name>/link")
@signed_in
@recent
def link(name: str) -> Answer:
    """Lead to a provider whose identity shall open this account; only from one's own page."""
    provider = _provider(name)
    wanted = vouching.proof(dare().settings, me().ref, provider.name)
    if not hmac.compare_digest(request.args.get("proof", "").encode(), wanted.encode()):
        abort(403, "Please begin on your account page. Nothing was changed.")
    return _leave(provider, LINK, url_for("account.show"))


@blueprint.get("/sign-in/callback")
@open_to_all
def back() -> Answer:
    """Take somebody back from a provider, once, in the browser that went there."""
    state = request.args.get("state", "")
    with dare().database.begin() as session:
        taken = vouching.take(session, state, browser.visit_key())
    provider = dare().settings.provider(taken.provider) if taken else None
    if taken is None or provider is None:
        return _trouble(400, "Please sign in once more", STALE)
    if "error" in request.args:
        return _declined(provider, taken)
    try:
        vouched = _client(provider).vouched(
            code=request.args.get("code", ""),
            issuer=request.args.get("iss"),
            back=_back(),
            nonce=taken.nonce,
            verifier=taken.verifier,
        )
        return _arrived(provider, taken, vouched)
    except ProviderError as error:
        return _failed(provider.name, error)
    except VouchingError as error:
        return _trouble(error.status, error.title, str(error))


def _declined(provider: OidcProvider, taken: SignInTry) -> Response:
    """Go back to where somebody came from, who was not let in or has thought better of it."""
    said = request.args.get("error", "")[:80]
    log.info("request %s: provider %s said %r", g.get("request_id"), provider.name, said)
    label = provider.label or provider.name
    note("bad", f"{label} did not sign you in. Nothing was changed.")
    pages = {LINK: "account.show", AGAIN: "sign_in.again"}
    onward = taken.wanted if taken.purpose != LINK else None
    return redirect(url_for(pages.get(taken.purpose, "sign_in.index"), next=onward), 303)


def _arrived(provider: OidcProvider, taken: SignInTry, vouched: Vouched) -> Response:
    where = local_path(taken.wanted)
    if taken.purpose == SIGN_IN:
        with dare().database.begin() as session:
            person = vouching.signed_in(session, dare().settings, provider, vouched)
        return browser.begin(
            person,
            where,
            method="provider",
            issuer=vouched.issuer,
            sid=vouched.sid,
            proved_at=vouching.proved_at(vouched),
        )
    asker = _same(taken)
    with dare().database.begin() as session:
        if taken.purpose == AGAIN:
            begun_at = taken.expires_at - vouching.LIFE
            vouching.check_again(session, vouched, person_id=asker.id, begun_at=begun_at)
        else:
            _link(session, provider, vouched, asker)
    if taken.purpose == LINK:
        return redirect(where, 303)
    return browser.renew(where, method="provider", issuer=vouched.issuer, sid=vouched.sid)


def _same(taken: SignInTry) -> Asker:
    """Return who went there, if it is still they who are signed in here, with a browser."""
    asker = browser.asker()
    if asker is None or g.found is None or asker.id != taken.person_id:
        raise VouchingError(403, "Please sign in once more", STALE)
    return asker


def _link(session: Session, provider: OidcProvider, vouched: Vouched, asker: Asker) -> None:
    label = provider.label or provider.name
    new = vouching.link(session, provider, vouched, asker.id)
    note("good", f"{label} opens your account now." if new else f"{label} was linked already.")


@blueprint.post("/account/providers/unlink")
@signed_in
@recent
def unlink() -> Answer:
    """Take an identity at a provider from one's own account."""
    issuer, subject = request.form.get("issuer", ""), request.form.get("subject", "")
    try:
        with dare().database.begin() as session:
            gone = vouching.unlink(
                session, dare().settings, me().id, issuer, subject, but=browser.session_key()
            )
    except VouchingError as error:
        return _trouble(error.status, error.title, str(error))
    if not gone:
        abort(404)
    note("good", "It no longer opens your account.")
    return redirect(url_for("account.show"), 303)


@blueprint.post("/sign-in/back-channel/<name>")
@keyed
def back_channel(name: str) -> Response:
    """End the sessions that a provider's logout token names (Back-Channel Logout 1.0, 2.5-2.8)."""
    provider = _provider(name)
    try:
        told = _client(provider).signed_out(request.form.get("logout_token", ""))
        with dare().database.begin() as session:
            if not vouching.signed_out(session, provider.issuer, told):
                raise NotBelievedError(provider.name, "the token was used before")
    except ProviderError as error:
        log.warning("request %s: provider %s: %s", g.get("request_id"), name, error.why[:300])
        status = 503 if isinstance(error, AwayError) else 400
        return _told({"error": "invalid_request"}, status)
    return _told({}, 200)


def _told(said: dict[str, Any], status: int) -> Response:
    answer = make_response(jsonify(said), status)
    answer.headers["Cache-Control"] = "no-store"
    return answer
