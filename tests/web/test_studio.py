"""The studio: draft first, then the recording, in parts or from a plain form."""

import io
import re
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import text
from sqlmodel import select

from service.app import create_app, floor_of
from storage.models import Episode, Source, Upload, WorkProgress
from storage.objects import PART
from tests import factories
from tests.web.visitors import Visitor, visitor

SOUND = b"RIFF" + bytes(2044)
PARTS = "application/offset+octet-stream"


@dataclass
class Studio:
    """An author's browser and a fresh draft."""

    author: Any
    browser: Visitor
    session: Any
    guid: str

    @property
    def page(self) -> str:
        return f"/studio/{self.guid}"

    def begin(self, size: int = len(SOUND), name: str = "talk.wav") -> Any:
        sent = {"name": name, "size": size}
        return self.browser.send("POST", f"{self.page}/upload", json=sent)

    def append(self, url: str, offset: int | str, content: bytes, **more: Any) -> Any:
        headers = {"Upload-Offset": str(offset)}
        sent = {"data": content, "headers": headers, "content_type": PARTS} | more
        return self.browser.send("PATCH", url, **sent)

    def row(self) -> Episode:
        self.session.rollback()
        return self.session.exec(
            select(Episode).where(Episode.guid == self.guid),
            execution_options={"populate_existing": True},
        ).one()

    def queued(self) -> int:
        self.session.rollback()
        found = self.session.execute(
            text(
                "SELECT count(*) FROM dbos.workflow_status"
                " WHERE workflow_uuid LIKE 'produce-' || :guid || '-%'"
            ),
            {"guid": self.guid},
        )
        return int(found.scalar_one())


@pytest.fixture
def studio(application, settings, session):
    author = factories.person(session, "Ana Lima")
    browser = visitor(application, settings, session, author)
    answer = browser.post("/studio/", title="To be said")
    assert answer.status_code == 303
    yield Studio(author, browser, session, answer.headers["Location"].rpartition("/")[2])
    session.rollback()
    session.execute(text("DELETE FROM dbos.workflow_status WHERE workflow_uuid LIKE 'produce-%'"))
    session.commit()


def test_a_draft_is_there_before_any_byte_is(studio):
    words = studio.browser.get(studio.page).get_data(as_text=True)
    assert "To be said" in words
    assert 'value="To be said"' in words
    assert f'data-begin="{studio.page}/upload"' in words
    assert "Draft, no recording yet" in studio.browser.get("/studio/").get_data(as_text=True)


def test_the_pages_script_sends_a_recording_in_parts(studio):
    begun = studio.begin(PART + 5)
    told = begun.get_json()
    assert (begun.status_code, told["offset"], told["chunk"]) == (201, 0, PART)
    url = told["url"]
    first = studio.append(url, 0, bytes(PART))
    assert (first.status_code, first.headers["Upload-Offset"]) == (204, str(PART))
    head = studio.browser.ask("HEAD", url)
    assert (head.headers["Upload-Offset"], head.headers["Upload-Length"]) == (
        str(PART),
        str(PART + 5),
    )
    assert head.headers["Tus-Resumable"] == "1.0.0"
    assert studio.append(url, PART, b"12345").headers["Upload-Offset"] == str(PART + 5)
    for _ in range(3):
        done = studio.browser.send("POST", f"{studio.page}/finish")
        assert (done.status_code, done.get_json()) == (202, {"next": studio.page})
    assert (studio.row().state, studio.row().revision, studio.queued()) == ("processing", 1, 1)


def test_what_is_wrong_with_a_part_is_told_with_the_offset_that_counts(studio):
    url = studio.begin(PART + 5).get_json()["url"]
    studio.append(url, 0, bytes(PART))
    for offset, content, status in (
        (0, bytes(5), 409),
        (PART + 5, b"", 409),
        (PART, bytes(6), 413),
        (PART, bytes(4), 413),
    ):
        answer = studio.append(url, offset, content)
        assert (answer.status_code, answer.headers["Upload-Offset"]) == (status, str(PART))
        assert answer.mimetype == "application/problem+json"
        assert answer.get_json()["detail"]
    assert studio.append(url, "", b"").status_code == 400
    assert studio.append(url, "-1", b"").status_code == 400
    assert studio.append(url, "٣", b"").status_code == 400
    assert studio.append(url, 10**30, b"").status_code == 409
    assert studio.append(url, PART, b"12345", content_type="text/plain").status_code == 415
    assert studio.append(url, PART, b"12345").status_code == 204


