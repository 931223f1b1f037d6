"""Requests that try to be something else: header in a name, path out, extra field."""

import logging
from urllib.parse import quote

import pytest
from sqlmodel import select

from service.delivery import refusal
from storage.models import Episode, Person, Show
from tests import factories
from tests.web.visitors import Visitor, visitor

UP = ("../", "..%2f", "..%5c", "%2e%2e/", "%252e%252e%252f", "....//", "/etc/passwd", "%00")


@pytest.fixture
def author(session):
    return factories.person(session, "Ana Lima")


@pytest.fixture
def browser(application, settings, session, author):
    return visitor(application, settings, session, author)


@pytest.mark.parametrize("part", UP)
@pytest.mark.parametrize(
    "place",
    [
        "/static/{}css/dare.css",
        "/static/aaaaaaaaaaaa/{}etc/passwd",
        "/shows/{}art.jpg",
        "/topics/{}x",
        "/communities/{}x",
        "/f/{}.xml",
        "/m/a/b/{}/1/audio.mp3",
        "/set-up/{}x",
    ],
)
def test_s27_no_path_leads_out_of_its_place(browser, place, part):
    for spelled in (part * 4, quote(part * 4, safe="")):
        answer = browser.get(place.format(spelled))
        assert answer.status_code in {303, 308, 400, 404}, spelled
        assert b"root:" not in answer.data
        if "Location" in answer.headers:
            assert answer.headers["Location"].startswith(("/", browser.origin))


@pytest.mark.parametrize("given", ["a\r\nSet-Cookie: x=1", "a.wav\r\n\r\n<script>", "a\nb"])
def test_s18_no_name_becomes_a_header(browser, session, author, given):
    answer = browser.post("/studio/", title=f"Pumps {given}")
    assert answer.status_code == 303
    talk = session.exec(select(Episode)).one()
    page = browser.get(answer.headers["Location"])
    begun = browser.send("POST", f"/studio/{talk.guid}/upload", json={"name": given, "size": 9})
    for told in (answer, page, begun):
        assert "x=1" not in str(told.headers)
        assert all("\r" not in value and "\n" not in value for value in told.headers.values())
    assert "\n" not in talk.title


def test_s18_a_refusal_in_plain_text_repeats_nothing_of_the_address(application, settings):
    stranger = Visitor(application, settings)
    answer = stranger.get("/f/abc%0d%0aSet-Cookie:%20x=1.xml")
    assert answer.status_code == 404
    assert "Set-Cookie" not in answer.get_data(as_text=True)
    assert "Set-Cookie" not in answer.headers
    with application.app_context():
        assert refusal(404, "No.").mimetype == "text/plain"


EXTRA = {
    "is_admin": "1", "role": "admin", "author": "1", "author_id": "1", "owner_id": "1", "id": "7",
    "published_at": "2020-01-01", "score": "10", "public": "1", "audience": "1", "state": "failed",
    "password_hash": "x", "disabled_at": "", "listed": "1", "guid": "x", "emergency": "1",
}  # fmt: skip


def test_s29_fields_that_a_form_does_not_have_are_passed_over(browser, session, author):
    browser.post("/account/", name="Ana Lima", **EXTRA)
    browser.post("/studio/", title="Pumps", **EXTRA)
    browser.post("/shows/", **EXTRA | {"title": "Five minutes"})
    session.rollback()
    person = session.exec(select(Person).where(Person.ref == author.ref)).one()
    talk = session.exec(select(Episode)).one()
    show = session.exec(select(Show).where(Show.title == "Five minutes")).one()
    assert (person.role, person.password_hash, person.emergency) == ("contributor", None, False)
    assert (talk.author_id, talk.state, talk.public, talk.published_at) == (
        author.id, "draft", False, None,
    )  # fmt: skip
    assert show.owner_id == author.id
    assert (show.visibility, show.audience) == ("organisation", None)


def test_s29_fields_that_the_document_does_not_have_are_refused(program, session, author):
    mine = program(author)
    for path, body in (
        ("episodes", {"title": "Pumps"}),
        ("shows", {"title": "Five minutes"}),
        ("feeds", {}),
    ):
        for name, value in EXTRA.items():
            assert mine.post(path, json=body | {name: value}).status_code == 422, (path, name)
    session.rollback()
    assert session.exec(select(Episode)).all() == []


def test_s73_a_fault_of_ours_is_a_sentence_and_a_number_on_every_route(
    application, settings, session, author, caplog
):
    """Every view is made to fail, with a secret in the error; none of it reaches the asker."""
    caplog.set_level(logging.CRITICAL)
    secret = "postgresql://dare:hunter2@db/dare"
    views = dict(application.view_functions)
    signed = visitor(application, settings, session, author)
    csrf = signed.csrf

    def failing(**_):
        raise RuntimeError(secret)

    try:
        asked = 0
        for rule in list(application.url_map.iter_rules()):
            failing.rule = views[rule.endpoint].rule
            application.view_functions[rule.endpoint] = failing
            for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
                path = address_of(application, rule)
                headers = signed.ours | {"X-CSRF-Token": csrf}
                answer = signed.ask(method, path, headers=headers)
                told = answer.get_data(as_text=True)
                assert answer.status_code == 500, (method, path)
                assert "hunter2" not in told, path
                assert "Traceback" not in told, path
                assert answer.headers["X-Request-Id"], path
                asked += 1
        assert asked > 70
    finally:
        application.view_functions.update(views)


def address_of(application, rule):
    """Return some address of a route; the view behind it never looks at it."""
    told = {}
    for name in rule.arguments:
        kind = type(rule._converters[name]).__name__
        told[name] = {
            "UUIDConverter": "00000000-0000-4000-8000-000000000000",
            "IntegerConverter": 1,
            "AnyConverter": next(iter(getattr(rule._converters[name], "items", ["x"]))),
        }.get(kind, "none")
    adapter = application.url_map.bind("127.0.0.1")
    return adapter.build(rule.endpoint, told, next(iter(rule.methods)))


def test_s28_no_address_belongs_to_workers(application):
    words = ("worker", "lease", "produce", "callback", "job", "queue")
    # One callback is the browser's own, when it comes back from a sign-in provider.
    rules = {str(rule) for rule in application.url_map.iter_rules()} - {"/sign-in/callback"}
    assert [one for one in rules if any(word in one.lower() for word in words)] == []
