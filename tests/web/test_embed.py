"""Talks on other sites: the card in a frame, and what oEmbed tells of it."""

import re
from html import unescape
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import embedding
from service.app import create_app, floor_of
from service.embedding import Card
from service.identity import tokens
from storage.models import Person
from storage.settings import Settings, SettingsError
from tests import factories
from tests.web.visitors import Visitor, visitor

GUID = "0b5c1f6e-3a57-4d0c-9d55-000000000001"
TITLE = "How <we> deploy & why"


@pytest.fixture(scope="module")
def open_house(house):
    """A house with public talks, that one other site may show."""
    values = {"public_talks": True, "embed_origins": ("https://wiki.example.org",)}
    made = create_app(house.model_copy(update=values))
    yield made
    floor_of(made).database.close()


@pytest.fixture
def talks(session):
    """Talks of all kinds: public ones, and those that are not for everybody."""
    author = factories.person(session, "Ana Lima")
    show = factories.show(session, author, visibility="public")
    inside = factories.show(session, author, "Inside")
    community = factories.community(session)
    made = {
        "public": factories.episode(session, show, TITLE),
        "film": factories.episode(session, show, "A film", video=True),
        "narrowed": factories.episode(session, show, "Narrowed", audience=[community.id]),
        "inside": factories.episode(session, inside, "Inside only"),
        "draft": factories.episode(session, show, "A draft", state="draft"),
        "processing": factories.episode(session, show, "On its way", state="processing"),
    }
    made["withdrawn"] = factories.episode(
        session, show, "Taken back", withdrawn_at=author.created_at
    )
    made["hidden"] = factories.episode(session, show, "Hidden", hidden_at=author.created_at)
    session.commit()
    return made


HEARD = {"public", "film"}
CLOSED = ("narrowed", "inside", "draft", "processing", "withdrawn", "hidden")


@pytest.fixture
def guest(open_house, settings):
    return Visitor(open_house, settings)


def words(answer):
    return answer.get_data(as_text=True)


def policy(answer):
    return dict(
        part.strip().partition(" ")[::2]
        for part in answer.headers["Content-Security-Policy"].split(";")
    )


def test_a_public_talk_is_heard_in_a_frame(guest, talks):
    answer = guest.get(f"/embed/{talks['public'].guid}")
    assert answer.status_code == 200
    page = words(answer)
    assert "How &lt;we&gt; deploy &amp; why" in page
    assert "Ana Lima" in page
    sound = re.search(r'<audio controls[^>]* src="([^"]+)"', page)[1]
    assert guest.ask("HEAD", sound).status_code == 200
    assert "<script" not in page
    assert 'href="/account' not in page
    assert f'href="/episodes/{talks["public"].guid}" target="_blank" rel="noopener"' in page


def test_s38_only_the_embed_page_may_be_framed_and_only_by_named_sites(guest, talks, application):
    answer = guest.get(f"/embed/{talks['public'].guid}")
    assert policy(answer)["frame-ancestors"] == "'self' https://wiki.example.org"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    for path in (f"/episodes/{talks['public'].guid}", "/sign-in", "/embed/none"):
        assert policy(guest.get(path))["frame-ancestors"] == "'none'"


def test_in_a_closed_house_nothing_is_shown_and_only_our_own_pages_may_frame(
    application, settings, talks
):
    stranger = Visitor(application, settings)
    answer = stranger.get(f"/embed/{talks['public'].guid}")
    assert answer.status_code == 200
    assert policy(answer)["frame-ancestors"] == "'self'"
    assert "Open to listen" in words(answer)
    assert "deploy" not in words(answer)


def plain(answer, guid):
    """Return an answer without what differs by address and moment."""
    page = words(answer).replace(str(guid), "GUID")
    headers = {
        name: re.sub(r"nonce-[\w-]+", "nonce", value)
        for name, value in answer.headers.items()
        if name not in {"X-Request-Id", "Date"}
    }
    return answer.status_code, page, headers


@pytest.mark.parametrize("kind", CLOSED)
def test_s23_a_talk_that_is_not_for_everybody_is_embedded_like_none_at_all(guest, talks, kind):
    absent, closed = uuid4(), talks[kind].guid
    shown = plain(guest.get(f"/embed/{closed}"), closed)
    assert shown == plain(guest.get(f"/embed/{absent}"), absent)
    assert shown[0] == 200
    assert talks[kind].title not in shown[1]


def test_who_looks_makes_no_difference_in_a_frame(open_house, settings, session, talks):
    author = visitor(open_house, settings, session, factories.person(session, role="admin"))
    answer = author.get(f"/embed/{talks['inside'].guid}")
    assert "Inside only" not in words(answer)
    assert "Set-Cookie" not in answer.headers


