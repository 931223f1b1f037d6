"""Bytes on their way in: nothing acknowledged is lost, nothing happens twice."""

import hashlib
import io
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import event, text
from sqlmodel import select

from service import publishing
from service.access import Asker, asker_of
from service.publishing import NotThereError
from service.uploads import receiving
from service.uploads.receiving import LOCK_LIFE, UploadError
from storage.floor import Floor, open_floor
from storage.models import Episode, Source, Upload, now
from storage.objects import PART, StoreError
from tests import factories

MIB = 1024**2
SMALL = b"RIFF" + bytes(2044)


@pytest.fixture(scope="module")
def floor(house):
    held = open_floor(house, pool=12, name="tests-one")
    yield held
    held.database.close()


@pytest.fixture(scope="module")
def other_floor(house):
    """What another web process holds."""
    held = open_floor(house, pool=4, name="tests-two")
    yield held
    held.database.close()


@dataclass
class Sender:
    """An author with a draft, sending through one process or another."""

    session: Any
    floor: Floor
    asker: Asker
    draft: Episode

    @property
    def guid(self) -> str:
        return str(self.draft.guid)

    def begin(self, length: int = len(SMALL), name: str = "talk.wav") -> Upload:
        with self.floor.database.begin() as own:
            upload, _ = publishing.begin_upload(
                own, self.floor, self.asker, self.guid, name=name, length=length
            )
        return upload

    def append(
        self, upload: Upload, offset: int, content: bytes | Any, *, floor: Floor | None = None
    ) -> int:
        through = floor or self.floor
        body = io.BytesIO(content) if isinstance(content, bytes) else content
        length = len(content) if isinstance(content, bytes) else None
        return receiving.append(
            through.database,
            through.store,
            upload.id,
            self.asker.id,
            offset=offset,
            body=body,
            length=length,
        )

    def finish(self) -> Episode:
        return publishing.finish(self.floor, self.asker, self.guid)

    def cancel(self) -> None:
        with self.floor.database.begin() as own:
            publishing.cancel_upload(own, self.floor, self.asker, self.guid)

    def row(self, upload: Upload) -> Upload:
        self.session.rollback()
        return self.session.get_one(Upload, upload.id, populate_existing=True)

    def talk(self) -> Episode:
        self.session.rollback()
        return self.session.get_one(Episode, self.draft.id, populate_existing=True)

    def queued(self) -> list[str]:
        """Return the works that are queued for the draft."""
        self.session.rollback()
        found = self.session.execute(
            text(
                "SELECT workflow_uuid FROM dbos.workflow_status"
                " WHERE workflow_uuid LIKE 'produce-' || :guid || '-%'"
            ),
            {"guid": self.guid},
        )
        return [name for (name,) in found]


@pytest.fixture
def sender(session, floor):
    author = factories.person(session, "Ana Lima")
    draft = factories.episode(session, factories.show(session, author), state="draft")
    session.commit()
    yield Sender(session, floor, asker_of(author), draft)
    session.rollback()
    session.execute(text("DELETE FROM dbos.workflow_status WHERE workflow_uuid LIKE 'produce-%'"))
    session.commit()


def refused(status, act, *given, **more):
    with pytest.raises(UploadError) as error:
        act(*given, **more)
    assert error.value.status == status, str(error.value)
    assert str(error.value).endswith(".")
    return error.value


# Parts


def test_twenty_mebibytes_are_three_parts_sent_through_two_processes(sender, other_floor):
    content = random.Random(3).randbytes(20 * MIB)  # noqa: S311  a seeded run can be repeated
    upload = sender.begin(len(content))
    offset, through = 0, [sender.floor, other_floor, sender.floor]
    for process in through:
        part = content[offset : offset + PART]
        offset = sender.append(upload, offset, part, floor=process)
    row = sender.row(upload)
    assert (row.offset, len(row.parts), row.lock) == (20 * MIB, 3, None)
    talk = publishing.finish(other_floor, sender.asker, sender.guid)
    assert (talk.state, talk.revision) == ("processing", 1)
    source = sender.session.exec(select(Source)).one()
    stored = hashlib.sha256(b"".join(sender.floor.store.read(source.key))).digest()
    assert source.size == len(content)
    assert stored == hashlib.sha256(content).digest()
    sender.floor.store.delete(source.key)


