"""The JSON API: what it tells, what it takes, and how it refuses."""

import base64
import hashlib
import io
import json
import re
from dataclasses import dataclass, fields, make_dataclass
from datetime import datetime, timedelta
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from sqlmodel import func, select, text

from service.api.readers import EpisodeRow
from service.catalogue import PersonLink, Row, ShowLink
from service.feed import channel
from service.feed import tokens as feeds
from service.identity import tokens
from storage.models import (
    Episode,
    EpisodeScore,
    FeedToken,
    Position,
    Rating,
    Show,
    Source,
    Upload,
    now,
)
from tests import factories
from tests.web.conftest import Program

NOWHERE = "00000000-0000-4000-8000-000000000000"


@dataclass
class House:
    """A colleague's complete talk, and the programs of its author and of a listener."""

    author: Any
    listener: Any
    talk: Episode
    show: Show
    its: Program
    mine: Program


@pytest.fixture
def place(session, program):
    author = factories.person(session, "Ana Lima")
    listener = factories.person(session, "Bo Chen", role="learner")
    show = factories.show(session, author)
    talk = factories.episode(session, show, topics=["Delivery", "Kubernetes"])
    return House(author, listener, talk, show, program(author), program(listener))


def refused(answer, status):
    """Return the problem details of a refusal, checked for their form."""
    assert answer.status_code == status, answer.get_data(as_text=True)
    assert answer.mimetype == "application/problem+json"
    told = answer.get_json()
    assert told["status"] == status
    assert told["detail"]
    assert told["request_id"] == answer.headers["X-Request-Id"]
    return told


# Who asks


def test_me_tells_who_asks_and_no_more(place):
    told = place.mine.get("me").get_json()
    assert told == {
        "name": "Bo Chen",
        "ref": str(place.listener.ref),
        "role": "learner",
        "department": None,
        "may_publish": False,
    }


def api_routes(application):
    """Return the address and method of each view of the API, with something in its holes."""
    holes = {"guid": NOWHERE, "comment_id": 1, "feed_id": 1, "slug": "none"}
    found = []
    with application.test_request_context():
        adapter = application.create_url_adapter(None) or application.url_map.bind("localhost")
        for rule in application.url_map.iter_rules():
            if rule.rule.startswith("/api/v1"):
                values = {name: holes[name] for name in rule.arguments}
                path = adapter.build(rule.endpoint, values)
                found += [(path, m) for m in rule.methods - {"HEAD", "OPTIONS"}]
    return found


def test_every_view_but_the_description_wants_a_living_token(application, program):
    nobody, dead = program(None), program(None, "dare_of-nobody")
    asked = 0
    for path, method in api_routes(application):
        if path in {"/api/v1/openapi.json", "/api/v1/docs"}:
            assert nobody.get(path).status_code == 200
            continue
        asked += 1
        answer = dead.ask(method, path)
        refused(answer, 401)
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert nobody.ask(method, path).status_code in {401, 403}
    assert asked > 20


# Lists


def test_the_top_order_is_the_most_useful_first_and_pages_on(place, session):
    raters = [factories.person(session, f"Rater {number}") for number in range(3)]
    talks = [factories.episode(session, place.show, f"Talk {n}") for n in range(24)]
    for rater in raters:
        factories.rating(session, talks[7], rater, 5)
        factories.rating(session, talks[8], rater, 1)
    session.commit()
    first = place.mine.get("episodes").get_json()
    second = place.mine.get(f"episodes?after={first['next']}").get_json()
    titles = [row["title"] for row in first["rows"] + second["rows"]]
    assert len(first["rows"]) == 20
    assert second["next"] is None
    assert (titles[0], titles[-1]) == ("Talk 7", "Talk 8")
    assert len(set(titles)) == 25


def test_the_newest_order_is_by_publication_and_pages_on(place, session):
    for number in range(21):
        talk = factories.episode(session, place.show, f"Talk {number}")
        factories.earlier(talk, hours=number + 1)
    session.commit()
    first = place.mine.get("episodes?order=newest").get_json()
    second = place.mine.get(f"episodes?order=newest&after={first['next']}").get_json()
    titles = [row["title"] for row in first["rows"] + second["rows"]]
    assert titles == ["How we deploy", *(f"Talk {number}" for number in range(21))]


def test_lists_are_narrowed_by_topic_show_and_person(place, session):
    other = factories.person(session, "Cy Young")
    factories.episode(session, factories.show(session, other), "Another", topics=["Delivery"])
    session.commit()

    def titles(query):
        return {row["title"] for row in place.mine.get(f"episodes?{query}").get_json()["rows"]}

    assert titles("topic=delivery") == {"How we deploy", "Another"}
    assert titles(f"topic=delivery&person={other.ref}") == {"Another"}
    assert titles("topic=kubernetes") == titles(f"show={place.show.slug}") == {"How we deploy"}


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("order=best", "order"),
        ("topic=none-such", "topic"),
        ("show=none-such", "show"),
        (f"person={NOWHERE}", "person"),
        ("person=Ana", "person"),
        (f"after={NOWHERE}", "after"),
        ("after=3.8_12", "after"),
        ("topic=%00", "topic"),
        ("limit=1000000", "limit"),
        ("order=top&order=newest", "order"),
    ],
)
def test_a_list_that_cannot_be_is_refused_by_field(place, query, field):
    assert list(refused(place.mine.get(f"episodes?{query}"), 422)["errors"]) == [field]


