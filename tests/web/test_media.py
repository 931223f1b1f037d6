"""Bytes over HTTP: the matrix of methods, conditions and ranges, and who may have them."""

import hashlib
import io
import json
import random
import re
import threading
from dataclasses import dataclass
from datetime import timedelta
from uuid import uuid4

import pytest
from flask import Flask, Response, request
from PIL import Image

from service.app import create_app, floor_of
from service.delivery import MIB, Offer, Stream, Terms, answer, made, stored
from service.feed import tokens
from storage.models import Episode, FeedToken, Person, Rendition, Show, now
from storage.objects import ObjectStore
from tests import factories
from tests.web.listeners import (
    LONG_AGO,
    Listener,
    add_person,
    add_rendition,
    add_show,
    add_talk,
    add_token,
    add_transcript,
    cookie,
)
from workers import retention

SIZE = MIB + 312_345
CHANCE = random.Random(7)  # noqa: S311  a seeded run can be repeated
BYTES = CHANCE.randbytes(SIZE)


@pytest.fixture(scope="module")
def app(house):
    held = create_app(house)
    yield held
    floor_of(held).database.close()


@pytest.fixture
def listener(app, house):
    return Listener(app, house)


@dataclass
class Kept:
    store: ObjectStore
    key: str
    etag: str

    @property
    def offer(self) -> Offer:
        return stored(
            self.store,
            self.key,
            size=SIZE,
            content_type="audio/mpeg",
            etag=self.etag,
            modified=LONG_AGO,
        )


@pytest.fixture(scope="module")
def kept(app):
    """The object that all tests here play: stored once."""
    store, key = floor_of(app).store, f"renditions/tests/{uuid4().hex}.mp3"
    found = store.put(key, BYTES, "audio/mpeg")
    yield Kept(store, key, found.etag)
    store.delete(key)


@dataclass
class Stage:
    talk: Episode
    show: Show
    person: Person
    token: FeedToken
    rendition: Rendition
    base: str
    audio: str
    page_audio: str
    cookie: str


@pytest.fixture
def stage(session, settings, kept):
    person = add_person(session)
    show = add_show(session, add_person(session, "Bo Chen"))
    talk = add_talk(session, show)
    rendition = add_rendition(session, talk, "mp3", BYTES)
    rendition.key, rendition.etag = kept.key, kept.etag
    token = add_token(session, settings, person, show)
    add_transcript(session, talk)
    signed_in = cookie(session, person)
    session.commit()
    key = tokens.episode_key(settings.secret, token, talk.guid)
    base = f"/m/{token.ref}/{key}/{talk.guid}/1"
    page = f"/episodes/{talk.guid}/media/1/audio.mp3"
    return Stage(talk, show, person, token, rendition, base, f"{base}/audio.mp3", page, signed_in)


def test_a_download_is_the_file(listener, stage):
    whole = listener.get(stage.audio)
    assert whole.status_code == 200
    assert hashlib.sha256(whole.data).digest() == hashlib.sha256(BYTES).digest()
    assert whole.headers["Content-Length"] == str(SIZE)
    assert whole.headers["Content-Type"] == "audio/mpeg"
    assert whole.headers["Accept-Ranges"] == "bytes"
    assert whole.headers["Cache-Control"] == "private, no-cache"
    assert whole.headers["ETag"] == f'"{stage.rendition.etag}"'
    assert whole.headers["Last-Modified"] == "Sun, 01 Mar 2026 09:30:15 GMT"
    assert whole.headers["X-Robots-Tag"] == "noindex, nofollow"
    assert whole.headers["Referrer-Policy"] == "no-referrer"
    assert "Access-Control-Allow-Origin" not in whole.headers
    assert "Set-Cookie" not in whole.headers


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=5-9"}, {"Range": "bytes=99999999-"}])
def test_head_tells_the_whole_files_truth_and_ignores_ranges(listener, stage, headers):
    head = listener.get(stage.audio, "HEAD", **headers)
    whole = listener.get(stage.audio)
    assert head.status_code == 200
    assert head.data == b""
    differs = {"X-Request-Id"}
    assert {k: v for k, v in head.headers if k not in differs} == {
        k: v for k, v in whole.headers if k not in differs
    }


