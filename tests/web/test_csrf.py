"""Who may ask for what: every route has a rule, and every change needs both proofs."""

import re

import pytest
from sqlalchemy import text
from sqlmodel import select

from service.app import RuleMissingError, _check_rules
from storage.models import Episode, Row
from tests import factories
from tests.web.visitors import Visitor, visitor

RULES = {"open", "keyed", "guest", "signed-in", "publisher", "steward", "moderator", "admin"}
SAFE = {"GET", "HEAD", "OPTIONS"}
NOWHERE = "00000000-0000-4000-8000-000000000000"
ELSEWHERE = {"Sec-Fetch-Site": "cross-site"}
SENTENCE = "This page is out of date or the request came from elsewhere. Nothing was changed."


def routes(application, methods):
    """Return endpoint, address and method of every route that has one of the methods."""
    values = {
        "guid": NOWHERE, "upload_id": NOWHERE, "ref": NOWHERE, "revision": 1, "comment_id": 1,
        "feed_id": 1, "slug": "none", "token": "none", "digest": "none", "name": "css/dare.css",
        "kind": "vtt", "extension": "vtt", "language": "en", "key": "none", "decision_id": 1,
    }  # fmt: skip
    adapter = application.url_map.bind("127.0.0.1")
    found = []
    for rule in application.url_map.iter_rules():
        known = dict(values)
        if rule.endpoint == "media.play":
            known["name"] = "audio.mp3"
        if rule.endpoint.startswith("providers."):
            known["name"] = "acme"
        for method in (rule.methods or set()) & methods:
            path = adapter.build(rule.endpoint, {a: known[a] for a in rule.arguments}, method)
            found.append((rule.endpoint, path, method))
    return sorted(found)


def rule_of(application, endpoint):
    return getattr(application.view_functions[endpoint], "rule", None)


