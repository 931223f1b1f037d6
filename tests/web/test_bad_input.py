"""Whatever is typed or sent: an answer in words, never a fault of ours, and nothing half done."""

import io
import itertools
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from sqlmodel import func, select

from storage.models import Comment, Episode, Position, Rating, Session, Show, Upload
from tests import factories
from tests.web.visitors import Visitor, visitor

HUGE = str(10**30)
ODD = ["\x00", "a\x00b", "\ud800", "😀\u202e", HUGE, "-1", "nan", "1e400", "x" * 10_240, "'\"%_\\;--"]
NOWHERE = "00000000-0000-4000-8000-000000000000"


@dataclass
class Desk:
    """An author's browser with a draft and a talk that is out, and a listener's browser."""

    author: Any
    listener: Any
    draft: Episode
    talk: Episode
    show: Show
    its: Visitor
    mine: Visitor


@pytest.fixture
def desk(application, settings, session):
    author = factories.person(session, "Ana Lima")
    listener = factories.person(session, "Bo Chen", role="learner")
    show = factories.show(session, author)
    draft = factories.episode(session, show, "To be said", state="draft")
    talk = factories.episode(session, show, topics=["Delivery"])
    its = visitor(application, settings, session, author)
    mine = visitor(application, settings, session, listener)
    return Desk(author, listener, draft, talk, show, its, mine)


def page(answer, status=422):
    """Return the page of a refusal."""
    words = answer.get_data(as_text=True)
    assert answer.status_code == status, words
    assert answer.mimetype == "text/html"
    return words


def percent(value):
    return quote(value.encode("utf-8", "surrogatepass"), safe="")


# Addresses

PAGES = [
    "/?next={}",
    "/top?after={}&n={}",
    "/new?after={}_1",
    "/new?after=1_{}",
    "/top?after=1_{}",
    "/search?q={}&page=1",
    "/search?q=country&page={}",
    "/sign-in?next={}",
    "/set-up/{}",
    "/shows/{}",
    "/topics/{}",
    "/communities/{}",
    "/people/{}",
    "/feeds/?view={}&fresh={}",
    "/studio/?title={}",
    "/episodes/{}",
    "/static/{}/css/dare.css",
    "/f/{}.xml",
]


@pytest.mark.parametrize("address", PAGES)
def test_no_address_however_odd_is_a_fault_of_ours(desk, address):
    for value in [*ODD, "1e300", "-1e18", "inf", "../../etc/passwd", "//[", "99999999999999999"]:
        answer = desk.its.get(address.replace("{}", percent(value)))
        assert answer.status_code < 500, (value[:40], answer.get_data(as_text=True))


def test_a_moment_that_is_no_place_in_the_talk_is_passed_over(desk):
    for value in ("nan", "-1", "1e400", HUGE, "x", "%00"):
        assert desk.mine.get(f"/episodes/{desk.talk.guid}?t={value}").status_code == 200


# Forms


def forms(desk):
    """Return every form of the pages, with the fields that it reads."""
    draft, talk = f"/studio/{desk.draft.guid}", f"/episodes/{desk.talk.guid}"
    said = ("title", "notes", "language", "topics", "show")
    return {
        "/studio/": said,
        draft: said,
        f"{talk}/rating": ("stars",),
        f"{talk}/comments": ("body", "at", "parent"),
        f"{talk}/comments/removal": ("comment",),
        "/shows/": ("title", "description", "community", "language"),
        "/account/": ("name", "department", "about"),
        "/account/theme": ("theme",),
        "/account/sessions/end": ("session",),
        "/account/tokens": ("label",),
        "/account/tokens/revoke": ("token",),
        "/feeds/": ("view", "label", "mode"),
        "/feeds/revoke": ("token",),
    }


def test_no_field_however_odd_is_a_fault_of_ours(desk):
    for path, fields in forms(desk).items():
        typed = {"title": "Known", "body": "Known", "name": "Known"}
        for field, value in itertools.product(fields, ODD):
            sent = value.encode("utf-8", "surrogatepass")
            answer = desk.its.post(path, **{k: v for k, v in typed.items() if k in fields} | {field: sent})
            assert answer.status_code < 500, (path, field, value[:40])


def test_odd_addresses_and_passwords_sign_nobody_in(application, settings, session):
    stranger = Visitor(application, settings)
    for value in ("\x00", "a\x00@example.org", "x" * 10_240, "😀@example.org"):
        page(stranger.post("/sign-in", email=value, password=value))


SCRIPTED = [
    "/studio/{draft}/upload",
    "/studio/{draft}/finish",
    "/episodes/{talk}/position",
]
BODIES = [
    b"",
    b"[]",
    b"[1]",
    b'"x"',
    b"7",
    b"null",
    b"{",
    b"\xff\xfe",
    b'{"seconds": NaN, "size": NaN, "name": 7}',
    b'{"seconds": 1' + b"0" * 400 + b', "size": 1' + b"0" * 400 + b', "name": null}',
    b'{"seconds": true, "size": true}',
    b'{"seconds": -1, "size": -1, "name": "\\u0000\\ud800"}',
    b'{"seconds": 1e400, "size": 1e400}',
    b'{"seconds": {}, "size": {}, "name": {}}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("path", SCRIPTED)
def test_no_body_however_odd_is_a_fault_of_ours(desk, session, path):
    address = path.format(draft=desk.draft.guid, talk=desk.talk.guid)
    for body in BODIES:
        answer = desk.its.send("POST", address, data=body, content_type="application/json")
        assert 400 <= answer.status_code < 500, body[:60]
        assert answer.get_json()["detail"], body[:60]
    assert session.exec(select(func.count()).select_from(Upload)).one() == 0
    assert session.exec(select(func.count()).select_from(Position)).one() == 0
