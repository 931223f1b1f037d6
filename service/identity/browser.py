"""The request's edge: whose request this is, and whether it may change anything.

Every route carries a rule, put there by one of the decorators below; `create_app` refuses to start
with a route that has none. A change needs two proofs: that the browser says the request comes from
our own pages, and a token bound to the session. A request with a bearer token carries no cookie,
so no other site can send it; it needs neither, but the token must be of the right scope, and no
token opens what stewards, moderators and admins do, nor what wants a recent sign-in, nor does it
change anything but by the API.
"""

import hashlib
import hmac
from collections.abc import Callable
from datetime import datetime
from functools import wraps
from typing import Any
from urllib.parse import urljoin, urlsplit

from flask import Response, abort, current_app, g, make_response, redirect, request, url_for
from werkzeug.exceptions import HTTPException, RequestEntityTooLarge
from werkzeug.routing import RequestRedirect

from service.access import GUEST, Asker, Viewer, needs_second_factor
from service.context import dare
from service.identity import attempts, networks, sessions, tokens
from service.identity.secrets import fresh, key_of
from storage import audit
from storage.models import Person, now

COOKIE = "__Host-dare"
VISIT = "__Host-dare-visit"
DEVICE = "__Host-dare-device"
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
# Where tokens may change something; all else that changes is a form for people at a browser.
FOR_PROGRAMS = ("/api/", "/uploads/")
BEARER = "Bearer "
# What somebody may still do who has to set up a second factor first.
ENROLMENT = frozenset({"sign_in.again", "sign_in.out"})
OWED = "Please set up your second factor first: what you may do here needs more than a password."
CHANGED = "Your password or second factor was changed just now. Please sign in once more."
UNPROVED = "Please confirm that it is you, then do this once more. Nothing was changed."

STALE = "This page is out of date or the request came from elsewhere. Nothing was changed."
# The rules of routes that are for people who are signed in.
FOR_PEOPLE = frozenset({"signed-in", "publisher", "steward", "moderator", "admin"})

View = Callable[..., Any]


class SignedOutError(Exception):
    """A form of our own pages came from somebody whose session has ended since."""

    def __init__(self) -> None:
        super().__init__("You were signed out. Sign in and go on. Nothing was changed.")


def nobody() -> None:
    """Take the request as nobody's, whatever it carries."""
    g.asker, g.by_token, g.scopes, g.found = None, False, frozenset(), None
    g.token_ends = None


def load() -> None:
    """Find out who asks, before anything else; a dead or foreign secret reads as nobody."""
    nobody()
    header = request.headers.get("Authorization", "")
    cookie = request.cookies.get(COOKIE)
    if header.startswith(BEARER):
        g.by_token = True
        with dare().database.begin() as session:
            token = tokens.find(session, header.removeprefix(BEARER).strip())
        if token is not None and _counts(token):
            g.asker, g.scopes, g.token_ends = token.asker, token.scopes, token.expires_at
    elif cookie:
        with dare().database.begin() as session:
            g.found = sessions.find(session, cookie)
        if g.found is not None:
            g.asker = g.found.asker


def _counts(token: tokens.Found) -> bool:
    """Whether a living token says here whose the request is.

    Not where sign-in providers vouch for its owner no more; nor on what is open to all when it may
    not read, since such a route shows its asker more than it shows nobody.
    """
    blind = request.method in SAFE and rule_of(request.endpoint) == "open"
    may_look = not blind or "read" in token.scopes
    return may_look and not token.is_paused(dare().settings)


def network() -> str:
    """Return the network that the request comes from: /24 or /64, never an address."""
    return networks.cut(request.remote_addr)


def viewer() -> Viewer:
    """Return who looks, on a route that is open to guests: somebody, a guest, or None."""
    return asker() or (GUEST if dare().settings.public_talks else None)


def shows_something() -> bool:
    """Whether this request shows anything that may prove whose it is, be it good or not."""
    return COOKIE in request.cookies or "Authorization" in request.headers


def shown() -> str:
    """Return the SHA-256 of what this request shows, be it good or not."""
    header, cookie = request.headers.get("Authorization", ""), request.cookies.get(COOKIE, "")
    return key_of(f"{header}\n{cookie}")


def has_proved_lately() -> bool:
    """Whether this browser may be told a secret of its asker's, as with `recent`.

    For routes that do more than tell it, and so do not want a recent sign-in as a whole.
    """
    return g.found is not None and g.found.is_recent()