def test_ones_own_list_holds_drafts_and_failures_with_their_reasons(place, session):
    factories.episode(session, place.show, "Broken", state="failed")
    factories.episode(session, place.show, "Begun", state="draft")
    session.commit()
    rows = place.its.get("episodes/mine").get_json()["rows"]
    assert [(row["title"], row["state"]) for row in rows] == [
        ("Begun", "draft"),
        ("Broken", "failed"),
        ("How we deploy", "complete"),
    ]
    assert rows[1]["reason"] == "This file holds no sound."


def test_topics_are_counted(place):
    assert place.mine.get("topics").get_json()["rows"] == [
        {"name": "Delivery", "slug": "delivery", "count": 1},
        {"name": "Kubernetes", "slug": "kubernetes", "count": 1},
    ]


def test_search_finds_what_is_said_and_the_second(place):
    told = place.mine.get("search?q=country").get_json()
    assert (told["count"], told["page"], told["next"]) == (1, 1, None)
    (hit,) = told["rows"]
    assert hit["episode"]["title"] == "How we deploy"
    assert [moment["start"] for moment in hit["moments"]] == [0.0, 5.0]
    assert hit["moments"][0]["snippet"] == factories.SAID[0]
    assert "<mark>country</mark>" in hit["moments"][0]["snippet_html"]
    assert hit["moments"][1]["page_url"] == f"/episodes/{place.talk.guid}?t=5#player"


@pytest.mark.parametrize("query", ["page=0", "page=x", "page=99999999999999999999", "q=%00"])
def test_a_search_that_cannot_be_is_refused(place, query):
    refused(place.mine.get(f"search?{query}"), 422)


@pytest.mark.parametrize("q", ["", "'", '"', "\\", "a&b|!c:*", "-", "<->", "%25", "ﷺ", "(" * 200])
def test_odd_words_are_searched_for_all_the_same(place, q):
    assert place.mine.get("search", query_string={"q": q}).status_code == 200


# One talk


def test_a_talk_is_told_whole_and_its_files_open_with_the_same_token(place):
    told = place.mine.get(f"episodes/{place.talk.guid}").get_json()
    assert told["title"] == "How we deploy"
    assert told["author"] == {"name": "Ana Lima", "ref": str(place.author.ref)}
    assert [topic["slug"] for topic in told["topics"]] == ["delivery", "kubernetes"]
    assert (told["duration"], told["state"], told["percent"]) == (60.0, "complete", 100)
    assert (told["mine"], told["may_rate"], told["may_moderate"]) == (False, True, False)
    assert told["video_url"] is None
    assert told["audio_url"] == f"/episodes/{place.talk.guid}/media/1/audio.mp3"
    captions = place.mine.get(told["captions_url"])
    assert captions.get_data(as_text=True).startswith("WEBVTT")


def test_a_transcript_is_told_line_by_line(place):
    told = place.mine.get(f"episodes/{place.talk.guid}/transcript").get_json()
    assert (told["language"], told["revision"]) == ("en", 1)
    assert [cue["text"] for cue in told["rows"]] == list(factories.SAID)
    assert [cue["start"] for cue in told["rows"]] == [0.0, 5.0]


def test_progress_is_told_in_words(place):
    told = place.mine.get(f"episodes/{place.talk.guid}/progress").get_json()
    assert (told["state"], told["percent"], told["reason"]) == ("complete", 100, None)
    assert told["completed_at"].endswith("Z")


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "", None),
        ("GET", "/progress", None),
        ("GET", "/transcript", None),
        ("GET", "/comments", None),
        ("PUT", "/rating", {"stars": 5}),
        ("DELETE", "/rating", None),
        ("POST", "/comments", {"body": "Hello"}),
        ("PUT", "/position", {"seconds": 1}),
        ("PATCH", "", {"title": "Mine now"}),
        ("POST", "/upload", {"name": "a.wav", "size": 5}),
        ("DELETE", "/upload", None),
        ("POST", "/finish", None),
        ("POST", "/retry", None),
        ("POST", "/withdraw", None),
        ("POST", "/publish", None),
        ("PUT", "/audience", {"communities": None}),
    ],
)
def test_somebody_elses_draft_reads_like_no_talk_at_all(place, session, method, rest, body):
    other = factories.show(session, factories.person(session, "Cy Young"))
    draft = factories.episode(session, other, "Secret plan", state="draft")
    session.commit()
    sent = {"json": body} if body is not None else {}
    answers = [
        refused(place.its.ask(method, f"episodes/{guid}{rest}", **sent), 404)
        for guid in (draft.guid, NOWHERE)
    ]
    for told in answers:
        del told["request_id"]
    assert answers[0] == answers[1]