def test_a_connection_cut_in_the_middle_of_a_part_loses_only_that_part(studio):
    url = studio.begin(PART + 5).get_json()["url"]
    studio.append(url, 0, bytes(PART))
    # The browser has said five bytes and sends two.
    cut = studio.browser.send(
        "PATCH", url, input_stream=io.BytesIO(b"12"), content_type=PARTS,
        headers={"Upload-Offset": str(PART)}, environ_overrides={"CONTENT_LENGTH": "5"},
    )  # fmt: skip
    assert cut.status_code == 400
    assert cut.get_json()["detail"]
    words = studio.browser.get(studio.page).get_data(as_text=True)
    assert "Pick “talk.wav” again to go on" in words
    assert "8 MB of 8 MB have arrived" in words
    again = studio.begin(PART + 5)
    assert (again.status_code, again.get_json()["offset"]) == (200, PART)
    assert studio.append(again.get_json()["url"], PART, b"12345").status_code == 204


def test_two_web_processes_carry_one_upload(studio, house):
    url = studio.begin(PART + 5).get_json()["url"]
    studio.append(url, 0, bytes(PART))
    other = create_app(house)
    try:
        there = Visitor(other, house, studio.browser.cookie().value)
        studio.browser, here = there, studio.browser
        assert studio.append(url, PART, b"12345").status_code == 204
        studio.browser = here
        assert studio.browser.send("POST", f"{studio.page}/finish").status_code == 202
    finally:
        floor_of(other).database.close()
    assert studio.session.exec(select(Source.size)).one() == PART + 5


def test_another_file_into_the_same_draft_is_refused_in_words(studio):
    studio.begin()
    answer = studio.begin(7, "other.wav")
    assert answer.status_code == 409
    assert answer.get_json()["detail"].startswith(
        "Another file is on its way into this draft: talk.wav, 0 bytes of 2 KB."
    )
    form = {"file": (io.BytesIO(b"1234567"), "other.wav")}
    answer = studio.browser.post(f"{studio.page}/file", **form)
    assert answer.status_code == 409
    assert "Another file is on its way" in answer.get_data(as_text=True)


@pytest.mark.parametrize("size", [0, -1, 2.5, "5", None, True])
def test_a_size_that_is_none_is_refused(studio, size):
    assert studio.begin(size).status_code == 422
    assert studio.row().state == "draft"


def test_somebody_elses_upload_is_not_there(application, settings, studio):
    url = studio.begin().get_json()["url"]
    other = factories.person(studio.session, "Bo Chen")
    thief = visitor(application, settings, studio.session, other)
    headers = {"Upload-Offset": "0"}
    for method in ("HEAD", "GET", "DELETE"):
        assert thief.send(method, url).status_code == 404
    stolen = thief.send("PATCH", url, data=SOUND, headers=headers, content_type=PARTS)
    assert stolen.status_code == 404
    for rest in ("upload", "upload/end", "finish", "file", "retry", "withdraw"):
        answer = thief.send("POST", f"{studio.page}/{rest}", json={"name": "a", "size": 5})
        assert answer.status_code in {404, 422}, rest
    assert studio.session.exec(select(Upload)).one().state == "open"


@pytest.mark.parametrize("way", ["page", "address"])
def test_a_cancelled_upload_is_over_and_the_draft_is_kept(studio, way):
    url = studio.begin().get_json()["url"]
    if way == "page":
        assert studio.browser.post(f"{studio.page}/upload/end").status_code == 303
        assert "The draft is kept." in studio.browser.get(studio.page).get_data(as_text=True)
    else:
        assert studio.browser.send("DELETE", url).status_code == 204
    for answer in (studio.append(url, 0, SOUND), studio.browser.send("GET", url)):
        assert answer.status_code == 410
        assert answer.get_json()["detail"] == "This upload has ended. Your draft is kept."
    assert studio.row().state == "draft"
    assert studio.begin(7, "other.wav").status_code == 201


def test_a_talk_withdrawn_during_its_upload_is_not_made(studio):
    url = studio.begin().get_json()["url"]
    assert studio.append(url, 0, SOUND).status_code == 204
    assert studio.browser.post(f"{studio.page}/withdraw").status_code == 303
    answer = studio.browser.send("POST", f"{studio.page}/finish")
    assert answer.status_code == 409
    assert answer.get_json()["detail"] == (
        "This talk was withdrawn; nothing is made of it any more."
    )
    assert studio.queued() == 0


