"""`dare worker`: workers alone, with engines that run elsewhere."""

import os
import sys
from pathlib import Path

import click

from service.commands.options import data_option


@click.command("worker")
@click.option("--count", type=click.IntRange(1, 256), default=None, help="One per core if not set.")
@data_option
def command(count: int | None, data: Path) -> None:
    """Work from the queues. The process becomes the workers' parent."""
    arguments = [sys.executable, "-m", "workers"]
    if count is not None:
        arguments += ["--count", str(count)]
    os.execve(sys.executable, arguments, {**os.environ, "DARE_DATA": str(data)})  # noqa: S606
