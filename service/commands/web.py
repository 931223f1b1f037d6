"""`dare web`: the web server alone, with engines that run elsewhere."""

import os
import sys
from pathlib import Path

import click

from service.commands.options import data_option
from storage.settings import load_settings


@click.command("web")
@data_option
def command(data: Path) -> None:
    """Serve pages, API and feeds. The process becomes gunicorn."""
    settings = load_settings(data)
    arguments = [
        sys.executable,
        "-m",
        "gunicorn",
        "--config",
        "python:service.gunicorn_conf",
        "--bind",
        f"{settings.bind}:{settings.port}",
        "service.app:create_app()",
    ]
    # The folder goes with the process; nothing else of the environment changes.
    os.execve(sys.executable, arguments, {**os.environ, "DARE_DATA": str(data)})  # noqa: S606
