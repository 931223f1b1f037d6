"""`python -m workers [--count N]`: worker processes, forked from one that has imported everything.

The parent holds no thread and no connection. It forks its workers, which thereby share the memory
of what is imported, and forks a fresh one with a growing pause when one dies.
"""

import argparse
import gc
import logging
import os
import signal
import sys
import time
from types import FrameType

from storage.floor import Floor, open_floor
from storage.settings import Settings, load_settings
from workers import die_with_parent
from workers.executor import Executor

log = logging.getLogger("workers")

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 30.0
LIVED_LONG = 60.0
POLL_SECONDS = 0.1
ENDING = (signal.SIGTERM, signal.SIGINT)


def work(floor: Floor) -> int:
    """Be one worker until told to stop; return the exit status."""
    executor = Executor(floor)

    def stop(_number: int, _frame: FrameType | None) -> None:
        executor.stop()

    for number in ENDING:
        signal.signal(number, stop)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
    executor.start()
    return executor.run()


class Crew:
    """The parent of some workers."""

    def __init__(self, settings: Settings, count: int) -> None:
        # Opened before the fork: workers share its memory. It connects when first used, which is
        # after the fork, so no connection is shared.
        self.floor = open_floor(settings, pool=6, name="dare-worker")
        self.count = count
        self.started: dict[int, float] = {}
        self.pause = FIRST_PAUSE
        self.stopping = False

    def fork(self) -> None:
        """Start one worker."""
        parent = os.getpid()
        # A signal between the fork and the child's own handlers would reach the parent's handler.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        pid = os.fork()
        if pid == 0:
            self._be_a_worker(parent)
        self.started[pid] = time.monotonic()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    def _be_a_worker(self, parent: int) -> None:
        """Work in this forked process and end it: nothing of the parent's may run on in it."""
        status = 1
        try:
            die_with_parent.ask(parent)
            status = work(self.floor)
        except Exception:
            log.exception("A worker could not work.")
        finally:
            # Not sys.exit: threads of running steps must not be waited for.
            os._exit(status)

    def stop(self, _number: int, _frame: FrameType | None) -> None:
        """End all workers; a signal handler."""
        self.stopping = True
        for pid in self.started:
            os.kill(pid, signal.SIGTERM)

    def run(self) -> int:
        """Keep `count` workers alive until told to stop."""
        gc.collect()
        gc.freeze()
        for number in ENDING:
            signal.signal(number, self.stop)
        for _ in range(self.count):
            self.fork()
        while self.started:
            self._collect()
            time.sleep(POLL_SECONDS)
        return 0

    def _collect(self) -> None:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            self.started.clear()
            return
        if pid == 0 or pid not in self.started:
            return
        lived = time.monotonic() - self.started.pop(pid)
        if self.stopping:
            return
        self.pause = FIRST_PAUSE if lived > LIVED_LONG else min(LONGEST_PAUSE, self.pause * 2)
        code = os.waitstatus_to_exitcode(status)
        log.warning("Worker %s ended (%s); a fresh one starts in %.1f s.", pid, code, self.pause)
        # In short naps: a signal during one long sleep would be noticed only at its end.
        until = time.monotonic() + self.pause
        while not self.stopping and time.monotonic() < until:
            time.sleep(POLL_SECONDS)
        if not self.stopping:
            self.fork()


def main() -> int:
    """Read the command line and work."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--count", type=int, default=None, help="worker processes")
    given = parser.parse_args()
    logging.basicConfig(
        format="%(asctime)s %(process)d %(name)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S%z",
        level=logging.INFO,
    )
    settings = load_settings()
    return Crew(settings, given.count or settings.workers).run()


if __name__ == "__main__":
    sys.exit(main())