def test_a_reason_is_the_authors_business(place, session):
    place.talk.reason, place.talk.notice = "The disk was full.", "We cut the silence."
    session.add(place.talk)
    session.commit()
    path = f"episodes/{place.talk.guid}"
    for rest in ("", "/progress"):
        assert place.its.get(path + rest).get_json()["reason"] == "The disk was full."
        assert place.mine.get(path + rest).get_json()["reason"] is None
    assert place.mine.get(path).get_json()["notice"] is None


# Publishing


def test_a_draft_is_saved_and_changed_field_by_field(place):
    sent = {"title": " On  call ", "notes": "Why *we* do it", "topics": ["On call", "Health"]}
    answer = place.its.post("episodes", json=sent | {"language": "de"})
    made = answer.get_json()
    assert answer.status_code == 201
    assert answer.headers["Location"] == f"/api/v1/episodes/{made['guid']}"
    assert (made["title"], made["state"], made["language"]) == ("On call", "draft", "de")
    changed = place.its.patch(f"episodes/{made['guid']}", json={"title": "On call, calmly"})
    told = changed.get_json()
    assert told["title"] == "On call, calmly"
    assert [told[name] for name in ("notes", "language", "topics", "show")] == [
        made[name] for name in ("notes", "language", "topics", "show")
    ]
    emptied = place.its.patch(f"episodes/{made['guid']}", json={"topics": [], "notes": ""})
    assert (emptied.get_json()["topics"], emptied.get_json()["notes"]) == ([], "")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ({"title": ""}, "title"),
        ({"title": " \u0000\u202e "}, "title"),
        ({"title": "x" * 10_000}, "title"),
        ({"title": 5}, "title"),
        ({"title": None}, "title"),
        ({"title": "\ud800"}, "title"),
        ({"title": "T", "notes": "x" * 10_001}, "notes"),
        ({"title": "T", "topics": "a,b"}, "topics"),
        ({"title": "T", "topics": ["a,b"]}, "topics.0"),
        ({"title": "T", "topics": list("abcdefghi")}, "topics"),
        ({"title": "T", "language": "English"}, "language"),
        ({"title": "T", "show": "somebody-elses"}, "show"),
        ({"title": "T", "show": "\u0000"}, "show"),
        ([], "body"),
        ("title", "body"),
    ],
)
def test_a_draft_that_cannot_be_is_refused_by_field(place, session, body, field):
    told = refused(place.its.post("episodes", json=body), 422)
    assert list(told["errors"]) == [field]
    assert session.exec(select(func.count()).select_from(Episode)).one() == 1


def test_a_long_title_is_refused_in_words(place):
    told = refused(place.its.post("episodes", json={"title": "x" * 10_000}), 422)
    assert told["detail"] == "The title has 10000 characters; 200 is the most."
    assert told["errors"] == {"title": told["detail"]}


@pytest.mark.parametrize(
    "extra", ["author", "author_id", "published_at", "score", "is_admin", "state", "guid", "id"]
)
def test_fields_that_nobody_may_set_are_refused(place, session, extra):
    path = f"episodes/{place.talk.guid}"
    body = {"title": "New title", extra: 1}
    for answer in (place.its.post("episodes", json=body), place.its.patch(path, json=body)):
        assert list(refused(answer, 422)["errors"]) == [extra]
    assert place.its.get(path).get_json()["title"] == "How we deploy"


def test_a_learner_publishes_nothing(place):
    refused(place.mine.post("episodes", json={"title": "Mine"}), 404)
    refused(place.mine.post("shows", json={"title": "Mine"}), 404)


def test_a_withdrawn_talk_is_gone_for_all_but_its_author(place):
    assert place.its.post(f"episodes/{place.talk.guid}/withdraw").status_code == 204
    assert place.its.post(f"episodes/{place.talk.guid}/withdraw").status_code == 204
    refused(place.mine.get(f"episodes/{place.talk.guid}"), 404)
    assert place.mine.get("episodes").get_json()["rows"] == []
    assert place.mine.get("search?q=country").get_json()["count"] == 0
    assert place.its.get(f"episodes/{place.talk.guid}").get_json()["withdrawn"] is True


# Uploads

SOUND = b"RIFF" + bytes(2048)


@pytest.fixture
def draft(place):
    """The address of an author's fresh draft."""
    made = place.its.post("episodes", json={"title": "To be said"}).get_json()
    return f"episodes/{made['guid']}"


