"""`dare token EMAIL`: make an access token for the API."""

from pathlib import Path

import click

from service.commands.options import data_option
from service.commands.within import asker_by_email, floor_of
from service.identity import tokens


@click.command("token")
@click.argument("email")
@click.option("--label", default="command line", show_default=True, help="What it is for.")
@data_option
def command(email: str, label: str, data: Path) -> None:
    """Print a new access token of EMAIL. It is shown once and lasts a year."""
    with floor_of(data) as floor, floor.database.begin() as session:
        _, secret = tokens.issue(session, asker_by_email(session, email).id, label)
    click.echo(secret)
