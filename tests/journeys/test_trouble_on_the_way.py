"""Things that go wrong between a browser and a talk: each ends in words, or goes on by itself."""

import re
import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.conftest import House, Visitor

# What Chromium itself says of the cut that the test makes.
CUT = "net::ERR_INTERNET_DISCONNECTED"


def _draft(sam: Visitor, title: str) -> Page:
    sam.go("/studio/")
    sam.page.fill("#title", title)
    sam.page.get_by_role("button", name="Go on to the recording").click()
    sam.page.wait_for_url(re.compile(r"/studio/[0-9a-f-]{36}"))
    return sam.page


def _long_hum(folder: Path) -> Path:
    """Twenty megabytes of a quiet saw-tooth: a recording of three parts without speech."""
    path = folder / "hum.wav"
    period = b"".join(
        int(2000 * (n % 200 - 100) / 100).to_bytes(2, "little", signed=True) for n in range(200)
    )
    with wave.open(str(path), "wb") as sound:
        sound.setnchannels(2)
        sound.setsampwidth(2)
        sound.setframerate(48_000)
        sound.writeframes(period * (20 * 1024**2 // len(period)))
    return path


@pytest.mark.browser
def test_an_upload_goes_on_by_itself_after_the_network_was_away(
    running: House, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    sam = visit(running.add("Uma", "Pumps"))
    page = _draft(sam, "A long hum")
    parts: list[str] = []
    page.on("response", lambda answer: parts.append(f"{answer.request.method} {answer.status}"))

    def cut_after_the_first_part(answer: object) -> None:
        if parts.count("PATCH 204") == 1:
            page.context.set_offline(True)

    page.on("response", cut_after_the_first_part)
    page.set_input_files("#file", _long_hum(tmp_path))
    expect(page.locator("[data-going]")).to_be_visible()
    page.wait_for_timeout(2500)
    page.remove_listener("response", cut_after_the_first_part)
    page.context.set_offline(False)

    expect(page.locator("#recording .state")).to_be_visible(timeout=90_000)
    assert parts.count("PATCH 204") == 3
    assert parts.count("POST 202") == 1
    sam.troubles[:] = [trouble for trouble in sam.troubles if CUT not in trouble]


@pytest.mark.browser
def test_a_playlist_in_disguise_is_refused_in_words_where_the_author_is(
    running: House, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    page = _draft(visit(running.add("Ivy", "Pumps")), "Not what it seems")
    path = tmp_path / "talk.mp4"
    path.write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n/etc/hostname\n#EXT-X-ENDLIST\n"
    )
    page.set_input_files("#file", path)

    problem = page.locator("#recording [role=alert]").first
    expect(problem).to_contain_text("points to other files", timeout=60_000)
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    # The draft is there with all that was typed, and takes another file.
    expect(page.locator("#title")).to_have_value("Not what it seems")
    # The same uploader as before, though its part of the page was renewed: it starts by itself.
    page.set_input_files("#file", Path(__file__).parent.parent / "media" / "jfk.flac")
    expect(page.get_by_role("link", name="Hear the talk")).to_be_visible(timeout=60_000)


@pytest.mark.browser
def test_a_picked_text_file_is_refused_before_a_byte_is_sent(
    running: House, visit: Callable[..., Visitor], tmp_path: Path
) -> None:
    page = _draft(visit(running.add("Tom", "Pumps")), "A letter")
    path = tmp_path / "letter.pdf"
    path.write_bytes(b"%PDF-1.7")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    page.set_input_files("#file", path)
    expect(page.locator("[data-error]")).to_contain_text("MP3")
    assert "POST" not in sent


@pytest.mark.browser
def test_a_talk_can_be_shared_heard_rated_and_discussed_without_scripts(
    running: House, visit: Callable[..., Visitor]
) -> None:
    nora = visit(running.add("Nora", "Pumps"), java_script_enabled=False)
    page = _draft(nora, "Without scripts")
    page.set_input_files("#file", Path(__file__).parent.parent / "media" / "jfk.flac")
    page.get_by_role("button", name="Upload").click()
    hear = page.get_by_role("link", name="Hear the talk")
    for _ in range(120):
        if hear.count():
            break
        page.wait_for_timeout(500)
        page.reload()
    hear.click()
    path = page.url.removeprefix(running.origin)

    olaf = visit(running.add("Olaf", "IT"), java_script_enabled=False)
    olaf.go(path)
    expect(olaf.page.locator("audio[controls]")).to_have_attribute("src", re.compile("mp3"))
    olaf.page.locator("input[name=stars][value='4']").check(force=True)
    olaf.page.get_by_role("button", name="Give these stars").click()
    expect(olaf.page.locator("#rating .spread")).to_contain_text("4.0")
    olaf.page.fill("#body", "Heard **without** scripts.")
    olaf.page.get_by_role("button", name="Post with my name").click()
    expect(olaf.page.locator("#comments strong").first).to_have_text("without")
