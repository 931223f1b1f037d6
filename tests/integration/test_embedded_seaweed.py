"""The S3 store on one machine: closed to strangers, and nothing acknowledged is lost."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from storage.embedded import seaweed
from storage.embedded.children import EngineError
from storage.embedded.ports import LOOPBACK, status_of
from storage.embedded.seaweed import FORBIDDEN_JOBS, Seaweed, SeaweedPorts, switched_off
from storage.objects import ObjectStore
from storage.settings import Settings
from tests.conftest import Engines


def _server(store: Seaweed) -> psutil.Process:
    assert store._process is not None
    return psutil.Process(store._process.pid)


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="dare-store-"))
    yield made
    shutil.rmtree(made, ignore_errors=True)


def _store(folder: Path) -> Seaweed:
    return Seaweed(
        folder / "objects",
        access_key="a" * 20,
        secret_key="s" * 64,
        signing_key="k" * 64,
        log=folder / "seaweed.log",
    )


@pytest.mark.parametrize(
    ("port", "path"),
    [("filer", "/"), ("filer", "/buckets/dare/"), ("volume", "/1,01deadbeef"), ("s3", "/dare")],
)
def test_no_port_serves_a_request_without_a_token(
    house: Settings, engines: Engines, port: str, path: str
) -> None:
    assert status_of(getattr(engines.store_ports, port), path, timeout=5) in {401, 403}


def test_the_store_listens_on_loopback_only(engines: Engines) -> None:
    listening = [
        one.laddr.ip
        for one in _server(engines.store).net_connections("inet")
        if one.status == psutil.CONN_LISTEN
    ]
    assert len(listening) == 10
    assert set(listening) == {LOOPBACK}


def test_secrets_are_not_on_the_command_line_and_files_are_private(engines: Engines) -> None:
    words = " ".join(_server(engines.store).cmdline())
    assert engines.store.secret_key not in words
    assert engines.store.signing_key not in words
    for name in ("security.toml", "filer.toml"):
        assert (engines.store.folder / name).stat().st_mode & 0o077 == 0


def test_volumes_are_never_erasure_coded_behind_our_back(engines: Engines) -> None:
    jobs = engines.store.folder / "objects" / "admin" / "plugin" / "job_types"
    for job in FORBIDDEN_JOBS:
        assert (jobs / job / "config.pb").read_bytes() == switched_off(job)


def test_a_store_without_keys_is_not_accepted(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seaweed, "JWT_SECTIONS", ())
    open_to_all = _store(folder)
    open_to_all.start(SeaweedPorts.free())
    try:
        with pytest.raises(EngineError, match="without a token"):
            open_to_all.wait_ready()
    finally:
        open_to_all.stop(0)


def test_acknowledged_objects_survive_a_killed_store_on_other_ports(folder: Path) -> None:
    store = _store(folder)
    process = store.start(SeaweedPorts.free())
    try:
        store.wait_ready()
        assert "fsync" in (store.folder / "fsync.rule").read_text()
        objects = ObjectStore(_settings(store, folder))
        objects.ensure_bucket()
        for number in range(20):
            objects.put(f"kept/{number}", bytes([number]) * 50_000, "application/octet-stream")
        process.kill()
        process.wait()
        store.start(SeaweedPorts.free())
        store.wait_ready()
        again = ObjectStore(_settings(store, folder))
        for number in range(20):
            found = b"".join(again.read(f"kept/{number}", 0, 49_999))
            assert found == bytes([number]) * 50_000
    finally:
        assert store.stop(15)


def _settings(store: Seaweed, folder: Path) -> Settings:
    return Settings(
        data=folder,
        s3_endpoint=store.endpoint,
        s3_access_key=store.access_key,
        s3_secret_key=store.secret_key,
    )
