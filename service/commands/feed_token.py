"""`dare feed-token EMAIL`: print the address of a person's private feed."""

from pathlib import Path

import click
from sqlalchemy import select
from sqlmodel import Session, col

from service.commands.options import Refusal, data_option
from service.feed import channel, tokens
from service.identity import people
from storage import audit
from storage.database import open_database
from storage.models import FeedView, Show
from storage.settings import SettingsError, load_settings


@click.command("feed-token")
@click.argument("email")
@click.option(
    "--show", "slug", help="The end of a show's address, as in /shows/NAME; else top rated."
)
@click.option("--label", default="command line", show_default=True, help="Which app it is for.")
@click.option("--video", is_flag=True, help="Offer the video where there is one.")
@data_option
def command(email: str, slug: str | None, label: str, *, video: bool, data: Path) -> None:
    """Print a new private address of EMAIL's "top rated" feed, or of one show's."""
    settings = load_settings(data)
    try:
        database = open_database(settings, pool=1, name="dare-feed-token")
    except SettingsError as error:
        raise Refusal(str(error)) from error
    try:
        with database.begin() as session:
            person = people.by_email(session, email)
            if person is None or person.disabled_at is not None:
                raise Refusal(f"There is no account of {email}; make one with `dare add-person`.")
            view = _view(session, slug)
            mode = "video" if video else "audio"
            token = tokens.issue(session, person.id, view, label, mode, secret=settings.secret)
            audit.record(
                session,
                "feed-made",
                actor=people.COMMAND,
                subject_kind="feed",
                subject=token.ref,
                view=view.kind,
                person=str(person.ref),
            )
    except tokens.TooManyTokensError as error:
        raise Refusal(str(error)) from error
    finally:
        database.close()
    click.echo(tokens.address(settings, token))


def _view(session: Session, slug: str | None) -> FeedView:
    if slug is None:
        return channel.view_top(session)

    show_id = session.execute(select(col(Show.id)).where(col(Show.slug) == slug)).scalar()
    if show_id is None:
        raise Refusal(f"There is no show called {slug}. Its name stands in its page's address.")
    return channel.view_of_show(session, show_id)
