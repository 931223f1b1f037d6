"""The feed writer: golden files, rules each seen to fire, and what other parsers read."""

import io
import json
import unicodedata
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from uuid import UUID

import feedparser
import podcastparser
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some
from lxml import etree

from service.feed import notes, rss
from service.feed.rss import Channel, Enclosure, Html, Item, TranscriptFile, Url, Voice
from tests import feed_rules

GOLDEN = Path(__file__).parents[1] / "golden" / "feeds"
CASES = sorted(path.stem for path in GOLDEN.glob("*.json"))


def enclosure(told: dict[str, Any]) -> Enclosure:
    return Enclosure(**{**told, "url": Url(told["url"])})


def voice(told: dict[str, Any]) -> Voice:
    return Voice(**{**told, "href": Url(told["href"])})


def item(told: dict[str, Any]) -> Item:
    return Item(
        guid=UUID(told["guid"]),
        title=told["title"],
        link=Url(told["link"]),
        published=datetime.fromisoformat(told["published"]),
        description=Html(told["description"]),
        content=Html(told["content"]),
        enclosure=enclosure(told["enclosure"]),
        duration=told["duration"],
        author=told["author"],
        image=Url(told["image"]),
        alternates=tuple(enclosure(one) for one in told.get("alternates", [])),
        people=tuple(voice(one) for one in told["people"]),
        transcripts=tuple(
            TranscriptFile(**{**one, "url": Url(one["url"])}) for one in told.get("transcripts", [])
        ),
    )


def channel(name: str) -> Channel:
    told = json.loads((GOLDEN / f"{name}.json").read_text())
    return Channel(
        guid=UUID(told["guid"]),
        changed=datetime.fromisoformat(told["changed"]),
        **{key: Url(told[key]) for key in ("link", "address", "image")},
        **{key: told[key] for key in ("title", "language", "generator", "author", "owner_email")},
        description=Html(told["description"]),
        people=tuple(voice(one) for one in told["people"]),
        pages=tuple((rel, Url(url)) for rel, url in told["pages"]),
        items=tuple(item(one) for one in told["items"]),
    )


PLAIN = channel("plain")


@pytest.mark.parametrize("name", CASES)
def test_a_channel_is_written_as_on_file(name):
    assert rss.render(channel(name)) == (GOLDEN / f"{name}.xml").read_text()


@pytest.mark.parametrize("name", CASES)
def test_every_golden_feed_keeps_every_rule(name):
    assert feed_rules.findings((GOLDEN / f"{name}.xml").read_bytes()) == []


# One change for each rule that must make it fire: (what stands there, what stands there instead).
BROKEN = {
    "is_rss_2": ('version="2.0"', 'version="0.91"'),
    "only_our_namespaces": ("<rss ", '<rss xmlns:media="http://search.yahoo.com/mrss/" '),
    "channel_title": ("<title>Platform talks</title>", "<title></title>"),
    "channel_link": ("<link>https://dare.example/shows", "<link>/shows"),
    "channel_language": ("<language>en<", "<language>English<"),
    "channel_description": (
        "<![CDATA[<p>Short talks of the platform group.</p>]]>",
        "Short talks of the platform group.",
    ),
    "channel_self_link": ('rel="self"', 'rel="first"'),
    "channel_dates": ("Mon, 09 Mar 2026", "Tue, 09 Mar 2026"),
    "channel_ttl_and_generator": ("<ttl>60</ttl>", "<ttl>soon</ttl>"),
    "channel_image": ("art.jpg</url>", "art.webp</url>"),
    "channel_author_and_owner": ("<itunes:email>noreply@", "<itunes:email>noreply at "),
    "channel_category": ('text="How To"', 'text="Howto"'),
    "channel_explicit": ("<itunes:explicit>false", "<itunes:explicit>no"),
    "channel_type": ("episodic", "weekly"),
    "channel_is_blocked_and_locked": ("<itunes:block>Yes", "<itunes:block>No"),
    "channel_guid_is_a_uuid_5": ("7d53-5c2a", "7d53-4c2a"),
    "channel_medium_holds_items": (">podcast</podcast:medium>", ">podcastL</podcast:medium>"),
    "channel_discussion_is_elsewhere": ('protocol="disabled"', 'protocol="activitypub"'),
    "pages_are_linked": (
        "<image>",
        '<atom:link rel="next" href="https://dare.example/f/x.xml?page=2"/><image>',
    ),
    "item_title": ("flame graph, part 2", "flame  graph, part 2"),
    "item_link": ("<link>https://dare.example/episodes", "<link>episodes"),
    "item_date": ("<pubDate>Mon, 02 Mar 2026", "<pubDate>Mon, 2 Mar 26"),
    "item_guid_is_a_uuid_and_no_address": ('isPermaLink="false"', 'isPermaLink="true"'),
    "item_has_one_enclosure": ('length="480125"', 'length="0"'),
    "enclosure_type_fits_its_name": ('type="audio/mpeg"/>', 'type="audio/x-m4a"/>'),
    "item_description": (
        "<description><![CDATA[<p>What the widths mean.</p>",
        "<description><![CDATA[<h1>What the widths mean.</h1>",
    ),
    "item_content": ("<li>one</li>", "<li><script>one</script></li>"),
    "item_duration_in_whole_seconds": ("<itunes:duration>62<", "<itunes:duration>1:02<"),
    "item_type_author_and_explicit": (">full<", ">long<"),
    "item_image": (
        '/art.jpg"/>\n<itunes:explicit>false</itunes:explicit>\n<itunes:episodeType>',
        '/art.gif"/>\n<itunes:explicit>false</itunes:explicit>\n<itunes:episodeType>',
    ),
    "people_have_roles_and_pages": ('role="guest"', 'role="Guest"'),
    "item_repeats_its_hosts": ('role="host"', 'role="guest"'),
    "transcripts_come_in_three_formats": ("en.json", "en.vtt"),
    "transcripts_name_language_and_captions": ('language="en" rel="captions"', 'language="en"'),
    "alternates_are_whole": ('bitrate="96000"', 'bitrate="0"'),
    "one_alternate_is_the_enclosure": (' default="true"', ""),
    "addresses_are_absolute_ascii": (
        'uri="https://dare.example/m/',
        'uri="https://dare.example/é/',
    ),
    "nothing_unwanted": ("</channel>", "<itunes:keywords>a</itunes:keywords></channel>"),
}


