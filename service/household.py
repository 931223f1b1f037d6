"""The children of one house: how each is started, seen to serve, and asked to end."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from service.house_plan import Plan
from service.preparation import Preparation
from service.supervised import Supervised
from storage.embedded.children import shorten, spawn
from storage.embedded.engines import write_engines
from storage.embedded.ports import LOOPBACK, free_ports, status_of
from storage.embedded.postgres import Postgres
from storage.embedded.seaweed import Seaweed, SeaweedPorts

# glibc gives threads arenas of their own and keeps what was freed in them: with these two, 3 MiB
# less when idle, and no growth with the number of threads that ever ran. The operator's word wins.
ALLOCATOR = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "65536"}


class Engines:
    """The engines that are ours to run; those that the operator runs elsewhere are left out."""

    def __init__(self, plan: Plan, say: Callable[[str], None]) -> None:
        data = Path(plan.data)
        secrets = json.loads((data / "secrets.json").read_text())
        self.plan = plan
        self.database_port = free_ports(1)[0]
        self.store_ports = SeaweedPorts.free()
        self._say = say
        self._postgres = Postgres(
            data / "postgres", secrets["postgres_password"], data / "log" / "postgres.log"
        )
        self._seaweed = Seaweed(
            data / "objects",
            access_key=secrets["s3_access_key"],
            secret_key=secrets["s3_secret_key"],
            signing_key=secrets["seaweed_signing"],
            log=data / "log" / "seaweed.log",
        )
        store = [self._store()] if plan.own_store else []
        database = [self._database()] if plan.own_database else []
        self.children = [*database, *store]

    def announce(self) -> None:
        """Write DIR/run/engines.json."""
        own_database, own_store = self.plan.own_database, self.plan.own_store
        write_engines(
            Path(self.plan.data),
            port=self.plan.port,
            bind=self.plan.bind,
            database_url=self._postgres.url(self.database_port) if own_database else None,
            s3_endpoint=f"http://{LOOPBACK}:{self.store_ports.s3}" if own_store else None,
        )

    def has_lease_since(self, moment: float) -> bool:
        """Return whether a worker that started after `moment` (Unix time) holds a lease.

        A database that the operator runs is not asked: the workers' log has to do there.
        """
        if not self.plan.own_database:
            return True
        asked = "SELECT extract(epoch FROM max(started_at)) FROM worker_lease"
        newest = self._postgres.ask(self.database_port, asked)
        return bool(newest) and float(newest) >= moment

    def _database(self) -> Supervised:
        return Supervised(
            name="database",
            words="the database",
            log=self._postgres.log,
            launch=self._launch_database,
            serves=self._postgres.ready,
            first_signal=signal.SIGINT,
            stop_seconds=20,
        )

    def _launch_database(self) -> subprocess.Popen[bytes]:
        if not (self._postgres.folder / "PG_VERSION").exists():
            self._say(f"Making a new database in {self._postgres.folder} …")
        process = self._postgres.start(self.database_port)
        for folder in self._postgres.opened:
            self._say(f"Let the database's own account pass through {folder} (chmod o+x).")
        return process

    def _store(self) -> Supervised:
        return Supervised(
            name="store",
            words="the object store",
            log=self._seaweed.log,
            launch=lambda: self._seaweed.start(self.store_ports),
            serves=self._store_serves,
            stop_seconds=15,
        )

    def _store_serves(self) -> bool:
        if not self._seaweed.ready():
            return False
        self._seaweed.finish()
        return True


class Rooms:
    """The children that are this very program: preparation, web and workers."""

    def __init__(self, plan: Plan, has_lease_since: Callable[[float], bool]) -> None:
        self.plan = plan
        self._has_lease_since = has_lease_since
        self._logs = Path(plan.data) / "log"
        self._environment: Mapping[str, str] = {
            **ALLOCATOR,
            **os.environ,
            "DARE_DATA": plan.data,
            "DARE_PORT": str(plan.port),
            "DARE_BIND": plan.bind,
            "DARE_WORKERS": str(plan.workers),
        }
        self.preparation = Preparation(
            partial(self._python, "prepare", "storage.prepare", stdout=subprocess.PIPE),
            self._logs / "prepare.log",
        )
        # `web` waits longer than gunicorn gives to the requests that still run.
        self.web = self._room(
            "web",
            "the web server",
            ("gunicorn", "-c", "python:service.gunicorn_conf", "service.app:create_app()"),
            self._web_serves,
            35,
        )
        self.workers = self._room(
            "workers",
            "the workers",
            ("workers", "--count", str(plan.workers)),
            self._workers_serve,
            20,
        )

    def _room(
        self,
        name: str,
        words: str,
        command: tuple[str, ...],
        serves: Callable[[], bool],
        stop_seconds: float,
    ) -> Supervised:
        return Supervised(
            name=name,
            words=words,
            log=self._logs / f"{name}.log",
            launch=partial(self._python, name, *command),
            serves=serves,
            stop_seconds=stop_seconds,
        )

    def _python(
        self, name: str, module: str, *arguments: str, stdout: int | None = None
    ) -> subprocess.Popen[bytes]:
        log = self._logs / f"{name}.log"
        shorten(log)
        return spawn(
            [sys.executable, "-m", module, *arguments],
            folder=Path.cwd(),
            log=log,
            environment=self._environment,
            stdout=stdout,
        )

    def _web_serves(self) -> bool:
        # Before the tables are there, asking would only fill the log with failures.
        if self.preparation.told is None:
            return False
        return status_of(self.plan.port, "/health", address=self.plan.bind, timeout=2) == 200

    def _workers_serve(self) -> bool:
        return self._has_lease_since(self.workers.born)