@pytest.fixture
def queue(session):
    """Count the works queued for a talk; they are taken off again, as no worker runs here."""
    mark = "workflow_uuid LIKE 'produce-' || :guid || '-%'"
    seen = []

    def queued(path):
        guid = path.removeprefix("episodes/")
        seen.append(guid)
        count = text(f"SELECT count(*) FROM dbos.workflow_status WHERE {mark}")  # noqa: S608
        return session.execute(count, {"guid": guid}).scalar_one()

    yield queued
    for guid in seen:
        taken = text(f"DELETE FROM dbos.workflow_status WHERE {mark}")  # noqa: S608
        session.execute(taken, {"guid": guid})
    session.commit()


def send(program, url, offset, content):
    headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
    return program.patch(url, data=content, headers=headers)


def test_a_recording_is_sent_with_the_token_and_queued_once(place, session, draft, queue):
    begun = place.its.post(f"{draft}/upload", json={"name": "a.wav", "size": len(SOUND)})
    upload = begun.get_json()
    assert (begun.status_code, upload["offset"], upload["chunk"]) == (201, 0, 8 * 1024**2)
    assert upload["url"].startswith("/uploads/")
    refused(place.its.post(f"{draft}/finish"), 409)
    assert send(place.its, upload["url"], 0, SOUND).status_code == 204
    for _ in range(2):
        answer = place.its.post(f"{draft}/finish")
        assert (answer.status_code, answer.get_json()["state"]) == (202, "processing")
    assert queue(draft) == 1
    source = session.exec(select(Source).where(Source.given_name == "a.wav")).one()
    assert source.size == len(SOUND)


def test_the_same_file_goes_on_and_another_one_is_refused(place, draft):
    first = place.its.post(f"{draft}/upload", json={"name": "a.wav", "size": 5})
    again = place.its.post(f"{draft}/upload", json={"name": "a.wav", "size": 5})
    other = place.its.post(f"{draft}/upload", json={"name": "b.wav", "size": 5})
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.get_json()["url"] == first.get_json()["url"]
    assert "a.wav" in refused(other, 409)["detail"]
    assert place.its.delete(f"{draft}/upload").status_code == 204
    assert place.its.get(draft).get_json()["state"] == "draft"
    fresh = place.its.post(f"{draft}/upload", json={"name": "b.wav", "size": 5})
    assert fresh.status_code == 201


def test_a_cut_connection_loses_nothing_that_was_acknowledged(place, draft):
    begun = place.its.post(f"{draft}/upload", json={"name": "a.wav", "size": 5}).get_json()
    refused(send(place.its, begun["url"], 3, b"ab"), 409)
    refused(send(place.its, begun["url"], 0, b"ab"), 413)
    head = place.its.ask("HEAD", begun["url"])
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == ("0", "5")
    assert send(place.its, begun["url"], 0, b"abcde").headers["Upload-Offset"] == "5"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "a.wav", "size": 0}, 422),
        ({"name": "a.wav", "size": -1}, 422),
        ({"name": "a.wav", "size": 5 * 1024**3}, 413),
        ({"name": "a.wav", "size": 10**30}, 422),
        ({"name": "a.wav", "size": 2.5}, 422),
        ({"name": "a.wav", "size": "5"}, 422),
        ({"name": "a.wav", "size": True}, 422),
        ({"name": "a.wav"}, 422),
        ({"size": 5}, 422),
        ({"name": None, "size": 5}, 422),
        ({"name": "a.wav", "size": 5, "key": "sources/x"}, 422),
    ],
)
def test_an_upload_that_cannot_be_is_refused_and_the_draft_stays(place, draft, body, status):
    refused(place.its.post(f"{draft}/upload", json=body), status)
    assert place.its.get(draft).get_json()["state"] == "draft"


def test_a_given_name_becomes_no_path(place, session, draft):
    body = {"name": "../../etc/\u0000passwd\n", "size": 5}
    assert place.its.post(f"{draft}/upload", json=body).status_code == 201
    upload = session.exec(select(Upload)).one()
    assert upload.given_name == "passwd"
    assert "passwd" not in upload.key


def test_only_what_failed_is_tried_again(place, session, queue):
    broken = factories.episode(session, place.show, "Broken", state="failed")
    session.commit()
    refused(place.its.post(f"episodes/{place.talk.guid}/retry"), 409)
    answer = place.its.post(f"episodes/{broken.guid}/retry")
    assert (answer.status_code, answer.get_json()["state"]) == (202, "processing")
    assert queue(f"episodes/{broken.guid}") == 1
    refused(place.its.post(f"episodes/{broken.guid}/retry"), 409)
    assert queue(f"episodes/{broken.guid}") == 1


# Ratings


def test_a_rating_is_given_changed_and_taken_back(place, session):
    path = f"episodes/{place.talk.guid}"
    for stars in (2, 5, 5):
        told = place.mine.put(f"{path}/rating", json={"stars": stars}).get_json()
        assert told["stars"] == stars
        assert (told["rating"]["count"], told["rating"]["mean"]) == (1, stars)
    assert told["rating"]["spread"] == [0, 0, 0, 0, 1]
    row = session.exec(select(Rating)).one()
    assert (row.stars, row.source) == (5, "api")
    assert place.mine.get(path).get_json()["my_stars"] == 5
    for _ in range(2):
        assert place.mine.delete(f"{path}/rating").status_code == 204
    assert place.mine.get(path).get_json()["my_stars"] is None


