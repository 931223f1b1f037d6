"""`dare erase`: take somebody out of the house, and again after a restore."""

from pathlib import Path
from uuid import UUID

import click

from service import erasure
from service.commands.options import Refusal, data_option
from service.commands.within import floor_of
from service.erasure import Wish
from service.identity import people
from service.identity.people import LastAdminError
from service.publishing import NotNowError, NotThereError, PublishingError
from storage.floor import Floor

HANDED_OVER = "handed-over"


@click.command("erase")
@click.argument("email", required=False)
@click.option("--hand-over", is_flag=True, help="Keep the talks, without the name.")
@click.option("--heir", default="", help="Who takes over the shows that stay; else an admin.")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@click.option("--list", "listed", is_flag=True, help="Print the numbers of all who were erased.")
@click.option(
    "--again",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Erase everybody of such a list once more, after a backup was restored.",
)
@data_option
def command(
    email: str | None,
    heir: str,
    again: Path | None,
    data: Path,
    *,
    hand_over: bool,
    yes: bool,
    listed: bool,
) -> None:
    """Erase the account of EMAIL: name, words, ratings and listening. It cannot be undone."""
    if sum((email is not None, again is not None, listed)) != 1:
        raise Refusal("Say who: an address, --list, or --again with such a list.")
    with floor_of(data) as floor:
        if listed:
            _list(floor)
        elif again is not None:
            _again(floor, again)
        elif email is not None:
            _one(floor, email, Wish(hand_over=hand_over, heir=heir), yes=yes)


def _list(floor: Floor) -> None:
    with floor.database.begin() as session:
        for gone in erasure.erased(session):
            click.echo(f"{gone.ref} {HANDED_OVER}" if gone.handed_over else str(gone.ref))


def _one(floor: Floor, email: str, wish: Wish, *, yes: bool) -> None:
    with floor.database.begin() as session:
        person = people.by_email(session, email)
        if person is None or person.erased_at is not None:
            raise Refusal(f"There is no account of {email}.")
        ref, address = person.ref, person.email
    if not yes and click.prompt(f"Type {address} to confirm").strip().lower() != address:
        raise Refusal("Nothing was changed.")
    try:
        erasure.erase(floor, ref, wish, by=None)
    except (LastAdminError, NotNowError, PublishingError) as error:
        raise Refusal(str(error)) from error
    click.echo(f"The account of {address} is erased. Its number is {ref}.")


def _again(floor: Floor, path: Path) -> None:
    """Erase everybody of a list; those whom the backup does not know are remembered all the same.

    All lines are read before the first is applied, so that a broken list changes nothing. Whoever
    cannot be erased stops nobody else; they are named at the end.
    """
    wanted = [_read(line, number) for number, line in _lines(path)]
    done, refused = 0, []
    for ref, handed_over in wanted:
        try:
            erasure.erase(floor, ref, Wish(hand_over=handed_over), by=None)
            done += 1
        except NotThereError:
            with floor.database.begin() as session:
                erasure.remember(session, ref, handed_over=handed_over)
        except (LastAdminError, NotNowError, PublishingError) as error:
            refused.append(f"{ref}: {error}")
    if refused:
        told = " ".join(refused)
        raise Refusal(f"{done} of {len(wanted)} accounts are erased, {len(refused)} not. {told}")
    click.echo(f"{done} of {len(wanted)} accounts were here; all are erased.")


def _lines(path: Path) -> list[tuple[int, str]]:
    told = path.read_text().splitlines()
    return [(number, line.strip()) for number, line in enumerate(told, 1) if line.strip()]


def _read(line: str, number: int) -> tuple[UUID, bool]:
    ref, _, choice = line.partition(" ")
    try:
        known = UUID(ref)
    except ValueError as error:
        raise Refusal(f"Line {number} is no number of an account: {line[:60]!r}.") from error
    if choice not in {"", HANDED_OVER}:
        raise Refusal(f"Line {number} says {choice[:60]!r}; it may say {HANDED_OVER} or nothing.")
    return known, choice == HANDED_OVER
