"""Archives of everything that is kept about somebody: asked for, packed by a worker, whole."""

import io
import json
import os
import subprocess
import sys
import threading
import time
import zipfile

import psutil
import pytest
from sqlmodel import select, text

from service import privacy
from service.access import asker_of
from service.limits import EXPORTS, TooFastError
from service.publishing import NotNowError, NotThereError
from storage import belongings, personal
from storage.floor import open_floor
from storage.models import Audit, Export, Notice, Source
from tests import factories
from tests.integration.belongers import plant
from workers import workflows
from workers.errors import Cancelled, Interrupted
from workers.steps import export
from workers.workplace import Workplace

BYTES = bytes(range(256)) * 40


@pytest.fixture(scope="module")
def floor(house):
    held = open_floor(house, pool=6, name="tests")
    yield held
    held.database.close()


@pytest.fixture
def ana(session):
    made = factories.person(session, "Ana Lima")
    session.commit()
    return made


@pytest.fixture(autouse=True)
def quiet_queue(session):
    yield
    session.rollback()
    session.execute(text("DELETE FROM dbos.workflow_status"))
    session.commit()


@pytest.fixture
def place(floor, tmp_path):
    """A worker's place, without a worker."""
    held = floor.settings.model_copy(update={"scratch": tmp_path / "scratch"})
    return Workplace(type(floor)(held, floor.database, floor.store, floor.work), "tests", None)


def asked(floor, person):
    with floor.database.begin() as own:
        return privacy.ask(own, floor, asker_of(person))


def row(session, made):
    session.rollback()
    return session.get_one(Export, made.id, populate_existing=True)


def opened(floor, key):
    return zipfile.ZipFile(io.BytesIO(b"".join(floor.store.read(key))))


def test_s68_the_archive_holds_every_kind_of_row_and_no_secret(floor, session, place):
    planted = plant(session)
    session.commit()
    for source in session.exec(select(Source)):
        floor.store.put(source.key, BYTES, "audio/wav")
    made = asked(floor, planted.person)
    export.pack(place, str(made.ref))
    ready = row(session, made)
    assert (ready.state, ready.reason) == ("ready", None)
    assert (ready.expires_at - ready.ready_at).days == floor.settings.keep_exports_days
    with opened(floor, ready.key) as archive:
        assert archive.testzip() is None
        names = set(archive.namelist())
        told = {name: json.loads(archive.read(name)) for name in names if name.endswith(".json")}
        whole = b"".join(archive.read(name) for name in names).decode(errors="replace")
        assert ready.size == len(b"".join(floor.store.read(ready.key)))
    files = {f"{table.file}.json" for table in personal.TABLES if table.file}
    assert files <= names
    assert [name for name in sorted(files) if not told[name]] == []
    schema = told["schema.json"]["files"]
    for name in files:
        assert all(list(one) == schema[name]["columns"] for one in told[name]), name
    for table, columns in planted.canaries.items():
        for column, canary in columns.items():
            is_told = column in personal.table(table).told.split()
            assert (canary in whole) == (is_told or f"{table}.{column}" == "cue.text"), (
                f"{table}.{column}"
            )
    assert planted.secrets
    assert [secret for secret in planted.secrets if secret in whole] == []
    (recording,) = [n for n in names if n.startswith("recordings/") and "/1" in n]
    assert archive_bytes(floor, ready.key, recording) == BYTES
    assert {n.rsplit(".", 1)[1] for n in names if n.startswith("transcripts/")} == {"json", "vtt"}
    assert str(planted.other.name) not in whole
    (notice,) = session.exec(
        select(Notice).where(Notice.person_id == planted.person.id, Notice.kind == "export")
    ).all()
    assert notice.path == "/account/privacy"


def archive_bytes(floor, key, name):
    with opened(floor, key) as archive:
        return archive.read(name)


