"""Signing in with a provider, a real one on loopback: there, back, and what must not work."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from sqlmodel import select, update

from service import outward
from service.app import create_app, floor_of
from service.identity import oidc, passwords, sessions
from service.identity.secrets import key_of
from storage.models import (
    Audit,
    GroupGrant,
    Identity,
    JoinRequest,
    Membership,
    Notice,
    Person,
    Session,
    SignInTry,
    SpentToken,
    now,
)
from storage.settings import OidcProvider
from tests import factories
from tests.oidc_provider import CLIENT, SECRET, running, visited
from tests.web.visitors import PASSWORD, Visitor, visitor

START = "/sign-in/with/acme"


@pytest.fixture(scope="module")
def providers():
    with running("acme") as acme, running("globex", public=True) as globex:
        yield acme, globex


@pytest.fixture(scope="module")
def _application(house, providers):
    told = {
        "oidc": tuple(one.settings for one in providers),
        "internal_hosts": tuple(one.place for one in providers),
    }
    made = create_app(house.model_copy(update=told))
    yield made
    floor_of(made).database.close()


@pytest.fixture
def application(_application, session):
    """The application, knowing nothing of any provider yet."""
    oidc.client.cache_clear()
    return _application


@pytest.fixture
def acme(providers):
    providers[0].reset()
    return providers[0]


@pytest.fixture
def globex(providers):
    providers[1].reset()
    return providers[1]


@pytest.fixture
def stranger(application, settings):
    return Visitor(application, settings)


def another(application, settings):
    return Visitor(application, settings)


def there(browser, path=START, **query):
    """Follow a link to the provider; return the address that it sends the browser back to."""
    left = browser.get(path, query_string=query)
    assert left.status_code == 303, left.get_data(as_text=True)
    return visited(left.headers["Location"])


def came(browser, address):
    """Come back from the provider, as a browser does: from another site."""
    parts = urlsplit(address)
    return browser.get(
        f"{parts.path}?{parts.query}",
        headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"},
    )


def signed_in(browser, path=START, **query):
    return came(browser, there(browser, path, **query))


def words(answer):
    return answer.get_data(as_text=True)


def acts(session):
    session.rollback()
    return [row.act for row in session.exec(select(Audit).order_by(Audit.id))]


def only(session, table):
    session.rollback()
    session.expire_all()
    return session.exec(select(table)).one()


# There and back


def test_the_first_sign_in_makes_an_account_and_the_next_one_finds_it(
    application, settings, acme, stranger, session
):
    left = stranger.get(START, query_string={"next": "/search?q=a"})
    asked = parse_qs(urlsplit(left.headers["Location"]).query)
    assert asked["redirect_uri"] == [f"{settings.origin}/sign-in/callback"]
    assert (asked["scope"], asked["response_mode"]) == (["openid email profile"], ["query"])
    answer = came(stranger, visited(left.headers["Location"]))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/search?q=a")
    assert "Ana Lima" in words(stranger.get("/"))
    made = only(session, Person)
    assert (made.name, made.email, made.role) == ("Ana Lima", "ana@example.org", "contributor")
    assert made.password_hash is None
    assert made.vouched_at is not None
    known = only(session, Identity)
    assert (known.issuer, known.subject, known.person_id) == (acme.issuer, "ana", made.id)
    kept = only(session, Session)
    assert (kept.method, kept.issuer, kept.sid) == ("provider", acme.issuer, "sid-of-ana")
    assert session.exec(select(SignInTry)).all() == []
    # The provider knows her by another name and address now; it is still she.
    acme.is_person("ana", name="Ana Souza", email="souza@example.org")
    assert signed_in(another(application, settings)).status_code == 303
    again = only(session, Person)
    assert (again.id, again.email, again.name) == (made.id, "ana@example.org", "Ana Lima")
    assert only(session, Identity).email == "souza@example.org"
    assert acts(session) == ["account-made", "signed-in", "signed-in"]


def test_what_is_known_of_a_provider_is_asked_once(application, settings, acme):
    for _ in range(2):
        assert signed_in(another(application, settings)).status_code == 303
    assert acme.asked.count("/.well-known/openid-configuration") == 1
    assert acme.asked.count("/jwks") == 1
    assert acme.asked.count("/userinfo") == 0


def test_a_provider_without_a_secret_is_spoken_to_without_one(stranger, globex, session):
    assert signed_in(stranger, "/sign-in/with/globex").status_code == 303
    assert only(session, Identity).provider == "globex"


def test_what_the_token_leaves_out_is_asked_of_userinfo(stranger, acme, session):
    acme.is_person("ana", name=None, groups=None)
    acme.userinfo = {"name": "Ana from userinfo", "email": "u@example.org", "email_verified": True}
    acme.who.pop("email")
    acme.who.pop("email_verified")
    assert signed_in(stranger).status_code == 303
    assert (only(session, Person).email, only(session, Person).name) == (
        "u@example.org",
        "Ana from userinfo",
    )


def test_userinfo_about_somebody_else_is_not_used(stranger, acme, session):
    acme.is_person("ana", email=None)
    acme.userinfo = {"sub": "boris", "email": "boris@example.org", "email_verified": True}
    answer = signed_in(stranger)
    assert answer.status_code == 403
    assert "is not confirmed" in words(answer)
    assert session.exec(select(Person)).all() == []


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"name": "  "}, "ana"),
        ({"name": None, "given_name": "Ana", "family_name": "Lima"}, "Ana Lima"),
        ({"name": 7, "preferred_username": "alima"}, "alima"),
        ({"name": "A\x00na\nL"}, "AnaL"),
        ({"name": "a" * 500}, "a" * 120),
        ({"name": "<script>alert(1)</script>"}, "<script>alert(1)</script>"),
    ],
)
def test_a_name_is_made_of_whatever_the_provider_says(stranger, acme, session, claims, name):
    acme.is_person("ana", **claims)
    assert signed_in(stranger).status_code == 303
    assert only(session, Person).name == name
    assert "<script>alert" not in words(stranger.get("/"))


def test_prefetching_the_link_begins_nothing(stranger, acme, session):
    answer = stranger.get(START, headers={"Sec-Purpose": "prefetch;prerender"})
    assert answer.status_code == 403
    assert session.exec(select(SignInTry)).all() == []
    assert stranger.get("/sign-in/with/nobody").status_code == 404


def test_the_sign_in_page_links_to_every_provider(stranger, acme):
    page = words(stranger.get("/sign-in?next=/search"))
    assert 'href="/sign-in/with/acme?next=/search"' in page.replace("%2F", "/")
    assert "Sign in with Acme" in page
    assert "Sign in with Globex" in page


# What must not work


@pytest.mark.parametrize(
    ("how", "changes"),
    [
        ("another audience", {"claims": {"aud": "somebody-else"}}),
        ("no audience", {"claims": {"aud": None}}),
        ("several audiences, unnamed", {"claims": {"aud": [CLIENT, "other"]}}),
        ("meant for another party", {"claims": {"aud": [CLIENT, "o"], "azp": "o"}}),
        ("another issuer", {"claims": {"iss": "https://evil.example"}}),
        ("another nonce", {"claims": {"nonce": "of another sign-in"}}),
        ("no nonce", {"claims": {"nonce": None}}),
        ("too old", {"claims": {"exp": int(time.time()) - 120}}),
        ("no end", {"claims": {"exp": None}}),
        ("from the future", {"claims": {"iat": int(time.time()) + 10**6}}),
        ("no beginning", {"claims": {"iat": None}}),
        ("nobody", {"claims": {"sub": None}}),
        ("empty subject", {"claims": {"sub": ""}}),
        ("endless subject", {"claims": {"sub": "a" * 256}}),
        ("a number as subject", {"claims": {"sub": 7}}),
        ("unprintable subject", {"claims": {"sub": "a\x00"}}),
        ("another access token's hash", {"claims": {"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}}),
        ("unsigned", {"forge": "none"}),
        ("signed with the public key as a secret", {"forge": "HS256"}),
        ("signed by somebody else", {"forge": "other key"}),
        ("a key that nobody has", {"header": {"kid": "made up"}}),
    ],
)
def test_a_token_that_is_not_what_it_must_be_opens_nothing(stranger, acme, session, how, changes):
    for name, value in changes.items():
        setattr(acme, name, value)
    answer = signed_in(stranger)
    assert answer.status_code == 403
    assert "does not fit" in words(answer)
    assert stranger.cookie() is None
    assert session.exec(select(Person)).all() == []
    assert acts(session) == ["sign-in-failed"]


def test_clocks_may_differ_by_a_minute(stranger, acme):
    acme.claims = {"exp": int(time.time()) - 30, "iat": int(time.time()) + 30}
    assert signed_in(stranger).status_code == 303


def test_rotated_keys_are_learnt_once_a_minute_at_most(application, settings, acme, session):
    assert signed_in(another(application, settings)).status_code == 303
    acme.rotate()
    assert signed_in(another(application, settings)).status_code == 303
    assert acme.asked.count("/jwks") == 2
    acme.rotate()
    for _ in range(3):
        assert signed_in(another(application, settings)).status_code == 403
    assert acme.asked.count("/jwks") == 2
    # A minute later they are asked for again.
    known = floor_of(application).settings
    client = oidc.client(known.provider("acme"), known.internal_hosts)
    client._clock = lambda: time.monotonic() + oidc.PAUSE
    assert signed_in(another(application, settings)).status_code == 303
    assert acme.asked.count("/jwks") == 3


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://evil.example"},
        {"issuer": None},
        {"authorization_endpoint": "javascript:alert(1)"},
        {"authorization_endpoint": None},
        {"token_endpoint": "file:///etc/passwd"},
        {"jwks_uri": 7},
    ],
)
def test_a_discovery_document_that_does_not_fit_leads_nowhere(stranger, acme, document):
    acme.document = document
    answer = stranger.get(START)
    assert answer.status_code == 503
    assert "Acme does not answer just now" in words(answer)


@pytest.mark.parametrize("inside", ["http://127.0.0.1:1/jwks", "http://169.254.169.254/"])
def test_s43_a_provider_cannot_have_us_ask_inside(stranger, acme, inside):
    acme.document = {"jwks_uri": inside}
    answer = signed_in(stranger)
    assert answer.status_code == 503
    assert "169.254" not in words(answer)


@pytest.mark.parametrize("path", ["/.well-known/openid-configuration", "/token", "/jwks"])
def test_a_provider_that_is_away_is_said_to_be_away(stranger, acme, path):
    acme.answers = {path: 502}
    answer = stranger.get(START)
    if answer.status_code == 303:
        answer = came(stranger, visited(answer.headers["Location"]))
    assert answer.status_code == 503
    assert stranger.cookie() is None
    # And is left alone for a moment.
    again = stranger.get(START)
    if again.status_code == 303:
        again = came(stranger, visited(again.headers["Location"]))
    assert again.status_code == 503
    assert acme.asked.count(path) == 1


@pytest.fixture
def slow(house):
    """The application of a house whose provider takes whatever is sent and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=50) as silent:
        place = f"127.0.0.1:{silent.getsockname()[1]}"
        known = OidcProvider(name="slow", issuer=f"http://{place}", client_id=CLIENT)
        told = {"oidc": (known,), "internal_hosts": (place,)}
        made = create_app(house.model_copy(update=told))
        yield made
        floor_of(made).database.close()


