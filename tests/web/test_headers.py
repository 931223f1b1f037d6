"""What every answer carries, and which hosts are answered at all."""

import re
from dataclasses import dataclass

import pytest
from sqlalchemy import event

from service.app import create_app, floor_of
from service.feed import tokens
from service.headers import SECRET_PATHS
from storage.models import Community
from tests import factories
from tests.web import world
from tests.web.visitors import Visitor, visitor

NONCE = re.compile(r"script-src 'nonce-([\w-]{22})';")


@pytest.fixture
def place(application, settings, session):
    """A signed-in browser, and the address of every kind of page."""
    ana = factories.person(session, "Ana Lima")
    community = Community(slug="pumps", name="Pumps", purpose="Water up")
    session.add(community)
    session.flush()
    show = factories.show(session, ana, community_id=community.id)
    talk = factories.episode(session, show, topics=["Delivery"])
    draft = factories.episode(session, show, state="draft")
    session.commit()
    pages = [
        "/", "/top", "/new", "/search?q=country", f"/episodes/{talk.guid}", "/topics/delivery",
        f"/shows/{show.slug}", "/shows/new", "/communities/pumps", f"/people/{ana.ref}",
        "/studio/", f"/studio/{draft.guid}", f"/studio/{talk.guid}", "/feeds/", "/account/",
        "/help/keys", "/no-such-page",
    ]  # fmt: skip
    return visitor(application, settings, session, ana), pages


def test_every_page_has_a_policy_with_a_fresh_nonce_and_nothing_inline(place):
    browser, pages = place
    nonces = set()
    for page in [*pages, *pages]:
        answer = browser.get(page)
        words = answer.get_data(as_text=True)
        policy = answer.headers["Content-Security-Policy"]
        assert answer.mimetype == "text/html", page
        assert "unsafe" not in policy, page
        assert policy.startswith("default-src 'none'; "), page
        assert "frame-ancestors 'none'" in policy, page
        found = NONCE.search(policy)
        assert found, (page, policy)
        nonces.add(found[1])
        # Every script bears this answer's nonce; nothing else could run, nor should anything try.
        scripts = re.findall(r"<script\b[^>]*>", words)
        assert scripts, page
        assert all(f'nonce="{found[1]}"' in script for script in scripts), page
        assert not re.search(r"<style\b|\sstyle=|\son[a-z]+=|javascript:", words), page
    assert len(nonces) == 2 * len(pages)


def test_no_page_names_another_origin(place, settings):
    browser, pages = place
    for page in pages:
        words = browser.get(page).get_data(as_text=True)
        loaded = re.findall(
            r"<(?:script|link|img|audio|video|source|track|use|form)\b[^>]*>", words
        )
        assert loaded, page
        for tag in loaded:
            for address in re.findall(r'\s(?:src|href|action|poster|srcset)="([^"]*)"', tag):
                assert address.startswith(("/", "#", settings.origin)), (page, tag)
                assert not address.startswith("//"), (page, tag)


def test_every_answer_carries_the_other_headers(place, application, settings):
    browser, pages = place
    stranger = Visitor(application, settings)
    answers = [browser.get(page) for page in pages]
    answers += [browser.get("/api/v1/me"), browser.get("/api/v1/none"), browser.get("/health")]
    answers += [stranger.get("/"), stranger.get("/sign-in"), browser.ask("POST", "/studio/")]
    for answer in answers:
        told = answer.headers
        assert told["X-Content-Type-Options"] == "nosniff"
        assert told["Referrer-Policy"] == "same-origin"
        assert told["Cross-Origin-Opener-Policy"] == "same-origin"
        assert told["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "microphone=(self)" in told["Permissions-Policy"]
        assert "geolocation=()" in told["Permissions-Policy"]
        assert re.fullmatch(r"[0-9a-f]{12}", told["X-Request-Id"])
        assert re.search("no-cache|no-store", told["Cache-Control"])
        assert "ETag" not in told
        assert "Access-Control-Allow-Origin" not in told


def test_plain_http_says_nothing_of_transport_security(place):
    browser, _ = place
    assert "Strict-Transport-Security" not in browser.get("/").headers


def test_an_https_house_asks_for_a_year_of_transport_security(house):
    app = create_app(house.model_copy(update={"base_url": "https://dare.example.org"}))
    try:
        answer = app.test_client().get("/sign-in", base_url="https://dare.example.org")
    finally:
        floor_of(app).database.close()
    assert answer.status_code == 200
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000; includeSubDomains"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "127.0.0.1", "127.0.0.1:1", "evil.example:{port}", "127.0.0.1.evil:{port}"],
)
def test_a_forged_host_is_refused(application, settings, place, host):
    browser, _ = place
    port = settings.origin.rpartition(":")[2]
    for path in ("/", "/sign-in", "/f/none.xml", "/api/v1/me"):
        answer = browser.get(path, headers={"Host": host.format(port=port)})
        assert answer.status_code == 421
        assert "evil" not in answer.get_data(as_text=True)