@pytest.mark.parametrize(
    "stars",
    [
        "0",
        "6",
        "2.5",
        "-1",
        "NaN",
        "Infinity",
        "1e400",
        "1e999",
        '"x"',
        '"5"',
        "null",
        "true",
        "[]",
    ],
)
def test_stars_that_are_none_are_refused(place, session, stars):
    answer = place.mine.put(
        f"episodes/{place.talk.guid}/rating",
        data=f'{{"stars": {stars}}}',
        content_type="application/json",
    )
    told = refused(answer, 422)
    if stars not in {"NaN", "Infinity"}:
        assert told["errors"] == {"stars": "Stars go from 1 to 5."}
    assert session.exec(select(func.count()).select_from(Rating)).one() == 0


def test_a_rating_without_stars_or_with_more_than_stars_is_refused(place):
    path = f"episodes/{place.talk.guid}/rating"
    assert list(refused(place.mine.put(path, json={}), 422)["errors"]) == ["stars"]
    more = refused(place.mine.put(path, json={"stars": 5, "person_id": 1}), 422)
    assert list(more["errors"]) == ["person_id"]


def test_nobody_rates_ones_own_talk(place):
    told = refused(place.its.put(f"episodes/{place.talk.guid}/rating", json={"stars": 5}), 403)
    assert told["detail"] == "You cannot rate your own talk."


def test_a_talk_that_cannot_be_heard_is_not_rated_yet(place, session):
    early = factories.episode(session, place.show, state="processing", published_at=now())
    session.commit()
    path = f"episodes/{early.guid}/rating"
    refused(place.mine.put(path, json={"stars": 5}), 409)
    refused(place.mine.delete(path), 409)


def everything_told(program, talk):
    """Return the text of every answer that has something to do with a talk's ratings."""
    paths = ("episodes", "episodes?order=newest", "search?q=deploy", f"episodes/{talk.guid}")
    return [program.get(path).get_data(as_text=True) for path in paths]


def test_who_has_not_rated_learns_nothing_of_what_others_gave(place, session):
    for number in range(20):
        factories.earlier(factories.episode(session, place.show, f"T{number}"), days=1)
    raters = [factories.person(session, f"Rater {number}") for number in range(4)]
    factories.rating(session, place.talk, raters[0], 5)
    factories.rating(session, place.talk, raters[1], 4)
    session.commit()
    before = everything_told(place.mine, place.talk)
    factories.rating(session, place.talk, raters[2], 5)
    factories.rating(session, place.talk, raters[3], 5)
    session.commit()
    assert everything_told(place.mine, place.talk) == before
    whole = json.loads(before[-1])
    assert (whole["rating"], whole["terms"]) == (None, [])
    place.mine.put(f"episodes/{place.talk.guid}/rating", json={"stars": 3})
    whole = place.mine.get(f"episodes/{place.talk.guid}").get_json()
    assert (whole["rating"]["count"], whole["rating"]["mean"]) == (5, 4.4)
    score = session.get(EpisodeScore, place.talk.id, populate_existing=True).score
    assert sum(term["value"] for term in whole["terms"]) == pytest.approx(score)


# Comments and positions


def test_comments_are_said_answered_and_removed(place, session, program):
    path = f"episodes/{place.talk.guid}/comments"
    said = place.mine.post(path, json={"body": "How *long*?\u0000", "at": 12.5})
    assert said.status_code == 201
    first = said.get_json()
    assert (first["body"], first["at"], first["mine"]) == ("How *long*?", 12.5, True)
    assert "<em>long</em>" in first["body_html"]
    place.its.post(path, json={"body": "An hour.", "parent": first["id"]})
    (thread,) = place.its.get(path).get_json()["rows"]
    assert [reply["body"] for reply in thread["replies"]] == ["An hour."]
    assert (thread["mine"], thread["may_remove"]) == (False, False)
    refused(place.its.delete(f"{path}/{first['id']}"), 404)
    assert place.mine.delete(f"{path}/{first['id']}").status_code == 204
    (thread,) = place.its.get(path).get_json()["rows"]
    assert (thread["removed"], thread["body"], len(thread["replies"])) == (True, "", 1)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"body": ""}, 422),
        ({"body": " \u0000 "}, 422),
        ({"body": "x" * 5001}, 422),
        ({"body": 5}, 422),
        ({"body": "Hi", "at": "12"}, 422),
        ({"body": "Hi", "at": -1}, 422),
        ({"body": "Hi", "parent": 10**30}, 422),
        ({"body": "Hi", "parent": 2**62}, 404),
        ({"body": "Hi", "author_id": 1}, 422),
        ({}, 422),
    ],
)
def test_a_comment_that_cannot_be_is_refused(place, body, status):
    path = f"episodes/{place.talk.guid}/comments"
    refused(place.mine.post(path, json=body), status)
    assert place.mine.get(path).get_json()["rows"] == []


