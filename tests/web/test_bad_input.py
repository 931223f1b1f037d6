"""Whatever is typed or sent: an answer in words, never a fault of ours, and nothing half done."""

import io
import itertools
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pytest
from sqlmodel import func, select

from storage.models import Comment, Episode, Position, Rating, Show, Upload
from tests import factories
from tests.web.visitors import Visitor, visitor

HUGE = str(10**30)
ODD = [
    "\x00",
    "a\x00b",
    "\ud800",
    "😀\u202e",
    HUGE,
    "-1",
    "nan",
    "1e400",
    "x" * 10_240,
    "'\"%_\\;--",
]
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
def test_s16_no_address_however_odd_is_a_fault_of_ours(desk, address):
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
    said = ("title", "notes", "language", "topics", "show", "held")
    show = ("title", "description", "community", "language", "visibility", "communities")
    return {
        "/studio/": said,
        draft: said,
        f"{talk}/rating": ("stars",),
        f"{talk}/comments": ("body", "at", "parent"),
        f"{talk}/comments/removal": ("comment",),
        f"{draft}/audience": ("narrow", "communities"),
        f"{draft}/reviewers": ("reviewer",),
        f"{draft}/reviewers/removal": ("person",),
        "/shows/": show,
        f"/shows/{desk.show.slug}/edit": show,
        "/account/": ("name", "department", "about"),
        "/account/theme": ("theme",),
        "/account/sessions/end": ("session",),
        "/account/tokens": ("label",),
        "/account/tokens/revoke": ("token",),
        "/feeds/": ("view", "label", "mode"),
        "/feeds/revoke": ("token",),
    }


def test_s16_no_field_however_odd_is_a_fault_of_ours(desk):
    for path, fields in forms(desk).items():
        typed = {"title": "Known", "body": "Known", "name": "Known"}
        for field, value in itertools.product(fields, ODD):
            sent = value.encode("utf-8", "surrogatepass")
            answer = desk.its.post(
                path, **{k: v for k, v in typed.items() if k in fields} | {field: sent}
            )
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
def test_s16_no_body_however_odd_is_a_fault_of_ours(desk, session, path):
    address = path.format(draft=desk.draft.guid, talk=desk.talk.guid)
    for body in BODIES:
        answer = desk.its.send("POST", address, data=body, content_type="application/json")
        assert 400 <= answer.status_code < 500, body[:60]
        assert answer.get_json()["detail"], body[:60]
    assert session.exec(select(func.count()).select_from(Upload)).one() == 0
    assert session.exec(select(func.count()).select_from(Position)).one() == 0


# Drafts


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("title", "", "A title is needed"),
        ("title", " \t\n ", "A title is needed"),
        ("title", "\x00\x07\u202e\u2066", "A title is needed"),
        ("title", "T" * 10_000, "The title has 10000 characters; 200 is the most."),
        ("notes", "n" * 10_001, "The notes have 10001 characters; 10000 is the most."),
        ("topics", ",".join("abcdefghi"), "8 topics are the most."),
        ("topics", "x" * 81, "A topic may have at most 80 characters."),
        ("language", "Klingon", "Name the language by its two letters"),
        ("show", "somebody-elses", "Choose one of your own shows."),
    ],
)
def test_a_draft_that_cannot_be_is_shown_again_as_typed(desk, session, field, value, sentence):
    typed = {"title": "What I typed", "notes": "As & typed", "topics": "pumps"} | {field: value}
    before = session.exec(select(func.count()).select_from(Episode)).one()
    for path in ("/studio/", f"/studio/{desk.draft.guid}"):
        words = page(desk.its.post(path, **typed))
        assert sentence in words
        assert (f'id="{field}-error"' in words) == (f'name="{field}"' in words)
        if field != "title":
            assert 'value="What I typed"' in words
        elif value.isascii() and value.isalpha():
            assert f'value="{value}"' in words
    assert 'id="notes"' in words
    if field != "notes":
        assert ">As &amp; typed</textarea>" in words
    session.expire_all()
    assert session.exec(select(func.count()).select_from(Episode)).one() == before
    assert session.get(Episode, desk.draft.id).title == "To be said"


def test_hidden_characters_of_a_title_are_dropped_and_emoji_stay(desk, session):
    desk.its.post("/studio/", title="\u202eWhat\x07 goes\n  wrong \u2069 👩‍🔧", notes="a\x08\r\nb")
    made = session.exec(select(Episode).order_by(Episode.id.desc())).first()
    assert (made.title, made.notes) == ("What goes wrong 👩‍🔧", "a\nb")


def test_a_show_that_cannot_be_is_shown_again_as_typed(desk):
    words = page(desk.its.post("/shows/", title="", description="About pumps"))
    assert "A show needs a title." in words
    assert "About pumps</textarea>" in words
    assert "Choose a community that you belong to." in page(
        desk.its.post("/shows/", title="Pumps", community="none")
    )