def test_there_is_a_broken_sample_for_every_rule():
    assert set(BROKEN) == set(feed_rules.RULES)


@pytest.mark.parametrize("name", BROKEN)
def test_each_rule_fires_on_its_broken_sample(name):
    good = (GOLDEN / "plain.xml").read_text()
    there, instead = BROKEN[name]
    assert there in good
    assert name in feed_rules.findings(good.replace(there, instead).encode())


def test_a_feed_that_is_no_xml_is_found():
    assert feed_rules.findings(b"<rss version='2.0'><channel>") == ["well_formed"]


def test_podcastparser_reads_what_was_said():
    feed = rss.render(PLAIN)
    read = podcastparser.parse(PLAIN.address, io.BytesIO(feed.encode()))
    assert read["title"] == PLAIN.title
    assert read["link"] == PLAIN.link
    assert read["cover_url"] == PLAIN.image
    for said, heard in zip(PLAIN.items, read["episodes"], strict=True):
        assert heard["guid"] == str(said.guid)
        assert heard["title"] == said.title
        assert heard["published"] == said.published.timestamp()
        assert heard["total_time"] == said.duration
        assert heard["link"] == said.link
        assert heard["description_html"] == said.content
        assert [(e["url"], e["file_size"], e["mime_type"]) for e in heard["enclosures"]] == [
            (said.enclosure.url, said.enclosure.length, said.enclosure.type)
        ]


def test_feedparser_reads_what_was_said():
    read = feedparser.parse(rss.render(PLAIN).encode())
    assert not read.bozo
    assert read.feed.title == PLAIN.title
    assert read.feed.language == PLAIN.language
    for said, heard in zip(PLAIN.items, read.entries, strict=True):
        assert (heard.id, heard.guidislink) == (str(said.guid), False)
        assert heard.title == said.title
        assert heard.published_parsed[:6] == said.published.timetuple()[:6]
        assert [(e.href, e.length, e.type) for e in heard.enclosures] == [
            (said.enclosure.url, str(said.enclosure.length), said.enclosure.type)
        ]


def test_items_keep_the_order_they_are_given_in():
    turned = replace(PLAIN, items=PLAIN.items[::-1])
    tree = etree.fromstring(rss.render(turned).encode())
    assert tree.xpath("//guid/text()") == [str(one.guid) for one in PLAIN.items[::-1]]


def test_equal_channels_give_equal_bytes():
    assert rss.render(channel("plain")) == rss.render(channel("plain"))


def titled(title: str) -> str:
    """Return the title as an XML parser reads it back."""
    feed = rss.render(replace(PLAIN, items=(replace(PLAIN.items[0], title=title),)))
    found: str | None = etree.fromstring(feed.encode()).findtext("channel/item/title")
    return found or ""