def test_a_slow_provider_takes_a_few_threads_and_no_more(slow, settings, monkeypatch):
    brief = outward.fetch.__kwdefaults__ | {"seconds": 2.5}
    monkeypatch.setattr(outward.fetch, "__kwdefaults__", brief)

    def ask(_):
        begun = time.monotonic()
        answer = slow.test_client().get("/sign-in/with/slow", base_url=settings.origin)
        return answer.status_code, time.monotonic() - begun

    with ThreadPoolExecutor(oidc.AT_ONCE + 4) as pool:
        asked = list(pool.map(ask, range(oidc.AT_ONCE + 4)))
    assert {status for status, _ in asked} == {503}
    assert len([took for _, took in asked if took > 2]) == oidc.AT_ONCE


def test_a_crowd_at_once_does_not_make_a_provider_one_that_is_away(
    application, settings, acme, stranger
):
    known = floor_of(application).settings
    client = oidc.client(known.provider("acme"), known.internal_hosts)
    for _ in range(oidc.AT_ONCE):
        client._turns.acquire()
    assert stranger.get(START).status_code == 503
    for _ in range(oidc.AT_ONCE):
        client._turns.release()
    assert signed_in(stranger).status_code == 303


def test_a_code_that_the_provider_refuses_opens_nothing(stranger, acme):
    address = there(stranger)
    acme.codes.clear()
    assert came(stranger, address).status_code == 403
    assert stranger.cookie() is None


