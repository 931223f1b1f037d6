"""The record of who runs a house, and the end of what an earlier start left behind."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from service.house_record import (
    Running,
    end_leftovers,
    read_record,
    record_path,
    supervisor_of,
    take_lock,
    write_record,
)
from storage.embedded.engines import write_private


def _record(people: dict[str, Running]) -> str:
    return json.dumps({"processes": {name: asdict(one) for name, one in people.items()}})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as process:
        yield process
        process.kill()


def test_a_record_names_this_process_as_the_supervisor(folder: Path) -> None:
    write_record(folder, {}, {"origin": "http://127.0.0.1:1"})
    found = supervisor_of(folder)
    assert found is not None
    assert found.pid == os.getpid()
    assert (read_record(folder) or {})["origin"] == "http://127.0.0.1:1"
    assert record_path(folder).stat().st_mode & 0o777 == 0o600


def test_a_pid_that_came_back_is_somebody_else(sleeper: subprocess.Popen[bytes]) -> None:
    known = Running.of(sleeper.pid)
    assert known is not None
    assert known.alive
    assert not Running(known.pid, known.ticks - 1).alive


def test_leftovers_end_and_strangers_live(folder: Path, sleeper: subprocess.Popen[bytes]) -> None:
    with subprocess.Popen(["sleep", "60"]) as stranger:
        mine, other = Running.of(sleeper.pid), Running.of(stranger.pid)
        assert mine is not None
        assert other is not None
        write_private(
            record_path(folder),
            _record({"web": mine, "workers": Running(other.pid, other.ticks - 1)}),
        )
        assert end_leftovers(folder) == ["web"]
        assert sleeper.wait(1) == -signal.SIGTERM
        assert stranger.poll() is None
        stranger.kill()
    assert not record_path(folder).exists()


def test_a_leftover_that_ignores_sigterm_is_killed(folder: Path) -> None:
    deaf = "import signal,time;signal.signal(15,signal.SIG_IGN);print(flush=True);time.sleep(60)"
    with subprocess.Popen(
        [sys.executable, "-c", deaf], stdout=subprocess.PIPE, start_new_session=True
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        one = Running.of(process.pid)
        assert one is not None
        write_private(
            record_path(folder),
            _record({"web": one}),
        )
        assert end_leftovers(folder, patience=0.2) == ["web"]
        assert process.wait(1) == -signal.SIGKILL


def test_a_broken_record_is_no_record(folder: Path) -> None:
    record_path(folder).write_text('{"processes": ')
    assert read_record(folder) is None
    assert supervisor_of(folder) is None
    assert end_leftovers(folder) == []


def test_only_one_holds_the_lock_and_death_lets_it_go(folder: Path) -> None:
    code = (
        "import sys;from pathlib import Path;from service.house_record import take_lock;"
        "print(take_lock(Path(sys.argv[1])) is not None, flush=True);sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"True\n"
        assert take_lock(folder) is None
        holder.kill()
    lock = take_lock(folder)
    assert lock is not None
    os.close(lock)
