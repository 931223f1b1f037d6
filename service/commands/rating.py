"""`dare rating …`: the scores."""

import sys
from pathlib import Path

import click

from service.commands.options import data_option
from service.commands.within import floor_of
from service.rating import ledger


@click.group("rating")
def command() -> None:
    """Look at and rebuild the scores."""


@command.command("rebuild")
@click.option("--check", is_flag=True, help="Only compare; exit status 1 when a score differs.")
@data_option
def rebuild(*, check: bool, data: Path) -> None:
    """Compute every score afresh from the ratings."""
    with floor_of(data) as floor, floor.database.begin() as session:
        differed = ledger.rebuild(session)
        if check:
            session.rollback()
    click.echo(f"{differed} scores differed" + ("." if check else "; all are right now."))
    sys.exit(1 if check and differed else 0)