def test_a_state_counts_once(stranger, acme, application, settings):
    address = there(stranger)
    assert came(stranger, address).status_code == 303
    cookie = stranger.cookie().value
    answer = came(stranger, address)
    assert answer.status_code == 400
    assert "was used already" in words(answer)
    assert stranger.cookie().value == cookie
    assert acme.asked.count("/token") == 1


def test_a_state_counts_in_the_browser_that_began_it_alone(application, settings, acme, stranger):
    theirs = there(stranger)
    victim = another(application, settings)
    assert came(victim, theirs).status_code == 400
    victim.get("/sign-in")
    assert came(victim, theirs).status_code == 400
    assert victim.cookie() is None
    # The victim's try has not used it up.
    assert came(stranger, theirs).status_code == 303


def test_a_state_counts_for_ten_minutes(stranger, acme, session):
    address = there(stranger)
    kept = session.exec(select(SignInTry)).one()
    assert timedelta(minutes=9) < kept.expires_at - now() <= timedelta(minutes=10)
    kept.expires_at = now() - timedelta(seconds=1)
    session.commit()
    assert came(stranger, address).status_code == 400


@pytest.mark.parametrize("query", ["", "state=", "state=x&code=y", "code=y", "error=access_denied"])
def test_coming_back_from_nowhere_is_told_so(stranger, acme, query):
    answer = stranger.get(f"/sign-in/callback?{query}")
    assert answer.status_code == 400
    assert "sign in once more" in words(answer)


def test_an_answer_in_another_issuers_name_is_not_believed(stranger, acme, globex):
    address = there(stranger).replace("iss=", "iss=https%3A%2F%2Fevil.example&was=")
    assert came(stranger, address).status_code == 403
    acme.document = {"authorization_response_iss_parameter_supported": True}
    oidc.client.cache_clear()
    address = there(stranger).replace("iss=", "was=")
    assert came(stranger, address).status_code == 403


