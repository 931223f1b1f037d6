"""`dare up`: check what must hold, then become the supervisor."""

import errno
import os
import shutil
import sys
from pathlib import Path

import click
from pydantic import ValidationError

from service.commands.options import Refusal, data_option
from service.house_plan import Plan
from service.house_record import end_leftovers, read_record, take_lock
from storage.embedded.children import EngineError
from storage.embedded.ports import bindable, free_ports
from storage.settings import Settings, SettingsError, ensure_secrets, load_settings

LEAST_FREE_MIB = 512


@click.command("up")
@data_option
@click.option("--port", type=click.IntRange(0, 65535), help="Port of the web. Also DARE_PORT.")
@click.option("--bind", help="Address to listen on. Also DARE_BIND.")
@click.option("--workers", type=click.IntRange(1, 256), help="Worker processes; one per core.")
def command(data: Path, port: int | None, bind: str | None, workers: int | None) -> None:
    """Start everything on this machine, and keep it running until Ctrl-C."""
    enter(data)
    lock = lock_or_refuse(data)
    settings = checked_settings(data, {"port": port, "bind": bind, "workers": workers})
    plan = plan_of(settings, lock)
    check_port(plan.bind, plan.port)
    os.set_inheritable(lock, True)
    # The settings' library has done its work; the process that stays is small.
    arguments = [sys.executable, "-m", "service.house", plan.as_argument()]
    os.execv(sys.executable, arguments)  # noqa: S606  no shell, on purpose


def enter(data: Path) -> None:
    """Make the folder when it is missing, and see that it can be used.

    Raises:
        Refusal: it cannot be written, or its disk is almost full.
    """
    try:
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        probe = data / "run" / "probe"
        probe.parent.mkdir(exist_ok=True, mode=0o700)
        probe.write_bytes(b"dare")
        probe.unlink()
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise Refusal(_full(data, 0)) from error
        raise Refusal(
            f"{data} cannot be written ({error.strerror}). "
            "Give this account the right to, or name another folder: dare up --data DIR."
        ) from error
    free = shutil.disk_usage(data).free // 1024**2
    if free < LEAST_FREE_MIB:
        raise Refusal(_full(data, free))


def _full(data: Path, free: int) -> str:
    return (
        f"The disk of {data} is almost full: {free} MiB free, {LEAST_FREE_MIB} MiB are needed. "
        "Make room, or name a folder on another disk: dare up --data DIR."
    )


def lock_or_refuse(data: Path) -> int:
    """Take the house's lock and clear away what a killed supervisor left; return the lock.

    Raises:
        Refusal: another supervisor runs on this folder, or its leftovers do not end.
    """
    lock = take_lock(data)
    if lock is None:
        record = read_record(data) or {}
        pid = record.get("processes", {}).get("supervisor", {}).get("pid", "?")
        raise Refusal(
            f"Dare already runs on {data}: process {pid}, "
            f"{record.get('origin', 'still starting')}. Stop it with: dare stop --data {data}"
        )
    try:
        left = end_leftovers(data)
    except EngineError as error:
        raise Refusal(str(error)) from error
    if left:
        click.echo(f"An earlier start was killed; ended what it left running: {', '.join(left)}.")
    return lock


def checked_settings(data: Path, asked: dict[str, int | str | None]) -> Settings:
    """Return the settings for this start; what the last start said of its engines is forgotten.

    Raises:
        Refusal: a setting is missing, malformed or unsafe.
    """
    (data / "run" / "engines.json").unlink(missing_ok=True)
    ensure_secrets(data)
    try:
        settings = load_settings(data, **{k: v for k, v in asked.items() if v is not None})
        if settings.port == 0:
            settings = load_settings(data, **{**settings_asked(settings), "port": free_ports(1)[0]})
        settings.check_origin()
        settings.check_secret()
    except (ValidationError, SettingsError, ValueError) as error:
        raise Refusal(_settings_words(error)) from error
    return settings


def settings_asked(settings: Settings) -> dict[str, int | str]:
    """Return the values of this start that a second reading must repeat."""
    return {"bind": settings.bind, "workers": settings.workers}


def _settings_words(error: Exception) -> str:
    if isinstance(error, ValidationError):
        parts = (f"DARE_{str(one['loc'][0]).upper()}: {one['msg']}" for one in error.errors())
        return "A setting is wrong. " + "; ".join(parts)
    return str(error)


def plan_of(settings: Settings, lock: int) -> Plan:
    """Return what the supervisor is to do: engines that the operator names are not started."""
    return Plan(
        data=str(settings.data),
        port=settings.port,
        bind=settings.bind,
        workers=settings.workers,
        origin=settings.origin,
        lock=lock,
        own_database=not settings.database_url.get_secret_value(),
        own_store=not settings.s3_endpoint,
    )


def check_port(bind: str, port: int) -> None:
    """See that the web will be able to listen.

    Raises:
        Refusal: the port is taken, or may not be used.
    """
    error = bindable(bind, port)
    if error is None:
        return
    if error.errno == errno.EADDRINUSE:
        raise Refusal(
            f"Port {port} on {bind} is in use by another program. "
            f"Stop that one, or choose another port: dare up --port {free_ports(1)[0]}"
        )
    raise Refusal(f"Cannot listen on {bind}:{port} ({error.strerror}). Choose --bind and --port.")
