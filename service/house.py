"""The supervisor of `dare up`: `python -m service.house PLAN`.

It starts the engines, prepares the tables, starts web and workers, keeps them alive and stops them
in order. It imports the standard library and storage.embedded alone, since it lives as long as the
house and its memory counts. `dare up` checks everything first and then becomes this process.
"""

import os
import select
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path
from types import FrameType

from service.house_plan import Plan
from service.house_record import record_path, write_record
from service.household import Engines, Rooms
from service.supervised import Supervised
from storage.embedded.children import EngineError, last_line

START_SECONDS = 120.0
EAGER, CALM = 0.05, 1.0
PATIENCE = 1.0
STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def say(words: str) -> None:
    """Print one line for the person who started the house.

    A terminal that was closed or a pipe that nobody reads any more is no reason to fall: the
    children must be stopped all the same.
    """
    with suppress(OSError):
        os.write(sys.stdout.fileno(), f"{words}\n".encode())


class Bell:
    """Signals: they only ring here, and wake whoever sleeps."""

    def __init__(self) -> None:
        self.stops = 0
        self._woken, self._wake = socket.socketpair()
        for one in (self._woken, self._wake):
            one.setblocking(False)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        for number in STOPS:
            signal.signal(number, self._note)
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)

    def _note(self, _number: int, _frame: FrameType | None) -> None:
        self.stops += 1

    def sleep(self, seconds: float) -> None:
        """Sleep until a signal comes, or for `seconds`."""
        if select.select([self._woken], [], [], seconds)[0]:
            self._woken.recv(4096)


class House:
    """All children of one house, from the first to the last breath."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.data = Path(plan.data)
        self.begun = time.time()
        self.bell = Bell()
        (self.data / "log").mkdir(mode=0o700, exist_ok=True)
        self.engines = Engines(plan, say)
        self.rooms = Rooms(plan, self.engines.has_lease_since)
        self._waited_for: set[str] = set()

    @property
    def children(self) -> list[Supervised]:
        """All children; the one that is stopped last stands first."""
        return [*self.engines.children, self.rooms.workers, self.rooms.web]

    def run(self) -> int:
        """Live until told to stop; return the exit status: 0, or 2 when it could not start."""
        try:
            self.engines.announce()
            self._become_ready()
            self._keep_alive()
        except (EngineError, OSError) as error:
            say(str(error))
            return 2
        finally:
            self._stop()
        return 0

    def _become_ready(self) -> None:
        """Start everything, as much at once as the machine allows, and say when it is ready.

        Raises:
            EngineError: a child ended, or was not ready in time.
        """
        # The store wakes and the web imports while a first database is made, which takes longest.
        first = [*self.engines.children, self.rooms.web]
        for child in sorted(first, key=lambda one: one.name == "database"):
            child.start()
        self._record()
        while not self.bell.stops:
            if self._step():
                self._announce()
                return
            self._grow_impatient(time.time() - self.begun)
            self.bell.sleep(EAGER)

    def _step(self) -> bool:
        """Look at each child once, start what can be started now; return whether all serve."""
        ready = {child.name: child.check_ready() for child in self.children}
        preparation = self.rooms.preparation
        preparation.step(database=ready.get("database", True), store=ready.get("store", True))
        if preparation.told is not None and self.rooms.workers.process is None:
            self.rooms.workers.start()
            self._record()
        return all(ready.values())

    def _grow_impatient(self, waited: float) -> None:
        missing = [child for child in self.children if not child.ready and child.process]
        if waited > PATIENCE:
            names = [child.words for child in missing]
            if self.rooms.preparation.told is None:
                names = [*(name for name in names if name != self.rooms.web.words), "the tables"]
            for name in names:
                if name not in self._waited_for:
                    self._waited_for.add(name)
                    say(f"Waiting for {name} …")
        if waited > START_SECONDS:
            log = missing[0].log if missing else self.data / "log" / "prepare.log"
            raise EngineError(
                f"Not ready after {START_SECONDS:g} s: {', '.join(one.words for one in missing)}. "
                f"Last words: {last_line(log)} (see {log})"
            )

    def _announce(self) -> None:
        say(f"Dare is ready: {self.plan.origin}")
        token = (self.rooms.preparation.told or {}).get("set_up_token")
        if token:
            say(f"Make the first account: {self.plan.origin}/set-up/{token}")

    def _keep_alive(self) -> None:
        while not self.bell.stops:
            changed = [child for child in self.children if child.tend(say)]
            for child in self.children:
                if child.comes_back():
                    say(f"{child.title} serves again.")
            if changed:
                self._record()
            self.bell.sleep(CALM)

    def _record(self) -> None:
        write_record(
            self.data,
            {child.name: child.process.pid for child in self.children if child.process},
            {
                "origin": self.plan.origin,
                "bind": self.plan.bind,
                "port": self.plan.port,
                "workers": self.plan.workers,
                "database_port": self.engines.database_port if self.plan.own_database else None,
                "s3_port": self.engines.store_ports.s3 if self.plan.own_store else None,
                "started": self.begun,
            },
        )

    def _stop(self) -> None:
        """Stop all children in order: web, workers, store, database.

        A second signal ends patience with requests and steps, which can be done again; the engines
        close cleanly all the same.
        """
        if self.bell.stops:
            say("Stopping. Once more: without waiting for requests that still run.")
        self.rooms.preparation.kill()
        for child in reversed(self.children):
            engine = child in self.engines.children
            began = time.monotonic()
            if not child.stop(self._never if engine else self._hurry):
                say(f"{child.title} did not end in {time.monotonic() - began:.0f} s: killed.")
        record_path(self.data).unlink(missing_ok=True)
        say("Stopped.")

    def _hurry(self) -> bool:
        return self.bell.stops > 1

    @staticmethod
    def _never() -> bool:
        return False


def main() -> int:
    """Run the house that the plan in argv describes."""
    plan = Plan.from_argument(sys.argv[1])
    os.set_inheritable(plan.lock, False)
    return House(plan).run()


if __name__ == "__main__":
    sys.exit(main())