def test_who_thinks_better_of_it_is_back_on_the_sign_in_page(stranger, acme, session):
    left = stranger.get(START, query_string={"next": "/search"})
    state = parse_qs(urlsplit(left.headers["Location"]).query)["state"][0]
    answer = stranger.get(f"/sign-in/callback?state={state}&error=access_denied")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/sign-in?next=/search")
    page = words(stranger.get(answer.headers["Location"]))
    assert "Acme did not sign you in" in page


@pytest.mark.parametrize(
    "wanted",
    [
        "https://evil.example/",
        "//evil.example/",
        "/\\evil.example/",
        "https:evil.example",
        "/\t/evil.example",
        "\t//evil.example",
        "http://127.0.0.1@evil.example/",
        "http://127.0.0.1.evil.example/",
        "@evil.example",
    ],
)
def test_s35_the_provider_leads_back_to_our_own_pages_alone(stranger, acme, wanted):
    answer = signed_in(stranger, next=wanted)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")


def test_s37_a_forged_host_is_in_no_address_that_a_provider_gets(stranger, acme, settings):
    answer = stranger.get(START, headers={"X-Forwarded-Host": "evil.example"})
    assert "evil" not in answer.headers["Location"]
    forged = stranger.client.get(START, base_url="http://evil.example")
    assert forged.status_code == 421


def test_s31_a_session_that_somebody_has_fixed_is_replaced(
    application, settings, acme, session, stranger
):
    signed_in(stranger)
    old = stranger.cookie().value
    assert signed_in(stranger).status_code == 303
    assert stranger.cookie().value != old
    assert Visitor(application, settings, old).get("/").headers["Location"].startswith("/sign-in")
    fixed = Visitor(application, settings, "a-value-that-somebody-planted")
    assert signed_in(fixed).status_code == 303
    assert fixed.cookie().value != "a-value-that-somebody-planted"


def test_s40_two_sign_ins_at_once_in_two_tabs_both_stay(stranger, acme):
    stranger.get("/sign-in")
    first, second = there(stranger), there(stranger, next="/search")
    assert came(stranger, first).headers["Location"] == "/"
    assert stranger.get("/help/keys").status_code == 200
    assert came(stranger, second).headers["Location"] == "/search"
    assert stranger.get("/help/keys").status_code == 200


def test_s45_neither_the_secret_nor_the_code_follows_a_redirect_to_another_host(
    stranger, acme, globex
):
    acme.moved = {"/token": f"{globex.issuer}/token"}
    assert signed_in(stranger).status_code == 503
    assert globex.asked == []
    assert SECRET not in repr(acme.settings)


# Whose account it is


@pytest.mark.parametrize("verified", [False, None, "false", 0, ["true"]])
def test_an_address_that_is_not_confirmed_makes_no_account(stranger, acme, session, verified):
    acme.is_person("ana", email_verified=verified)
    answer = signed_in(stranger)
    assert answer.status_code == 403
    assert "not confirmed" in words(answer)
    assert session.exec(select(Person)).all() == []


@pytest.mark.parametrize("claims", [{"email_verified": "true"}, {"xms_edov": True}])
def test_providers_have_several_ways_to_say_that_an_address_is_confirmed(
    stranger, acme, session, claims
):
    acme.is_person("ana", **({"email_verified": None} | claims))
    assert signed_in(stranger).status_code == 303


def test_an_address_that_cannot_be_used_is_said_so(stranger, acme, session):
    acme.is_person("ana", email="no address")
    answer = signed_in(stranger)
    assert answer.status_code == 403
    assert "cannot be used" in words(answer)


def test_an_address_that_has_an_account_does_not_open_it(stranger, acme, session):
    factories.person(session, "Ana Lima", email="ana@example.org", password_hash="x")
    session.commit()
    acme.is_person("mallory", email="ANA@example.org")
    answer = signed_in(stranger)
    assert answer.status_code == 409
    assert "link Acme on your account page" in words(answer)
    assert stranger.cookie() is None
    assert session.exec(select(Identity)).all() == []


@pytest.mark.parametrize("how", ["disabled_at", "erased_at"])
def test_a_closed_account_is_told_and_not_opened(
    application, settings, acme, stranger, session, how
):
    signed_in(stranger)
    person = only(session, Person)
    person.disabled_at = now()
    setattr(person, how, now())
    session.commit()
    late = another(application, settings)
    answer = signed_in(late)
    assert answer.status_code == 403
    assert "was closed" in words(answer)
    assert late.cookie() is None
    assert stranger.get("/").status_code == 303


# Linking


@pytest.fixture
def boris(session):
    made = factories.person(session, "Boris Ek", password_hash=passwords.hashed(PASSWORD))
    session.commit()
    return made


def link_of(browser, name="acme"):
    """Return the address of the link on the account page."""
    page = words(browser.get("/account/"))
    found = page.partition(f'href="/account/providers/{name}/link?')[2].partition('"')[0]
    assert found, page
    return f"/account/providers/{name}/link?{found.replace('&amp;', '&')}"