def test_a_name_that_cannot_be_is_shown_again_as_typed(desk):
    assert "A name is needed" in page(desk.its.post("/account/", name=" \x00 ", about="Hello"))
    assert "at most 120" in page(desk.its.post("/account/", name="x" * 121))


# Opinions


@pytest.mark.parametrize("stars", ["0", "6", "2.5", "NaN", "inf", "x", "True", "None", "", HUGE])
def test_stars_that_are_none_are_refused_in_words(desk, session, stars):
    words = page(desk.mine.post(f"/episodes/{desk.talk.guid}/rating", stars=stars))
    assert "Stars go from 1 to 5." in words
    assert session.exec(select(func.count()).select_from(Rating)).one() == 0


def test_ones_own_talk_and_one_that_is_not_out_are_not_rated(desk, session):
    own = desk.its.post(f"/episodes/{desk.talk.guid}/rating", stars="5")
    assert "You cannot rate your own talk." in page(own, 403)
    page(desk.mine.post(f"/episodes/{desk.draft.guid}/rating", stars="5"), 404)
    page(desk.mine.post(f"/episodes/{NOWHERE}/rating", stars="5"), 404)
    broken = factories.episode(session, desk.show, "Broken", state="failed")
    broken.published_at = broken.created_at
    session.commit()
    assert "not open for rating" in page(
        desk.mine.post(f"/episodes/{broken.guid}/rating", stars="5"), 409
    )
    assert session.exec(select(func.count()).select_from(Rating)).one() == 0


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ("", "Write something first."),
        (" \x00\n", "Write something first."),
        ("c" * 5001, "This has 5001 characters; 5000 is the most."),
    ],
)
def test_a_comment_that_cannot_be_is_shown_again_as_typed(desk, session, body, sentence):
    words = page(desk.mine.post(f"/episodes/{desk.talk.guid}/comments", body=body))
    assert sentence in words
    assert body.strip("\x00 \n") in words
    assert session.exec(select(func.count()).select_from(Comment)).one() == 0


def test_nobody_answers_or_removes_what_is_on_another_talk(desk, session):
    other = factories.episode(session, desk.show, "Another")
    elsewhere = factories.comment(session, other, desk.author)
    session.commit()
    here = f"/episodes/{desk.talk.guid}/comments"
    page(desk.mine.post(here, body="Yes", parent=str(elsewhere.id)), 404)
    page(desk.its.post(f"{here}/removal", comment=str(elsewhere.id)), 404)
    page(desk.mine.post(f"/episodes/{other.guid}/comments/removal", comment=str(elsewhere.id)), 404)
    session.refresh(elsewhere)
    assert elsewhere.removed_at is None


# Recordings, from a form without scripts


def test_a_form_without_a_recording_says_so(desk):
    path = f"/studio/{desk.draft.guid}/file"
    assert "Choose a recording first." in page(desk.its.post(path))
    empty = {"file": (io.BytesIO(b""), "empty.mp3")}
    assert "The file is empty." in page(desk.its.post(path, **empty))


def test_a_recording_over_the_limit_names_both_sizes(application, desk, settings, monkeypatch):
    small = settings.model_copy(update={"max_upload_bytes": 1024})
    floor = application.extensions["dare"]
    monkeypatch.setitem(
        application.extensions, "dare", type(floor)(small, floor.database, floor.store, floor.work)
    )
    file = {"file": (io.BytesIO(bytes(1536)), "long.mp3")}
    words = page(desk.its.post(f"/studio/{desk.draft.guid}/file", **file), 413)
    assert "The file has 1.5 KB; the limit here is 1 KB." in words
    told = desk.its.send(
        "POST", f"/studio/{desk.draft.guid}/upload", json={"name": "a", "size": 4096}
    )
    assert told.status_code == 413
    assert told.get_json()["detail"] == "The file has 4 KB; the limit here is 1 KB."


def test_a_form_larger_than_forms_may_be_is_refused_before_it_is_read(desk, settings):
    told = {"CONTENT_LENGTH": str(settings.max_form_bytes + 1024**2 + 1)}
    kind = "application/x-www-form-urlencoded"
    headers = {"Accept": "text/html"}
    answer = desk.its.send(
        "POST", "/studio/", content_type=kind, environ_overrides=told, headers=headers
    )
    assert "larger than what a form may send" in page(answer, 413)


def test_a_failed_talk_shows_its_reason_and_a_button_to_try_again(desk, session):
    broken = factories.episode(session, desk.show, "Broken", state="failed")
    session.commit()
    for path in (f"/studio/{broken.guid}", "/studio/"):
        words = page(desk.its.get(path), 200)
        assert "This file holds no sound." in words
        assert f'action="/studio/{broken.guid}/retry"' in words
    words = page(desk.its.get(f"/episodes/{broken.guid}"), 200)
    assert "This file holds no sound." in words
    page(desk.mine.get(f"/episodes/{broken.guid}"), 404)


def test_only_what_failed_is_tried_again(desk):
    for of in (desk.talk, desk.draft):
        words = page(desk.its.post(f"/studio/{of.guid}/retry"), 409)
        assert "Only a talk that failed can be tried again." in words
