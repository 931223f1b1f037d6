"""From `dare up` to "Dare is ready", against the floor: the engines alone."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

from benchmarks.goals import Goal, tell
from benchmarks.running import house, temporary_folder
from storage.embedded.ports import free_ports
from storage.embedded.postgres import Postgres
from storage.embedded.seaweed import Seaweed, SeaweedPorts

ROUNDS = 3


def engines_alone(data: Path) -> float:
    """Return the seconds that both engines need on a folder that has been started before."""
    secrets = json.loads((data / "secrets.json").read_text())
    database = Postgres(data / "postgres", secrets["postgres_password"], data / "log" / "bench.log")
    store = Seaweed(
        data / "objects",
        access_key=secrets["s3_access_key"],
        secret_key=secrets["s3_secret_key"],
        signing_key=secrets["seaweed_signing"],
        log=data / "log" / "bench.log",
    )
    began = time.perf_counter()
    try:
        store.start(SeaweedPorts.free())
        database.start(free_ports(1)[0])
        database.wait_ready()
        store.wait_ready()
        return time.perf_counter() - began
    finally:
        store.stop()
        database.stop()


def measure() -> Sequence[Goal]:
    """Return what a first start and later starts take."""
    with temporary_folder() as data:
        with house(data) as first:
            pass
        later = []
        for _ in range(ROUNDS):
            with house(data) as seconds:
                later.append(seconds)
        floor = median(engines_alone(data) for _ in range(ROUNDS))
    return [
        Goal("`dare up` on a set-up machine, median", median(later), 5.0, "s"),
        Goal("`dare up` with an empty folder", first, 8.0, "s"),
        Goal("`dare up` over its engines alone", median(later) / floor, 8.0, "times"),
    ]


if __name__ == "__main__":
    sys.exit(tell(measure, __doc__))