def expected(text: str) -> str:
    """What is left of any text, written down a second way: category by category."""
    kept = []
    for letter in text:
        point = ord(letter)
        allowed = letter in "\t\n\r" or unicodedata.category(letter) not in {"Cc", "Cs"}
        noncharacter = point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF
        bidi = 0x202A <= point <= 0x202E or 0x2066 <= point <= 0x2069
        kept.append(letter if allowed and not noncharacter and not bidi else "")
    return " ".join(unicodedata.normalize("NFC", "".join(kept)).split())


@settings(max_examples=150, deadline=None)
@given(some.text(some.characters(codec=None), max_size=60))
def test_s15_any_text_comes_back_character_for_character(text):
    assert titled(text) == expected(text)


@settings(max_examples=100, deadline=None)
@given(some.text(some.characters(codec=None), max_size=60))
def test_s15_any_fragment_comes_back_out_of_cdata(text):
    feed = rss.render(replace(PLAIN, description=Html(text)))
    found = etree.fromstring(feed.encode()).findtext("channel/description") or ""
    assert found == rss.clean(text).replace("\r\n", "\n").replace("\r", "\n")


@settings(max_examples=150, deadline=None)
@given(some.text(max_size=40))
def test_any_path_becomes_an_address_in_ascii(text):
    found = rss.address(f"https://dare.example/{text}")
    assert feed_rules.absolute(found)
    assert rss.address(found) == found


def test_no_named_references_are_written():
    assert rss.written("a < b & c > \"d\" 'e'") == (
        "a &#x3C; b &#x26; c &#x3E; &#x22;d&#x22; &#x27;e&#x27;"
    )


@pytest.mark.parametrize("value", [None, 1.5, b"x", datetime(2026, 1, 1)])  # noqa: DTZ001
def test_what_no_rule_covers_is_refused(value):
    with pytest.raises(TypeError):
        rss.written(value)


def test_dates_are_written_in_utc():
    east = timezone(timedelta(hours=2))
    assert rss.written(datetime(2026, 3, 1, 1, 5, 9, tzinfo=east)) == (
        "Sat, 28 Feb 2026 23:05:09 +0000"
    )
    assert rss.written(datetime(2026, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)) == (
        "Thu, 31 Dec 2026 23:59:59 +0000"
    )


def test_a_long_line_ends_at_a_word():
    line = rss.one_line("word " * 80)
    assert len(line) <= 255
    assert line.endswith("word…")


@pytest.mark.parametrize(
    ("origin", "found"),
    [
        ("https://dare.example:8443", "noreply@dare.example"),
        ("http://127.0.0.1:8000", "noreply@localhost"),
        ("http://[::1]:8000", "noreply@localhost"),
    ],
)
def test_the_owners_address_is_no_persons(origin, found):
    assert rss.role_address(origin) == found


NOTES = """# What we saw

First *strong* words, R&D a < b, <script>alert(1)</script>.

1. one
2. two [page](https://example.org/?a=1&b=2) [bad](javascript:alert(1)) [here](/relative)

> a quote
"""


def test_notes_hold_only_what_every_app_shows():
    found = notes.content(NOTES, link="https://dare.example/episodes/1?a&b")
    assert feed_rules.fragment(10_000)(found)
    assert "<p>What we saw</p>" in found
    assert "First strong words, R&amp;D a &lt; b, &lt;script&gt;" in found
    assert "<li>one</li>" in found
    assert 'href="https://example.org/?a=1&amp;b=2"' in found
    assert 'href="javascript' not in found
    assert 'href="/relative"' not in found
    assert found.endswith("</a></p>")


def test_the_description_is_the_first_paragraph():
    assert notes.description("one\n\ntwo", otherwise="x") == "<p>one</p>"
    assert notes.description("", otherwise="R&D") == "<p>R&amp;D</p>"
    assert notes.description("- only\n- a list", otherwise="Title") == "<p>Title</p>"


@settings(max_examples=40, deadline=None)
@given(some.text(max_size=3000), some.integers(1, 12))
def test_notes_of_any_length_stay_within_their_bytes(text, times):
    long = (text + "\n\n") * times
    assert len(notes.content(long, link="https://dare.example/e").encode()) <= 10_000
    short = notes.description(long, otherwise="title")
    assert len(short.encode()) <= 4_000
    assert short.startswith("<p>")
    assert short.endswith("</p>")


def test_a_description_of_one_huge_paragraph_is_cut_at_a_word():
    found = notes.description("<é&> " * 2000, otherwise="title")
    assert len(found.encode()) <= 4_000
    assert found.endswith("…</p>")
