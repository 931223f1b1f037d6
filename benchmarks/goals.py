"""How every benchmark tells what it found."""

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass


@dataclass(frozen=True)
class Goal:
    """One number against its bar: `value` must not be above `bar`, or not below it."""

    goal: str
    value: float
    bar: float
    unit: str
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the number is on the right side of the bar."""
        return self.value >= self.bar if self.at_least else self.value <= self.bar

    def line(self) -> str:
        """Return it for a terminal."""
        sign = "≥" if self.at_least else "≤"
        mark = "met" if self.met else "MISSED"
        return f"{mark:7} {self.goal}: {self.value:.2f} {self.unit} ({sign} {self.bar:g})"


def tell(measure: Callable[[], Sequence[Goal]], description: str) -> int:
    """Measure, print lines or (with --json) one object, and return the exit status: 0 when met."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--json", action="store_true", help="one JSON object")
    as_json = parser.parse_args().json
    goals = measure()
    if as_json:
        told = [{**asdict(one), "met": one.met} for one in goals]
        sys.stdout.write(json.dumps({"goals": told}) + "\n")
    else:
        sys.stdout.write("".join(f"{one.line()}\n" for one in goals))
    return 0 if all(one.met for one in goals) else 1