@pytest.mark.parametrize(
    ("asked", "start", "end"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-1", 0, 1),
        ("bytes=0-", 0, SIZE - 1),
        ("bytes=1000000-", 1_000_000, SIZE - 1),
        (f"bytes=0-{MIB + 9}", 0, MIB + 9),
        (f"bytes={SIZE - 1}-", SIZE - 1, SIZE - 1),
        (f"bytes=10-{SIZE * 2}", 10, SIZE - 1),
        ("bytes=-1", SIZE - 1, SIZE - 1),
        (f"bytes=-{SIZE * 2}", 0, SIZE - 1),
        ("bytes=262143-262144", 262_143, 262_144),
    ],
)
def test_an_app_gets_all_of_the_range_it_asks_for(listener, stage, asked, start, end):
    part = listener.get(stage.audio, Range=asked)
    assert part.status_code == 206
    assert part.headers["Content-Range"] == f"bytes {start}-{end}/{SIZE}"
    assert part.headers["Content-Length"] == str(end - start + 1)
    assert part.data == BYTES[start : end + 1]


@pytest.mark.parametrize("asked", [f"bytes={SIZE}-", f"bytes={SIZE}-{SIZE + 5}", "bytes=-0"])
def test_a_range_past_the_end_is_416(listener, stage, asked):
    refused = listener.get(stage.audio, Range=asked)
    assert refused.status_code == 416
    assert refused.headers["Content-Range"] == f"bytes */{SIZE}"
    assert refused.mimetype == "text/plain"


@pytest.mark.parametrize(
    "asked",
    ["bytes=0-1,5-6", f"bytes={SIZE}-,0-1", "bytes=x", "bytes=9-1", "items=0-1", "bytes", "=",
     "bytes=" + ",".join(f"{n}-{n}" for n in range(1000))],
    ids=["two", "two-one-past", "words", "backwards", "unit", "bare", "equals", "a-thousand"],
)  # fmt: skip
def test_several_and_malformed_ranges_give_the_whole_file(listener, stage, asked):
    whole = listener.get(stage.audio, Range=asked)
    assert whole.status_code == 200
    assert len(whole.data) == SIZE


def test_if_range_resumes_the_same_file_and_restarts_another(listener, stage):
    tag, date = f'"{stage.rendition.etag}"', "Sun, 01 Mar 2026 09:30:15 GMT"
    for held in (tag, date):
        assert listener.get(stage.audio, Range="bytes=5-9", If_Range=held).status_code == 206
    others = ('"other"', f"W/{tag}", "Sun, 01 Mar 2026 09:30:16 GMT", "nonsense", "")
    for held in others:
        whole = listener.get(stage.audio, Range="bytes=5-9", If_Range=held)
        assert (whole.status_code, len(whole.data)) == (200, SIZE)
    # Past the end of a file that has changed lies nothing wrong: it is sent anew.
    far = listener.get(stage.audio, Range=f"bytes={SIZE}-", If_Range='"other"')
    assert far.status_code == 200


def test_what_the_app_holds_is_not_sent_again(listener, stage):
    tag, date = f'"{stage.rendition.etag}"', "Sun, 01 Mar 2026 09:30:15 GMT"
    for method in ("GET", "HEAD"):
        for headers in (
            {"If_None_Match": tag},
            {"If_None_Match": f'"x", W/{tag}'},
            {"If_None_Match": "*"},
            {"If_Modified_Since": date},
            {"If_None_Match": tag, "Range": "bytes=0-5"},
        ):
            held = listener.get(stage.audio, method, **headers)
            assert (held.status_code, held.data) == (304, b"")
            assert held.headers["ETag"] == tag
    again = listener.get(stage.audio, If_None_Match='"x"', If_Modified_Since=date)
    assert again.status_code == 200


