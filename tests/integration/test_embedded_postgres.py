"""PostgreSQL on one machine: durable, closed to strangers, and able to start whatever happened."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import Engine, text

from storage.embedded.children import EngineError, working_in
from storage.embedded.ports import LOOPBACK, free_ports
from storage.embedded.postgres import Postgres
from tests.conftest import Engines


def _connect(address: str) -> psycopg.Connection[tuple[str]]:
    return psycopg.connect(address.replace("+psycopg", ""), autocommit=True)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="dare-postgres-"))
    made = Postgres(folder / "postgres", "sesame", folder / "postgres.log")
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("data_checksums", "on"),
        ("listen_addresses", LOOPBACK),
        ("unix_socket_directories", ""),
        ("server_encoding", "UTF8"),
        ("TimeZone", "UTC"),
    ],
)
def test_the_server_is_durable_and_local(database_engine: Engine, setting: str, value: str) -> None:
    with database_engine.connect() as connection:
        assert connection.execute(text(f'SHOW "{setting}"')).scalar() == value


def test_letters_of_all_alphabets_have_lower_case_and_sort_the_same_everywhere(
    database_engine: Engine,
) -> None:
    with database_engine.connect() as connection:
        assert connection.execute(text("SELECT lower('ÄÉŁΩЖ')")).scalar() == "äéłωж"
        assert connection.execute(text("SELECT 'Z' < 'a' AND 'z' < 'ä'")).scalar() is True


def test_a_wrong_password_is_refused(engines: Engines) -> None:
    address = engines.database.url(engines.database_port)
    password = engines.database.password
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _connect(address.replace(password, "wrong"))
    with pytest.raises(psycopg.OperationalError, match="no password"):
        _connect(address.replace(f":{password}", ""))


def test_one_query_is_answered_without_a_driver(engines: Engines) -> None:
    assert engines.database.ask(engines.database_port, "SELECT 6 * 7") == "42"
    assert engines.database.ask(free_ports(1)[0], "SELECT 6 * 7") == ""


def test_the_server_never_runs_as_root(engines: Engines) -> None:
    (pid, *_) = working_in(engines.database.folder, "postgres")
    assert Path(f"/proc/{pid}").stat().st_uid != 0


def test_rows_survive_a_killed_server_and_its_stale_pid_file(cluster: Postgres) -> None:
    (port,) = free_ports(1)
    process = cluster.start(port)
    cluster.wait_ready()
    with _connect(cluster.url(port)) as connection:
        connection.execute("CREATE TABLE kept (word text)")
        connection.execute("INSERT INTO kept VALUES ('acknowledged')")
    process.kill()
    process.wait()
    pid_file = cluster.folder / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    # As after a reboot: the old pid now belongs to a process that has nothing to do with us.
    with subprocess.Popen(["sleep", "60"]) as stranger:
        pid_file.write_text("\n".join([str(stranger.pid), *lines[1:]]))
        cluster.start(port)
        cluster.wait_ready()
        assert stranger.poll() is None
        stranger.kill()
    with _connect(cluster.url(port)) as connection:
        assert connection.execute("SELECT word FROM kept").fetchone() == ("acknowledged",)
    cluster.stop()


def test_a_server_left_by_an_earlier_start_makes_room(cluster: Postgres) -> None:
    old = cluster.start(free_ports(1)[0])
    cluster.wait_ready()
    before = working_in(cluster.folder, "postgres")
    new = Postgres(cluster.folder, cluster.password, cluster.log)
    try:
        process = new.start(free_ports(1)[0])
        new.wait_ready()
        now = working_in(cluster.folder, "postgres")
        assert old.wait(1) == 0
        assert process.pid in now
        assert not set(before) & set(now)
    finally:
        new.stop()


def test_the_server_stops_cleanly_and_says_when_it_is_gone(cluster: Postgres) -> None:
    (port,) = free_ports(1)
    cluster.start(port)
    cluster.wait_ready()
    assert cluster.ready()
    assert cluster.stop(20)
    assert not working_in(cluster.folder, "postgres")
    with pytest.raises(EngineError, match="ended"):
        cluster.ready()


def test_the_server_shuts_down_when_whoever_started_it_is_killed(cluster: Postgres) -> None:
    code = (
        "import sys, time; from pathlib import Path;"
        "from storage.embedded.postgres import Postgres;"
        "p = Postgres(Path(sys.argv[1]), 'sesame', Path(sys.argv[2])); p.start(int(sys.argv[3]));"
        "p.wait_ready(); print('ready', flush=True); time.sleep(60)"
    )
    arguments = [str(cluster.folder), str(cluster.log), str(free_ports(1)[0])]
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        assert working_in(cluster.folder, "postgres")
        os.kill(parent.pid, signal.SIGKILL)
    deadline = time.monotonic() + 15
    while working_in(cluster.folder, "postgres"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert "database system is shut down" in cluster.log.read_text()[-400:]


def test_a_server_that_cannot_start_says_why(cluster: Postgres) -> None:
    with socket.create_server((LOOPBACK, 0)) as taken:
        process = cluster.start(taken.getsockname()[1])
        assert process.wait(15) != 0
        with pytest.raises(EngineError, match=r"could not create.*see .*postgres\.log"):
            cluster.wait_ready()