@pytest.fixture
def author(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def browser(application, settings, session, author):
    return visitor(application, settings, session, author)


def written(session):
    """Return how often each table of ours has been written to, as the database counts."""
    session.rollback()
    tables = [table.name for table in Row.metadata.sorted_tables]
    return {
        # xmin moves with every update, the count with every insert and delete.
        name: session.execute(
            text(f'SELECT count(*), max(xmin::text::bigint) FROM "{name}"')  # noqa: S608
        ).one()
        for name in tables
    }


def test_every_route_has_a_rule(application):
    assert {rule_of(application, name) for name in application.view_functions} == RULES


def test_an_application_with_a_route_without_a_rule_does_not_start(application):
    bare = type(application)("bare")
    bare.add_url_rule("/bare", "bare", lambda: "")
    with pytest.raises(RuleMissingError, match="bare"):
        _check_rules(bare)


def test_s34_no_change_comes_from_another_site_or_without_the_pages_secret(
    application, session, browser
):
    secret = browser.csrf
    before = written(session)
    asked = 0
    for endpoint, path, method in routes(application, {"POST", "PUT", "PATCH", "DELETE"}):
        if rule_of(application, endpoint) == "keyed":
            continue
        asked += 1
        for headers, fields in (
            ({}, {}),
            ({"Sec-Fetch-Site": "same-origin"}, {"csrf_token": "0" * 64}),
            (ELSEWHERE, {"csrf_token": secret}),
            ({"Sec-Fetch-Site": "same-site"}, {"csrf_token": secret}),
            ({"Sec-Fetch-Site": "none"}, {"csrf_token": secret}),
            ({"Origin": "https://evil.example"}, {"csrf_token": secret}),
            ({"Origin": "null"}, {"csrf_token": secret}),
        ):
            answer = browser.ask(method, path, headers=headers, data=fields)
            assert answer.status_code == 403, (method, path, headers)
            if answer.mimetype == "text/html":
                assert SENTENCE in answer.get_data(as_text=True)
    assert asked > 30
    assert written(session) == before


def test_a_form_with_its_secret_passes_also_from_a_browser_that_says_nothing_of_its_site(
    browser, session
):
    sent = {"csrf_token": browser.csrf, "title": "To be said"}
    assert browser.ask("POST", "/studio/", data=sent).status_code == 303
    assert session.exec(select(Episode.title)).all() == ["To be said"]


def test_s34_the_secret_of_one_session_does_not_open_another(
    application, settings, session, browser, author
):
    other = visitor(application, settings, session, author)
    sent = {"csrf_token": other.csrf, "title": "To be said"}
    assert browser.ask("POST", "/studio/", data=sent, headers=browser.ours).status_code == 403


def test_the_secret_of_a_visit_ends_with_signing_in(application, settings, session, author):
    visit = Visitor(application, settings)
    secret = visit.csrf
    signed = visitor(application, settings, session, author)
    sent = {"csrf_token": secret, "title": "To be said"}
    assert signed.ask("POST", "/studio/", data=sent, headers=signed.ours).status_code == 403


def test_s34_signing_in_needs_a_secret_too(application, settings):
    stranger = Visitor(application, settings)
    sent = {"email": "a@example.org", "password": "x"}
    assert stranger.ask("POST", "/sign-in", data=sent).status_code == 403


def test_a_bearer_token_without_cookie_needs_neither_proof(application, settings, session, author):
    secret = factories.token(session, author)
    session.commit()
    program = Visitor(application, settings)
    headers = {"Authorization": f"Bearer {secret}"} | ELSEWHERE
    answer = program.ask("POST", "/api/v1/episodes", json={"title": "Told"}, headers=headers)
    assert answer.status_code == 201


def test_a_dead_bearer_token_beside_a_living_cookie_is_nobody(browser, session):
    headers = {"Authorization": "Bearer dare_dead"}
    answer = browser.ask("POST", "/studio/", data={"title": "x"}, headers=headers)
    assert answer.status_code in {401, 403}
    assert session.exec(select(Episode)).all() == []


# Who may open what


def test_who_is_not_signed_in_is_sent_to_sign_in_or_told_so(application, settings, session):
    stranger = Visitor(application, settings)
    asked = 0
    for endpoint, path, method in routes(application, {"GET"}):
        if rule_of(application, endpoint) in {"open", "keyed"}:
            continue
        asked += 1
        answer = stranger.ask(method, path)
        if path.startswith("/api/"):
            assert answer.status_code == 401, path
            assert answer.mimetype == "application/problem+json"
            continue
        assert answer.status_code == 303, path
        assert re.match(r"/sign-in(\?next=|$)", answer.headers["Location"]), path
        told = stranger.ask(method, path, headers={"Accept": "application/json"})
        assert told.status_code == 401, path
        assert told.get_json()["detail"] == "Please sign in first."
    assert asked > 25


def test_a_learner_finds_none_of_the_publishers_routes(application, settings, session):
    learner = visitor(application, settings, session, factories.person(session, role="learner"))
    asked = 0
    for endpoint, path, method in routes(application, {"GET", "POST", "PATCH", "DELETE"}):
        if rule_of(application, endpoint) == "publisher":
            asked += 1
            assert learner.send(method, path).status_code == 404, (method, path)
    assert asked > 10


def test_somebody_elses_draft_reads_like_none_at_all(application, session, browser):
    other = factories.person(session, "Bo Chen")
    draft = factories.episode(session, factories.show(session, other), state="draft")
    session.commit()
    before = written(session)
    for _, path, method in routes(application, {"GET", "POST"}):
        if NOWHERE in path and path.startswith(("/studio/", "/episodes/")):
            theirs = browser.send(method, path.replace(NOWHERE, str(draft.guid)))
            none = browser.send(method, path)
            assert theirs.status_code == none.status_code, (method, path)
            assert theirs.status_code in {404, 422}, (method, path)
    assert written(session) == before


def test_a_contributor_withdraws_no_ones_talk_but_a_moderator_does(
    application, settings, session, browser
):
    other = factories.person(session, "Bo Chen")
    talk = factories.episode(session, factories.show(session, other))
    moderator = visitor(application, settings, session, factories.person(session, role="moderator"))
    for somebody in (browser, moderator):
        assert somebody.post(f"/studio/{talk.guid}/withdraw").status_code == 404
    sent = {"act": "removed", "words": "It names a customer.", "turn": 0}
    assert browser.post(f"/moderation/{talk.guid}", **sent).status_code == 404
    session.refresh(talk)
    assert talk.withdrawn_at is None
    assert moderator.post(f"/moderation/{talk.guid}", **sent).status_code == 303
    session.refresh(talk)
    assert talk.withdrawn_at is not None