def test_comments_open_when_the_talk_is_out(place, session):
    draft = factories.episode(session, place.show, state="draft")
    session.commit()
    refused(place.its.post(f"episodes/{draft.guid}/comments", json={"body": "First!"}), 409)


@pytest.mark.parametrize("number", [0, 2**62, 2**63 - 1])
def test_a_comment_that_is_not_there_cannot_be_removed(place, number):
    refused(place.mine.delete(f"episodes/{place.talk.guid}/comments/{number}"), 404)


def test_a_position_is_kept_and_told(place, session):
    path = f"episodes/{place.talk.guid}"
    for seconds in (30, 12.5):
        answer = place.mine.put(f"{path}/position", json={"seconds": seconds})
        assert answer.status_code == 204
    assert place.mine.get(path).get_json()["position"] == 12.5
    assert session.exec(select(Position)).one().finished is False


@pytest.mark.parametrize("seconds", [-1, 1000, "12", None, True])
def test_a_position_outside_the_talk_is_refused(place, seconds):
    path = f"episodes/{place.talk.guid}/position"
    refused(place.mine.put(path, json={"seconds": seconds}), 422)


def test_nobody_is_anywhere_in_a_talk_that_cannot_be_heard(place, session):
    draft = factories.episode(session, place.show, state="draft")
    session.commit()
    refused(place.its.put(f"episodes/{draft.guid}/position", json={"seconds": 0}), 409)


# Shows and feeds


def test_a_show_is_made_and_listed(place):
    answer = place.its.post("shows", json={"title": "Night shift", "description": "What we see."})
    made = answer.get_json()
    assert (answer.status_code, made["mine"]) == (201, True)
    assert made["slug"].startswith("night-shift-")
    rows = place.mine.get("shows").get_json()["rows"]
    assert [row["title"] for row in rows] == ["Night shift", "Platform talks"]
    assert rows[0]["owner"]["name"] == "Ana Lima"
    assert place.mine.get(f"shows?after={made['slug']}").get_json()["rows"] == rows[1:]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": " "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "T", "description": "x" * 4001}, "description"),
        ({"title": "T", "community": "none-such"}, "community"),
        ({"title": "T", "language": "x" * 13}, "language"),
        ({"title": "T", "owner_id": 1}, "owner_id"),
    ],
)
def test_a_show_that_cannot_be_is_refused_by_field(place, body, field):
    assert list(refused(place.its.post("shows", json=body), 422)["errors"]) == [field]


def test_a_feed_is_issued_opened_and_closed(place):
    made = place.mine.post("feeds", json={"label": "Phone"})
    feed = made.get_json()
    assert (made.status_code, feed["title"], feed["label"]) == (201, "Top rated", "Phone")
    path = feed["address"].removeprefix(place.mine._origin)
    assert b"How we deploy" in place.mine.get(path).data
    of_show = place.mine.post("feeds", json={"show": place.show.slug, "mode": "video"}).get_json()
    assert (of_show["title"], of_show["mode"]) == ("Platform talks", "video")
    refused(place.its.delete(f"feeds/{feed['id']}"), 404)
    for _ in range(2):
        assert place.mine.delete(f"feeds/{feed['id']}").status_code == 204
    assert place.mine.get(path).status_code == 410
    rows = place.mine.get("feeds").get_json()["rows"]
    assert [(row["id"], row["address"], bool(row["revoked_at"])) for row in rows] == [
        (of_show["id"], None, False),
        (feed["id"], None, True),
    ]
    # It was told when it was made; a list shows no more than lets its owner tell it from others.
    assert of_show["address"] not in str(rows)
    assert rows[0]["masked"].startswith(f"{place.mine._origin}/f/{path_start(of_show)}…")


def path_start(feed):
    return feed["address"].rpartition("/")[2][:4]


def test_a_feed_is_renamed_renewed_and_replaced(place):
    first = place.mine.post("feeds", json={"label": "Phone", "days": 90}).get_json()
    assert first["expires_at"]
    own = f"feeds/{first['id']}"
    assert place.mine.patch(own, json={"label": "Tablet"}).get_json()["label"] == "Tablet"
    renewed = place.mine.post(f"{own}/rotation").get_json()
    assert (renewed["id"], renewed["label"]) == (first["id"], "Tablet")
    old, new = (told["address"].removeprefix(place.mine._origin) for told in (first, renewed))
    assert place.mine.get(old).headers["Location"] == renewed["address"]
    replaced = place.mine.post(f"{own}/replacement")
    assert replaced.status_code == 201
    fresh = replaced.get_json()
    assert fresh["id"] != first["id"]
    assert fresh["expires_at"] == first["expires_at"]
    assert [place.mine.get(path).status_code for path in (old, new)] == [410, 410]
    assert place.mine.get(fresh["address"].removeprefix(place.mine._origin)).status_code == 200
    for act in ("rotation", "replacement"):
        refused(place.mine.post(f"{own}/{act}"), 409)