def test_a_download_cut_anywhere_and_resumed_is_the_file(listener, stage):
    for cut in [0, 1, SIZE - 1, *(CHANCE.randrange(SIZE) for _ in range(5))]:
        rest = listener.get(
            stage.audio, Range=f"bytes={cut}-", If_Range=f'"{stage.rendition.etag}"'
        )
        assert rest.status_code == 206
        assert BYTES[:cut] + rest.data == BYTES


def test_a_browsers_player_gets_at_most_a_mebibyte(listener, stage):
    asked = {"Cookie": stage.cookie}
    first = listener.get(stage.page_audio, Range="bytes=0-", **asked)
    assert first.status_code == 206
    assert first.headers["Content-Range"] == f"bytes 0-{MIB - 1}/{SIZE}"
    assert first.data == BYTES[:MIB]
    late = listener.get(stage.page_audio, Range=f"bytes={SIZE - 10}-", **asked)
    assert late.data == BYTES[-10:]
    assert listener.get(stage.page_audio, **asked).data == BYTES
    past = listener.get(stage.page_audio, Range=f"bytes={SIZE}-", **asked)
    assert past.status_code == 416


def test_the_pages_own_bytes_need_a_session(listener, stage):
    for path in (
        stage.page_audio,
        f"/episodes/{stage.talk.guid}/transcript.vtt",
        f"/shows/{stage.show.slug}/art.jpg",
    ):
        refused = listener.get(path, Accept="*/*")
        assert refused.status_code in {303, 401}
        assert listener.get(path, Cookie=stage.cookie).status_code == 200


def test_a_draft_is_heard_by_its_author_alone(session, listener, stage):
    stage.talk.published_at = None
    session.add(stage.talk)
    author = session.get(Person, stage.talk.author_id)
    own = cookie(session, author)
    session.commit()
    assert listener.get(stage.page_audio, Cookie=stage.cookie).status_code == 404
    assert listener.get(stage.page_audio, "HEAD", Cookie=own).status_code == 200
    assert listener.get(stage.audio).status_code == 404


def test_what_is_not_there_is_404(listener, stage):
    for path in (
        f"{stage.base}/video.mp4",
        stage.audio.replace("/1/audio", "/2/audio"),
        f"{stage.base}/audio.wav",
        f"{stage.base}/en.txt",
    ):
        assert listener.get(path).status_code == 404
    for path in (
        f"/episodes/{stage.talk.guid}/media/1/video.mp4",
        f"/episodes/{stage.talk.guid}/media/9/audio.mp3",
        f"/episodes/{uuid4()}/media/1/audio.mp3",
        f"/episodes/{uuid4()}/transcript.vtt",
        "/shows/none/art.jpg",
    ):
        assert listener.get(path, Cookie=stage.cookie).status_code == 404


@pytest.fixture
def addresses(settings, stage):
    """All kinds of address that a token's feed names."""
    key = tokens.artwork_key(settings.secret, stage.token, stage.show.guid)
    return [
        stage.audio,
        *(f"{stage.base}/en.{extension}" for extension in ("vtt", "srt", "json")),
        f"/m/{stage.token.ref}/{key}/{stage.show.guid}/1/art.jpg",
    ]


def test_a_revoked_token_closes_every_address(session, listener, stage, addresses):
    for path in addresses:
        assert listener.get(path, "HEAD").status_code == 200
    tokens.revoke(session, stage.token)
    session.commit()
    for path in addresses:
        for method in ("GET", "HEAD"):
            gone = listener.get(path, method, If_None_Match="*")
            assert gone.status_code == 410
            assert gone.headers["Cache-Control"] == "no-store"


def test_what_retention_let_go_has_gone_and_is_not_on_its_way(app, session, listener, stage):
    stage.talk.withdrawn_at = now() - timedelta(days=31)
    stage.talk.withdrawn_by = stage.show.owner_id
    session.add(stage.talk)
    session.commit()
    assert listener.get(stage.audio).status_code == 410
    retention.let_go(floor_of(app))
    session.rollback()
    session.expire_all()
    assert session.get_one(Episode, stage.talk.id).published_at is None
    for path in (stage.audio, f"{stage.base}/en.vtt"):
        assert listener.get(path).status_code == 410