def may_be_told(until: datetime | None) -> bool:
    """Whether this request may be told an address that opens talks until then; None is for ever.

    A browser's session that proved itself long ago may be in somebody else's hands by now. A token
    is told what it may read anyhow, for as long as it lives itself.
    """
    if not g.by_token:
        return has_proved_lately()
    ends = token_ends()
    lasts = ends is None or (until is not None and until <= ends)
    return lasts and {"read", "take-part"} <= g.scopes


def token_ends() -> datetime | None:
    """Return when this request's token runs out; None for a browser, and a token without end."""
    ends: datetime | None = g.token_ends
    return ends


def session_key() -> str:
    """Return the key of this browser's session; empty without one."""
    return key_of(request.cookies[COOKIE]) if g.get("found") else ""


def why_not_by_token(rule: str | None) -> str | None:
    """Return why this request's token may not do this, or None when it may, or there is none."""
    if not g.by_token or g.asker is None or rule in {None, "keyed"}:
        return None
    for_people = request.method not in SAFE and not request.path.startswith(FOR_PROGRAMS)
    if for_people or rule in {"steward", "moderator", "admin"} or request.endpoint in _recent:
        return "No token may do this: sign in with a browser."
    if rule == "open":
        return None  # whoever asks; see `_counts`
    needed = "read" if request.method in SAFE else "publish" if rule == "publisher" else "take-part"
    return None if needed in g.scopes else f"This token lacks the scope {needed!r}."


def asker() -> Asker | None:
    """Return who asks, or None for somebody who is not signed in."""
    found: Asker | None = g.get("asker")
    return found


def me() -> Asker:
    """Return who asks, on a route that is only for people who are signed in."""
    found = asker()
    if found is None:
        abort(401)
    return found


def csrf_token() -> str:
    """Return the token that forms of this browser carry, bound to its session or visit."""
    bound = request.cookies.get(COOKIE) if asker() else _visit()
    return _csrf_of(bound or "")


def _csrf_of(bound: str) -> str:
    message = f"csrf:{bound}".encode()
    return hmac.new(dare().settings.secret, message, hashlib.sha256).hexdigest()


def _visit() -> str:
    """Return the anonymous browser's own random value, making one on its first form."""
    known: str | None = request.cookies.get(VISIT) or g.get("new_visit")
    if known is None:
        known = g.new_visit = fresh()
    return known


def visit_key() -> str:
    """Return the key of this browser's visit, which binds to it what is under way elsewhere."""
    return key_of(_visit())


def local_path(wanted: str) -> str:
    """Return a path on this site, whatever was asked for; home for all that leads elsewhere.

    Backslashes and control characters are how browsers are talked into other hosts; what is left
    is resolved as a browser would and must stay at our origin.
    """
    strange = any(ord(c) < 33 or c == "\\" for c in wanted)
    if strange or not wanted.startswith("/") or wanted.startswith("//"):
        return url_for("home.index")
    origin = dare().settings.origin
    try:
        there = urlsplit(urljoin(f"{origin}/", wanted))
    except ValueError:
        return url_for("home.index")
    ours = urlsplit(origin)
    same = (there.scheme, there.netloc) == (ours.scheme, ours.netloc)
    return wanted if same else url_for("home.index")


def check_origin_of_change() -> str | None:
    """Return why an unsafe request must be refused, or None when both proofs hold.

    Raises:
        SignedOutError: it comes from a page of ours, and the session that it was made for is over.
    """
    if request.method in SAFE or g.by_token or rule_of(request.endpoint) == "keyed":
        return None
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None and site != "same-origin":
        return STALE
    origin = request.headers.get("Origin")
    if site is None and origin is not None and origin != dare().settings.origin:
        return STALE
    ours = site is not None or origin is not None
    over = ours and asker() is None and rule_of(request.endpoint) in FOR_PEOPLE
    try:
        given = request.headers.get("X-CSRF-Token") or request.form.get("csrf_token", "")
    except RequestEntityTooLarge:
        # Nobody may send much; who was somebody a moment ago is told the reason of that.
        if over:
            raise SignedOutError from None
        raise
    if hmac.compare_digest(given.encode(), csrf_token().encode()):
        return None
    if over:
        raise SignedOutError
    return STALE


def came_from() -> str | None:
    """Return the page of ours that this request was sent from; None for all that is no such."""
    try:
        there = urlsplit(request.referrer or "")
    except ValueError:
        return None
    if f"{there.scheme}://{there.netloc}" != dare().settings.origin:
        return None
    try:
        # A page that answered a form cannot be opened again at its address.
        current_app.create_url_adapter(request).match(there.path, method="GET")  # type: ignore[union-attr]
    except (HTTPException, RequestRedirect):
        return None
    return local_path(f"{there.path}?{there.query}" if there.query else there.path)


