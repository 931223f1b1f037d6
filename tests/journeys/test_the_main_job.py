"""The main job on real input: one shares, others rate, the strong talk rises, an app subscribes."""

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterable
from pathlib import Path

import httpx
import jiwer
import pytest
from lxml import etree
from playwright.sync_api import expect
from whisper_normalizer.english import EnglishTextNormalizer

from tests.journeys.conftest import House, Visitor
from workers.ffmpeg import ffprobe_path

MEDIA = Path(__file__).parent.parent / "media"
STRONG = "Say plainly where you started"
WEAK = "Eleven seconds of rhetoric"
ITUNES = "{http://www.itunes.com/dtds/podcast-1.0.dtd}"


@pytest.mark.browser
def test_a_strong_talk_is_shared_heard_rated_and_rises_in_pages_and_feeds(
    running: House, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    # Two people share; the weak talk is there first and stands on top.
    wendy, sam = running.add("Wendy", "Legal"), running.add("Sam", "Pumps")
    raters = [running.add(name, "IT") for name in ("Rita", "Rob", "Ruth")]
    running.dare("share", str(MEDIA / "jfk.flac"), "--title", WEAK, "--as", wendy, "--wait")

    guid = _share_through_the_browser(visit(sam))

    _the_transcript_is_close_to_what_was_said(running, visit(raters[0]), guid)
    _search_jumps_to_the_second(visit(raters[0]), guid)

    # Others rate: the order changes on home and in the feed.
    feed = running.dare("feed-token", raters[0])
    before = _titles(httpx.get(feed).content)
    # The newest stands first among equals; one low rating of it and home turns round.
    assert before == [STRONG, WEAK]
    _rate(visit(raters[0]), STRONG, 1)
    assert _home(visit(wendy)) == [WEAK, STRONG]
    assert _titles(httpx.get(feed).content) == [WEAK, STRONG]
    for rater in raters:
        _rate(visit(rater), STRONG, 5)
    _rate_by_api(running, raters[1], WEAK, 3)
    assert _home(visit(wendy)) == [STRONG, WEAK]
    after = httpx.get(feed)
    assert _titles(after.content) == [STRONG, WEAK]

    _the_enclosure_plays(after.content, tmp_path)


def _share_through_the_browser(sam: Visitor) -> str:
    page = sam.page
    page.get_by_role("link", name="Share a talk").first.click()
    page.fill("#title", STRONG)
    page.get_by_role("button", name="Go on to the recording").click()
    page.wait_for_url(re.compile(r"/studio/[0-9a-f-]{36}"))
    guid = page.url.rsplit("/", 1)[-1]
    page.set_input_files("#file", MEDIA / "librispeech_1688.flac")
    # Done when the page itself says that the talk is complete, without a reload by hand.
    hear = page.get_by_role("link", name="Hear the talk")
    expect(hear).to_be_visible(timeout=90_000)
    expect(page.locator("#recording [data-words]")).to_have_count(0, timeout=120_000)
    page.get_by_role("link", name="Hear the talk").click()
    page.wait_for_url(re.compile(rf"/episodes/{guid}"))
    expect(page.get_by_role("heading", level=1)).to_have_text(STRONG)
    expect(page.locator("#rating")).to_contain_text("Your own talk")
    return guid


def _the_transcript_is_close_to_what_was_said(running: House, rita: Visitor, guid: str) -> None:
    rita.go(f"/episodes/{guid}")
    shown = " ".join(rita.page.locator("[data-cues] p").all_inner_texts())
    said = (MEDIA / "librispeech_1688.txt").read_text()
    normal = EnglishTextNormalizer()
    assert jiwer.wer(normal(said), normal(shown)) <= 0.15
    # The sound plays, and the line being said is marked.
    rita.page.get_by_role("button", name="Play", exact=True).click()
    expect(rita.page.locator("[data-cues] [aria-current]").first).to_be_visible(timeout=15_000)
    played = rita.page.evaluate("document.querySelector('audio').currentTime")
    assert played > 0


def _search_jumps_to_the_second(rita: Visitor, guid: str) -> None:
    rita.go("/")
    rita.page.get_by_role("searchbox").fill("statement liked best")
    rita.page.keyboard.press("Enter")
    hit = rita.page.locator(".moments a").first
    expect(hit).to_contain_text("liked")
    hit.click()
    rita.page.wait_for_url(re.compile(rf"/episodes/{guid}\?t=\d+"))


def _rate(rater: Visitor, title: str, stars: int) -> None:
    page = rater.page
    page.get_by_role("link", name=title, exact=True).first.click()
    page.locator(f"input[name=stars][value='{stars}']").check(force=True)
    expect(page.locator("#rating .spread")).to_be_visible()
    page.reload()
    expect(page.locator(f"input[name=stars][value='{stars}']")).to_be_checked()


def _rate_by_api(running: House, email: str, title: str, stars: int) -> None:
    token = running.dare("token", email)
    with httpx.Client(
        base_url=f"{running.origin}/api/v1", headers={"Authorization": f"Bearer {token}"}
    ) as api:
        listed = api.get("/episodes", params={"order": "top"}).json()
        rows = listed["rows"]
        guid = next(row["guid"] for row in rows if row["title"] == title)
        assert api.put(f"/episodes/{guid}/rating", json={"stars": stars}).status_code == 200


def _home(visitor: Visitor) -> list[str]:
    visitor.go("/")
    board = visitor.page.locator("section[aria-labelledby=top] .talk-title")
    return _ours(title.strip() for title in board.all_inner_texts())


def _ours(titles: Iterable[str]) -> list[str]:
    """Return the two talks of this journey in their order; others live in this house too."""
    return [title for title in titles if title in {STRONG, WEAK}]


def _titles(feed: bytes) -> list[str]:
    channel = etree.fromstring(feed).find("channel")
    assert channel is not None
    return _ours(item.findtext("title", "") for item in channel.findall("item"))


def _the_enclosure_plays(feed: bytes, folder: Path) -> None:
    items = etree.fromstring(feed).findall("channel/item")
    item = next(one for one in items if one.findtext("title") == STRONG)
    enclosure = item.find("enclosure")
    assert enclosure is not None
    url = enclosure.attrib["url"]
    head, whole = httpx.head(url), httpx.get(url)
    assert whole.status_code == 200
    assert int(head.headers["content-length"]) == len(whole.content)
    assert int(enclosure.attrib["length"]) == len(whole.content)
    assert whole.headers["content-type"] == enclosure.attrib["type"] == "audio/mpeg"
    middle = httpx.get(url, headers={"Range": "bytes=1000-1999"})
    assert (middle.status_code, middle.content) == (206, whole.content[1000:2000])
    past = httpx.get(url, headers={"Range": f"bytes={len(whole.content)}-"})
    assert past.status_code == 416
    assert httpx.get(url, headers={"If-None-Match": whole.headers["etag"]}).status_code == 304
    path = folder / "talk.mp3"
    path.write_bytes(whole.content)
    probed = subprocess.run(
        [ffprobe_path(), "-v", "error", "-show_format", "-of", "json", os.fspath(path)],
        check=True,
        capture_output=True,
    )
    told = json.loads(probed.stdout)["format"]
    assert told["format_name"] == "mp3"
    assert abs(float(told["duration"]) - float(item.findtext(f"{ITUNES}duration", "0"))) <= 1