def test_a_disabled_account_gets_nothing_for_now(session, listener, stage, addresses):
    stage.person.disabled_at = now()
    session.add(stage.person)
    session.commit()
    for path in addresses:
        refused = listener.get(path)
        assert refused.status_code == 403
        assert refused.headers["Retry-After"] == "86400"


def test_a_withdrawn_talk_is_gone(session, listener, stage, addresses):
    stage.talk.withdrawn_at = now()
    session.add(stage.talk)
    session.commit()
    assert {listener.get(path).status_code for path in addresses[:-1]} == {410}
    assert listener.get(addresses[-1]).status_code == 200


def test_s24_what_is_narrowed_while_it_plays_is_refused_with_the_next_range(
    session, listener, stage, addresses
):
    community = factories.community(session, "Out on site")
    membership = factories.member(session, community, stage.person)
    stage.talk.audience = [community.id]
    session.add(stage.talk)
    session.commit()
    page = {"Cookie": stage.cookie, "Range": "bytes=0-99"}
    assert listener.get(stage.page_audio, **page).status_code == 206
    assert listener.get(stage.audio, Range="bytes=0-99").status_code == 206
    session.delete(membership)
    session.commit()
    # The browser's player, the app's player, its transcripts: each asks again for what follows.
    assert listener.get(stage.page_audio, **page).status_code == 404
    own = f"/episodes/{stage.talk.guid}/transcript.vtt"
    assert listener.get(own, Cookie=stage.cookie).status_code == 404
    for path in addresses[:-1]:
        gone = listener.get(path, Range="bytes=100-199", If_None_Match="*")
        assert gone.status_code == 410
        assert gone.headers["Cache-Control"] == "no-store"
        assert b"Widths" not in gone.data
    assert listener.get(addresses[-1]).status_code == 200


def test_s24_a_show_made_somebody_elses_closes_all_its_addresses(
    session, listener, stage, addresses
):
    community = factories.community(session, "Elsewhere")
    stage.show.visibility, stage.show.audience = "communities", [community.id]
    stage.talk.show_audience = [community.id]
    session.add_all([stage.show, stage.talk])
    session.commit()
    assert {listener.get(path).status_code for path in addresses} == {410}
    for path in (
        stage.page_audio,
        f"/episodes/{stage.talk.guid}/transcript.txt",
        f"/shows/{stage.show.slug}/art.jpg",
    ):
        assert listener.get(path, Cookie=stage.cookie).status_code == 404


def test_a_talk_that_is_held_back_is_not_ready_and_a_hidden_one_is_gone(
    session, listener, stage, addresses
):
    published, stage.talk.published_at, stage.talk.held = stage.talk.published_at, None, True
    session.add(stage.talk)
    session.commit()
    assert {listener.get(path).status_code for path in addresses[:-1]} == {404}
    assert listener.get(stage.audio).text == "This episode cannot be played yet.\n"
    stage.talk.published_at, stage.talk.held, stage.talk.hidden_at = published, False, now()
    session.add(stage.talk)
    session.commit()
    assert {listener.get(path).status_code for path in addresses[:-1]} == {410}


def test_s26_a_key_with_anything_about_it_changed_opens_nothing(listener, stage, addresses):
    ref, key = stage.token.ref, stage.audio.split("/")[3]
    changed = [
        *(
            stage.audio.replace(
                key, key[:place] + ("A" if letter != "A" else "B") + key[place + 1 :]
            )
            for place, letter in enumerate(key)
        ),
        stage.audio.replace(key, key.lower()),
        stage.audio.replace(key, f"{key}="),
        stage.audio.replace(key, key[:-1]),
        stage.audio.replace(ref, ref[::-1]),
        stage.audio.replace(str(stage.talk.guid), str(uuid4())),
    ]
    answers = [listener.get(path, at=f"10.0.{n}.1") for n, path in enumerate(changed)]
    assert {answer.status_code for answer in answers} == {404}
    assert {answer.text for answer in answers} == {"There is nothing at this address.\n"}
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert listener.get(stage.audio, method).status_code == 405
    assert listener.get(stage.audio, Host="evil.example").status_code == 421