def test_the_forwarded_host_of_nobody_is_believed(place):
    browser, _ = place
    forged = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    answer = browser.get("/feeds/", headers=forged)
    assert answer.status_code == 200
    assert "evil" not in answer.get_data(as_text=True)


def test_localhost_is_the_same_house(application, settings):
    port = settings.origin.rpartition(":")[2]
    stranger = Visitor(application, settings)
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"[::1]:{port}"):
        assert stranger.get("/sign-in", headers={"Host": host}).status_code == 200


def test_files_of_ours_are_kept_for_a_year_under_their_digest_alone(place):
    browser, _ = place
    words = browser.get("/").get_data(as_text=True)
    address = re.findall(r'href="(/static/[0-9a-f]{12}/css/dare.css)"', words)[0]
    kept = browser.get(address)
    assert kept.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    assert kept.mimetype == "text/css"
    old = browser.get(address.replace(address.split("/")[2], "000000000000"))
    assert old.headers["Cache-Control"] == "no-cache"
    for name in ("../app.py", "%2e%2e/app.py", "css/../../app.py", "none.css"):
        assert browser.get(f"/static/000000000000/{name}").status_code == 404


# Walked off the map of addresses

EVIL = "evil.example"
UNSAFE = {"POST", "PUT", "PATCH", "DELETE"}
# The only addresses that players on other sites may read: their key is all that they go by.
OPEN_TO_PLAYERS = {"media.art", "media.preflight", "media.read"}
FORGED = {
    "Forwarded": f"for=1.2.3.4;host={EVIL};proto=https",
    "X-Forwarded-For": "1.2.3.4",
    "X-Forwarded-Host": EVIL,
    "X-Forwarded-Port": "4443",
    "X-Forwarded-Prefix": f"/{EVIL}",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Server": EVIL,
    "X-Host": EVIL,
    "X-Original-URL": f"/{EVIL}",
    "X-Rewrite-URL": f"/{EVIL}",
}


@dataclass
class Whole:
    """A world with one of everything, its admin's browser, and every address of the house."""

    browser: Visitor
    addresses: list[tuple[str, str, str]]

    def of(self, *methods):
        """Return (endpoint, address, method) of every route that has one of the methods."""
        return [one for one in self.addresses if one[2] in methods]

    def of_endpoint(self, wanted):
        """Return a route's address."""
        return next(path for endpoint, path, _ in self.addresses if endpoint == wanted)


@pytest.fixture
def whole(application, settings, session):
    made = world.made(session, settings)
    token, guid = made.feeds["admin"], made.talk.guid
    keyed = {
        "token": tokens.spelled(settings.secret, token),
        "ref": token.ref,
        "key": tokens.episode_key(settings.secret, token, guid),
    }
    art = {"guid": made.show.guid}
    art["key"] = tokens.artwork_key(settings.secret, token, made.show.guid)
    browser = visitor(application, settings, session, made.people["admin"])
    adapter = application.url_map.bind("127.0.0.1")
    found = []
    for rule in application.url_map.iter_rules():
        known = world.choices(made, "admin", rule.endpoint)[0]
        if getattr(application.view_functions[rule.endpoint], "rule", None) == "keyed":
            known |= keyed | (art if rule.endpoint == "media.art" else {})
        told = {name: known[name] for name in rule.arguments}
        # The session that walks must be there at the end.
        if rule.endpoint not in {"sign_in.out", "account.end_sessions"}:
            methods = sorted(rule.methods or ())
            found += [(rule.endpoint, adapter.build(rule.endpoint, told, m), m) for m in methods]
    return Whole(browser, sorted(found))


