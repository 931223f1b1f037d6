"""DIR/run: who runs this house, and what an earlier start left behind."""

import fcntl
import json
import os
import signal
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from storage.embedded.children import clear, started_ticks
from storage.embedded.engines import write_private


@dataclass(frozen=True)
class Running:
    """A process that cannot be mistaken for another: pids come back, start times do not."""

    pid: int
    ticks: int

    @classmethod
    def of(cls, pid: int) -> "Running | None":
        """Return the process that has this pid now; None when there is none."""
        ticks = started_ticks(pid)
        return None if ticks is None else cls(pid, ticks)

    @property
    def alive(self) -> bool:
        """Whether this very process still runs."""
        return started_ticks(self.pid) == self.ticks


def record_path(data: Path) -> Path:
    """Return where the record of the running house lies."""
    return data / "run" / "house.json"


def write_record(data: Path, children: Mapping[str, int], facts: Mapping[str, Any]) -> None:
    """Write down this process as the house's supervisor, its children's pids, and `facts`."""
    people = {"supervisor": os.getpid(), **children}
    found = {name: Running.of(pid) for name, pid in people.items()}
    record = {
        **facts,
        "processes": {
            name: {"pid": one.pid, "ticks": one.ticks} for name, one in found.items() if one
        },
    }
    write_private(record_path(data), json.dumps(record, indent=1))


def read_record(data: Path) -> dict[str, Any] | None:
    """Return what the last start wrote down; None when there was none or it cannot be read."""
    try:
        found = json.loads(record_path(data).read_text())
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def recorded(record: Mapping[str, Any]) -> dict[str, Running]:
    """Return the processes of a record, dead or alive, by name."""
    return {name: Running(**one) for name, one in record.get("processes", {}).items()}


def supervisor_of(data: Path) -> Running | None:
    """Return the supervisor that runs this house now, or None."""
    found = recorded(read_record(data) or {}).get("supervisor")
    return found if found and found.alive else None


def take_lock(data: Path) -> int | None:
    """Take the lock that one supervisor holds; return its descriptor, None when it is taken.

    It is let go when the last process that holds the descriptor ends, however it ends.
    """
    path = data / "run" / "lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def end_leftovers(data: Path, *, patience: float = 10.0) -> list[str]:
    """End what a killed supervisor left running; return the names of what was found.

    Call it only with the lock held. Children were told by the kernel when their parent died, so
    they mostly need but a moment; after `patience` seconds they are killed.

    Raises:
        EngineError: something survived SIGKILL.
    """
    found = recorded(read_record(data) or {})
    # The database ends its own leftovers when it starts: SIGTERM would make it wait for clients.
    found.pop("database", None)
    left = {name: one for name, one in found.items() if one.alive}

    def alive() -> list[int]:
        return [one.pid for one in left.values() if one.alive]

    if left:
        clear(alive, [(signal.SIGTERM, patience), (signal.SIGKILL, 5)])
    for name, one in left.items():
        if name != "supervisor":  # children lead groups of their own, it sits in its shell's
            with suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGKILL)
    record_path(data).unlink(missing_ok=True)
    return sorted(left)