def test_a_talk_without_its_source_is_packed_as_mp3_and_what_is_missing_is_said(
    floor, session, ana, place
):
    show = factories.show(session, ana)
    talk = factories.episode(session, show)
    gone = factories.episode(session, show, "Gone")
    session.delete(session.get_one(Source, (talk.id, 1)))
    rendition = factories.rendition(session, talk, "mp4")
    rendition.kind = "mp3-old"
    session.commit()
    keys = [
        key for (key,) in session.execute(
            text("SELECT key FROM rendition WHERE episode_id = :id AND kind = 'mp3'"),
            {"id": talk.id},
        )
    ]  # fmt: skip
    floor.store.put(keys[0], BYTES, "audio/mpeg")
    made = asked(floor, ana)
    export.pack(place, str(made.ref))
    with opened(floor, row(session, made).key) as archive:
        assert archive.read(f"recordings/{talk.guid}.mp3") == BYTES
        assert f"Missing: recordings/{gone.guid}/1.wav" in archive.read("README.txt").decode()


def test_communities_that_keep_to_themselves_are_named_to_their_members_alone(session, ana):
    bo = factories.person(session, "Bo Chen")
    board = factories.community(session, "Secret board", joining="group")
    factories.member(session, board, bo)
    open_one = factories.community(session, "Water")
    # As it stands after somebody's shows were handed over.
    factories.show(
        session,
        ana,
        visibility="communities",
        audience=[board.id, open_one.id],
        community_id=board.id,
    )
    factories.show(session, bo, "Minutes", visibility="communities", audience=[board.id])
    factories.show(session, bo, "For all")
    table = personal.table("show")
    (told,) = belongings.told(session, table, belongings.owner_of(ana))
    assert told["community"] == belongings.UNKNOWN
    assert sorted(told["audience"]) == ["Water", belongings.UNKNOWN]
    mine = list(belongings.told(session, table, belongings.owner_of(bo)))
    assert [one["audience"] for one in mine] == [["Secret board"], None]


def test_one_archive_at_a_time_and_two_a_day(floor, session, ana):
    first = asked(floor, ana)
    with pytest.raises(NotNowError, match="already"):
        asked(floor, ana)
    for _ in range(EXPORTS.most - 1):
        session.execute(text("UPDATE export SET state = 'failed'"))
        session.commit()
        asked(floor, ana)
    session.execute(text("UPDATE export SET state = 'failed'"))
    session.commit()
    with pytest.raises(TooFastError):
        asked(floor, ana)
    session.rollback()
    assert len(session.exec(select(Export)).all()) == EXPORTS.most
    acts = session.exec(select(Audit.act, Audit.actor)).all()
    assert acts == [("exported", str(ana.ref))] * EXPORTS.most
    queued = session.execute(text("SELECT workflow_uuid FROM dbos.workflow_status")).scalars()
    assert f"export-{first.ref}" in set(queued)


