"""Security headers, in one place. Libraries for this forbid the microphone, which we need."""

from flask import Response, g, request

PERMISSIONS = (
    "microphone=(self), camera=(self), display-capture=(self), autoplay=(self), "
    "fullscreen=(self), picture-in-picture=(self), screen-wake-lock=(self), "
    "geolocation=(), payment=(), usb=()"
)
POLICY = (
    "default-src 'none'; script-src 'nonce-{nonce}'; style-src 'self'; "
    "img-src 'self' data: blob:; media-src 'self' blob:; font-src 'self'; connect-src 'self'; "
    "worker-src 'self'; manifest-src 'self'; form-action 'self'; base-uri 'none'; "
    "object-src 'none'; frame-ancestors {frames}; report-uri /policy-reports"
)
# Bytes that somebody uploaded, or that were made of them: they may show themselves, nothing more.
SANDBOX = "default-src 'none'; sandbox; frame-ancestors 'none'"
# Addresses that are secrets themselves: no other site may learn them from a Referer.
SECRET_PATHS = ("/f/", "/m/")


def policy(*, frames: str = "'none'") -> str:
    """Return the policy of a page of ours with this answer's nonce; `frames` says who may frame."""
    return POLICY.format(nonce=g.nonce, frames=frames)


def _kept(*, html: bool) -> str:
    """Return how long an answer may be kept that does not say so itself.

    No ETag on pages: a 304 would bring a new nonce to the stored body of an old one. And a page
    for somebody who is signed in is not stored at all, or "back" would show it after signing out.
    Chromium may keep even such a page whole in memory; static/js/page.js sees to that.
    """
    if not html:
        return "no-store"
    return "private, no-cache, no-store" if g.get("asker") else "private, no-cache"


def protect(response: Response, *, secure: bool) -> Response:
    """Add what every answer carries; what a view has set itself stays."""
    html = response.mimetype == "text/html"
    secret = request.path.startswith(SECRET_PATHS)
    defaults = {
        "Content-Security-Policy": policy() if html else SANDBOX,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer" if secret else "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Permissions-Policy": PERMISSIONS,
        "Cache-Control": _kept(html=html),
    }
    for name, value in defaults.items():
        response.headers.setdefault(name, value)
    if secure:
        response.headers.setdefault(
            "Strict-Transport-Security", "max-age=31536000; includeSubDomains"
        )
    if request.method not in {"GET", "HEAD"}:
        response.headers["Cache-Control"] = "no-store"
    return response
