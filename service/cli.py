"""`dare …`: the command line. Each word's module is imported when it is used, and not before."""

from importlib import import_module
from importlib.util import find_spec

import click

# Word to the line that `dare --help` shows, so that help itself imports no command.
COMMANDS = {
    "up": "Start everything on this machine, and keep it running.",
    "status": "Show what runs, its memory, queues and free space.",
    "stop": "Stop what `dare up` started.",
    "add-person": "Make an account; the password comes from standard input.",
    "erase": "Erase somebody's account; again after a restore.",
    "person": "Disable, enable or sign out an account; name the one for emergencies.",
    "token": "Make an access token for the API.",
    "share": "Publish a talk from a file.",
    "feed-token": "Print the address of a person's private feed.",
    "demo": "Fill a running house with people, talks and ratings.",
    "rating": "Look at and rebuild the scores.",
    "audit": "Check and read the audit log.",
    "web": "Run the web server alone, with engines that run elsewhere.",
    "worker": "Run workers alone, with engines that run elsewhere.",
    "migrate": "Bring the tables to the newest revision.",
}


def module_of(word: str) -> str:
    """Return the name of the module that implements a word."""
    return f"service.commands.{word.replace('-', '_')}"


class Words(click.Group):
    """A group whose commands are found by name; see COMMANDS."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002  click's signature
        """Return the words in the order in which one needs them."""
        return [word for word in COMMANDS if find_spec(module_of(word)) is not None]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import and return one command; None for a word that is none."""
        if cmd_name not in COMMANDS or find_spec(module_of(cmd_name)) is None:
            return None
        command: click.Command = import_module(module_of(cmd_name)).command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands from COMMANDS alone."""
        with formatter.section("Commands"):
            formatter.write_dl([(word, COMMANDS[word]) for word in self.list_commands(ctx)])


@click.group(cls=Words, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="dare-to-share")
def main() -> None:
    """Dare to share: a house for talks among colleagues."""


if __name__ == "__main__":
    main()