def test_many_clicks_at_once_ask_for_one_archive(floor, session, ana):
    told = []

    def click():
        try:
            told.append(asked(floor, ana))
        except NotNowError as error:
            told.append(error)

    threads = [threading.Thread(target=click) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(isinstance(one, Export) for one in told) == 1
    assert len(told) == 6


def test_an_archive_is_its_owners_alone_and_for_its_days_only(floor, session, ana, place):
    bo = factories.person(session, "Bo Chen")
    session.commit()
    made = asked(floor, ana)
    with floor.database.begin() as own, pytest.raises(NotThereError):
        privacy.ready(own, asker_of(ana), made.ref)
    export.pack(place, str(made.ref))
    with floor.database.begin() as own:
        assert privacy.ready(own, asker_of(ana), made.ref).id == made.id
        with pytest.raises(NotThereError):
            privacy.ready(own, asker_of(bo), made.ref)
    session.execute(text("UPDATE export SET expires_at = now() - interval '1 second'"))
    session.commit()
    with floor.database.begin() as own:
        assert privacy.mine(own, asker_of(ana)) == []
        with pytest.raises(NotThereError):
            privacy.ready(own, asker_of(ana), made.ref)


def test_a_second_result_of_a_worker_that_was_taken_for_dead_is_thrown_away(
    floor, session, ana, place
):
    made = asked(floor, ana)
    owner = export._begun(floor, str(made.ref))
    assert owner.id == ana.id
    export.pack(place, str(made.ref))
    kept = row(session, made).key
    late = f"exports/{made.ref}/late.zip"
    floor.store.put(late, b"late", "application/zip")
    assert export._committed(floor, str(made.ref), late, 4) is False
    assert row(session, made).key == kept
    with pytest.raises(Cancelled):
        export.pack(place, str(made.ref))


def test_an_archive_that_nobody_waits_for_is_given_up_while_it_is_packed(
    floor, session, ana, place, monkeypatch
):
    factories.episode(session, factories.show(session, ana))
    source = session.exec(select(Source)).one()
    session.commit()
    floor.store.put(source.key, BYTES, "audio/wav")
    made = asked(floor, ana)
    monkeypatch.setattr(export, "POLL_SECONDS", -1.0)
    write = export.write

    def vanishes(*arguments):
        session.execute(text("DELETE FROM export"))
        session.commit()
        write(*arguments)

    monkeypatch.setattr(export, "write", vanishes)
    with pytest.raises(Cancelled):
        export.pack(place, str(made.ref))
    assert floor.store.keys(f"exports/{made.ref}/") == []
    assert list(place.scratch.iterdir()) == []


def test_no_room_is_said_in_words_and_the_row_says_so(floor, session, ana, place, monkeypatch):
    made = asked(floor, ana)
    monkeypatch.setattr(export, "ROOM", 2**60)
    with pytest.raises(Interrupted, match="no room"):
        export.pack(place, str(made.ref))
    export.fail(place, str(made.ref), "There is no room.")
    failed = row(session, made)
    assert (failed.state, failed.reason) == ("failed", "There is no room.")
    export.fail(place, str(made.ref), "Later.")
    assert row(session, made).reason == "There is no room."


def test_the_store_being_away_is_worth_another_try(floor, ana, place, monkeypatch):
    made = asked(floor, ana)

    def away(*_arguments):
        raise workflows.StoreError("no")

    monkeypatch.setattr(export, "write", away)
    monkeypatch.setattr(workflows, "_here", [place])
    told = workflows._answer_of(lambda here: export.pack(here, str(made.ref)), "export")
    assert told == {"failed": workflows.AWAY, "permanent": False}


# The real thing


@pytest.fixture
def crew(house, tmp_path):
    """The parent of one worker; it forks a fresh one, after a second, when that dies."""
    with (tmp_path / "workers.log").open("wb") as out:
        parent = subprocess.Popen(
            [sys.executable, "-m", "workers", "--count", "1"],
            env={
                **os.environ,
                "DARE_DATA": str(house.data),
                "DARE_LEASE_SECONDS": "2",
                "DARE_HEARTBEAT_SECONDS": "0.3",
            },
            stdout=out,
            stderr=out,
        )
        yield parent.pid
        parent.terminate()
        status = parent.wait(20)
    sys.stdout.write((tmp_path / "workers.log").read_text()[-3000:])
    assert status == 0


def test_a_worker_killed_while_it_packs_is_replaced_by_another(floor, session, ana, crew):
    factories.episode(session, factories.show(session, ana))
    source = session.exec(select(Source)).one()
    session.commit()
    upload = floor.store.begin_multipart(source.key, "audio/wav")
    part = os.urandom(8 * 1024**2)
    etags = [floor.store.put_part(source.key, upload, n, part) for n in range(1, 7)]
    floor.store.complete_multipart(source.key, upload, etags)
    made = asked(floor, ana)
    _until(lambda: row(session, made).state == "building")
    (worker,) = psutil.Process(crew).children()
    worker.kill()
    assert row(session, made).state == "building"
    _until(lambda: row(session, made).state not in {"waiting", "building"})
    ready = row(session, made)
    assert (ready.state, ready.reason) == ("ready", None)
    assert ready.size > 6 * len(part)


def _until(done, seconds=60):
    deadline = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)