def test_a_frame_sets_no_cookie(guest, talks):
    for guid in (talks["public"].guid, uuid4()):
        assert "Set-Cookie" not in guest.get(f"/embed/{guid}").headers


# oEmbed


def describe(browser, guid, **query):
    url = f"{browser.origin}/episodes/{guid}"
    return browser.get("/oembed", query_string={"url": url} | query)


def test_a_talk_is_described_as_oembed_wants_it(guest, talks, settings):
    guid = talks["public"].guid
    answer = describe(guest, guid)
    assert answer.status_code == 200
    assert answer.mimetype == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    told = answer.get_json()
    assert (told["version"], told["type"], told["title"]) == ("1.0", "rich", TITLE)
    assert told["author_name"] == "Ana Lima"
    assert told["provider_name"] == settings.organisation
    assert told["html"] == (
        f'<iframe src="{settings.origin}/embed/{guid}" title="How &lt;we&gt; deploy &amp; why" '
        f'width="{told["width"]}" height="{told["height"]}" loading="lazy"></iframe>'
    )
    assert guest.get(told["thumbnail_url"].removeprefix(settings.origin)).status_code == 200


def test_a_description_keeps_to_the_size_that_is_asked_for(guest, talks):
    guid = talks["public"].guid
    told = describe(guest, guid, maxwidth=320, maxheight=100).get_json()
    assert (told["width"], told["height"]) == (320, 100)
    assert 'width="320" height="100"' in told["html"]
    # The picture is larger than that, and may not be.
    assert "thumbnail_url" not in told
    for odd in ("0", "-5", "x", "1e9", "9" * 30, '"><script>'):
        told = describe(guest, guid, maxwidth=odd, maxheight=odd).get_json()
        assert (told["width"], told["height"]) == (embedding.WIDTH, embedding.HEIGHT)


@pytest.mark.parametrize("kind", CLOSED)
def test_s23_oembed_tells_nothing_of_what_its_asker_may_not_see(guest, talks, kind):
    closed, absent = describe(guest, talks[kind].guid), describe(guest, uuid4())
    assert (closed.status_code, absent.status_code) == (404, 404)
    assert talks[kind].title not in words(closed)
    stripped = [
        re.sub(r"[0-9a-f]{12}|[\w-]{22}|[0-9a-f]{64}", "", words(a)) for a in (closed, absent)
    ]
    assert stripped[0] == stripped[1]


def test_oembed_tells_people_who_are_signed_in_what_they_may_see(
    application, settings, session, talks
):
    reader = visitor(application, settings, session, factories.person(session, "Bo Chen"))
    assert describe(reader, talks["inside"].guid).get_json()["title"] == "Inside only"
    assert describe(reader, talks["narrowed"].guid).status_code == 404
    assert describe(reader, talks["draft"].guid).status_code == 404
    assert describe(Visitor(application, settings), talks["inside"].guid).status_code == 404
    assert describe(Visitor(application, settings), talks["public"].guid).status_code == 404


def test_s41_oembed_tells_a_token_that_may_not_read_what_it_tells_nobody(program, session, talks):
    reader = factories.person(session, "Bo Chen")
    told = []
    for scopes in (["read"], ["take-part", "publish"]):
        _, secret = tokens.issue(session, reader.id, "x", scopes=scopes)
        session.commit()
        its = program(None, secret)
        url = f"{its._origin}/episodes/{talks['inside'].guid}"
        told.append(its.get("/oembed", query_string={"url": url}).status_code)
    assert told == [200, 404]


def test_oembed_speaks_json_alone(guest, talks):
    assert describe(guest, talks["public"].guid, format="json").status_code == 200
    assert describe(guest, talks["public"].guid, format="xml").status_code == 501


def test_only_addresses_of_our_talks_are_described(guest, talks, settings):
    guid = talks["public"].guid
    host = settings.origin.removeprefix("http://")
    for url in (
        "", "x", "//", f"/episodes/{guid}", f"http://evil.example/episodes/{guid}",
        f"http://{host}@evil.example/episodes/{guid}", f"http://evil@{host}/episodes/{guid}",
        f"http://{host}.evil.example/episodes/{guid}", f"https://{host}/episodes/{guid}",
        f"http://{host}\\@evil.example/episodes/{guid}", f"javascript://{host}/episodes/{guid}",
        f"{settings.origin}/episodes/{guid}/progress", f"{settings.origin}/embed/{guid}",
        f"{settings.origin}/x/../episodes/{guid}", f"{settings.origin}/episodes/{guid.hex}",
        f"http://[{host}/episodes/{guid}", f"{settings.origin}/episodes/%2e%2e/{guid}",
    ):  # fmt: skip
        answer = guest.get("/oembed", query_string={"url": url})
        assert answer.status_code == 404, url
        assert "Location" not in answer.headers
    for end in ("", "/", "?t=12", "#comments"):
        url = f"{settings.origin}/episodes/{guid}{end}"
        assert guest.get("/oembed", query_string={"url": url}).status_code == 200