def test_an_identity_is_linked_by_who_is_signed_in_and_then_opens_the_account(
    application, settings, acme, session, boris
):
    browser = visitor(application, settings, session, boris)
    address = link_of(browser)
    answer = came(browser, visited(browser.get(address).headers["Location"]))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account/")
    page = words(browser.get("/account/"))
    assert "Acme opens your account now." in page
    assert "ana@example.org" in page
    assert only(session, Identity).person_id == boris.id
    assert {"provider-linked"} <= {row.kind for row in session.exec(select(Notice))}
    later = another(application, settings)
    assert signed_in(later).status_code == 303
    assert "Boris Ek" in words(later.get("/"))
    assert "Link Globex" in page
    assert "Link Acme" not in page
    # Once more is no harm.
    again = came(browser, visited(browser.get(address).headers["Location"]))
    assert again.status_code == 303
    assert "linked already" in words(browser.get("/account/"))


def test_nobody_else_can_have_somebody_link_an_identity(
    application, settings, acme, session, boris
):
    browser = visitor(application, settings, session, boris)
    mallory = factories.person(session, "Mallory")
    theirs = visitor(application, settings, session, mallory)
    for path in ("/account/providers/acme/link", link_of(theirs), link_of(theirs, "globex")):
        assert browser.get(path).status_code == 403
    # A way that was begun by one and is ended by another, in the same browser.
    left = browser.get(link_of(browser)).headers["Location"]
    browser.client.set_cookie("__Host-dare", theirs.cookie().value, domain="127.0.0.1")
    assert came(browser, visited(left)).status_code == 403
    assert session.exec(select(Identity)).all() == []
    assert another(application, settings).get(link_of(theirs)).status_code == 303  # to sign in


def test_linking_wants_a_recent_sign_in(application, settings, acme, session, boris):
    browser = visitor(application, settings, session, boris)
    address = link_of(browser)
    kept = session.exec(select(Session)).one()
    kept.proved_at = now() - sessions.RECENT - timedelta(seconds=1)
    session.commit()
    assert browser.get(address).headers["Location"].startswith("/sign-in/again?")
    sent = {"issuer": acme.issuer, "subject": "ana"}
    assert browser.post("/account/providers/unlink", **sent).status_code == 403


def test_an_identity_opens_one_account_alone(application, settings, acme, session, boris, stranger):
    signed_in(stranger)
    browser = visitor(application, settings, session, boris)
    answer = came(browser, visited(browser.get(link_of(browser)).headers["Location"]))
    assert answer.status_code == 409
    assert "has another account here" in words(answer)
    assert only(session, Identity).person_id != boris.id


def test_an_identity_is_unlinked_with_what_its_groups_gave(
    application, settings, acme, session, boris
):
    site = factories.community(session)
    session.add(GroupGrant(provider="acme", value="site", community_id=site.id, role="moderator"))
    browser = visitor(application, settings, session, boris)
    came(browser, visited(browser.get(link_of(browser)).headers["Location"]))
    acme.is_person("ana", groups=["site"])
    later = another(application, settings)
    signed_in(later)
    assert only(session, Membership).by_group
    assert browser.get("/account/").status_code == 303  # a new role: sign in again
    browser = visitor(application, settings, session, boris)
    sent = {"issuer": acme.issuer, "subject": "ana"}
    answer = browser.post("/account/providers/unlink", **sent)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account/")
    session.rollback()
    session.expire_all()
    assert session.exec(select(Identity)).all() == []
    assert session.exec(select(Membership)).all() == []
    assert session.get(Person, boris.id).role == "contributor"
    assert later.get("/account/").status_code == 303
    assert "provider-unlinked" in acts(session)
    gone = visitor(application, settings, session, boris).post("/account/providers/unlink", **sent)
    assert gone.status_code == 404


def test_the_only_way_in_cannot_be_unlinked(application, settings, acme, stranger, session):
    signed_in(stranger)
    sent = {"issuer": acme.issuer, "subject": "ana"}
    answer = stranger.post("/account/providers/unlink", **sent)
    assert answer.status_code == 409
    assert "only way in" in words(answer)
    assert only(session, Identity).subject == "ana"
    other = visitor(application, settings, session, factories.person(session))
    assert other.post("/account/providers/unlink", **sent).status_code == 404


# Once more


AGAIN = "/sign-in/again/with/acme"


def test_proving_it_again_gives_the_session_a_new_id(
    application, settings, acme, stranger, session
):
    signed_in(stranger)
    old, before = stranger.cookie().value, only(session, Session)
    before.proved_at = now() - timedelta(hours=1)
    session.commit()
    left = stranger.get(AGAIN, query_string={"next": "/account/"})
    asked = parse_qs(urlsplit(left.headers["Location"]).query)
    assert (asked["prompt"], asked["max_age"]) == (["login"], ["0"])
    answer = came(stranger, visited(left.headers["Location"]))
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account/")
    assert stranger.cookie().value != old
    after = only(session, Session)
    assert after.key == key_of(stranger.cookie().value)
    assert now() - after.proved_at < timedelta(minutes=1)
    assert Visitor(application, settings, old).get("/").status_code == 303
    assert stranger.get("/help/keys").status_code == 200