def values_of(answer):
    return "\n".join(value for _name, value in answer.headers)


def test_s39_no_origin_is_reflected_and_only_keyed_files_are_open_to_other_sites(whole):
    reached = set()
    for endpoint, path, method in whole.of("GET", "HEAD", "OPTIONS", *UNSAFE):
        told = {
            "Origin": f"https://{EVIL}",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": "Authorization",
        }
        answer = whole.browser.ask(method, path, headers=told)
        assert EVIL not in values_of(answer), (path, method)
        assert "Access-Control-Allow-Credentials" not in answer.headers
        allowed = answer.headers.get("Access-Control-Allow-Origin")
        # A picture is shown without asking first; only what scripts read wants a preflight.
        theirs = endpoint in OPEN_TO_PLAYERS and (endpoint, method) != ("media.art", "OPTIONS")
        assert allowed == ("*" if theirs else None), (path, method)
        if allowed:
            assert answer.status_code < 300, (path, method)
            reached.add(endpoint)
    assert reached == OPEN_TO_PLAYERS


def test_s38_nothing_may_be_framed_and_no_nonce_comes_twice(whole):
    nonces, pages = set(), 0
    for endpoint, path, method in whole.of("GET", "POST"):
        answer = whole.browser.ask(method, path)
        policy = answer.headers["Content-Security-Policy"]
        assert policy.startswith("default-src 'none'"), path
        assert "unsafe" not in policy, path
        framed = "'self'" if endpoint == "embed.show" and method == "GET" else "'none'"
        assert f"frame-ancestors {framed}" in policy, (path, method)
        for nonce in re.findall(r"'nonce-([^']+)'", policy):
            pages += 1
            nonces.add(nonce)
    assert pages > 50
    assert len(nonces) == pages


def test_s37_what_a_request_says_of_its_host_is_in_no_answer(whole, settings):
    asked = 0
    for _endpoint, path, method in whole.of("GET"):
        answer = whole.browser.ask(method, path, headers=FORGED)
        assert EVIL.encode() not in answer.data, path
        assert EVIL not in values_of(answer), path
        where = answer.headers.get("Location", "/")
        assert where.startswith(("/", f"{settings.origin}/")), (path, where)
        assert not where.startswith("//"), (path, where)
        asked += answer.status_code == 200
    assert asked > 40


def test_s37_absolute_addresses_are_the_same_whatever_a_request_says(whole, settings):
    absolute = set()
    for endpoint, path, method in whole.of("GET"):
        if endpoint not in {"podcasts.show", "embed.describe", "episodes.show"}:
            continue
        talk = whole.of_endpoint("episodes.show")
        query = f"?url={settings.origin}{talk}" if endpoint == "embed.describe" else ""
        told = [
            whole.browser.ask(method, path + query, headers=headers).get_data(as_text=True)
            for headers in ({}, FORGED)
        ]
        plain, forged = (re.findall(r"https?://[\w.:-]+/[efoms]\w*/?[\w-]*", one) for one in told)
        assert plain == forged
        assert plain, endpoint
        absolute |= {address for address in plain if "//www." not in address}
    assert {address[: len(settings.origin) + 1] for address in absolute} == {f"{settings.origin}/"}


def test_s37_a_proxy_is_believed_about_the_network_and_the_scheme_alone(house, whole):
    app = create_app(house.model_copy(update={"trusted_proxies": 1}))
    try:
        answer = app.test_client().get("/sign-in", base_url=house.origin, headers=FORGED)
    finally:
        floor_of(app).database.close()
    assert answer.status_code == 200
    assert EVIL not in answer.get_data(as_text=True) + values_of(answer)
    assert "https://" not in answer.get_data(as_text=True)


def test_s37_every_route_but_the_health_check_refuses_a_forged_host(whole):
    for endpoint, path, method in whole.of("GET"):
        answer = whole.browser.ask(method, path, headers={"Host": EVIL})
        assert answer.status_code == (200 if endpoint == "health.show" else 421), path
        assert EVIL not in answer.get_data(as_text=True)


