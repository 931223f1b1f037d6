"""The first child of every start: it makes tables and bucket ready, and tells who is there."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from storage.embedded.children import EngineError, last_line


class Preparation:
    """The child that makes tables and bucket ready, and tells who is there."""

    def __init__(self, launch: Callable[[], subprocess.Popen[bytes]], log: Path) -> None:
        self.told: dict[str, Any] | None = None
        self._launch = launch
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        self._store_was_ready = False

    def step(self, *, database: bool, store: bool) -> None:
        """Go on: begin when the database is ready, read what was told at the end.

        Begun before the store answers, since the imports take longer than the store; if it came
        too early all the same, it is done once more.

        Raises:
            EngineError: it failed although both engines were ready.
        """
        if self._process is None:
            if database and (store or not self._store_was_ready):
                self._process, self._store_was_ready = self._launch(), store
            return
        if self.told is not None or self._process.poll() is None:
            return
        if self._process.returncode == 0 and self._process.stdout is not None:
            self.told = json.loads(self._process.stdout.read().splitlines()[-1])
        elif self._store_was_ready:
            raise EngineError(
                f"Preparing the tables failed: {last_line(self._log)} (see {self._log})"
            )
        elif store:
            self._process = None

    def kill(self) -> None:
        """End it at once; migrations are transactions, so nothing is left half done."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()