@pytest.mark.parametrize(
    "said", [None, int(time.time()) - 3600, int(time.time()) + 3600, -1, True, 1e300, float("nan")]
)
def test_coming_back_from_a_provider_that_asked_for_nothing_is_no_fresh_proof(
    application, settings, acme, stranger, session, said
):
    signed_in(stranger)
    session.exec(update(Session).values(proved_at=now() - timedelta(hours=5)))
    session.commit()
    acme.who["auth_time"] = said
    if said is None:
        del acme.who["auth_time"]
    answer = signed_in(stranger, next="/account/tokens/")
    assert answer.status_code == 303
    assert stranger.get("/help/keys").status_code == 200
    there_again = stranger.get("/account/tokens/").headers["Location"]
    assert there_again == "/sign-in/again?next=/account/tokens/"
    # Asked to, the provider has them prove it.
    assert signed_in(stranger, AGAIN).status_code == 303
    assert stranger.get("/account/tokens/").status_code == 200


def test_a_sign_in_at_the_provider_a_moment_ago_is_fresh_for_as_long_as_one_here(
    acme, stranger, session
):
    at = int(time.time()) - 20 * 60
    acme.who["auth_time"] = at
    signed_in(stranger)
    assert stranger.get("/account/tokens/").status_code == 200
    assert only(session, Session).proved_at.timestamp() == at


@pytest.mark.parametrize(
    "claims", [{"auth_time": None}, {"auth_time": int(time.time()) - 3600}, {"auth_time": "now"}]
)
def test_a_provider_that_went_by_an_earlier_sign_in_proves_nothing(stranger, acme, session, claims):
    signed_in(stranger)
    before = only(session, Session).key
    acme.claims = claims
    answer = signed_in(stranger, AGAIN)
    assert answer.status_code == 403
    assert only(session, Session).key == before


def test_proving_it_again_as_somebody_else_proves_nothing(
    application, settings, acme, stranger, session
):
    signed_in(stranger)
    acme.is_person("boris")
    signed_in(another(application, settings))
    answer = signed_in(stranger, AGAIN)
    assert answer.status_code == 403
    assert "somebody else" in words(answer)
    assert another(application, settings).get(AGAIN).headers["Location"].startswith("/sign-in?")


# Groups


@pytest.fixture
def site(session):
    made = factories.community(session, "Out on site", joining="group")
    session.commit()
    return made


def grant(session, value="site", provider="acme", **told):
    session.add(GroupGrant(provider=provider, value=value, **told))
    session.commit()


def belongs(session):
    session.rollback()
    session.expire_all()
    return [(kept.role, kept.by_group) for kept in session.exec(select(Membership))]


def comes_with(application, settings, provider, *groups, **claims):
    provider.is_person("ana", groups=list(groups), **claims)
    assert (
        signed_in(another(application, settings), f"/sign-in/with/{provider.name}").status_code
        == 303
    )


def test_memberships_come_and_go_with_the_groups_at_each_sign_in(
    application, settings, acme, session, site
):
    grant(session, community_id=site.id)
    comes_with(application, settings, acme, "site", "Site", "site ", "other")
    assert belongs(session) == [("member", True)]
    comes_with(application, settings, acme, "Site", "/site")
    assert belongs(session) == []
    assert [act for act in acts(session) if act.startswith("group-")] == [
        "group-added",
        "group-removed",
    ]
    row = session.exec(select(Audit).where(Audit.act == "group-added")).one()
    assert row.facts == {
        "by": "groups",
        "provider": "acme",
        "community": site.slug,
        "role": "member",
    }
    assert row.subject == str(only(session, Person).ref)


def test_one_text_counts_as_one_group_and_a_wish_to_join_is_over(
    application, settings, acme, session, site, stranger
):
    signed_in(stranger)
    person = only(session, Person)
    session.add(JoinRequest(community_id=site.id, person_id=person.id))
    grant(session, community_id=site.id)
    acme.is_person("ana", groups="site")
    signed_in(stranger)
    assert belongs(session) == [("member", True)]
    assert session.exec(select(JoinRequest)).all() == []


def test_the_higher_of_two_grants_wins(application, settings, acme, session, site):
    grant(session, "a", community_id=site.id, member_as="steward", role="contributor")
    grant(session, "b", community_id=site.id, role="moderator")
    comes_with(application, settings, acme, "a", "b")
    assert belongs(session) == [("steward", True)]
    assert only(session, Person).role == "moderator"
    comes_with(application, settings, acme, "b")
    assert belongs(session) == [("member", True)]


def test_memberships_made_by_hand_are_left_alone(application, settings, acme, session, site):
    comes_with(application, settings, acme)
    person = only(session, Person)
    other = factories.community(session)
    factories.member(session, site, person)
    factories.member(session, other, person, "steward")
    grant(session, community_id=site.id, member_as="steward")
    comes_with(application, settings, acme, "site")
    comes_with(application, settings, acme)
    assert sorted(belongs(session)) == [("member", False), ("steward", False)]