def test_s41_addresses_that_are_secrets_tell_no_other_site_that_they_are(whole, application):
    asked = 0
    for endpoint, path, method in whole.of("GET", "HEAD", "OPTIONS", "POST"):
        if path.startswith(SECRET_PATHS):
            assert application.view_functions[endpoint].rule == "keyed"
            answer = whole.browser.ask(method, path)
            assert answer.headers["Referrer-Policy"] == "no-referrer", path
            assert re.search("private|no-store", answer.headers["Cache-Control"]), path
            assert "Set-Cookie" not in answer.headers, path
            asked += answer.status_code == 200
    assert asked >= 6


def test_s50_who_is_not_signed_in_asks_at_most_six_hundred_times_a_minute(
    application, settings, place
):
    browser, _ = place
    stranger = Visitor(application, settings)
    flood = application.extensions["dare-floods"].anonymous
    for _ in range(flood.most - 1):
        assert flood.wait("127.0.0.0/24") == 0
    assert stranger.get("/sign-in").status_code == 200
    dead = {"Cookie": "__Host-dare=no-such-session"}
    for told in ({}, dead, {"Authorization": "Bearer dare_none"}):
        refused = application.test_client().get("/sign-in", base_url=settings.origin, headers=told)
        assert refused.status_code == 429
        assert int(refused.headers["Retry-After"]) >= 1
        assert "too fast" in refused.get_data(as_text=True)
    # People who are signed in, other networks and what needs no query are not held back.
    assert browser.get("/").status_code == 200
    assert stranger.get("/health").status_code == 200
    elsewhere = {"REMOTE_ADDR": "10.1.2.3"}
    assert stranger.get("/sign-in", environ_overrides=elsewhere).status_code == 200


def test_s50_cookies_that_are_none_cost_no_query_any_more_once_there_were_too_many(
    application, settings, place, monkeypatch
):
    browser, _ = place
    assert browser.get("/").status_code == 200
    flood = application.extensions["dare-floods"].doubted
    monkeypatch.setattr(flood, "_pace", 0.001)  # nothing comes back while this test runs
    for _ in range(flood.most - 1):
        assert flood.wait("127.0.0.0/24") == 0
    said: list[str] = []

    def note(_connection, _cursor, statement, *_rest):
        said.append(statement)

    engine = floor_of(application).database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        client = application.test_client(use_cookies=False)
        told = [
            client.get("/sign-in", base_url=settings.origin, headers=shown).status_code
            for number in range(20)
            for shown in (
                {"Cookie": f"__Host-dare=none-{number}"},
                {"Authorization": f"Bearer dare_none-{number}"},
            )
        ]
    finally:
        event.remove(engine, "before_cursor_execute", note)
    assert told == [200] + [429] * 39
    assert len(said) <= 2
    # Who was here before is still let in, and so is who shows nothing.
    assert browser.get("/").status_code == 200
    assert Visitor(application, settings).get("/sign-in").status_code == 200


@pytest.mark.parametrize("origin", ["https://Dare.Example", "https://dare.example:443"])
def test_an_origin_in_capitals_or_with_its_schemes_own_port_is_answered(house, origin):
    app = create_app(house.model_copy(update={"base_url": origin}))
    try:
        told = {
            host: app.test_client()
            .get("/sign-in", base_url="http://dare.example", headers={"Host": host})
            .status_code
            for host in ("dare.example", "DARE.example", "dare.example:443", "dare.example:80")
        }
    finally:
        floor_of(app).database.close()
    # Behind a TLS proxy plain http comes in, of which werkzeug drops the port 80.
    assert told == dict.fromkeys(told, 200)


def test_a_browsers_report_of_what_the_policy_stopped_is_one_line_in_the_log(
    application, settings, caplog
):
    stranger = Visitor(application, settings)
    told = {"csp-report": {"blocked-uri": "https://evil.example\nforged", "other": "x"}}
    with caplog.at_level("WARNING"):
        answer = stranger.ask("POST", "/policy-reports", json=told)
    assert answer.status_code == 204
    assert "https://evil.example\\nforged" in caplog.messages[0]
    assert "other" not in caplog.messages[0]
    for body in (b"", b"[]", b"{", b'{"csp-report": 7}', b"[" * 9000):
        assert stranger.ask("POST", "/policy-reports", data=body).status_code == 400
    assert stranger.ask("POST", "/policy-reports", data=b"x" * 20_000).status_code == 413
