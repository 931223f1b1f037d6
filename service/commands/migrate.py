"""`dare migrate`: tables, queue tables and bucket, for engines that run elsewhere."""

import json
from pathlib import Path

import click

from service.commands.options import Refusal, data_option
from storage.prepare import prepare
from storage.settings import SettingsError, load_settings


@click.command("migrate")
@data_option
def command(data: Path) -> None:
    """Bring the tables to the newest revision; safe to run any number of times at once."""
    try:
        settings = load_settings(data)
        settings.check_origin()
        found = prepare(settings)
    except SettingsError as error:
        raise Refusal(str(error)) from error
    click.echo(json.dumps({"people": found["people"]}))
    if found["set_up_token"]:
        click.echo(f"Make the first account: {settings.origin}/set-up/{found['set_up_token']}")