def test_a_role_comes_by_group_only_if_the_grant_says_so_and_goes_with_it(
    application, settings, acme, session, site
):
    grant(session, community_id=site.id)
    comes_with(application, settings, acme, "site")
    assert only(session, Person).role == "contributor"
    grant(session, "staff", role="moderator")
    early = another(application, settings)
    signed_in(early)
    comes_with(application, settings, acme, "staff")
    assert only(session, Person).role == "moderator"
    assert early.get("/help/keys").status_code == 303  # with a new role one signs in again
    comes_with(application, settings, acme)
    assert only(session, Person).role == "contributor"
    assert acts(session).count("role-changed") == 2


def test_a_role_given_by_hand_stays_whatever_the_groups_say(
    application, settings, acme, session, site
):
    comes_with(application, settings, acme)
    only(session, Person).role = "admin"
    session.commit()
    grant(session, "staff", role="moderator")
    comes_with(application, settings, acme, "staff")
    comes_with(application, settings, acme)
    assert only(session, Person).role == "admin"


def test_the_last_admin_stays_one_and_the_others_are_told(application, settings, acme, session):
    grant(session, "bosses", role="admin")
    comes_with(application, settings, acme, "bosses")
    comes_with(application, settings, acme)
    assert only(session, Person).role == "admin"
    assert "nobody else is one" in only(session, Identity).trouble
    factories.person(session, "Boris Ek", role="admin")
    session.commit()
    comes_with(application, settings, acme)
    session.rollback()
    session.expire_all()
    identity = only(session, Identity)
    assert session.get(Person, identity.person_id).role == "contributor"
    assert identity.trouble == ""


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"groups": None}, "sent no claim 'groups'"),
        ({"groups": ["site", *map(str, range(5000))]}, "more than 1000"),
        ({"groups": None, "_claim_names": {"groups": "src1"}}, "sent a link"),
        ({"groups": None, "hasgroups": True}, "sent a link"),
        ({"groups": {"site": True}}, "no list"),
    ],
)
def test_groups_that_cannot_be_gone_by_change_nothing_and_are_reported(
    application, settings, acme, session, site, claims, why
):
    other = factories.community(session)
    grant(session, community_id=site.id, role="moderator")
    grant(session, "7", community_id=other.id, role="admin")
    comes_with(application, settings, acme, "site")
    acme.is_person("ana", **claims)
    assert signed_in(another(application, settings)).status_code == 303
    assert belongs(session) == [("member", True)]
    assert only(session, Person).role == "moderator"
    assert why in only(session, Identity).trouble
    comes_with(application, settings, acme, "site")
    assert only(session, Identity).trouble == ""


def test_without_any_grant_no_groups_are_missed_and_none_stay(
    application, settings, acme, session, site
):
    grant(session, community_id=site.id)
    comes_with(application, settings, acme, "site")
    session.delete(session.exec(select(GroupGrant)).one())
    session.commit()
    acme.is_person("ana", groups=None)
    signed_in(another(application, settings))
    assert belongs(session) == []
    assert only(session, Identity).trouble == ""


def test_what_two_providers_give_is_taken_by_each_for_itself(
    application, settings, acme, globex, session, site, stranger
):
    grant(session, "site", community_id=site.id, role="moderator")
    grant(session, "out", "globex", community_id=site.id, member_as="steward")
    comes_with(application, settings, acme, "site")
    signed_in(stranger)
    globex.is_person("ana", groups=["out"])
    came(stranger, visited(stranger.get(link_of(stranger, "globex")).headers["Location"]))
    comes_with(application, settings, globex, "out")
    assert belongs(session) == [("steward", True)]
    comes_with(application, settings, acme)
    assert belongs(session) == [("steward", True)]
    assert only(session, Person).role == "contributor"
    comes_with(application, settings, globex)
    assert belongs(session) == []


@pytest.fixture
def without_acme(house, globex):
    """The application after acme was taken from the settings."""
    told = {"oidc": (globex.settings,), "internal_hosts": (globex.place,)}
    made = create_app(house.model_copy(update=told))
    yield made
    floor_of(made).database.close()


def of_both(session, application, settings, acme, globex):
    """Sign somebody in with acme's group, and let globex open the same account."""
    comes_with(application, settings, acme, "site")
    person = only(session, Person)
    kept = {"issuer": globex.issuer, "subject": "ana", "provider": "globex"}
    session.add(Identity(**kept, person_id=person.id))
    session.commit()


def test_a_provider_that_is_no_longer_in_the_settings_grants_nothing(
    application, without_acme, settings, acme, globex, session, site
):
    grant(session, community_id=site.id, role="moderator")
    of_both(session, application, settings, acme, globex)
    assert belongs(session) == [("member", True)]
    comes_with(without_acme, settings, globex)
    assert belongs(session) == []
    assert only(session, Person).role == "contributor"
    # A role that is given by hand from now on is not mistaken for what acme once gave.
    only(session, Person).role = "moderator"
    session.commit()
    comes_with(without_acme, settings, globex)
    assert only(session, Person).role == "moderator"


