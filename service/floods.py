"""Coarse limits against floods, counted in this process alone: token buckets in bounded memory.

Limits that protect accounts are counted in the database (`service.limits`); these keep a client
that runs wild from taking everybody's turn, and cost no query. With n web processes a client may
get n times as much.
"""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, fields

KEPT = 10_000


class Flood:
    """Buckets that hold `most` uses each and fill up again evenly within `seconds`.

    At most `kept` of them are remembered; the one that rested longest is forgotten first. Safe to
    share between threads.
    """

    def __init__(
        self,
        most: int,
        seconds: float,
        *,
        kept: int = KEPT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most = most
        self._pace = most / seconds
        self._kept = kept
        self._clock = clock
        self._lock = threading.Lock()
        # Who, and what was left to them when they last came: (uses, moment).
        self._left: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def wait(self, who: Hashable) -> int:
        """Take one use; return 0 if there was one, else after how many whole seconds there is."""
        with self._lock:
            moment = self._clock()
            left, since = self._left.pop(who, (float(self.most), moment))
            left = min(float(self.most), left + (moment - since) * self._pace)
            taken = left >= 1
            self._left[who] = (left - 1 if taken else left, moment)
            while len(self._left) > self._kept:
                self._left.popitem(last=False)
        return 0 if taken else max(1, math.ceil((1 - left) / self._pace))

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._left)

    def clear(self) -> None:
        """Forget everybody."""
        with self._lock:
            self._left.clear()


@dataclass(frozen=True)
class Floods:
    """The floods that one web process holds back.

    `feeds` and `media` count for each feed token; `misses`, addresses with a secret that is none,
    and `anonymous`, whatever nobody signed in asks for, for each network. `noted` is no limit: it
    lets a token's use from one network be written down once in five minutes.
    """

    feeds: Flood = field(default_factory=lambda: Flood(600, 3600))
    media: Flood = field(default_factory=lambda: Flood(3000, 3600))
    misses: Flood = field(default_factory=lambda: Flood(20, 60))
    anonymous: Flood = field(default_factory=lambda: Flood(600, 60))
    noted: Flood = field(default_factory=lambda: Flood(1, 300))

    def clear(self) -> None:
        """Forget everybody."""
        for one in fields(self):
            getattr(self, one.name).clear()
