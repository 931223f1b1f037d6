"""Whether a flood of sign-ins leaves the pages alone: home's p95 while thirty-two people sign in
over and over, against home in the same house when nobody does; and what one sign-in costs.
"""

import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

import httpx

from benchmarks.goals import Goal, tell
from benchmarks.running import DARE, house, temporary_folder
from service.identity import passwords
from storage.settings import load_settings

PASSWORD = "a flood of people at the door"  # noqa: S105  of accounts that live ten seconds
PEOPLE = 8
AT_ONCE = 32
SECONDS = 10.0
RATE = 20.0
SECRET = re.compile(r'name="csrf_token" value="([0-9a-f]{64})"')


class Door:
    """Somebody before the sign-in page: its cookie and the secret of its form."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        page = client.get("/sign-in")
        found = SECRET.search(page.text)
        if found is None:
            raise RuntimeError("The sign-in page has no form.")
        self._secret = found[1]
        self._visit = page.headers["set-cookie"].partition(";")[0]

    def sign_in(self, email: str) -> str:
        """Sign in and return the session's cookie; empty when the house was too busy."""
        answer = self._client.post(
            "/sign-in",
            data={"csrf_token": self._secret, "email": email, "password": PASSWORD},
            headers={"Cookie": self._visit, "Sec-Fetch-Site": "same-origin"},
        )
        if answer.status_code in {429, 503}:
            return ""
        if answer.status_code != 303:
            raise RuntimeError(f"Signing in answered {answer.status_code}.")
        cookies = answer.headers.get_list("set-cookie")
        return next(c for c in cookies if c.startswith("__Host-dare=")).partition(";")[0]


def add_people(data: Path) -> list[str]:
    """Make accounts and return their addresses."""
    emails = [f"guest{number}@example.org" for number in range(PEOPLE)]
    for email in emails:
        subprocess.run(
            [*DARE, "add-person", email, "--name", "A guest", "--data", str(data)],
            input=PASSWORD + "\n", text=True, check=True, capture_output=True,
        )  # fmt: skip
    return emails


def home(client: httpx.Client, cookie: str) -> list[float]:
    """Ask for home at a constant rate and return the milliseconds from when each was due."""
    took, began = [], time.perf_counter()
    for number in range(int(SECONDS * RATE)):
        due = began + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        if client.get("/", headers={"Cookie": cookie}).status_code != 200:
            raise RuntimeError("Home did not answer.")
        took.append(1000 * (time.perf_counter() - due))
    return took


def come(origin: str, emails: list[str], over: Event, through: "Synchronized[int]") -> None:
    """Let people sign in over and over, in threads, until it is over; count who came through."""
    os.nice(5)  # it is the house that is measured, not who knocks

    def run(number: int) -> None:
        # Each from a network of its own, or the limit of one network would end the flood.
        way = httpx.HTTPTransport(local_address=f"127.0.{number + 1}.1")
        with httpx.Client(base_url=origin, timeout=30, transport=way) as client:
            door = Door(client)
            while not over.is_set():
                if door.sign_in(emails[number % len(emails)]):
                    with through.get_lock():
                        through.value += 1

    threads = [threading.Thread(target=run, args=(number,)) for number in range(AT_ONCE)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextmanager
def flood(origin: str, emails: list[str]) -> Iterator[Callable[[], int]]:
    """Keep a flood going in a process of its own; give what tells how many came through."""
    over, through = multiprocessing.Event(), multiprocessing.Value("i", 0)
    crowd = multiprocessing.Process(target=come, args=(origin, emails, over, through))
    crowd.start()
    try:
        yield lambda: int(through.value)
    finally:
        over.set()
        crowd.join()


def p95(took: list[float]) -> float:
    """Return the 95th percentile."""
    return statistics.quantiles(took, n=20)[-1]


def measure() -> Sequence[Goal]:
    """Return home's latency with and without the flood, and a sign-in's cost in hashes."""
    with temporary_folder() as data, house(data, "--workers", "1"):
        emails = add_people(data)
        origin = load_settings(data).origin
        with httpx.Client(base_url=origin, timeout=30) as client:
            door = Door(client)
            cookie = door.sign_in(emails[0])
            home(client, cookie)
            quiet = p95(home(client, cookie))
            # Not whoever looks at home: of somebody's sessions the oldest beyond fifty end.
            with flood(origin, emails[2:]) as through:
                loaded = p95(home(client, cookie))
                count = through()
            alone = timed(lambda: door.sign_in(emails[1]))
    stored = passwords.hashed(PASSWORD)
    bare = timed(lambda: passwords.matches(stored, PASSWORD))
    sys.stderr.write(f"{count} sign-ins in {SECONDS:g} s; home without them {quiet:.1f} ms\n")
    return [
        Goal("home p95 during a flood of sign-ins", loaded, 200, "ms"),
        Goal("one sign-in over one bare hash", alone / bare, 2, "times"),
        Goal("sign-ins that came through", count / SECONDS, 5, "a second", at_least=True),
    ]


def timed(act: Callable[[], object]) -> float:
    """Return the median seconds of fifteen calls."""
    took = []
    for _ in range(15):
        began = time.perf_counter()
        act()
        took.append(time.perf_counter() - began)
    return statistics.median(took)


if __name__ == "__main__":
    sys.exit(tell(measure, __doc__))
