"""A child process that is kept alive: when it ends, it is started again, ever more slowly."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from storage.embedded.children import EngineError, last_line

FIRST_DELAY = 0.5
LONGEST_DELAY = 30.0
STEADY_SECONDS = 60.0


@dataclass
class Backoff:
    """How long to wait before the next start: half a second, doubling up to thirty."""

    delay: float = FIRST_DELAY

    def after(self, lived: float) -> float:
        """Return the seconds to wait after a child that lived so long; a minute starts afresh."""
        if lived >= STEADY_SECONDS:
            self.delay = FIRST_DELAY
        waited, self.delay = self.delay, min(LONGEST_DELAY, self.delay * 2)
        return waited


def ending(status: int) -> str:
    """Return in words how a process ended, from Popen.returncode."""
    if status >= 0:
        return f"status {status}"
    with suppress(ValueError):
        return signal.Signals(-status).name
    return f"signal {-status}"


@dataclass
class Supervised:
    """One child: how to start it, how to see that it serves, and how it is asked to end."""

    name: str
    words: str
    log: Path
    launch: Callable[[], subprocess.Popen[bytes]]
    serves: Callable[[], bool]
    first_signal: int = signal.SIGTERM
    stop_seconds: float = 15.0
    process: subprocess.Popen[bytes] | None = None
    ready: bool = False
    started_at: float = 0.0
    restart_at: float | None = None
    backoff: Backoff = field(default_factory=Backoff)

    @property
    def title(self) -> str:
        """Its name at the beginning of a sentence."""
        return self.words[0].upper() + self.words[1:]

    @property
    def born(self) -> float:
        """When it was last started, as Unix time."""
        return time.time() - (time.monotonic() - self.started_at)

    def start(self) -> None:
        """Start it now.

        Raises:
            EngineError: it could not be started.
        """
        self.restart_at, self.ready, self.started_at = None, False, time.monotonic()
        self.process = self.launch()

    def check_ready(self) -> bool:
        """Return whether it serves; once it does it counts as ready until it ends.

        Raises:
            EngineError: it has ended.
        """
        if self.process is None or self.ready:
            return self.ready
        if self.process.poll() is not None:
            raise EngineError(self.obituary(self.process.returncode))
        self.ready = self.serves()
        return self.ready

    def obituary(self, status: int) -> str:
        """Return one line that says how it ended and where to look."""
        return (
            f"{self.title} ended ({ending(status)}): "
            f"{last_line(self.log) or 'it said nothing'} (see {self.log})"
        )

    def tend(self, say: Callable[[str], None]) -> bool:
        """Start it again when it has ended and its time has come; return whether it changed."""
        now = time.monotonic()
        if self.process is not None and self.process.poll() is not None:
            status = self.process.returncode
            self._sweep()
            self._retry_later(say, self.obituary(status), now)
            return True
        if self.restart_at is not None and now >= self.restart_at:
            try:
                self.start()
            except (EngineError, OSError) as error:
                self._retry_later(say, str(error), now)
            return True
        return False

    def comes_back(self) -> bool:
        """Return whether it serves now and did not a moment ago, after a restart."""
        running = self.process is not None and self.process.poll() is None
        if self.ready or not running:
            return False
        with suppress(EngineError):  # it ended this very moment: `tend` will see to it
            return self.check_ready()
        return False

    def _retry_later(self, say: Callable[[str], None], why: str, now: float) -> None:
        delay = self.backoff.after(now - self.started_at)
        self.process, self.ready, self.restart_at = None, False, now + delay
        say(f"{why}. Starting it again in {delay:g} s.")

    def _sweep(self) -> None:
        """End whatever of its process group outlived it, such as children of a killed parent."""
        if self.process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def stop(self, hurry: Callable[[], bool]) -> bool:
        """Ask it to end, wait for its deadline or until `hurry`, then SIGKILL its group.

        Returns whether it went by itself.
        """
        process, self.restart_at = self.process, None
        if process is None:
            return True
        if process.poll() is None:
            process.send_signal(self.first_signal)
        deadline = time.monotonic() + self.stop_seconds
        while process.poll() is None and time.monotonic() < deadline and not hurry():
            time.sleep(0.02)
        gone = process.poll() is not None
        self._sweep()
        process.wait()
        self.process = None
        return gone
