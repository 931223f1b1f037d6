"""`dare demo`: fill a running house with real talks."""

import secrets
import time
from pathlib import Path

import click

from service import demo
from service.commands.options import data_option
from service.commands.within import floor_of

POLL_SECONDS = 0.5
PATIENCE_SECONDS = 600.0


@click.command("demo")
@click.option("--password", default=None, help="For all demo people; random if not given.")
@data_option
def command(password: str | None, data: Path) -> None:
    """Add people, communities, talks, ratings and comments to a house that runs."""
    chosen = password or secrets.token_urlsafe(12)
    with floor_of(data) as floor:
        guids = demo.fill(floor, chosen, click.echo)
        deadline = time.monotonic() + PATIENCE_SECONDS
        waiting = guids
        while waiting and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            left = demo.unfinished(floor, waiting)
            if len(left) < len(waiting):
                click.echo(f"{len(guids) - len(left)} of {len(guids)} talks are ready.")
            waiting = left
        given = demo.respond(floor)
    click.echo(f"{given} ratings were given.")
    if guids:
        click.echo(f"Sign in as {demo.ACTORS[0].email} with the password {chosen}")
