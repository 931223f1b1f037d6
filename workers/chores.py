"""Housekeeping: what a house needs done regularly, by one of its workers at a time.

Each worker process has one thread for it, beside the heartbeat, which never waits for it. Letters
are sent by every worker, since each letter is claimed by one. The other chores have a row each: a
conditional update of when it was last begun decides which worker does it. A chore that fails is
logged, tried again after a while, and ends nobody.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import text
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import Session, col, update

from storage import audit
from storage.floor import Floor
from storage.models import Chore
from workers import leavers, post, retention

log = logging.getLogger(__name__)

TURN_SECONDS = 5.0
AFTER_FAILURE = timedelta(minutes=10)
PATIENCE_SECONDS = 1.0


@dataclass(frozen=True)
class Duty:
    """A chore: what is done, how often in the whole house, and how often each worker asks."""

    name: str
    every: timedelta
    ask_seconds: float
    do: Callable[[Floor], object]


def seal(floor: Floor) -> int:
    """Link the new rows of the audit log to its chain; return how many."""
    with floor.database.begin() as session:
        return audit.seal(session, floor.settings.secret)


DUTIES = (
    Duty("seal", timedelta(seconds=45), TURN_SECONDS, seal),
    Duty("remove-objects", timedelta(hours=1), 60.0, retention.remove_objects),
    Duty("warn-leavers", timedelta(days=1), 300.0, leavers.warn),
    Duty("retention", timedelta(days=1), 300.0, retention.let_go),
)


class Chores:
    """The housekeeping thread of one worker process."""

    def __init__(self, floor: Floor, duties: tuple[Duty, ...] = DUTIES) -> None:
        self.floor = floor
        self.duties = duties
        self._ask_at = dict.fromkeys((duty.name for duty in duties), 0.0)
        self._stop = threading.Event()
        # A daemon: a worker that ends does not wait for a mail server.
        self._thread = threading.Thread(target=self._run, name="chores", daemon=True)

    def start(self) -> None:
        """Begin; the first turn comes after a few seconds."""
        self._thread.start()

    def stop(self) -> None:
        """End between two acts, and wait a second at most for it."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_SECONDS)

    def _run(self) -> None:
        while not self._stop.wait(TURN_SECONDS):
            self.turn()

    def turn(self) -> None:
        """Do what nobody has done for long enough, then send letters that are due.

        The post comes last, and for half a minute at most: a slow mail server keeps nothing back.
        """
        for duty in self.duties:
            if self._stop.is_set():
                return
            if time.monotonic() >= self._ask_at[duty.name]:
                self._ask_at[duty.name] = time.monotonic() + duty.ask_seconds
                self._attend(duty)
        if self._stop.is_set():
            return
        try:
            post.send_due(self.floor, self._stop)
        except Exception:
            log.exception("Letters could not be sent.")

    def _attend(self, duty: Duty) -> None:
        begun = False
        try:
            with self.floor.database.begin() as session:
                begun = claim(session, duty.name, duty.every)
            if begun:
                duty.do(self.floor)
        except Exception:
            log.exception("The chore %r failed.", duty.name)
            if begun:
                self._try_again(duty)

    def _try_again(self, duty: Duty) -> None:
        """Let a chore be begun again before its time, since this time it was not done."""
        sooner = duty.every - min(AFTER_FAILURE, duty.every)
        try:
            with self.floor.database.begin() as session:
                session.exec(
                    update(Chore)
                    .where(col(Chore.name) == duty.name)
                    .values(begun_at=text("now() - :sooner").bindparams(sooner=sooner))
                )
        except SQLAlchemyError as error:
            log.warning("The chore %r waits for its next time: %s", duty.name, error)


def claim(session: Session, name: str, every: timedelta) -> bool:
    """Begin a chore that nobody has begun for this long, by the database's clock.

    Of many workers that ask at once one is told to go ahead. Asking in vain writes nothing.
    """
    taken = session.exec(
        update(Chore)
        .where(
            col(Chore.name) == name,
            col(Chore.begun_at) <= text("now() - :every").bindparams(every=every),
        )
        .values(begun_at=text("now()"))
    )
    if int(taken.rowcount) == 1:
        return True
    first = insert(Chore).values(name=name, begun_at=text("now()")).on_conflict_do_nothing()
    return session.execute(first.returning(col(Chore.name))).first() is not None