def keep_cookies(response: Response) -> Response:
    """Set the visit cookie that a form on this page needs."""
    if g.get("new_visit"):
        set_cookie(response, VISIT, g.new_visit)
    return response


def set_cookie(response: Response, name: str, value: str, *, days: int = 30) -> None:
    """Set one of our cookies with every flag that the __Host- prefix asks for."""
    age = days * 24 * 3600
    response.set_cookie(
        name, value, secure=True, httponly=True, samesite="Lax", path="/", max_age=age
    )


def begin(
    person: Person,
    where: str,
    *,
    method: str = "password",
    issuer: str | None = None,
    sid: str | None = None,
    proved_at: datetime | None = None,
) -> Response:
    """Begin a fresh session for somebody who has just proved who they are; the old one ends.

    `method` is how: password, code (password and one-time code), provider, set-up, invitation or
    reset. A provider's `issuer` and `sid` let its sign-out end ours; `proved_at` is when it had
    them prove it, if that was not just now. `person` is as they were when they proved it: whoever
    was closed since, or has another password or second factor by now, proves it again (409).
    """
    old = request.cookies.get(COOKIE)
    with dare().database.begin() as session:
        # Locked before all else, as whatever ends somebody's sessions does: none slips in after.
        known = session.get_one(Person, person.id, with_for_update={"key_share": True})
        if not _stands(person, known, method):
            abort(409, CHANGED)
        if old:
            sessions.end(session, old)
        known.signed_in_at = now()
        if method == "provider":
            known.vouched_at = known.signed_in_at
        secret = sessions.start(
            session,
            known,
            _label(),
            method=method,
            network=network(),
            issuer=issuer,
            sid=sid,
            proved_at=proved_at,
        )
        audit.record(session, "signed-in", actor=str(known.ref), network=network(), method=method)
    # Another tab may still be on its way to a provider and back, which is bound to this visit.
    response = _handed(make_response(redirect(where, 303)), secret, visiting=method == "provider")
    if known.password_hash is not None:
        _remember_device(response, str(known.ref))
    return response


def _stands(proved: Person, known: Person, method: str) -> bool:
    """Whether what somebody has proved still opens their account, as it is now."""
    if known.disabled_at is not None:
        return False
    if method == "provider":
        return True
    same = proved.password_hash == known.password_hash
    return same and (method == "code" or known.totp_at is None)


def _remember_device(response: Response, ref: str) -> None:
    """Let this browser be known at its owner's next sign-in, whatever others guess meanwhile."""
    server_secret, held = dare().settings.secret, request.cookies.get(DEVICE, "")
    known = attempts.known_device(server_secret, ref, held)
    value = held if known else attempts.device_for(server_secret, ref)
    set_cookie(response, DEVICE, value, days=365)


def renew(
    where: str, *, method: str, issuer: str | None = None, sid: str | None = None
) -> Response:
    """Note that the person of this session has just proved again who they are.

    The session goes on under a new id; the old one is dead. All else about it stays, but for what
    is given of a provider. Only for requests that carry a living session.
    """
    old = request.cookies[COOKIE]
    with dare().database.begin() as session:
        secret = sessions.renew(session, old, method=method, issuer=issuer, sid=sid)
        if secret is None:
            # Another tab has just done the same, and this browser holds its cookie by now.
            return make_response(redirect(where, 303))
        if method == "provider":
            session.get_one(Person, me().id).vouched_at = now()
        audit.record(session, "proved-again", actor=me().ref, network=network(), method=method)
    return _handed(make_response(redirect(where, 303)), secret, visiting=True)


def _label() -> str:
    agent = request.user_agent.string
    names = ("Edg", "Firefox", "Chrome", "Safari")
    systems = ("Android", "iPhone", "iPad", "Windows", "Mac OS", "Linux")
    name = next((n for n in names if n in agent), "Browser").replace("Edg", "Edge")
    system = next((s for s in systems if s in agent), "")
    return f"{name} on {system}" if system else name


def _handed(response: Response, secret: str, *, visiting: bool = False) -> Response:
    """Hand a fresh session to the browser and end its visit, unless it is still needed."""
    set_cookie(response, COOKIE, secret)
    if not visiting:
        response.delete_cookie(VISIT, path="/", secure=True, httponly=True, samesite="Lax")
    return response


def sign_out(response: Response) -> Response:
    """Take the session from the browser. Recordings kept locally must survive: cache only."""
    response.delete_cookie(COOKIE, path="/", secure=True, httponly=True, samesite="Lax")
    response.headers["Clear-Site-Data"] = '"cache"'
    return response