@given(st.text())
def test_no_text_is_an_address_of_ours_by_chance(text):
    assert embedding.named("https://dare.example.org", text) is None
    assert embedding.named("https://dare.example.org", f"https://dare.example.org{text}") is None


def test_an_address_is_ours_by_its_whole_origin():
    origin = "https://dare.example.org"
    assert embedding.named(origin, f"{origin}/episodes/{GUID}?t=5") == GUID
    assert embedding.named(origin, f"{origin}:443/episodes/{GUID}") is None
    assert embedding.named(origin, f"http://dare.example.org/episodes/{GUID}") is None


@given(st.integers(1, 10_000), st.integers(1, 10_000), st.text(max_size=60))
def test_a_frame_is_never_larger_than_asked_nor_broken_by_a_title(wide, high, title):
    card = Card(GUID, title, "Ana", "Show", "show", 60.0, 1)
    told = embedding.described(
        card, "https://dare.example.org", "House", most_wide=wide, most_high=high
    )
    assert told["width"] <= wide
    assert told["height"] <= high
    assert ("thumbnail_url" in told) == (min(wide, high) >= embedding.ARTWORK)
    assert told["html"].count("<") == 2
    assert told["html"].count('"') == 10


# The setting


@pytest.mark.parametrize(
    "origin",
    [
        "wiki.example.org", "https://wiki.example.org/", "https://wiki.example.org/path",
        "https://a.example;script-src *", "https://a.example b.example", "*", "https://*", "'none'",
        "data:", "https://u@a.example", "ftp://a.example", "",
    ],
)  # fmt: skip
def test_what_is_no_origin_stops_the_start(origin):
    with pytest.raises(SettingsError, match="DARE_EMBED_ORIGINS"):
        Settings(embed_origins=(origin,)).check_embedding()


def test_origins_are_read_from_a_json_list(monkeypatch):
    told = '["https://wiki.example.org", "https://*.example.net:8443", "http://127.0.0.1:9000"]'
    monkeypatch.setenv("DARE_EMBED_ORIGINS", told)
    known = Settings()
    known.check_embedding()
    assert known.embed_origins[1] == "https://*.example.net:8443"


# What a talk's page says of itself


def about(page):
    return dict(re.findall(r'<meta property="(og:[a-z_]+)" content="([^"]*)">', page))


def test_the_page_of_a_talk_leads_to_its_description(guest, session, talks, settings):
    guid = talks["public"].guid
    reader = visitor(guest.client.application, settings, session, factories.person(session, "Bo"))
    page = words(reader.get(f"/episodes/{guid}"))
    found = re.search(r'type="application/json\+oembed"[^>]* href="([^"]+)"', page)[1]
    assert found.startswith(f"{settings.origin}/oembed?url=")
    told = reader.get(found.removeprefix(settings.origin).replace("&amp;", "&")).get_json()
    assert told["title"] == TITLE
    meta = about(page)
    assert meta["og:title"] == "How &lt;we&gt; deploy &amp; why"
    assert meta["og:url"] == f"{settings.origin}/episodes/{guid}"
    assert reader.get(meta["og:image"].removeprefix(settings.origin)).status_code == 200


@pytest.mark.parametrize("kind", ["draft", "narrowed", "withdrawn"])
def test_a_talk_that_is_not_out_for_its_reader_says_nothing_of_itself(
    application, settings, session, talks, kind
):
    reader = visitor(application, settings, session, factories.person(session, "Bo Chen"))
    page = words(reader.get(f"/episodes/{talks[kind].guid}"))
    assert about(page) == {}
    assert "oembed" not in page


def test_an_author_finds_the_code_for_other_pages(
    open_house, application, settings, session, talks
):
    author = session.get(Person, talks["public"].author_id)
    at_work = visitor(open_house, settings, session, author)
    page = at_work.get(f"/studio/{talks['public'].guid}").get_data(as_text=True)
    shown = re.search(r'<input id="embed-code" class="address" readonly value="([^"]*)"', page)
    told = unescape(shown[1])
    assert f'src="{settings.origin}/embed/{talks["public"].guid}"' in told
    assert 'title="How &lt;we&gt; deploy &amp; why"' in told
    inside = at_work.get(f"/studio/{talks['inside'].guid}").get_data(as_text=True)
    assert "Only a public talk is heard there" in inside
    closed = visitor(application, settings, session, author)
    for browser, talk in ((closed, "public"), (at_work, "draft"), (at_work, "hidden")):
        page = browser.get(f"/studio/{talks[talk].guid}").get_data(as_text=True)
        assert "embed-code" not in page, talk
