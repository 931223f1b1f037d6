"""`dare up` refuses what cannot work in one clear line, before anything is started."""

import errno
import os
import shutil
import socket
from pathlib import Path
from typing import NamedTuple

import pytest
from click.testing import CliRunner, Result

from service.cli import COMMANDS, main
from service.house_record import take_lock
from storage.embedded.ports import LOOPBACK


class Usage(NamedTuple):
    """What shutil.disk_usage returns."""

    total: int
    used: int
    free: int


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_arguments: object) -> None:
        pytest.fail("the supervisor was started")

    monkeypatch.setattr(os, "execv", refuse)


def _up(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, ["up", *map(str, arguments)])


def _is_one_line(result: Result, *parts: str) -> bool:
    told = result.output.strip()
    return result.exit_code == 2 and len(told.splitlines()) == 1 and all(p in told for p in parts)


def test_a_taken_port_is_named_with_a_way_out(tmp_path: Path) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        port = server.getsockname()[1]
        result = _up("--data", tmp_path, "--port", str(port))
    assert _is_one_line(result, f"Port {port}", "in use", "dare up --port")


def test_an_almost_full_disk_says_how_much_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**9, 10**9, 3 * 1024**2))
    assert _is_one_line(_up("--data", tmp_path), "3 MiB free", "512 MiB are needed")


def test_a_full_disk_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_path: Path, _content: bytes) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    assert _is_one_line(_up("--data", tmp_path), "almost full", "0 MiB free")


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = _up("--data", tmp_path / "file" / "data")
    assert _is_one_line(result, str(tmp_path / "file" / "data"), "cannot be written")


def test_a_house_runs_once(tmp_path: Path) -> None:
    lock = take_lock(tmp_path)
    assert lock is not None
    result = _up("--data", tmp_path)
    os.close(lock)
    assert _is_one_line(result, "already runs", f"dare stop --data {tmp_path}")


def test_s30_the_open_network_needs_https(tmp_path: Path) -> None:
    result = _up("--data", tmp_path, "--bind", "0.0.0.0", "--port", "0")
    assert _is_one_line(result, "0.0.0.0", "DARE_BASE_URL")


def test_s30_plain_http_is_for_loopback_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DARE_BASE_URL", "http://talks.example.org")
    assert _is_one_line(_up("--data", tmp_path, "--port", "0"), "DARE_BASE_URL", "https")


def test_s30_a_weak_secret_stops_the_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARE_SECRET_KEY", "changeme")
    result = _up("--data", tmp_path, "--port", "0")
    assert _is_one_line(result, "DARE_SECRET_KEY", "32 bytes")
    assert "changeme" not in result.output


def test_a_malformed_setting_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DARE_WEB_THREADS", "many")
    assert _is_one_line(_up("--data", tmp_path, "--port", "0"), "DARE_WEB_THREADS")


def test_nothing_to_stop_is_no_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["stop", "--data", str(tmp_path)])
    assert result.exit_code == 0
    assert "Nothing runs" in result.output


def test_the_status_of_an_empty_folder_says_that_nothing_runs(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["status", "--data", str(tmp_path)])
    assert result.exit_code == 1
    assert "Nothing runs here" in result.output


@pytest.mark.parametrize("word", COMMANDS)
def test_every_word_of_the_command_line_is_there(word: str) -> None:
    result = CliRunner().invoke(main, [word, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage" in result.output