RANGES = {
    "overlapping": ("bytes=0-99,50-149", {200}),
    "a thousand": ("bytes=" + ",".join(f"{n * 10}-{n * 10 + 4}" for n in range(1000)), {200}),
    "a thousand alike": ("bytes=" + ",".join(["0-"] * 1000), {200}),
    "past the end": (f"bytes={SIZE}-", {416}),
    "partly past the end": (f"bytes={SIZE - 10}-{SIZE + 10}", {206}),
    "the last none": ("bytes=-0", {416}),
    "more than there is": (f"bytes=-{SIZE * 9}", {206}),
    "backwards": ("bytes=9-3", {200}),
    "another unit": ("lines=0-9", {200}),
    "numbers without end": ("bytes=" + "9" * 5000 + "-", {200, 416}),
}


@pytest.mark.parametrize("kind", RANGES)
def test_s52_odd_ranges_are_answered_by_the_standard_with_bounded_work(listener, stage, kind):
    asked, expected = RANGES[kind]
    for path, headers in ((stage.audio, {}), (stage.page_audio, {"Cookie": stage.cookie})):
        answer = listener.get(path, Range=asked, **headers)
        assert answer.status_code in expected
        assert len(answer.data) <= SIZE
        if answer.status_code == 416:
            assert answer.headers["Content-Range"] == f"bytes */{SIZE}"


def test_s52_if_range_that_does_not_hold_gives_the_whole(listener, stage):
    tag = f'"{stage.rendition.etag}"'
    held = listener.get(stage.audio, Range="bytes=5-9", If_Range=tag)
    assert (held.status_code, held.data) == (206, BYTES[5:10])
    for other in ('"else"', f"W/{tag}", "Sun, 01 Mar 2026 09:30:14 GMT", "nonsense"):
        whole = listener.get(stage.audio, Range="bytes=5-9", If_Range=other)
        assert (whole.status_code, len(whole.data)) == (200, SIZE)


# What anybody may have, where talks may be public


@pytest.fixture
def open_house(house):
    made_here = create_app(house.model_copy(update={"public_talks": True}))
    yield made_here
    floor_of(made_here).database.close()


@pytest.fixture
def of_pages(session, stage):
    """The pages' own addresses of a talk, made public for those houses that allow it."""
    stage.show.visibility, stage.talk.public = "public", True
    session.add_all([stage.show, stage.talk])
    session.commit()
    return [
        stage.page_audio,
        *(f"/episodes/{stage.talk.guid}/transcript.{kind}" for kind in ("vtt", "srt", "txt")),
        f"/shows/{stage.show.slug}/art.jpg",
        f"/shows/{stage.show.slug}",
    ]


def test_s23_anybody_hears_what_is_public_and_nothing_else(
    session, settings, open_house, stage, of_pages
):
    guest = Listener(open_house, settings)
    for path in of_pages:
        assert guest.get(path, Accept="text/html").status_code == 200, path
    stage.talk.public = False
    session.add(stage.talk)
    session.commit()
    shown = guest.get(of_pages[-1], Accept="text/html")
    assert stage.talk.title not in shown.text
    for path in of_pages[:-2]:
        assert guest.get(path, Accept="text/html").status_code == 404, path
    stage.show.visibility = "organisation"
    session.add(stage.show)
    session.commit()
    absent = [re.sub(r"platform|[0-9a-f-]{36}", str(uuid4()), path) for path in of_pages]
    for path in [*of_pages, *absent]:
        refused = guest.get(path, Accept="text/html", Range="bytes=0-9")
        assert refused.status_code == 404, path
        assert b"Widths" not in refused.data


