"""Options that all commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

data_option: Callable[[Callable[..., Any]], Callable[..., Any]] = click.option(
    "--data",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="DARE_DATA",
    default=Path("data"),
    show_default=True,
    help="The folder that holds everything. Also DARE_DATA.",
    callback=lambda _context, _option, value: value.expanduser().resolve(),
)


class Refusal(click.ClickException):
    """A command cannot be done; one line says why and what to do. Exit status 2."""

    exit_code = 2

    def show(self, file: Any = None) -> None:
        """Print the one line to standard error."""
        click.echo(self.format_message(), file=file, err=file is None)