def test_the_last_admin_stays_one_though_the_provider_that_made_them_is_gone(
    application, without_acme, settings, acme, globex, session
):
    grant(session, role="admin")
    of_both(session, application, settings, acme, globex)
    comes_with(without_acme, settings, globex)
    assert only(session, Person).role == "admin"
    factories.person(session, "Boris Ek", role="admin")
    session.commit()
    comes_with(without_acme, settings, globex)
    session.rollback()
    session.expire_all()
    ana = session.exec(select(Person).where(Person.name == "Ana Lima")).one()
    assert ana.role == "contributor"


# Signed out from there


def back_channel(application, settings, token, name="acme"):
    """Post a logout token as the provider does: no browser, no cookie."""
    client = application.test_client(use_cookies=False)
    return client.post(
        f"/sign-in/back-channel/{name}",
        data={"logout_token": token},
        base_url=settings.origin,
    )


def test_a_logout_token_ends_the_session_with_the_next_request_and_counts_once(
    application, settings, acme, stranger, session
):
    signed_in(stranger)
    other = another(application, settings)
    acme.is_person("ana", sid="another")
    signed_in(other)
    token = acme.logout_token(sid="sid-of-ana", sub="ana")
    answer = back_channel(application, settings, token)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    assert stranger.get("/help/keys").status_code == 303
    assert other.get("/help/keys").status_code == 200
    assert only(session, SpentToken).expires_at > now() + timedelta(minutes=2)
    acme.is_person("ana")
    signed_in(stranger)
    replayed = back_channel(application, settings, token)
    assert (replayed.status_code, replayed.json) == (400, {"error": "invalid_request"})
    assert stranger.get("/help/keys").status_code == 200
    assert "signed-out-by-provider" in acts(session)


@pytest.mark.parametrize(
    ("sid", "told"),
    [("sid-of-ana", {"sub": "ana"}), (None, {"sub": "ana"}), (None, {"sid": "x", "sub": "ana"})],
)
def test_a_subject_is_signed_out_everywhere_that_this_provider_vouched(
    application, settings, acme, session, sid, told
):
    acme.is_person("ana", sid=sid)
    browsers = [another(application, settings) for _ in range(2)]
    for browser in browsers:
        signed_in(browser)
    by_hand = visitor(application, settings, session, only(session, Person))
    assert back_channel(application, settings, acme.logout_token(**told)).status_code == 200
    assert [one.get("/help/keys").status_code for one in browsers] == [303, 303]
    assert by_hand.get("/help/keys").status_code == 200


@pytest.mark.parametrize(
    ("claims", "header", "forge"),
    [
        ({"aud": "somebody-else"}, {}, ""),
        ({"iss": "https://evil.example"}, {}, ""),
        ({"exp": int(time.time()) - 120}, {}, ""),
        ({"exp": None}, {}, ""),
        ({"exp": int(time.time()) + 999_999}, {}, ""),
        ({"iat": None}, {}, ""),
        ({"jti": None}, {}, ""),
        ({"events": None}, {}, ""),
        ({"events": {"http://schemas.openid.net/event/other": {}}}, {}, ""),
        ({"events": ["http://schemas.openid.net/event/backchannel-logout"]}, {}, ""),
        ({"nonce": "n"}, {}, ""),
        ({"sub": None}, {}, ""),
        ({"sub": "ana", "sid": 7}, {}, ""),
        ({"sub": "an\x00a"}, {}, ""),
        ({}, {"typ": "at+jwt"}, ""),
        ({}, {}, "none"),
        ({}, {}, "HS256"),
        ({}, {}, "other key"),
    ],
)
def test_a_logout_token_that_does_not_fit_ends_nothing(
    application, settings, acme, stranger, session, claims, header, forge
):
    signed_in(stranger)
    acme.forge = forge
    token = acme.logout_token(header, **({"sub": "ana"} | claims))
    answer = back_channel(application, settings, token)
    assert (answer.status_code, answer.json) == (400, {"error": "invalid_request"})
    assert stranger.get("/help/keys").status_code == 200
    assert session.exec(select(SpentToken)).all() == []


def test_neither_an_id_token_nor_another_providers_word_signs_anybody_out(
    application, settings, acme, globex, stranger
):
    signed_in(stranger)
    assert back_channel(application, settings, acme.signed({"sub": "ana"})).status_code == 400
    for token in (globex.logout_token(sub="ana"), "", "a.b.c", "ä"):
        assert back_channel(application, settings, token).status_code == 400
    theirs = globex.logout_token(sub="ana", sid="sid-of-ana")
    assert back_channel(application, settings, theirs, "globex").status_code == 200
    assert stranger.get("/help/keys").status_code == 200
    assert back_channel(application, settings, "x", "nobody").status_code == 404


def test_a_logout_token_of_somebody_unknown_is_taken_and_does_nothing(application, settings, acme):
    assert back_channel(application, settings, acme.logout_token(sub="who")).status_code == 200
    acme.answers = {"/jwks": 502}
    oidc.client.cache_clear()
    assert back_channel(application, settings, acme.logout_token(sub="who")).status_code == 503