def test_s23_in_a_closed_house_a_public_show_is_for_those_who_sign_in(listener, stage, of_pages):
    for path in of_pages:
        page = listener.get(path, Accept="text/html")
        assert page.status_code == 303, path
        assert page.headers["Location"].startswith("/sign-in")
        assert listener.get(path, Accept="audio/*").status_code == 401, path
        assert listener.get(path, Cookie=stage.cookie).status_code == 200, path


def test_what_guests_get_is_kept_by_no_shared_cache(settings, open_house, of_pages):
    guest = Listener(open_house, settings)
    for path in of_pages:
        kept = guest.get(path, Accept="text/html").headers["Cache-Control"]
        assert "private" in kept, path


def test_a_key_opens_nothing_but_its_own(session, settings, listener, stage, addresses):
    other = add_token(session, settings, add_person(session, "Di"), stage.show)
    talk = add_talk(session, stage.show, 2)
    add_rendition(session, talk)
    session.commit()
    _, _, ref, key, *_ = stage.audio.split("/")
    art_key = addresses[-1].split("/")[3]
    right = f"/{ref}/{key}/{stage.talk.guid}"
    for wrong in (
        f"/{other.ref}/{key}/{stage.talk.guid}",
        f"/{ref}/{key}/{talk.guid}",
        f"/{ref}/{art_key}/{stage.talk.guid}",
        f"/{ref}/{key[:-1]}{'A' if key[-1] != 'A' else 'B'}/{stage.talk.guid}",
        f"/{ref}/x/{stage.talk.guid}",
        f"/unknown/{key}/{stage.talk.guid}",
        f"/{ref}/{tokens.spelled(settings.secret, stage.token)}/{stage.talk.guid}",
    ):
        refused = listener.get(stage.audio.replace(right, wrong))
        assert refused.status_code == 404
        assert refused.text == "There is nothing at this address.\n"
        assert "WWW-Authenticate" not in refused.headers


@pytest.mark.parametrize(
    ("extension", "content_type"),
    [
        ("vtt", "text/vtt; charset=utf-8"),
        ("srt", "application/x-subrip; charset=utf-8"),
        ("json", "application/json"),
    ],
)
def test_transcripts_are_open_to_players_in_browsers(listener, stage, extension, content_type):
    path = f"{stage.base}/en.{extension}"
    read = listener.get(path)
    assert read.status_code == 200
    assert read.headers["Content-Type"] == content_type
    assert read.headers["Access-Control-Allow-Origin"] == "*"
    assert read.headers["Cross-Origin-Resource-Policy"] == "cross-origin"
    assert listener.get(path, If_None_Match=read.headers["ETag"]).status_code == 304
    assert listener.get(path, Range="bytes=0-4").data == read.data[:5]
    asked = listener.get(path, "OPTIONS", Origin="https://player.example")
    assert asked.status_code == 204
    assert asked.headers["Access-Control-Allow-Origin"] == "*"
    assert asked.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert asked.headers["Access-Control-Allow-Headers"] == "Range, If-None-Match"


def test_all_formats_hold_the_same_words(listener, stage):
    said = ["Widths are time.", "Heights are <calls>."]
    vtt = listener.get(f"{stage.base}/en.vtt").text
    assert vtt.startswith("WEBVTT\n")
    assert "Heights are &lt;calls&gt;." in vtt
    srt = listener.get(f"{stage.base}/en.srt").text
    assert all(line in srt for line in said)
    segments = json.loads(listener.get(f"{stage.base}/en.json").data)["segments"]
    assert [one["body"] for one in segments] == said
    own = listener.get(f"/episodes/{stage.talk.guid}/transcript.txt", Cookie=stage.cookie)
    assert own.text == "\n\n".join(said) + "\n"
    assert "Access-Control-Allow-Origin" not in own.headers


