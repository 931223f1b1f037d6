"""Child processes that end with their parent, and those that an earlier parent left behind."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
POLL_SECONDS = 0.02
FATAL = (" FATAL: ", " PANIC: ")
LOG_LIMIT = 8 * 1024**2
_libc = ctypes.CDLL(None)


class EngineError(Exception):
    """An engine could not be made, started or trusted; the message says what and where to look."""


@dataclass(frozen=True)
class Account:
    """A system account that a child runs as."""

    uid: int
    gid: int


def _bind_to(parent: int, death_signal: int) -> Callable[[], None]:
    def before_exec() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, death_signal)
        # The parent may have died before the call above: then no signal would ever come.
        if os.getppid() != parent:
            os._exit(1)

    return before_exec


def spawn(
    command: Sequence[str | Path],
    *,
    folder: Path,
    log: Path | None,
    environment: Mapping[str, str],
    death_signal: int = signal.SIGTERM,
    account: Account | None = None,
    stdout: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a session of its own, in `folder`, its words appended to `log`.

    When the calling thread ends without stopping it, the kernel sends the child `death_signal`.
    Call it from a thread that lives as long as the child shall.
    """
    words = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600) if log else None
    try:
        return subprocess.Popen(
            [str(part) for part in command],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=words if stdout is None else stdout,
            stderr=words,
            start_new_session=True,
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
            # Two system calls and no lock: safe between fork and exec, threads or not.
            preexec_fn=_bind_to(os.getpid(), death_signal),  # noqa: PLW1509
        )
    finally:
        if words is not None:
            os.close(words)


def wait_gone(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """Wait for a child to end; return whether it did within `seconds`."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def end(process: subprocess.Popen[bytes], *, first: int, seconds: float) -> bool:
    """Stop a child: signal `first`, wait, then SIGKILL to its whole process group.

    Returns whether it went by itself. Nothing of its group is alive afterwards.
    """
    if process.poll() is None:
        process.send_signal(first)
    gone = wait_gone(process, seconds)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return gone


def shorten(log: Path) -> None:
    """Set a log aside as `NAME.1` when it has grown past 8 MiB."""
    if log.exists() and log.stat().st_size > LOG_LIMIT:
        log.replace(log.with_name(log.name + ".1"))


def last_line(log: Path) -> str:
    """Return the line in a log that most likely says why, at most 300 characters of it.

    That is the last one, unless PostgreSQL called one of the last ten fatal: its hints, details and
    farewell come after it.
    """
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - 4096))
            words = file.read().decode(errors="replace")
    except FileNotFoundError:
        return ""
    lines = [line.strip() for line in words.splitlines() if line.strip()][-10:]
    fatal = [line for line in lines if any(word in line for word in FATAL)]
    return (fatal or lines or [""])[-1][:300]


def started_ticks(pid: int) -> int | None:
    """Return when a process started, in clock ticks since boot; None when there is none.

    With the pid this names a process for ever: pids come back, pairs do not (proc(5), field 22).
    A zombie counts as gone.
    """
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else int(fields[19])


def working_in(folder: Path, program: str) -> list[int]:
    """Return the pids of processes of ours called `program` whose working folder is `folder`."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            here = (entry / "cwd").readlink() == folder
            if here and (entry / "comm").read_text().strip() == program:
                found.append(int(entry.name))
        except OSError:  # not ours to look at, or gone meanwhile
            continue
    return sorted(found)


def clear(pids: Callable[[], list[int]], signals: Sequence[tuple[int, float]]) -> None:
    """End processes that are not our children: each signal in turn, with seconds to obey it.

    Raises:
        EngineError: one survived the last signal.
    """
    for number, seconds in signals:
        for pid in pids():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + seconds
        while pids():
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_SECONDS)
        else:
            return
    raise EngineError(f"Processes left by an earlier start do not end: {pids()}. End them by hand.")


def wait_until(ready: Callable[[], bool], *, seconds: float, otherwise: Callable[[], str]) -> None:
    """Poll `ready` until it holds.

    Raises:
        EngineError: it did not within `seconds`; `otherwise` gives the words.
    """
    deadline = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > deadline:
            raise EngineError(otherwise())
        time.sleep(POLL_SECONDS)