def test_s41_an_address_is_told_to_a_token_that_may_read_and_no_longer_than_it_lives(
    place, program, session, settings
):
    def its(*scopes):
        life = timedelta(days=5)
        token, secret = tokens.issue(session, place.listener.id, "x", scopes=scopes, life=life)
        session.commit()
        return token, program(None, secret)

    _, blind = its("take-part")
    made = blind.post("feeds", json={"label": "Phone"}).get_json()
    own = f"feeds/{made['id']}"
    acts = (f"{own}/rotation", f"{own}/replacement")
    assert [made["address"], *(blind.post(act).get_json()["address"] for act in acts)] == [None] * 3
    token, seeing = its("read", "take-part")
    ends = token.expires_at.timestamp()
    for days in (None, 90):
        made = seeing.post("feeds", json={"days": days}).get_json()
        own = f"feeds/{made['id']}"
        rows = [
            made,
            *(seeing.post(f"{own}/{act}").get_json() for act in ("rotation", "replacement")),
        ]
        assert all(row["address"] for row in rows)
        assert {datetime.fromisoformat(row["expires_at"]).timestamp() for row in rows} == {ends}
    # One that its owner made for ever stays so, and is not told to a program.
    view = channel.view_top(session)
    lasting = feeds.issue(session, place.listener.id, view, secret=settings.secret)
    session.commit()
    renewed = seeing.post(f"feeds/{lasting.id}/rotation").get_json()
    assert (renewed["address"], renewed["expires_at"]) == (None, None)
    replaced = seeing.post(f"feeds/{lasting.id}/replacement").get_json()
    assert replaced["address"]
    assert datetime.fromisoformat(replaced["expires_at"]).timestamp() == ends


def test_nobody_elses_feed_is_touched(place):
    first = place.mine.post("feeds", json={"label": "Phone"}).get_json()
    own = f"feeds/{first['id']}"
    refused(place.its.patch(own, json={"label": "x"}), 404)
    for act in ("rotation", "replacement"):
        refused(place.its.post(f"{own}/{act}"), 404)
    assert place.mine.get("feeds").get_json()["rows"][0]["label"] == "Phone"
    assert place.mine.get(first["address"].removeprefix(place.mine._origin)).status_code == 200


def test_nobody_holds_more_than_fifty_feeds(place, session):
    for _ in range(50):
        assert place.mine.post("feeds", json={}).status_code == 201
    told = refused(place.mine.post("feeds", json={}), 409)
    assert told["detail"] == "Remove an address you no longer use."
    assert session.exec(select(func.count()).select_from(FeedToken)).one() == 50


@pytest.mark.parametrize(
    "body",
    [
        {"show": "none-such"},
        {"mode": "both"},
        {"days": 30},
        {"label": "x" * 121},
        {"label": "a\u0000"},
        {"x": 1},
    ],
)
def test_a_feed_that_cannot_be_is_refused(place, body):
    refused(place.mine.post("feeds", json=body), 422)


# Bodies


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 400),
        (b"{", 400),
        (b"{'title': 'T'}", 400),
        (b'{"title": "\xff"}', 400),
        (b'\xef\xbb\xbf{"title": "T"}', 400),
        (b"[" * 100_000, 400),
        (b'{"title": ' + b"9" * 5000 + b"}", 400),
        (b'{"title": NaN}', 422),
        (b'{"title": -Infinity}', 422),
        (b"null", 422),
        (b"[]", 422),
        (b'{"title": "' + b"x" * 1024**2 + b'"}', 413),
    ],
)
def test_a_body_that_is_no_object_in_json_is_refused(place, content, status):
    refused(place.its.post("episodes", data=content, content_type="application/json"), status)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
)
def test_a_body_of_another_type_is_refused(place, kind):
    refused(place.its.post("episodes", data=b'{"title": "T"}', content_type=kind), 415)


