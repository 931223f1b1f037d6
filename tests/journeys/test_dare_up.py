"""A house from `dare up` to `dare stop`, through everything that may befall it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest

from storage.embedded.ports import free_ports
from storage.settings import load_settings

DARE = [sys.executable, "-m", "service.cli"]
START = 120.0


class House:
    """A `dare up` of its own, as a person would start it."""

    def __init__(self, data: Path) -> None:
        self.data = data
        self.port = free_ports(1)[0]
        self.told = data.parent / "told.txt"
        self.process: subprocess.Popen[bytes] | None = None

    def up(self) -> str:
        """Start it and return what it said until it was ready."""
        with self.told.open("wb") as told:
            self.process = subprocess.Popen(
                [*DARE, "up", "--data", self.data, "--port", str(self.port), "--workers", "1"],
                stdout=told,
                stderr=subprocess.STDOUT,
            )
        self.wait_for("Dare is ready")
        return self.told.read_text()

    def wait_for(self, words: str, seconds: float = START) -> None:
        """Wait until the supervisor has said `words`."""
        process = self.process
        assert process is not None
        until(lambda: words in self.told.read_text() or process.poll() is not None, seconds)
        assert words in self.told.read_text(), self.told.read_text()

    def dare(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run another command beside it."""
        return subprocess.run(
            [*DARE, *arguments, "--data", str(self.data)],
            capture_output=True,
            text=True,
            check=False,
        )

    def status(self) -> dict[str, Any]:
        """Return what `dare status` tells."""
        found: dict[str, Any] = json.loads(self.dare("status", "--json").stdout)
        return found

    def pid(self, name: str) -> int:
        """Return the process of one child, as recorded."""
        record = json.loads((self.data / "run" / "house.json").read_text())
        return int(record["processes"][name]["pid"])

    def health(self) -> int:
        """Return the status of the page of health; 0 when nobody answers."""
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}/health", timeout=5
            ) as answer:
                return int(answer.status)
        except OSError:
            return 0

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on its database."""
        url = load_settings(self.data).database_url.get_secret_value()
        with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def processes(self) -> list[psutil.Process]:
        """Return the supervisor and all that descend from it."""
        assert self.process is not None
        mine = psutil.Process(self.process.pid)
        return [mine, *mine.children(recursive=True)]


def until(holds: Callable[[], bool], seconds: float) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass in time"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    folder = Path(tempfile.mkdtemp(prefix="dare-journey-"))
    made = House(folder / "data")
    try:
        yield made
    finally:
        if made.process is not None and made.process.poll() is None:
            made.process.terminate()
            made.process.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


# The tests below tell one story, in this order.


def test_a_first_start_ends_in_an_address_and_a_link_for_the_first_account(house: House) -> None:
    told = house.up()
    assert f"Dare is ready: http://127.0.0.1:{house.port}\n" in told
    assert f"Make the first account: http://127.0.0.1:{house.port}/set-up/" in told
    assert house.health() == 200
    assert (house.data / "secrets.json").stat().st_mode & 0o777 == 0o600
    assert (house.data / "run" / "engines.json").stat().st_mode & 0o777 == 0o600
    assert house.rows("SELECT count(*) FROM worker_lease")[0][0] >= 1


def test_the_set_up_link_opens(house: House) -> None:
    lines = house.told.read_text().splitlines()
    (link,) = [line.rpartition(" ")[2] for line in lines if "first account" in line]
    with urllib.request.urlopen(link, timeout=10) as answer:
        assert answer.status == 200
    log = house.data / "log" / "web.log"
    until(lambda: "/set-up/…" in log.read_text(), 5)  # written after the answer has gone out
    assert link.rpartition("/")[2] not in log.read_text()


def test_status_counts_every_process_and_its_memory(house: House) -> None:
    found = house.status()
    assert found["running"] is True
    assert set(found["children"]) == {"supervisor", "database", "store", "web", "workers"}
    assert found["children"]["web"]["processes"] == 3
    assert found["pss"] == sum(one["pss"] for one in found["children"].values())
    assert all(one["pss"] > 2**20 for one in found["children"].values())
    assert found["children"]["supervisor"]["pss"] < 20 * 2**20
    counted = sum(one["processes"] for one in found["children"].values())
    assert abs(counted - len(house.processes())) <= 3  # database connections come and go
    assert "error" not in found["queues"]
    assert found["storage"]["used"] > 2**20
    assert "MiB (PSS, everything)" in house.dare("status").stdout


def test_no_secret_is_on_any_command_line(house: House) -> None:
    secrets = json.loads((house.data / "secrets.json").read_text()).values()
    words = " ".join(" ".join(one.cmdline()) for one in house.processes())
    assert not any(secret in words for secret in secrets)


def test_a_second_start_on_the_same_folder_is_refused(house: House) -> None:
    refused = house.dare("up", "--port", str(free_ports(1)[0]))
    assert refused.returncode == 2
    assert f"already runs on {house.data}" in refused.stderr
    assert house.health() == 200


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("web", "The web server ended (SIGKILL)"),
        ("workers", "The workers ended (SIGKILL)"),
        ("store", "The object store ended (SIGKILL)"),
        ("database", "The database ended (SIGKILL)"),
    ],
)
def test_a_killed_child_comes_back_and_it_is_said(house: House, name: str, words: str) -> None:
    before = house.pid(name)
    house.told.write_text("")
    os.kill(before, signal.SIGKILL)
    house.wait_for(words)
    assert "Starting it again in " in house.told.read_text()
    house.wait_for("serves again")
    assert house.pid(name) != before
    until(lambda: house.health() == 200, 30)


def test_a_killed_supervisor_blocks_no_later_start_and_no_row_is_lost(house: House) -> None:
    house.rows("CREATE TABLE kept (word text)")
    house.rows("INSERT INTO kept VALUES ('acknowledged')")
    left = house.processes()
    os.kill(left[0].pid, signal.SIGKILL)
    assert house.process is not None
    house.process.wait()
    house.up()
    gone, alive = psutil.wait_procs(left, timeout=10)
    assert not alive
    assert len(gone) == len(left)
    assert house.health() == 200
    assert house.rows("SELECT word FROM kept") == [("acknowledged",)]


def test_stop_ends_every_process(house: House) -> None:
    running = house.processes()
    stopped = house.dare("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert house.process is not None
    assert house.process.wait(5) == 0
    _, alive = psutil.wait_procs(running, timeout=5)
    assert not alive
    assert house.told.read_text().rstrip().endswith("Stopped.")
    assert "did not end in" not in house.told.read_text()
    assert house.dare("status").returncode == 1
    assert not (house.data / "run" / "house.json").exists()


def test_ctrl_c_during_the_start_stops_too(house: House) -> None:
    with house.told.open("wb") as told:
        house.process = subprocess.Popen(
            [*DARE, "up", "--data", house.data, "--port", str(house.port)], stdout=told
        )
    until((house.data / "run" / "house.json").exists, START)
    running = house.processes()
    assert len(running) > 1
    house.process.send_signal(signal.SIGINT)
    assert house.process.wait(60) == 0
    _, alive = psutil.wait_procs(running, timeout=5)
    assert not alive
    assert "Dare is ready" not in house.told.read_text()


def test_a_closed_terminal_stops_everything_too(house: House) -> None:
    house.process = subprocess.Popen(
        [*DARE, "up", "--data", house.data, "--port", str(house.port)], stdout=subprocess.PIPE
    )
    assert house.process.stdout is not None
    until((house.data / "run" / "house.json").exists, START)
    running = house.processes()
    house.process.stdout.close()
    house.process.send_signal(signal.SIGHUP)
    assert house.process.wait(60) == 0
    _, alive = psutil.wait_procs(running, timeout=5)
    assert not alive
