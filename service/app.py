"""The web application: the only place where its parts are wired together."""

import logging
import secrets
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, abort, g, request
from werkzeug.middleware.proxy_fix import ProxyFix

from service import assets, failures, headers, presentation
from service.access import Asker
from service.floods import Floods
from service.identity import browser
from service.limits import TooFastError
from storage.floor import Floor, open_floor
from storage.objects import PART
from storage.settings import LOOPBACK, Settings, load_settings

ROOT = Path(__file__).parent.parent
SMALL_BODY = 1024**2
ROUTES = (
    "access_tokens",
    "account",
    "admin",
    "admin_groups",
    "admin_invitations",
    "admin_log",
    "admin_people",
    "api",
    "communities",
    "embed",
    "episodes",
    "feeds",
    "health",
    "help",
    "home",
    "links",
    "media",
    "moderation",
    "my_feeds",
    "notices",
    "people",
    "policy",
    "privacy",
    "providers",
    "search",
    "second_factor",
    "set_up",
    "shows",
    "sign_in",
    "studio",
    "topics",
    "uploads",
)


class RuleMissingError(RuntimeError):
    """A route says nothing of who may ask for it; nothing is served until it does."""


def create_app(settings: Settings | None = None) -> Flask:
    """Return the application, ready to serve.

    Raises:
        SettingsError: a setting is missing or unsafe.
        RuleMissingError: a route without a rule.
    """
    known = settings or load_settings()
    known.check_origin()
    known.check_secret()
    known.check_people()
    known.check_embedding()
    app = Flask(
        "service",
        template_folder=str(ROOT / "templates"),
        static_folder=None,
        root_path=str(ROOT / "service"),
    )
    # Small for all; `admit` allows more to those who may send recordings, where they send them.
    app.config["MAX_CONTENT_LENGTH"] = SMALL_BODY
    app.config["MAX_FORM_MEMORY_SIZE"] = 2 * 1024**2
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.extensions["dare"] = open_floor(
        known, pool=max(4, min(20, known.web_threads)), name="dare-web"
    )
    app.extensions["dare-floods"] = Floods()
    if known.trusted_proxies:
        hops = known.trusted_proxies
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops)  # type: ignore[method-assign]
    _wire_requests(app, known)
    _wire_templates(app, known)
    failures.register(app)
    for name in ROUTES:
        app.register_blueprint(import_module(f"service.routes.{name}").blueprint)
    _check_rules(app)
    logging.getLogger("service").setLevel(logging.INFO)
    return app


def _wire_requests(app: Flask, settings: Settings) -> None:
    hosts = _own_hosts(settings)
    secure = settings.origin.startswith("https:")

    @app.before_request
    def admit() -> Any:
        g.nonce = secrets.token_urlsafe(16)
        g.request_id = secrets.token_hex(6)
        # Links are built from the settings, so a forged Host can at most be asked about: refuse it.
        if request.endpoint != "health.show" and request.host.lower() not in hosts:
            browser.nobody()
            abort(421)
        rule = browser.rule_of(request.endpoint)
        _identify(app, rule)
        request.max_content_length = _most_bytes(settings, rule, request.endpoint)
        if rule is None:
            return None  # no such route, or not by this method: 404 and 405 follow
        if request.path.startswith("/api/") and rule != "open" and browser.asker() is None:
            abort(401)
        reason = browser.why_not_by_token(rule) or browser.check_origin_of_change()
        if reason is not None:
            abort(403, reason)
        return browser.second_factor_owed()

    @app.after_request
    def finish(response: Response) -> Response:
        response.headers.setdefault("X-Request-Id", g.get("request_id", "-"))
        if "nonce" not in g:
            g.nonce = secrets.token_urlsafe(16)
        return headers.protect(browser.keep_cookies(response), secure=secure)


def _identify(app: Flask, rule: str | None) -> None:
    """Find out who asks, where that matters; a network that asks too often as nobody is refused.

    Raises:
        TooFastError: see `_hold_back`; or it showed too many sessions and tokens that are none,
            and this one was not good lately.
    """
    browser.nobody()
    free = request.endpoint in {"static", "health.show"}
    if free or request.path.startswith(headers.SECRET_PATHS):
        return  # no query, or counted by the secret in the address
    if rule == "keyed" or not browser.shows_something():
        _hold_back(app)  # before any query
    else:
        # Also where there is no such address: it must read like one that is not for this asker.
        floods, key = app.extensions["dare-floods"], browser.shown()
        wait = 0 if key in floods.familiar else floods.doubted.peek(browser.network())
        if wait:
            raise TooFastError(wait)
        browser.load()
        if browser.asker() is None:
            floods.doubted.wait(browser.network())
            _hold_back(app)
        else:
            floods.familiar.note(key)


def _hold_back(app: Flask) -> None:
    """Count a request of nobody's.

    Raises:
        TooFastError: its network asked for more than anybody may who is not signed in.
    """
    wait = app.extensions["dare-floods"].anonymous.wait(browser.network())
    if wait:
        raise TooFastError(wait)


def _most_bytes(settings: Settings, rule: str | None, endpoint: str | None) -> int:
    """Return how large a body this request may have."""
    asker = browser.asker()
    if rule != "publisher" or asker is None or not asker.may_publish:
        return SMALL_BODY
    larger = {"uploads.append": PART, "studio.upload": settings.max_form_bytes + SMALL_BODY}
    return larger.get(endpoint or "", SMALL_BODY)


def _own_hosts(settings: Settings) -> frozenset[str]:
    parts = urlsplit(settings.origin)
    hosts = {parts.netloc}
    if parts.port is None:
        # Some proxies name the port that goes without saying; behind TLS it is not that of http.
        hosts.add(f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}")
    if parts.hostname in LOOPBACK:
        port = parts.port or 80
        hosts |= {f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"}
    return frozenset(hosts)


def _wire_templates(app: Flask, settings: Settings) -> None:
    app.jinja_env.filters.update(presentation.FILTERS)
    assets.register(app)

    @app.context_processor
    def shared() -> dict[str, Any]:
        asker: Asker | None = browser.asker()
        return {
            "me": asker,
            "csrf_token": browser.csrf_token(),
            "nonce": g.nonce,
            "organisation": settings.organisation,
            "origin": settings.origin,
            "notes": failures.taken_notes(),
        }


def _check_rules(app: Flask) -> None:
    rules = {name: getattr(view, "rule", None) for name, view in app.view_functions.items()}
    bare = sorted(name for name, rule in rules.items() if rule is None)
    if bare:
        raise RuleMissingError(f"Routes without a rule: {', '.join(bare)}.")
    recent = {name for name, view in app.view_functions.items() if getattr(view, "recent", False)}
    browser.note_rules({name: rule for name, rule in rules.items() if rule}, recent)


def floor_of(app: Flask) -> Floor:
    """Return the floor under an application."""
    held: Floor = app.extensions["dare"]
    return held