def test_a_talk_without_a_transcript_has_no_file(session, listener, settings, stage):
    talk = add_talk(session, stage.show, 2)
    session.commit()
    key = tokens.episode_key(settings.secret, stage.token, talk.guid)
    assert listener.get(f"/m/{stage.token.ref}/{key}/{talk.guid}/1/en.vtt").status_code == 404


def test_artwork_is_what_podcast_apps_ask_for(listener, addresses, stage):
    art = listener.get(addresses[-1])
    picture = Image.open(io.BytesIO(art.data))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (1400, 1400))
    assert art.headers["Content-Type"] == "image/jpeg"
    assert listener.get(addresses[-1]).data == art.data
    assert listener.get(f"/shows/{stage.show.slug}/art.jpg", Cookie=stage.cookie).data == art.data


def test_artwork_in_the_feeds_opens(session, settings, listener, stage):
    top = add_token(session, settings, stage.person, None)
    session.commit()
    for token in (stage.token, top):
        feed = listener.get(tokens.address(settings, token)).text
        found = set(re.findall(r'https?://[^"<]+/art\.jpg', feed))
        assert found
        assert {listener.get(address).status_code for address in found} == {200}


def test_a_shows_own_artwork_comes_before_a_drawn_one(session, listener, stage, addresses, kept):
    own = b"\xff\xd8 a picture"
    stage.show.artwork_key = "artwork/tests/one.jpg"
    kept.store.put(stage.show.artwork_key, own, "image/jpeg")
    session.add(stage.show)
    session.commit()
    assert listener.get(addresses[-1]).data == own


def test_a_store_without_the_object_says_try_again(session, listener, settings, stage):
    talk = add_talk(session, stage.show, 2)
    add_rendition(session, talk)
    session.commit()
    key = tokens.episode_key(settings.secret, stage.token, talk.guid)
    path = f"/m/{stage.token.ref}/{key}/{talk.guid}/1/audio.mp3"
    away = listener.get(path)
    assert away.status_code == 503
    assert away.headers["Retry-After"] == "5"
    assert listener.get(path, "HEAD").status_code == 200


def test_no_database_connection_is_held_while_bytes_flow(app, listener, stage):
    with listener.get(stage.audio, buffered=False) as open_answer:
        assert floor_of(app).database.engine.pool.checkedout() == 0
        assert open_answer.status_code == 200


def small_app(offer, terms):
    """The delivery alone, without the house around it."""
    made_here = Flask("delivery")

    @made_here.get("/")
    def show() -> Response:
        return answer(request, offer, terms)

    return made_here.test_client()


def test_long_answers_leave_room_for_others(kept):
    lanes = threading.BoundedSemaphore(1)
    client = small_app(kept.offer, Terms(lanes=lanes))
    first = client.get("/", buffered=False)
    busy = client.get("/")
    assert busy.status_code == 503
    assert busy.headers["Retry-After"] == "5"
    assert client.get("/", headers={"Range": "bytes=0-99"}).status_code == 206
    assert client.head("/").status_code == 200
    first.close()
    assert client.get("/", buffered=True).data == BYTES
    assert lanes.acquire(blocking=False)


def test_an_answer_that_nobody_reads_gives_back_its_lane(kept):
    lanes = threading.BoundedSemaphore(1)
    client = small_app(kept.offer, Terms(lanes=lanes))
    for _ in range(3):
        answered = client.get("/", buffered=False)
        assert answered.status_code == 200
        answered.close()


def test_blocks_are_small(kept):
    with Flask("delivery").test_request_context("/"):
        sent = answer(request, kept.offer)
    assert isinstance(sent.response, Stream)
    sizes = [len(block) for block in sent.response]
    sent.response.close()
    assert sum(sizes) == SIZE
    assert max(sizes) <= 256 * 1024


def test_an_empty_offer_is_an_empty_answer():
    client = small_app(made(b"", "text/plain"), None)
    whole = client.get("/")
    assert (whole.status_code, whole.data, whole.headers["Content-Length"]) == (200, b"", "0")
    assert client.get("/", headers={"Range": "bytes=0-"}).status_code == 416
