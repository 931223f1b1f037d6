"""The house that tests live in: real engines, started once, and a clean database for each test."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Playwright, sync_playwright
from sqlalchemy import Engine
from sqlmodel import Session, create_engine

from storage.database import normal_url
from storage.embedded.engines import write_engines
from storage.embedded.ports import LOOPBACK, free_ports
from storage.embedded.postgres import Postgres
from storage.embedded.seaweed import Seaweed, SeaweedPorts
from storage.models import Row
from storage.settings import Settings, ensure_secrets, load_settings

for _name in [name for name in os.environ if name.startswith("DARE_")]:
    del os.environ[_name]  # an operator's settings must not reach into tests


@dataclass(frozen=True)
class Engines:
    """Both engines of a house in `data`, for tests that look at them closely."""

    data: Path
    database: Postgres
    database_port: int
    store: Seaweed
    store_ports: SeaweedPorts


def start_engines(data: Path, stack: ExitStack) -> Engines:
    """Start both engines in `data` and write engines.json; `stack` stops them."""
    secrets: dict[str, Any] = json.loads(ensure_secrets(data).read_text())
    (data / "log").mkdir(exist_ok=True)
    store = Seaweed(
        data / "objects",
        access_key=secrets["s3_access_key"],
        secret_key=secrets["s3_secret_key"],
        signing_key=secrets["seaweed_signing"],
        log=data / "log" / "seaweed.log",
    )
    database = Postgres(
        data / "postgres", secrets["postgres_password"], data / "log" / "postgres.log"
    )
    # The folder goes afterwards, so nobody waits for a store that stops gently.
    stack.callback(store.stop, seconds=0)
    stack.callback(database.stop)
    ports = SeaweedPorts.free()
    store.start(ports)
    port, web = free_ports(2)
    database.start(port)
    database.wait_ready()
    store.wait_ready()
    write_engines(
        data,
        port=web,
        bind=LOOPBACK,
        database_url=database.url(port),
        s3_endpoint=store.endpoint,
    )
    return Engines(data, database, port, store, ports)


def prepare(data: Path) -> dict[str, Any]:
    """Run migrations and make the bucket, as `dare up` does; return what was said."""
    done = subprocess.run(
        [sys.executable, "-m", "storage.prepare"],
        env={**os.environ, "DARE_DATA": str(data)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return told


@pytest.fixture(scope="session")
def engines() -> Iterator[Engines]:
    """Both engines in a folder of their own; they and the folder are gone after the last test."""
    # Not pytest's own folder: it takes away the right to pass that the database's account needs.
    data = Path(tempfile.mkdtemp(prefix="dare-house-"))
    try:
        with ExitStack() as stack:
            yield start_engines(data, stack)
    finally:
        shutil.rmtree(data, ignore_errors=True)


@pytest.fixture(scope="session")
def house(engines: Engines) -> Settings:
    """The settings of a running house: PostgreSQL, S3, all tables and the bucket; no web yet."""
    prepare(engines.data)
    return load_settings(engines.data)


@pytest.fixture
def settings(house: Settings) -> Settings:
    """The settings of the running house."""
    return house


@pytest.fixture(scope="session")
def database_engine(house: Settings) -> Iterator[Engine]:
    """A small pool of connections to the house's database, for tests themselves."""
    engine = create_engine(normal_url(house.database_url.get_secret_value()), pool_size=5)
    yield engine
    engine.dispose()


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    """The one driver of browsers: a process has room for no second one."""
    with sync_playwright() as driver:
        yield driver


def empty(engine: Engine) -> None:
    """Delete all rows of all tables of ours.

    DELETE takes a millisecond for a table with few rows; TRUNCATE makes and syncs a hundred files.
    In the replica role no foreign key and no trigger asks for an order.
    """
    tables = ";".join(str(table.delete()) for table in Row.metadata.sorted_tables)
    with engine.begin() as connection:
        connection.exec_driver_sql(f"SET LOCAL session_replication_role = replica;{tables}")


@pytest.fixture
def clean_database(database_engine: Engine) -> Iterator[Engine]:
    """The database without rows, and empty again afterwards. For tests that commit."""
    yield database_engine
    empty(database_engine)


@pytest.fixture
def session(clean_database: Engine) -> Iterator[Session]:
    """A session on the house's database; whatever is committed is gone after the test."""
    with Session(clean_database) as opened:
        yield opened
