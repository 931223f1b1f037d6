"""ffmpeg under limits: followed, stopped, never left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import psutil
import pytest

from workers import ffmpeg
from workers.errors import Broken, Cancelled, Interrupted

ROOT = Path(__file__).parents[2]


def real_time(path, *, seconds=30.0):
    """Return arguments of a run that lasts as long as the sound does."""
    return ffmpeg.compose(ffmpeg.source(path, re=None).output("-", f="null", t=seconds))


def our_child(marked: Path, *, of: int | None = None) -> psutil.Process:
    """Return the ffmpeg that works on `marked`, once it runs."""
    until = time.monotonic() + 10
    while time.monotonic() < until:
        for child in psutil.Process(of).children(recursive=True):
            try:
                command = child.cmdline()
            except psutil.Error:
                continue
            if "ffmpeg" in Path((command or [""])[0]).name and f"file:{marked}" in command:
                return child
        time.sleep(0.02)
    raise AssertionError("no ffmpeg appeared")


def gone(process: psutil.Process, within: float) -> bool:
    until = time.monotonic() + within
    while time.monotonic() < until:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


class Background(threading.Thread):
    """A run in its own thread, which keeps what it raised."""

    def __init__(self, arguments, scratch, **options):
        super().__init__()
        self.arguments, self.scratch, self.options = arguments, scratch, options
        self.error = None
        self.start()

    def run(self):
        try:
            ffmpeg.run(self.arguments, scratch=self.scratch, duration=30, **self.options)
        except Exception as error:  # noqa: BLE001  the test looks at it
            self.error = error


@pytest.fixture
def sound(tone):
    return tone("a.wav", 30)


def test_progress_rises_to_the_end(sound, scratch):
    told: list[float] = []
    output = ffmpeg.source(sound).output("-", f="null")
    seconds, _ = ffmpeg.run(
        ffmpeg.compose(output), scratch=scratch, duration=30, progress=told.append
    )
    assert seconds == pytest.approx(30, abs=0.05)
    assert told[-1] == pytest.approx(1.0, abs=0.01)
    assert all(one < other for one, other in pairwise(told))


def test_a_run_that_is_withdrawn_ends_within_two_seconds(sound, scratch):
    withdrawn = threading.Event()
    background = Background(real_time(sound), scratch, should_stop=withdrawn.is_set)
    child = our_child(sound)
    withdrawn.set()
    began = time.monotonic()
    background.join(10)
    assert time.monotonic() - began < 2
    assert isinstance(background.error, Cancelled)
    assert gone(child, 0.1)


def test_an_encoder_that_stands_still_is_ended_and_may_be_tried_again(sound, scratch):
    background = Background(real_time(sound), scratch, stall=1.0)
    child = our_child(sound)
    child.send_signal(signal.SIGSTOP)
    background.join(15)
    assert isinstance(background.error, Interrupted)
    assert not background.error.permanent
    assert gone(child, 0.1)


def test_a_run_past_its_deadline_is_ended(sound, scratch):
    with pytest.raises(Interrupted, match="took too long"):
        ffmpeg.run(real_time(sound), scratch=scratch, duration=30, deadline=0.5)


def test_an_encoder_killed_from_outside_may_be_tried_again(sound, scratch):
    background = Background(real_time(sound), scratch)
    our_child(sound).kill()
    background.join(5)
    assert isinstance(background.error, Interrupted)


def test_the_child_is_limited_and_knows_nothing_of_us(sound, scratch):
    withdrawn = threading.Event()
    background = Background(real_time(sound), scratch, should_stop=withdrawn.is_set)
    child = our_child(sound)
    try:
        proc = Path(f"/proc/{child.pid}")
        limits = (proc / "limits").read_text()
        status = (proc / "status").read_text()
        assert (proc / "environ").read_bytes() == b""
        assert os.getsid(child.pid) == os.getpgid(child.pid) == child.pid
        assert child.nice() >= 10
        assert child.cwd() == str(scratch)
        for name, value in (
            ("Max address space", 4 * 1024**3),
            ("Max open files", 64),
            ("Max core file size", 0),
            ("Max file size", 64 * 1024**2),
            ("Max cpu time", 301),
        ):
            line = next(line for line in limits.splitlines() if line.startswith(name))
            assert line[len(name) :].split()[0] == str(value), line
        assert "NoNewPrivs:\t1" in status
    finally:
        withdrawn.set()
        background.join(10)


def test_the_child_has_no_network_where_the_kernel_grants_that(sound, scratch):
    granted = any(
        subprocess.run(["unshare", flag, "true"], check=False, capture_output=True).returncode == 0
        for flag in ("-n", "-rn")
    )
    if not granted:
        pytest.skip("this kernel grants no network namespace")
    withdrawn = threading.Event()
    background = Background(real_time(sound), scratch, should_stop=withdrawn.is_set)
    child = our_child(sound)
    try:
        assert Path(f"/proc/{child.pid}/ns/net").readlink() != Path("/proc/self/ns/net").readlink()
    finally:
        withdrawn.set()
        background.join(10)


def test_the_child_dies_with_its_worker(sound, scratch):
    program = (
        "import sys; from pathlib import Path; from workers import ffmpeg;"
        "path, scratch = map(Path, sys.argv[1:]);"
        "out = ffmpeg.source(path, re=None).output('-', f='null');"
        "ffmpeg.run(ffmpeg.compose(out), scratch=scratch, duration=30)"
    )
    worker = subprocess.Popen([sys.executable, "-c", program, sound, scratch], cwd=ROOT)
    child = our_child(sound, of=worker.pid)
    worker.kill()
    worker.wait()
    assert gone(child, 2)


def test_an_output_beyond_its_limit_ends_the_work_in_words(sound, scratch):
    joined = scratch / "out.wav"
    output = ffmpeg.source(sound, stream_loop=30).output(f"file:{joined}", f="wav")
    with pytest.raises(Broken, match="used more memory or time than allowed"):
        ffmpeg.run(ffmpeg.compose(output), scratch=scratch, duration=900)
    assert joined.stat().st_size <= 64 * 1024**2


def test_no_path_of_the_machine_is_kept_for_the_log(tone, scratch):
    broken = scratch / "source"
    broken.write_bytes(b"\0\0\0\x20ftypisom" + bytes(500))
    with pytest.raises(ffmpeg.Failed) as failed:
        ffmpeg.probe(broken)
    assert failed.value.detail
    assert str(scratch) not in failed.value.detail
