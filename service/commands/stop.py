"""`dare stop`: end what `dare up` started."""

import os
import signal
import time
from pathlib import Path

import click

from service.commands.options import Refusal, data_option
from service.house_record import supervisor_of

LONGEST = 120.0


@click.command("stop")
@data_option
def command(data: Path) -> None:
    """Stop the house that runs on this folder, and wait until it has stopped."""
    found = supervisor_of(data)
    if found is None:
        click.echo(f"Nothing runs on {data}.")
        return
    os.kill(found.pid, signal.SIGTERM)
    deadline = time.monotonic() + LONGEST
    while found.alive:
        if time.monotonic() > deadline:
            raise Refusal(f"Process {found.pid} has not stopped in {LONGEST:g} s; it still tries.")
        time.sleep(0.05)
    click.echo("Stopped.")
