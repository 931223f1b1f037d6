"""A house of its own for a benchmark: started as a person would, stopped at the end."""

import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.embedded.ports import free_ports

DARE = (sys.executable, "-m", "service.cli")


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """Give a folder for a house's data, and remove it afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="dare-bench-"))
    try:
        yield folder / "data"
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def house(data: Path, *arguments: str) -> Iterator[float]:
    """Run `dare up` on `data`; give the seconds from the command to its word that it is ready."""
    port = str(free_ports(1)[0])
    began = time.perf_counter()
    with subprocess.Popen(
        [*DARE, "up", "--data", str(data), "--port", port, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert process.stdout is not None
        told = []
        try:
            for line in process.stdout:
                told.append(line)
                if line.startswith("Dare is ready"):
                    break
            else:
                raise RuntimeError("The house did not start: " + "".join(told))
            yield time.perf_counter() - began
        finally:
            process.terminate()
            process.communicate()
