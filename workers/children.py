"""Runs one child process under limits, reads what it says, and never leaves it behind."""

import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from workers import launcher

GIB = 1024**3
MIB = 1024**2
POLL_SECONDS = 0.25
GRACE_SECONDS = 5.0
ERRORS_KEPT = 16 * 1024


@dataclass(frozen=True)
class Ceilings:
    """What a child may use at most: CPU seconds, bytes in one file, address space, open files."""

    cpu_seconds: float = 120
    file_bytes: int = 64 * MIB
    address_space: int = 4 * GIB
    open_files: int = 64

    def arguments(self) -> list[str]:
        """Return the ceilings in the order the launcher reads them."""
        values = (self.address_space, int(self.cpu_seconds) + 1, self.file_bytes, self.open_files)
        return [str(value) for value in values]


@dataclass(frozen=True)
class Ended:
    """How a child ended: exit status (negative: a signal's number) and the end of its stderr."""

    status: int
    errors: str


def supervise(
    command: Sequence[str],
    *,
    folder: Path,
    ceilings: Ceilings,
    take: Callable[[bytes], None],
    watch: Callable[[], None],
) -> Ended:
    """Run `command` (absolute program first) in `folder` and return how it ended.

    Every piece of stdout goes to `take`; `watch` is called at least every 0.25 s. Whatever either
    raises ends the child's whole process group (SIGTERM, 5 s, SIGKILL) before it is raised on.
    The program's environment is empty. The calling thread must stay for as long as the child
    lives: the child dies with it.
    """
    limited = [
        *(sys.executable, "-I", "-S", launcher.__file__, str(os.getpid())),
        *(*ceilings.arguments(), *command),
    ]
    with subprocess.Popen(
        limited,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=folder,
        start_new_session=True,
    ) as child:
        errors = bytearray()
        try:
            _listen(child, take, errors, watch)
            while child.poll() is None:
                watch()
                with suppress(subprocess.TimeoutExpired):
                    child.wait(POLL_SECONDS)
        finally:
            _end(child)
        return Ended(child.returncode, _last_words(errors, folder))


def _listen(
    child: subprocess.Popen[bytes],
    take: Callable[[bytes], None],
    errors: bytearray,
    watch: Callable[[], None],
) -> None:
    """Hand on stdout and keep the end of stderr until the child has closed both."""
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout or -1, selectors.EVENT_READ, take)
        selector.register(child.stderr or -1, selectors.EVENT_READ, errors.extend)
        while selector.get_map():
            for key, _ in selector.select(POLL_SECONDS):
                chunk = os.read(key.fd, 65536)
                if chunk:
                    key.data(chunk)
                else:
                    selector.unregister(key.fileobj)
            del errors[:-ERRORS_KEPT]
            watch()


def _end(child: subprocess.Popen[bytes]) -> None:
    """Leave no process of the child's group alive."""
    if child.poll() is None:
        _signal(child, signal.SIGTERM)
        _signal(child, signal.SIGCONT)  # one that was stopped hears nothing else
        with suppress(subprocess.TimeoutExpired):
            child.wait(GRACE_SECONDS)
    _signal(child, signal.SIGKILL)
    child.wait()


def _signal(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, number)


def _last_words(errors: bytearray, folder: Path) -> str:
    """Return stderr as text without the paths of this machine."""
    return errors.decode(errors="replace").replace(f"{folder}/", "").strip()
