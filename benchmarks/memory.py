"""What an idle house holds in memory, everything counted, against its engines alone (PSS).

Half of the store's share is its program's own pages. Where another house runs on the machine from
the same file those count for both, and the sum looks smaller than it is: then a line says so.
"""

import sys
import time
from collections.abc import Sequence

import psutil

from benchmarks.goals import Goal, tell
from benchmarks.running import house, temporary_folder
from service.commands.status import MIB, status

IDLE_SECONDS = 20.0


def warn_of_others() -> None:
    """Say so when pages shared with another house would make the numbers too good."""
    if any(one.info["name"] == "weed" for one in psutil.process_iter(["name"])):
        sys.stderr.write("Another house runs on this machine: the sum will be too small.\n")


def measure() -> Sequence[Goal]:
    """Return the memory of a house with two workers that has been idle for a while."""
    warn_of_others()
    with temporary_folder() as data, house(data, "--workers", "2"):
        time.sleep(IDLE_SECONDS)
        found = status(data)
    shares = {name: one["pss"] / MIB for name, one in found["children"].items()}
    engines = shares["database"] + shares["store"]
    return [
        Goal("idle, everything", found["pss"] / MIB, 450, "MiB"),
        Goal("idle, the supervisor", shares["supervisor"], 20, "MiB"),
        Goal("idle, everything over the engines alone", found["pss"] / MIB / engines, 4, "times"),
    ]


if __name__ == "__main__":
    sys.exit(tell(measure, __doc__))
