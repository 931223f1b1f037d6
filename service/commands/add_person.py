"""`dare add-person EMAIL`: make an account."""

import sys
from pathlib import Path

import click

from service.commands.options import Refusal, data_option
from service.commands.within import floor_of
from service.identity import people
from service.identity.people import PersonError
from storage import audit
from storage.models import ROLES


@click.command("add-person")
@click.argument("email")
@click.option("--name", required=True, help="The name that posts will carry.")
@click.option("--role", type=click.Choice(ROLES), default="contributor", show_default=True)
@click.option("--department", default=None, help="Where they work; ratings are weighed by it.")
@data_option
def command(email: str, name: str, role: str, department: str | None, data: Path) -> None:
    """Make an account for EMAIL. The password is read from standard input, one line."""
    password = _password()
    with floor_of(data) as floor:
        try:
            with floor.database.begin() as session:
                person = people.add(
                    session,
                    email=email,
                    name=name,
                    password=password,
                    role=role,
                    department=department,
                    organisation=floor.settings.organisation,
                )
                audit.record(
                    session,
                    "account-made",
                    actor=people.COMMAND,
                    subject_kind="person",
                    subject=str(person.ref),
                    role=person.role,
                )
        except PersonError as error:
            raise Refusal(str(error)) from error
    click.echo(f"{person.name} <{person.email}> is {person.role}.")


def _password() -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt("Password", hide_input=True, confirmation_prompt=True)
        return typed
    return sys.stdin.readline().rstrip("\r\n")
