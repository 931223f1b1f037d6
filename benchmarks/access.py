"""What it costs to ask who may hear what, on home, a show's page and a feed, in a large house.

Ten thousand talks, half of them limited, a hundred communities, five thousand people. Each page is
asked for as it is, and once more with every condition on people taken as true and no memberships
read, turn by turn in one process. The difference is what asking costs: processor time of service
and database together, which other work on the machine changes less than the clock on the wall.
"""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from statistics import median
from typing import Any
from unittest import mock

import psutil
from flask import Flask
from sqlalchemy import ARRAY, BigInteger, event, literal, text, true
from sqlalchemy import cast as sql_cast
from sqlmodel import Session, select

from benchmarks.crowd import Size, fill
from benchmarks.goals import Goal, tell
from benchmarks.running import house, temporary_folder
from service import access
from service.app import create_app, floor_of
from service.feed import channel, tokens
from service.identity import askers, sessions
from service.identity.browser import COOKIE
from storage.models import Membership, Person, Show
from storage.settings import Settings, load_settings

ROUNDS, BATCH = 7, 15
MOST_MS = 2.0
MOST_STATEMENTS = 1


def nobody_is_asked(*_: Any) -> Any:
    """Stand for a condition on people that lets everybody pass."""
    return true()


def no_memberships() -> tuple[Any, ...]:
    """Stand for what is read of a person beside their row: nothing."""
    none = sql_cast([], ARRAY(BigInteger))
    return none.label("belongs"), none.label("looks_after"), literal(0).label("unread")


@contextmanager
def unguarded() -> Iterator[None]:
    """Let everybody see everything that is out, and read no memberships."""
    with ExitStack() as stack:
        for name in ("_lets_pass", "communities_listed"):
            stack.enter_context(mock.patch.object(access, name, nobody_is_asked))
        stack.enter_context(mock.patch.object(askers, "standing", no_memberships))
        stack.enter_context(mock.patch.object(tokens, "sees_show", return_value=True))
        yield


@contextmanager
def counted(app: Flask) -> Iterator[list[str]]:
    """Collect the statements that the application sends."""
    sent: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        sent.append(statement)

    engine = floor_of(app).database.engine
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield sent
    finally:
        event.remove(engine, "before_cursor_execute", note)


def stage(session: Session, settings: Settings) -> tuple[str, dict[str, str]]:
    """Fill the house; return a member's session and the addresses to ask for."""
    fill(session, Size())
    limited = session.exec(select(Show).where(Show.slug == "crowd-2")).one()
    assert limited.audience is not None
    member = session.exec(
        select(Person)
        .join(Membership, Membership.person_id == Person.id)  # type: ignore[arg-type]
        .where(Membership.community_id == limited.audience[0], Membership.role == "member")
    ).first()
    assert member is not None
    views = (channel.view_top(session), channel.view_of_show(session, limited.id))
    feeds = [tokens.issue(session, member.id, view, secret=settings.secret) for view in views]
    addresses = {
        "home": "/",
        "a limited show's page": f"/shows/{limited.slug}",
        "the feed of the top": tokens.address(settings, feeds[0]),
        "a limited show's feed": tokens.address(settings, feeds[1]),
    }
    return sessions.start(session, member, "benchmark"), addresses


def asking(app: Flask, settings: Settings, secret: str, address: str) -> Callable[[], None]:
    """Return what asks for an address once, as its member, and wants it to be there."""
    client = app.test_client()
    client.set_cookie(COOKIE, secret, domain="127.0.0.1")
    path = address.removeprefix(settings.origin)

    def ask() -> None:
        answer = client.get(path, base_url=settings.origin)
        assert answer.status_code == 200, (path, answer.status_code)

    return ask


def processor(app: Flask) -> Callable[[], float]:
    """Return a clock of the processor seconds of this process and of its backend."""
    with floor_of(app).database.begin() as session:
        backend = psutil.Process(session.execute(text("SELECT pg_backend_pid()")).scalar_one())

    def now() -> float:
        used = backend.cpu_times()
        return time.process_time() + float(used.user) + float(used.system)

    return now


def cost(app: Flask, ask: Callable[[], None]) -> tuple[float, int]:
    """Return what asking who may costs: milliseconds, and statements.

    Four batches make a round: with, without, without and with. The backend's clock ticks every
    10 ms, so a batch is large; the median of the rounds counts.
    """
    now = processor(app)

    def batch() -> float:
        began = now()
        for _ in range(BATCH):
            ask()
        return now() - began

    with counted(app) as with_rights:
        ask()
    with unguarded(), counted(app) as without:
        ask()
    rounds: list[float] = []
    for _ in range(ROUNDS):
        guarded = batch()
        with unguarded():
            bare = batch() + batch()
        rounds.append((guarded + batch() - bare) / (2 * BATCH))
    return 1000 * median(rounds), len(with_rights) - len(without)


def measure() -> Sequence[Goal]:
    """Return what asking costs on each address."""
    goals: list[Goal] = []
    with temporary_folder() as data, house(data):
        settings = load_settings(data)
        app = create_app(settings)
        with floor_of(app).database.begin() as session:
            secret, addresses = stage(session, settings)
        for name, address in addresses.items():
            added, statements = cost(app, asking(app, settings, secret, address))
            goals += [
                Goal(f"{name}: time that asking who may adds", added, MOST_MS, "ms"),
                Goal(f"{name}: statements that it adds", statements, MOST_STATEMENTS, ""),
            ]
        floor_of(app).database.close()
    return goals


if __name__ == "__main__":
    sys.exit(tell(measure, __doc__))
