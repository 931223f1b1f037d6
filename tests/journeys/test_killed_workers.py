"""A worker killed by SIGKILL in the middle of any step: the talk is finished all the same, once.

Nothing is patched. The worker is stopped and continued in slices of milliseconds until its own
progress row names the step; then it is killed where it stands.
"""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlmodel import Session, col, select

from service import publishing
from service.access import asker_of
from service.identity import people
from service.publishing import Draft
from storage.floor import Floor, open_floor
from storage.models import Cue, Episode, Piece, Rendition, Transcript, WorkerLease, WorkProgress
from storage.settings import Settings
from workers.ffmpeg import ffmpeg_path

MEDIA = Path(__file__).parent.parent / "media"
STEPS = ["inspect", "encode-audio", "publish", "pieces", "encode-video", "transcribe", "assemble"]
PATIENCE = 120.0


@pytest.fixture(scope="module")
def floor(house: Settings) -> Iterator[Floor]:
    opened = open_floor(house, name="dare-test")
    yield opened
    opened.database.close()


@pytest.fixture
def crew(house: Settings, tmp_path: Path) -> Iterator[int]:
    """The parent of one worker; it forks a fresh one, after a second, when that dies."""
    log = tmp_path / "workers.log"
    with log.open("wb") as out:
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
    sys.stdout.write(log.read_text()[-3000:])
    assert status == 0


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eleven seconds of a real voice over a test picture that cannot be copied as it is."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    picture = "testsrc2=size=320x240:rate=12:duration=11"
    subprocess.run(
        [
            *(ffmpeg_path(), "-v", "error", "-f", "lavfi", "-i", picture),
            *("-i", str(MEDIA / "jfk.flac"), "-c:v", "mpeg4", "-b:v", "300k"),
            *("-c:a", "flac", "-ar", "16000", "-ac", "1", str(path)),
        ],
        check=True,
    )
    return path


def _shared(floor: Floor, path: Path) -> Episode:
    with floor.database.begin() as session:
        person = people.by_email(session, "kill@example.org") or people.add(
            session, email="kill@example.org", name="Kay", password=None
        )
        asker = asker_of(person)
        guid = str(publishing.create_draft(session, asker, Draft(title="Ask not")).guid)
    with path.open("rb") as body:
        return publishing.receive(
            floor, asker, guid, name=path.name, length=path.stat().st_size, body=body
        )


def _worker(session: Session, crew: int) -> int | None:
    """Return the process id of this crew's living worker, once it holds a lease."""
    alive = {child.pid for child in psutil.Process(crew).children()}
    leases = session.exec(select(WorkerLease.pid).order_by(col(WorkerLease.started_at).desc()))
    return next((pid for pid in leases if pid in alive), None)


def _kill_in(floor: Floor, crew: int, episode_id: int, step: str) -> int:
    """Kill the worker while it is in `step`; return its process id."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with floor.database.begin() as session:
            pid = _worker(session, crew)
        if pid is None:
            time.sleep(0.05)
            continue
        os.kill(pid, signal.SIGSTOP)
        with floor.database.begin() as session:
            progress = session.get(WorkProgress, episode_id)
            if progress is not None and progress.step == step:
                os.kill(pid, signal.SIGKILL)
                return pid
        os.kill(pid, signal.SIGCONT)
        time.sleep(0.004)
    pytest.fail(f"the worker never came to {step}")


def _completed(floor: Floor, episode_id: int) -> Episode:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with floor.database.begin() as session:
            episode = session.get(Episode, episode_id)
            assert episode is not None
            assert episode.state != "failed", episode.reason
            assert episode.reason is None
            progress = session.get(WorkProgress, episode_id)
            session.expunge_all()
        if episode.state == "complete":
            return episode
        time.sleep(0.1)
    pytest.fail(f"the talk stayed {episode.state}, {progress}")


@pytest.mark.parametrize("step", STEPS)
def test_a_worker_killed_in_this_step_is_replaced_and_each_output_is_made_once(
    floor: Floor, crew: int, film: Path, step: str
) -> None:
    source = film if step == "encode-video" else MEDIA / "jfk.flac"
    episode = _shared(floor, source)
    killed = _kill_in(floor, crew, episode.id, step)

    done = _completed(floor, episode.id)

    wanted = {"mp3", "m4a", "mp4"} if step == "encode-video" else {"mp3", "m4a"}
    with floor.database.begin() as session:
        assert _worker(session, crew) != killed
        renditions = session.exec(select(Rendition).where(Rendition.episode_id == episode.id)).all()
        assert Counter(r.kind for r in renditions) == Counter(wanted)
        pieces = session.exec(select(Piece).where(Piece.episode_id == episode.id)).all()
        assert all(piece.done_at for piece in pieces)
        transcript = session.get(Transcript, episode.id)
        assert transcript is not None
        assert transcript.revision == done.transcript_revision == 1
        cues = session.exec(select(Cue.text).where(Cue.episode_id == episode.id)).all()
        assert "ask what you can do for your country" in " ".join(cues).lower()
    _assert_tidy(floor, done, {r.key for r in renditions})


def _assert_tidy(floor: Floor, episode: Episode, named: set[str]) -> None:
    """Nothing is left in the store but what rows name; the last step clears up, so wait for it."""
    deadline = time.monotonic() + 20
    left: set[str] = set()
    while time.monotonic() < deadline:
        left = set(floor.store.keys(f"renditions/{episode.guid}/"))
        left |= set(floor.store.keys(f"speech/{episode.guid}/"))
        if left == named:
            return
        time.sleep(0.2)
    assert left == named
