"""`dare person … EMAIL`: close and open accounts when no page can be reached, or nobody is left."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
from sqlmodel import Session

from service.commands.options import Refusal, data_option
from service.commands.within import floor_of
from service.identity import people, sessions, totp
from service.identity.people import LastAdminError, PersonError
from storage import audit
from storage.floor import Floor
from storage.models import Person


@click.group("person")
def command() -> None:
    """Close or open an account, sign somebody out, or let them in without a provider."""


@contextmanager
def _account(data: Path, email: str) -> Iterator[tuple[Floor, Session, Person]]:
    """Give somebody's account, disabled or not; what cannot be done ends in one line."""
    with floor_of(data) as floor:
        try:
            with floor.database.begin() as session:
                person = people.by_email(session, email)
                if person is None:
                    raise Refusal(f"There is no account of {email}.")
                yield floor, session, person
        except (LastAdminError, PersonError) as error:
            raise Refusal(str(error)) from error


@command.command("disable")
@click.argument("email")
@data_option
def disable(email: str, data: Path) -> None:
    """Close the account of EMAIL at once: browsers, tokens and feeds."""
    with _account(data, email) as (_, session, person):
        people.disable(session, None, person)
        email = person.email
    click.echo(f"{email} is disabled: signed out everywhere, tokens and feeds are shut.")


@command.command("enable")
@click.argument("email")
@data_option
def enable(email: str, data: Path) -> None:
    """Open the account of EMAIL again."""
    with _account(data, email) as (_, session, person):
        people.enable(session, None, person)
        email = person.email
    click.echo(f"{email} is enabled and may sign in.")


@command.command("sign-out")
@click.argument("email")
@data_option
def sign_out(email: str, data: Path) -> None:
    """End every session of EMAIL."""
    with _account(data, email) as (_, session, person):
        count = sessions.end_all(session, person.id)
        ref = str(person.ref)
        audit.record(
            session,
            "session-ended",
            actor=people.COMMAND,
            subject_kind="person",
            subject=ref,
            count=count,
        )
        email = person.email
    click.echo(f"{email} is signed out of {count} browser{'' if count == 1 else 's'}.")


@command.command("forget-code")
@click.argument("email")
@data_option
def forget_code(email: str, data: Path) -> None:
    """Switch off the second factor of EMAIL, who has lost app and recovery codes."""
    with _account(data, email) as (_, session, person):
        if person.totp is None:
            raise Refusal(f"{person.email} has no second factor.")
        totp.switch_off(session, person, actor=people.COMMAND)
        email = person.email
    click.echo(f"{email} signs in by password alone until a second factor is set up anew.")


@command.command("emergency")
@click.argument("email")
@click.option("--off", is_flag=True, help="No longer.")
@data_option
def emergency(email: str, data: Path, *, off: bool) -> None:
    """Let EMAIL sign in by password even where local sign-in is switched off.

    The password is read from standard input, one line; an empty line keeps the one there is.
    The page is /sign-in?emergency.
    """
    typed = "" if off else _password()
    with _account(data, email) as (floor, session, person):
        if typed:
            stored = people.new_password(person, typed, floor.settings.organisation)
            people.change_password(session, person, stored, actor=people.COMMAND)
        elif not off and person.password_hash is None:
            raise Refusal(f"{person.email} has no password yet: give one on standard input.")
        people.make_emergency(session, person, on=not off)
        email, origin = person.email, floor.settings.origin
    if off:
        click.echo(f"{email} may no longer sign in by password where that is switched off.")
    else:
        click.echo(f"{email} may sign in by password at {origin}/sign-in?emergency at any time.")


def _password() -> str:
    if sys.stdin.isatty():
        typed: str = click.prompt(
            "New password (empty keeps it)",
            default="",
            show_default=False,
            hide_input=True,
        )
        return typed
    return sys.stdin.readline().rstrip("\r\n")