_rules: dict[str, str] = {}


_recent: set[str] = set()


def rule_of(endpoint: str | None) -> str | None:
    """Return the rule of an endpoint.

    One of: open, keyed, guest, signed-in, publisher, steward, moderator, admin.
    """
    return _rules.get(endpoint or "")


def note_rules(rules: dict[str, str], recent: set[str]) -> None:
    """Keep the rules that `create_app` read off all views, and which want a recent sign-in."""
    _rules.update(rules)
    _recent.update(recent)


def _ruled(rule: str, view: View, check: Callable[[], Any]) -> View:
    @wraps(view)
    def guarded(*args: Any, **values: Any) -> Any:
        refused = check()
        return refused if refused is not None else view(*args, **values)

    guarded.rule = rule  # type: ignore[attr-defined]
    return guarded


def open_to_all(view: View) -> View:
    """Declare a route that anybody may ask for."""
    return _ruled("open", view, lambda: None)


def keyed(view: View) -> View:
    """Declare a route whose address carries the whole authority; no cookie is read."""
    return _ruled("keyed", view, lambda: None)


def signed_in(view: View) -> View:
    """Declare a route for people who are signed in; others are sent to sign in, or told 401."""
    return _ruled("signed-in", view, _must_sign_in)


def open_to_guests(view: View) -> View:
    """Declare a route for people who are signed in, and for anybody where talks may be public.

    The view asks `viewer()`, and what that viewer may not see does not exist.
    """
    return _ruled("guest", view, lambda: None if viewer() is not None else _must_sign_in())


def _only(may: Callable[[Asker], bool]) -> Callable[[], Any]:
    def check() -> Any:
        refused = _must_sign_in()
        if refused is None and not may(me()):
            abort(404)
        return refused

    return check


def publisher(view: View) -> View:
    """Declare a route for people who may publish; it does not exist for others."""
    return _ruled("publisher", view, _only(lambda asker: asker.may_publish))


def steward(view: View) -> View:
    """Declare a route for those who moderate a community or the house; the view asks which."""
    return _ruled("steward", view, _only(lambda asker: asker.may_moderate))


def moderator(view: View) -> View:
    """Declare a route for moderators and admins; it does not exist for others."""
    return _ruled("moderator", view, _only(lambda asker: asker.moderates_all))


def admin(view: View) -> View:
    """Declare a route for admins; it does not exist for others."""
    return _ruled("admin", view, _only(lambda asker: asker.is_admin))


def recent(view: View) -> View:
    """Want a sign-in of the last half hour; stands below the decorator that says for whom.

    A page leads to proving it again and back; a form that comes too late is told so, since what
    was posted cannot be carried along.
    """

    @wraps(view)
    def guarded(*args: Any, **values: Any) -> Any:
        if g.found is not None and g.found.is_recent():
            return view(*args, **values)
        if request.method not in SAFE:
            abort(403, UNPROVED)
        return redirect(url_for("sign_in.again", next=request.full_path.rstrip("?")), 303)

    guarded.recent = True  # type: ignore[attr-defined]
    return guarded


def second_factor_owed() -> Any:
    """Return where to lead somebody who must set up a second factor before all else, or None.

    Whoever moderates or looks after the house may do much to others, so where others can reach it
    a password alone opens nothing to them but that page. Costs no query: the session knows.
    """
    found = g.found
    if found is None or not found.by_password_alone or dare().settings.is_loopback:
        return None
    endpoint = request.endpoint or ""
    # One that is in force already is asked for; it must not be switched off by password alone.
    setting_up = endpoint.startswith("second_factor.") and not found.has_second_factor
    free = setting_up or endpoint in ENROLMENT
    if free or rule_of(endpoint) in {"open", "keyed"} or not needs_second_factor(found.asker):
        return None
    if not _wants_page():
        abort(403, UNPROVED if found.has_second_factor else OWED)
    if found.has_second_factor:
        return redirect(url_for("sign_in.again", next=request.full_path.rstrip("?")), 303)
    return redirect(url_for("second_factor.show"), 303)


def _wants_page() -> bool:
    page = request.method in SAFE and not request.path.startswith("/api/")
    return page and "text/html" in request.headers.get("Accept", "*/*")


def _must_sign_in() -> Any:
    if asker() is not None:
        return None
    if not _wants_page() or g.by_token:
        abort(401)
    back = request.full_path.rstrip("?")
    return redirect(url_for("sign_in.index", next=back if back != "/" else None), 303)
