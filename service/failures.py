"""What people are told when something does not work: a sentence, a status, a request id."""

import hashlib
import json
import logging
from collections.abc import Iterable
from typing import Any

from flask import Flask, Response, g, make_response, render_template, request, session
from flask.sessions import SecureCookieSessionInterface
from sqlalchemy.exc import DataError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge

from service.delivery import refusal
from service.headers import SECRET_PATHS
from service.identity import browser
from service.identity.browser import SignedOutError
from service.identity.passwords import TooBusyError
from service.identity.people import LastAdminError
from service.identity.proof import ClosedError
from service.limits import TooFastError
from service.publishing import NotNowError, NotThereError, PublishingError
from service.rating.ledger import RatingError
from service.uploads.receiving import UploadError
from storage.objects import StoreError

log = logging.getLogger(__name__)
# Of what werkzeug would say in headers, these help the asker.
TOLD: frozenset[str] = frozenset({"Allow", "Retry-After", "Content-Range"})

# What people write in forms and would miss, by field. Named one by one: no secret is among them.
WRITTEN = {
    "title": "Title",
    "topics": "Topics",
    "notes": "Notes",
    "body": "Your words",
    "words": "Your words",
    "name": "Name",
    "description": "Description",
    "purpose": "Purpose",
    "about": "About you",
    "addresses": "Addresses",
}

SENTENCES = {
    400: "The request could not be understood.",
    401: "Please sign in first.",
    403: "This is not allowed.",
    404: "There is nothing here, or it is not for you to see.",
    405: "This address does not do that.",
    409: "This does not fit the present state.",
    413: "This is larger than what may be sent here.",
    415: "This kind of content is not taken here.",
    416: "The file does not have these bytes.",
    421: "This host name is not ours.",
    422: "Something in the form needs another look.",
    423: "This is in use just now.",
    429: "That was too fast. Please wait a moment.",
    500: "Something went wrong on our side. It has been written down.",
    503: "We cannot answer just now. Please try again in a moment.",
}


def answer(
    status: int,
    detail: str | None = None,
    *,
    errors: dict[str, str] | None = None,
    headers: dict[str, str] | None = None,
) -> Response:
    """Return a failure as this request wants it: a page, or problem details (RFC 9457).

    At secret addresses it is a sentence of plain text, as podcast apps show it.
    """
    sentence = detail or SENTENCES.get(status, "This did not work.")
    if request.path.startswith(SECRET_PATHS):
        response = refusal(status, sentence)
        response.headers.update(headers or {})
        return response
    response = (
        _problem(status, sentence, errors)
        if _wants_json()
        else make_response(_page(status, sentence), status)
    )
    response.headers["Cache-Control"] = "no-store"
    response.headers.update(headers or {})
    return response


def _wants_json() -> bool:
    if request.path.startswith(("/api/", "/uploads/")):
        return True
    best = request.accept_mimetypes.best_match(["text/html", "application/json"], "text/html")
    return best == "application/json" or request.mimetype == "application/json"


def _problem(status: int, sentence: str, errors: dict[str, str] | None) -> Response:
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": SENTENCES.get(status, "This did not work."),
        "status": status,
        "detail": sentence,
        "request_id": g.get("request_id", "-"),
    }
    if errors:
        body["errors"] = errors
    return Response(json.dumps(body), status, mimetype="application/problem+json")


def _page(status: int, sentence: str) -> str:
    return render_template(
        "errors/error.html",
        status=status,
        title=SENTENCES.get(status, "This did not work."),
        sentence=sentence,
        request_id=g.get("request_id", "-"),
    )


def note(kind: str, text: str) -> None:
    """Keep one sentence for the next page; `kind` is good, bad or plain."""
    session.setdefault("notes", []).append((kind, text))
    session.modified = True


def taken_notes() -> list[tuple[str, str]]:
    """Return the sentences kept for this page, once."""
    return [tuple(entry) for entry in session.pop("notes", [])] if "notes" in session else []


class _Notes(SecureCookieSessionInterface):
    """Flask's own cookie, which carries notes from page to page, signed by HMAC-SHA-256."""

    digest_method = staticmethod(hashlib.sha256)


def register(app: Flask) -> None:
    """Answer every failure in words."""
    settings = app.extensions["dare"].settings
    app.secret_key = settings.secret
    app.session_interface = _Notes()
    app.config.update(
        SESSION_COOKIE_NAME="__Host-dare-notes",
        SESSION_COOKIE_SECURE=True,
        SESSION_COOKIE_SAMESITE="Lax",
        SESSION_COOKIE_HTTPONLY=True,
    )
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(NotThereError, lambda _: answer(404))
    app.register_error_handler(NotNowError, lambda error: answer(409, str(error)))
    app.register_error_handler(LastAdminError, lambda error: answer(409, str(error)))
    app.register_error_handler(
        PublishingError, lambda error: answer(422, str(error), errors=error.errors)
    )
    app.register_error_handler(RatingError, lambda error: answer(error.status, str(error)))
    app.register_error_handler(UploadError, _upload)
    app.register_error_handler(TooFastError, _too_fast)
    app.register_error_handler(SignedOutError, _signed_out)
    app.register_error_handler(ClosedError, lambda error: answer(403, str(error)))
    for kind in (StoreError, OperationalError, PoolTimeout, TooBusyError):
        app.register_error_handler(kind, _away)
    app.register_error_handler(DataError, _unfit)
    app.register_error_handler(Exception, _unforeseen)


def _http(error: HTTPException) -> Response:
    if error.response is not None:
        return error.response  # type: ignore[return-value]
    status = error.code or 500
    standard = error.description == type(error).description
    detail = None if standard or status >= 500 else error.description
    if isinstance(error, RequestEntityTooLarge) and standard:
        detail = "This is larger than what a form may send. Use the upload on a page with scripts."
    kept = _told(error.get_headers(request.environ))
    return answer(status, detail, headers=kept)


def _told(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name: value for name, value in headers if name in TOLD}


def _signed_out(error: SignedOutError) -> Response:
    """Lead whoever was signed out elsewhere back to their page, and hand back what they wrote."""
    if _wants_json() or request.path.startswith(SECRET_PATHS):
        return answer(403, str(error))
    try:
        sent = request.form
        typed = [(label, sent[name]) for name, label in WRITTEN.items() if sent.get(name)]
    except RequestEntityTooLarge:
        typed = []
    page = render_template(
        "errors/signed_out.html", sentence=str(error), back=browser.came_from(), typed=typed
    )
    response = make_response(page, 403)
    response.headers["Cache-Control"] = "no-store"
    return response


def _upload(error: UploadError) -> Response:
    headers = {"Tus-Resumable": "1.0.0"}
    if error.offset is not None:
        headers["Upload-Offset"] = str(error.offset)
    if error.status == 423:
        headers["Retry-After"] = "2"
    return answer(error.status, str(error), headers=headers)


def _too_fast(error: TooFastError) -> Response:
    return answer(429, str(error), headers={"Retry-After": str(error.wait)})


def _away(error: Exception) -> Response:
    log.warning("request %s: %s: %s", g.get("request_id"), type(error).__name__, error)
    words = str(error) if isinstance(error, TooBusyError) else None
    return answer(503, words, headers={"Retry-After": "5"})


def _unfit(error: Exception) -> Response:
    """Answer what no column can hold: a NUL in text, a number beyond 64 bits."""
    log.warning("request %s: %s: %s", g.get("request_id"), type(error).__name__, error)
    return answer(400)


def _unforeseen(error: Exception) -> Response:
    log.error("request %s failed", g.get("request_id"), exc_info=error)
    return answer(500)
