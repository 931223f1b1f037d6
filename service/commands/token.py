"""`dare token EMAIL`: make an access token for the API."""

from datetime import timedelta
from pathlib import Path

import click

from service.commands.options import Refusal, data_option
from service.commands.within import asker_by_email, floor_of
from service.identity import tokens
from service.identity.tokens import LIFE, TokenError
from storage import audit
from storage.models import SCOPES


@click.command("token")
@click.argument("email")
@click.option("--label", default="command line", show_default=True, help="What it is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(SCOPES),
    help="What it may do; say it again for more. Everything that a token can, without it.",
)
@click.option("--days", default=LIFE.days, show_default=True, help="How long it lives.")
@data_option
def command(email: str, label: str, scopes: tuple[str, ...], days: int, data: Path) -> None:
    """Print a new access token of EMAIL. It is shown once."""
    with floor_of(data) as floor, floor.database.begin() as session:
        asker = asker_by_email(session, email)
        try:
            token, secret = tokens.issue(
                session, asker.id, label, scopes=scopes or SCOPES, life=timedelta(days=days)
            )
        except (TokenError, OverflowError) as error:
            raise Refusal(_words(error)) from error
        audit.record(
            session,
            "token-made",
            actor=asker.ref,
            subject_kind="token",
            subject=str(token.id),
            scopes=token.scopes,
            days=days,
            by="command",
        )
    click.echo(secret)


def _words(error: Exception) -> str:
    return str(error) if isinstance(error, TokenError) else "No token lives as long as that."