def test_a_withdrawn_talk_can_be_put_back_and_what_was_unfinished_is_made(studio):
    studio.browser.post(f"{studio.page}/file", file=(io.BytesIO(SOUND), "talk.wav"))
    studio.browser.post(f"{studio.page}/withdraw")
    listed = studio.browser.get("/studio/").get_data(as_text=True)
    assert f'action="{studio.page}/restore"' in listed
    assert f'href="{studio.page}"' not in listed
    shown = studio.browser.get(studio.page).get_data(as_text=True)
    assert "nobody, it is withdrawn" in shown
    assert f'action="{studio.page}/restore"' in shown
    assert studio.browser.post(f"{studio.page}/restore").status_code == 303
    assert (studio.row().withdrawn_at, studio.queued()) == (None, 2)
    assert f'href="{studio.page}"' in studio.browser.get("/studio/").get_data(as_text=True)


def test_a_plain_form_does_the_same_without_scripts(studio):
    form = {"file": (io.BytesIO(SOUND), "../talk.wav")}
    answer = studio.browser.post(f"{studio.page}/file", **form)
    assert (answer.status_code, answer.headers["Location"]) == (303, studio.page)
    source = studio.session.exec(select(Source)).one()
    assert (source.given_name, source.size) == ("talk.wav", len(SOUND))
    assert (studio.row().state, studio.queued()) == ("processing", 1)


def test_the_page_shows_how_far_the_work_is_and_says_it_to_its_script(studio):
    studio.browser.post(f"{studio.page}/file", file=(io.BytesIO(SOUND), "talk.wav"))
    words = studio.browser.get(studio.page).get_data(as_text=True)
    assert "Waiting for a free worker" in words
    studio.session.add(
        WorkProgress(
            episode_id=studio.row().id, revision=1, step="encode", fraction=0.42, words="Encoding"
        )
    )
    studio.session.commit()
    told = studio.browser.get(f"/episodes/{studio.guid}/progress").get_json()
    assert told == {"state": "processing", "percent": 42, "words": "Encoding", "reason": None}
    words = studio.browser.get(studio.page).get_data(as_text=True)
    assert re.search(r'<progress data-percent max="100" value="42"', words)


def test_trying_a_failed_talk_again_queues_it_again(studio):
    studio.browser.post(f"{studio.page}/file", file=(io.BytesIO(SOUND), "talk.wav"))
    row = studio.row()
    row.state, row.reason = "failed", "This file holds no sound."
    studio.session.commit()
    assert "This file holds no sound." in studio.browser.get(studio.page).get_data(as_text=True)
    assert studio.browser.post(f"{studio.page}/retry").status_code == 303
    assert (studio.row().state, studio.row().reason) == ("processing", None)
    assert studio.queued() == 2
    assert studio.browser.post(f"{studio.page}/retry").status_code == 409


def test_saving_says_so_once(studio):
    answer = studio.browser.post(studio.page, title="Said", notes="Why", topics="Pumps")
    assert (answer.status_code, answer.headers["Location"]) == (303, studio.page)
    assert "Saved." in studio.browser.get(studio.page).get_data(as_text=True)
    again = studio.browser.get(studio.page).get_data(as_text=True)
    assert "Saved." not in again
    assert 'value="Said"' in again
    assert 'value="Pumps"' in again


def test_a_show_of_ones_own_is_made_and_offered(studio):
    answer = studio.browser.post(
        "/shows/", title="Pumps & valves", description="Water", language="en"
    )
    slug = answer.headers["Location"].removeprefix("/shows/")
    assert slug.startswith("pumps-valves-")
    words = studio.browser.get("/studio/").get_data(as_text=True)
    assert f'<option value="{slug}">Pumps &amp; valves (everyone in Our house)</option>' in words
    studio.browser.post(studio.page, title="Said", show=slug)
    assert "Pumps &amp; valves" in studio.browser.get("/studio/").get_data(as_text=True)


def test_s50_twenty_new_uploads_may_be_begun_in_an_hour(application, settings, session):
    ana = factories.person(session, "Ana Lima")
    show = factories.show(session, ana)
    drafts = [factories.episode(session, show, state="draft") for _ in range(21)]
    browser = visitor(application, settings, session, ana)
    begun = [
        browser.send("POST", f"/studio/{draft.guid}/upload", json={"name": "a.mp3", "size": 9})
        for draft in drafts
    ]
    assert [answer.status_code for answer in begun] == [201] * 20 + [429]
    assert int(begun[-1].headers["Retry-After"]) > 3000
    # One that is under way goes on: it is no new one.
    again = browser.send(
        "POST", f"/studio/{drafts[0].guid}/upload", json={"name": "a.mp3", "size": 9}
    )
    assert again.status_code == 200
