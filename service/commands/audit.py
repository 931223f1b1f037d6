"""`dare audit …`: the audit log, checked and read."""

import json
import sys
from pathlib import Path

import click

from service import audit_log
from service.audit_log import Condition, Wanted
from service.commands.options import data_option
from service.commands.within import floor_of
from storage import audit
from storage.audit import Verdict


@click.group("audit")
def command() -> None:
    """Check and read the audit log."""


@command.command("verify")
@click.option("--head", default="", help="A head noted earlier; it must still be in the chain.")
@data_option
def verify(*, head: str, data: Path) -> None:
    """Check the whole chain. Exit status 1, and the first broken row, when it does not hold."""
    with floor_of(data) as floor, floor.database.begin() as session:
        found = audit.verify(session, floor.settings.secret, noted=head)
    if found.broken:
        click.echo(found.broken)
        sys.exit(1)
    if head and not found.noted:
        click.echo(f"The head {head} is not in the chain: something at its end was taken away.")
        sys.exit(1)
    click.echo(_told(found))


def _told(found: Verdict) -> str:
    parts = [f"{found.rows} rows", f"head {found.head}"]
    if found.waiting:
        parts.append(f"{found.waiting} waiting for their link")
    if found.let_go:
        parts.append(f"{found.let_go} let go by retention")
    if found.noted:
        parts.append(f"the noted head is link {found.noted}")
    return ", ".join(parts)


@command.command("tail")
@click.option("-n", "--lines", "count", type=click.IntRange(1, 1000), default=20, show_default=True)
@data_option
def tail(*, count: int, data: Path) -> None:
    """Print the newest rows, the newest last, each in one line."""
    with floor_of(data) as floor, floor.database.begin() as session:
        rows = audit_log.entries(session, Condition(session, Wanted()), most=count).rows
    for entry in reversed(rows):
        subject = f"{entry.subject_kind}:{entry.subject_name or entry.subject}"
        parts = (
            f"{entry.at:%Y-%m-%d %H:%M:%S}",
            entry.act,
            entry.actor_name or entry.actor or "-",
            subject if entry.subject else "-",
            entry.network or "-",
            json.dumps(entry.facts, ensure_ascii=True, sort_keys=True) if entry.facts else "",
        )
        click.echo("  ".join(parts).rstrip())