def test_a_body_that_does_not_say_how_long_it_is_may_not_be_endless(place):
    class Endless(io.BytesIO):
        taken = 0

        def read(self, size=-1):
            size = size if size is not None and size > 0 else 65536
            self.taken += size
            return b" " * size

        def readinto(self, buffer):
            buffer[:] = self.read(len(buffer))
            return len(buffer)

    body = Endless()
    answer = place.its.post(
        "episodes",
        input_stream=body,
        content_type="application/json",
        environ_overrides={"wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
        headers={"Transfer-Encoding": "chunked"},
    )
    refused(answer, 413)
    assert body.taken < 4 * 1024**2


# What is never told

MARK = "marked-secret"


def test_a_column_that_no_model_names_is_not_told():
    wider = make_dataclass("Wider", [("secret", str)], bases=(Row,), frozen=True, kw_only=True)
    told: dict[str, Any] = {field.name: None for field in fields(Row)}
    told |= {"guid": str(uuid4()), "title": "T", "topics": (), "state": "draft", "words": ""}
    told |= {"id": 1, "score": 3.9, "percent": 0, "has_video": False, "finished": False}
    told |= {"author": PersonLink("Ana", "ref"), "show": ShowLink("S", "s"), "withdrawn": False}
    row = wider(**told, secret=MARK)
    assert row.secret == MARK
    shown = EpisodeRow.model_validate(row).model_dump_json()
    assert MARK not in shown
    assert '"score"' not in shown
    nested = SimpleNamespace(**told | {"author": SimpleNamespace(name="A", ref="r", email=MARK)})
    assert MARK not in EpisodeRow.model_validate(nested).model_dump_json()


def test_secret_columns_are_in_no_answer(application, place, session, draft):
    place.its.post(f"{draft}/upload", json={"name": "a.wav", "size": 5})
    place.mine.post("feeds", json={"label": "Phone"})
    said = factories.comment(session, place.talk, place.author, f"{MARK} removed", removed_at=now())
    factories.comment(session, place.talk, place.listener, "kept", parent_id=said.id)
    for table, columns in {
        "person": ("email", "password_hash", "about"),
        "access_token": ("label",),
        "source": ("key", "sha256", "given_name"),
        "rendition": ("key", "etag"),
        "upload": ("key", "s3_upload_id"),
        "transcript": ("engine",),
    }.items():
        for column in columns:
            key = "id" if table in {"person", "access_token"} else "1"
            marked = f"UPDATE {table} SET {column} = :mark || {key}"  # noqa: S608  our own names
            session.execute(text(marked), {"mark": MARK})
    session.commit()
    read = 0
    for path, method in api_routes(application):
        if method != "GET" or path.endswith("/docs"):
            continue
        for program in (place.its, place.mine):
            answer = program.get(path.replace(NOWHERE, str(place.talk.guid)))
            assert answer.status_code in {200, 404}
            assert MARK not in answer.get_data(as_text=True), path
            read += answer.status_code == 200
    assert read > 18


# The description


def test_the_document_names_every_view_and_every_reference_in_it_resolves(application, program):
    told = program(None).get("openapi.json").get_json()
    described = {
        (path, method.upper()) for path, methods in told["paths"].items() for method in methods
    }
    with application.app_context():
        views = {
            (rule.rule.split("<")[0], method)
            for rule in application.url_map.iter_rules()
            if rule.endpoint.startswith("api.") and not rule.endpoint.startswith("api.reference.")
            for method in rule.methods - {"HEAD", "OPTIONS"}
        }
    assert {(path.split("{")[0], method) for path, method in described} == views
    assert len(described) > 30
    schemas = told["components"]["schemas"]
    references = [part.split('"')[0] for part in json.dumps(told).split('"#/components/schemas/')]
    assert set(references[1:]) <= set(schemas)
    assert "EpisodeRead" in schemas
    rating = told["paths"]["/api/v1/episodes/{guid}/rating"]["put"]
    assert list(rating["responses"]["422"]["content"]) == ["application/problem+json"]
    assert schemas["RatingBody"]["properties"]["stars"]["maximum"] == 5


class Markup(HTMLParser):
    """The tags of a page with their attributes, and what stands in its scripts and styles."""

    def __init__(self):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: dict[str, list[str]] = {}

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag in {"script", "style"}:
            self.texts.setdefault(tag, []).append("")

    def handle_data(self, data):
        if self.tags[-1][0] in self.texts:
            self.texts[self.tags[-1][0]][-1] += data


def test_the_reference_page_runs_alone_and_asks_nobody(program):
    answer = program(None).get("docs")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-scripts" in policy
    assert "unsafe" not in policy
    assert "'self'" not in policy
    page = Markup()
    page.feed(answer.get_data(as_text=True))
    page.close()
    assert [tag for tag, _ in page.tags].count("script") == 2
    for tag, given in page.tags:
        assert "src" not in given
        assert given.get("href", "data:,") == "data:,", tag
        assert not [name for name in given if name.startswith("on") or name == "style"]
    for kind in ("script", "style"):
        (allowed,) = re.findall(f"{kind}-src ([^;]*)", policy)
        hashes = [base64.b64encode(hashlib.sha256(t.encode()).digest()) for t in page.texts[kind]]
        assert allowed.split() == [f"'sha256-{digest.decode()}'" for digest in hashes]
    assert "How far the making of a talk is" in page.texts["script"][-1]


@pytest.mark.parametrize("path", ["none-such", "episodes/none-such", "episodes/mine/none-such"])
def test_an_address_that_is_none_is_told_as_a_problem(place, path):
    refused(place.mine.get(path), 404)


def test_a_method_that_an_address_does_not_have_is_refused(place):
    answer = place.mine.get(f"episodes/{place.talk.guid}/rating")
    refused(answer, 405)
    assert set(answer.headers["Allow"].split(", ")) == {"PUT", "DELETE", "OPTIONS"}