@pytest.mark.parametrize("length", [PART - 1, PART // 2, 1, PART + 1])
def test_a_part_of_another_length_is_refused_by_name(sender, length):
    upload = sender.begin(PART + 5)
    error = refused(413, sender.append, upload, 0, bytes(length))
    assert (str(PART) in str(error), error.offset) == (True, 0)
    row = sender.row(upload)
    assert (row.offset, row.parts, row.lock) == (0, [], None)


def test_a_wrong_offset_is_told_the_right_one(sender):
    upload = sender.begin(PART + 5)
    sender.append(upload, 0, bytes(PART))
    for offset in (0, 1, PART - 1, PART + 1, PART + 5):
        error = refused(409, sender.append, upload, offset, bytes(5))
        assert error.offset == PART
    assert sender.append(upload, PART, bytes(5)) == PART + 5


def test_bytes_after_the_end_are_nothing_to_append_however_often(sender):
    upload = sender.begin()
    sender.append(upload, 0, SMALL)
    for _ in range(2):
        assert sender.append(upload, len(SMALL), b"") == len(SMALL)
    assert sender.row(upload).lock is None
    sender.finish()
    assert sender.append(upload, len(SMALL), b"") == len(SMALL)


class Breaking(io.RawIOBase):
    """A body that ends, or fails, before all of it has come."""

    def __init__(self, content, error=None):
        self.left, self.error = content, error

    def read(self, size=-1):
        block, self.left = self.left[:size], self.left[size:]
        if not block and self.error:
            raise self.error
        return block


@pytest.mark.parametrize("error", [None, OSError("the line is dead")])
def test_a_body_that_breaks_off_moves_nothing_and_can_be_sent_again(sender, error):
    upload = sender.begin()
    if error is None:
        told = refused(400, sender.append, upload, 0, Breaking(SMALL[:100]))
        assert (str(told), told.offset) == ("The connection broke off; nothing was lost.", 0)
    else:
        with pytest.raises(OSError, match="dead"):
            sender.append(upload, 0, Breaking(SMALL[:100], error))
    row = sender.row(upload)
    assert (row.offset, row.parts, row.lock) == (0, [], None)
    assert sender.append(upload, 0, SMALL) == len(SMALL)


def test_a_store_that_is_away_moves_nothing(sender, settings):
    upload = sender.begin()
    away = open_floor(settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:9"}))
    try:
        with pytest.raises(StoreError):
            sender.append(upload, 0, SMALL, floor=away)
    finally:
        away.database.close()
    row = sender.row(upload)
    assert (row.offset, row.lock) == (0, None)
    assert sender.append(upload, 0, SMALL) == len(SMALL)


def test_of_eight_windows_that_append_at_once_one_wins(sender):
    upload = sender.begin()
    ready = threading.Barrier(8)

    def window(_number):
        ready.wait()
        try:
            return sender.append(upload, 0, SMALL)
        except UploadError as error:
            return error.status

    with ThreadPoolExecutor(8) as windows:
        told = list(windows.map(window, range(8)))
    assert told.count(len(SMALL)) == 1
    assert set(told) <= {len(SMALL), 409, 423}
    row = sender.row(upload)
    assert (row.offset, len(row.parts), row.lock) == (len(SMALL), 1, None)


def test_who_is_overtaken_between_looking_and_claiming_holds_nobody_up(sender, other_floor):
    upload = sender.begin(PART + 5)
    engine, moved = sender.floor.database.engine, []

    def overtake(_connection, _cursor, statement, *_rest):
        if statement.startswith("UPDATE upload SET lock=") and not moved:
            moved.append(sender.append(upload, 0, bytes(PART), floor=other_floor))

    event.listen(engine, "before_cursor_execute", overtake)
    try:
        refused(423, sender.append, upload, 0, bytes(PART))
    finally:
        event.remove(engine, "before_cursor_execute", overtake)
    assert moved == [PART]
    row = sender.row(upload)
    assert (row.offset, len(row.parts), row.lock) == (PART, 1, None)
    assert sender.append(upload, PART, b"12345") == PART + 5


def test_while_one_window_is_sending_another_is_asked_to_wait(sender):
    upload = sender.begin()
    asked = []

    class Slow(Breaking):
        def read(self, size=-1):
            if not asked:
                asked.append(refused(423, sender.append, upload, 0, SMALL))
            return super().read(size)

    assert sender.append(upload, 0, Slow(SMALL)) == len(SMALL)
    assert "Another window" in str(asked[0])


def test_the_claim_of_a_process_that_died_lapses(sender):
    upload = sender.begin()
    row = sender.row(upload)
    row.lock, row.locked_at = uuid4(), now()
    sender.session.commit()
    refused(423, sender.append, upload, 0, SMALL)
    row = sender.row(upload)
    row.locked_at = now() - LOCK_LIFE - timedelta(seconds=1)
    sender.session.commit()
    assert sender.append(upload, 0, SMALL) == len(SMALL)


def test_who_was_thought_dead_and_comes_back_late_changes_nothing(sender):
    upload = sender.begin()

    class Late(Breaking):
        def read(self, _size=-1):
            if self.left:
                row = sender.row(upload)
                row.locked_at = now() - LOCK_LIFE - timedelta(seconds=1)
                sender.session.commit()
                assert sender.append(upload, 0, SMALL) == len(SMALL)
                block, self.left = self.left, b""
                return block
            return b""

    refused(423, sender.append, upload, 0, Late(bytes(len(SMALL))))
    assert sender.row(upload).offset == len(SMALL)
    sender.finish()
    source = sender.session.exec(select(Source)).one()
    assert b"".join(sender.floor.store.read(source.key)) == SMALL


# Beginning


def test_the_same_file_goes_on_and_another_one_is_refused_in_words(sender):
    upload = sender.begin(PART + 5)
    sender.append(upload, 0, bytes(PART))
    again = sender.begin(PART + 5)
    assert (again.id, again.offset) == (upload.id, PART)
    for name, length in (("talk.wav", PART + 6), ("other.wav", PART + 5)):
        error = refused(409, sender.begin, length, name)
        assert str(error) == (
            "Another file is on its way into this draft: talk.wav, 8 MB of 8 MB. Cancel it first."
        )


def test_an_empty_file_is_refused_and_the_draft_stays(sender):
    for length in (0, -1):
        assert str(refused(422, sender.begin, length)) == "The file is empty."
    assert sender.talk().state == "draft"


def test_a_file_over_the_limit_is_refused_with_both_sizes(sender, settings):
    limit = settings.max_upload_bytes
    error = refused(413, sender.begin, limit + 1024**3)
    assert str(error) == "The file has 5 GB; the limit here is 4 GB."
    assert sender.begin(limit).length == limit
    sender.cancel()


def test_ten_windows_that_begin_at_once_share_one_upload(sender):
    with ThreadPoolExecutor(10) as windows:
        ids = {upload.id for upload in windows.map(lambda _: sender.begin(), range(10))}
    assert len(ids) == 1


def test_somebody_elses_draft_and_upload_are_not_there(sender):
    upload = sender.begin()
    thief = asker_of(factories.person(sender.session, "Bo Chen"))
    sender.session.commit()
    other = Sender(sender.session, sender.floor, thief, sender.draft)
    refused(404, other.append, upload, 0, SMALL)
    for act in (other.begin, other.finish, other.cancel):
        with pytest.raises(NotThereError):
            act()
    with sender.floor.database.begin() as own:
        refused(404, publishing.end_upload, own, sender.floor, thief, upload.id)
        refused(404, receiving.mine, own, uuid4(), sender.asker.id)
    assert sender.row(upload).state == "open"


# Ending


def test_a_cancelled_upload_has_ended_and_the_draft_takes_another_file(sender):
    upload = sender.begin()
    sender.cancel()
    assert sender.talk().state == "draft"
    error = refused(410, sender.append, upload, 0, SMALL)
    assert str(error) == "This upload has ended. Your draft is kept."
    fresh = sender.begin(7, "other.wav")
    assert fresh.id != upload.id
    sender.cancel()
    sender.cancel()


def test_an_upload_ended_by_its_own_address_leaves_a_draft_too(sender):
    upload = sender.begin()
    with sender.floor.database.begin() as own:
        publishing.end_upload(own, sender.floor, sender.asker, upload.id)
    assert (sender.row(upload).state, sender.talk().state) == ("aborted", "draft")
    with sender.floor.database.begin() as own:
        refused(410, publishing.end_upload, own, sender.floor, sender.asker, upload.id)


def test_a_finished_upload_cannot_be_ended_any_more(sender):
    upload = sender.begin()
    sender.append(upload, 0, SMALL)
    sender.finish()
    with sender.floor.database.begin() as own:
        publishing.end_upload(own, sender.floor, sender.asker, upload.id)
    sender.cancel()
    assert (sender.row(upload).state, sender.talk().state) == ("finished", "processing")


# Finishing


def test_finishing_ten_times_at_once_makes_one_revision_and_one_work(sender):
    upload = sender.begin()
    sender.append(upload, 0, SMALL)
    with ThreadPoolExecutor(10) as windows:
        told = list(windows.map(lambda _: sender.finish(), range(10)))
    assert {(talk.state, talk.revision) for talk in told} == {("processing", 1)}
    talk = sender.talk()
    assert (talk.revision, talk.attempt, talk.state) == (1, 1, "processing")
    assert sender.queued() == [f"produce-{sender.guid}-1-1"]
    assert len(sender.session.exec(select(Source)).all()) == 1
    assert sender.row(upload).state == "finished"


def test_finishing_and_cancelling_at_once_never_wait_for_each_other(sender):
    upload = sender.begin()
    sender.append(upload, 0, SMALL)
    waiting = text("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'")
    with ThreadPoolExecutor(1) as window:
        with sender.floor.database.begin() as own:
            publishing.mine(own, sender.asker, sender.guid, lock=True)
            finishing = window.submit(sender.finish)
            until = time.monotonic() + 5
            while not own.execute(waiting).scalar_one() and time.monotonic() < until:
                time.sleep(0.01)
            # Had the other one taken the upload before the episode, this would be a deadlock.
            publishing.cancel_upload(own, sender.floor, sender.asker, sender.guid)
        error = finishing.exception()
    assert isinstance(error, UploadError)
    assert (error.status, str(error)) == (410, "This upload has ended. Your draft is kept.")
    assert (sender.row(upload).state, sender.talk().state) == ("aborted", "draft")
    assert sender.queued() == []


def test_an_upload_with_bytes_missing_cannot_be_finished(sender):
    refused(409, sender.finish)
    upload = sender.begin(PART + 5)
    sender.append(upload, 0, bytes(PART))
    error = refused(409, sender.finish)
    assert (str(error), error.offset) == ("5 bytes are still missing.", PART)
    assert sender.queued() == []
    assert sender.talk().state == "uploading"


def test_what_is_rolled_back_queues_nothing(sender):
    def queue_and_fail():
        with sender.floor.database.begin() as own:
            episode = publishing.mine(own, sender.asker, sender.guid, lock=True)
            publishing._queue(own, sender.floor, episode)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        queue_and_fail()
    assert sender.queued() == []
    assert sender.talk().state == "draft"


def test_a_talk_that_was_withdrawn_on_the_way_is_not_made(sender):
    upload = sender.begin()
    sender.append(upload, 0, SMALL)
    with sender.floor.database.begin() as own:
        publishing.withdraw(own, sender.asker, sender.guid)
    assert "withdrawn" in str(refused(409, sender.finish))
    assert "withdrawn" in str(refused(409, sender.begin))
    assert sender.queued() == []
    sender.cancel()
    assert sender.row(upload).state == "aborted"
    with sender.floor.database.begin() as own:
        publishing.restore(own, sender.floor, sender.asker, sender.guid)
    assert sender.begin().id != upload.id


def test_replacing_a_recording_keeps_what_is_heard_until_the_new_one_is_made(sender):
    content = SMALL + b"again"
    publishing.receive(
        sender.floor,
        sender.asker,
        sender.guid,
        name="a.wav",
        length=len(SMALL),
        body=io.BytesIO(SMALL),
    )
    talk = sender.talk()
    talk.state, talk.published_at = "complete", now()
    sender.session.commit()
    publishing.receive(
        sender.floor,
        sender.asker,
        sender.guid,
        name="b.wav",
        length=len(content),
        body=io.BytesIO(content),
    )
    talk = sender.talk()
    assert (talk.revision, talk.attempt, talk.state) == (2, 2, "processing")
    assert talk.published_at is not None
    assert sorted(sender.queued()) == [f"produce-{sender.guid}-{n}-{n}" for n in (1, 2)]
    sizes = sender.session.exec(select(Source.size).order_by(Source.revision)).all()
    assert sizes == [len(SMALL), len(content)]


def test_a_failed_talk_is_queued_again_once_for_each_asking(sender):
    upload = sender.begin()
    sender.append(upload, 0, SMALL)
    sender.finish()
    talk = sender.talk()
    talk.state, talk.reason = "failed", "This file holds no sound."
    sender.session.commit()
    with sender.floor.database.begin() as own:
        publishing.retry(own, sender.floor, sender.asker, sender.guid)
    talk = sender.talk()
    assert (talk.state, talk.reason, talk.revision, talk.attempt) == ("processing", None, 1, 2)
    assert sorted(sender.queued()) == [f"produce-{sender.guid}-1-{n}" for n in (1, 2)]


# Names


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("talk.wav", "talk.wav"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ana\\talk.mp4", "talk.mp4"),
        ("a\x00b\n\u202e.mp3", "ab.mp3"),
        ("", "recording"),
        ("folder/", "recording"),
        ("x" * 300, "x" * 255),
        ("Größe 🚰.wav", "Größe 🚰.wav"),
    ],
)
def test_a_given_name_is_shown_without_its_folders(given, shown):
    assert receiving.shown_name(given) == shown
