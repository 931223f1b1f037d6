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
            left = self._filled(who, moment)
            self._left.pop(who, None)
            taken = left >= 1
            self._left[who] = (left - 1 if taken else left, moment)
            while len(self._left) > self._kept:
                self._left.popitem(last=False)
        return 0 if taken else self._until_one(left)

    def peek(self, who: Hashable) -> int:
        """Return what `wait` would, and take nothing."""
        with self._lock:
            left = self._filled(who, self._clock())
        return 0 if left >= 1 else self._until_one(left)

    def _filled(self, who: Hashable, moment: float) -> float:
        left, since = self._left.get(who, (float(self.most), moment))
        return min(float(self.most), left + (moment - since) * self._pace)

    def _until_one(self, left: float) -> int:
        return max(1, math.ceil((1 - left) / self._pace))

    def __len__(self) -> int:
        """Return how many are remembered."""
        return len(self._left)

    def clear(self) -> None:
        """Forget everybody."""
        with self._lock:
            self._left.clear()


class Familiar:
    """Who was here lately, at most `kept` of them; the one longest away is forgotten first.

    Safe to share between threads.
    """

    def __init__(self, kept: int = KEPT) -> None:
        self._kept = kept
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, None] = OrderedDict()

    def note(self, who: Hashable) -> None:
        """Remember that somebody is here."""
        with self._lock:
            self._known[who] = None
            self._known.move_to_end(who)
            while len(self._known) > self._kept:
                self._known.popitem(last=False)

    def __contains__(self, who: Hashable) -> bool:
        """Whether somebody was here lately."""
        with self._lock:
            return who in self._known

    def clear(self) -> None:
        """Forget everybody."""
        with self._lock:
            self._known.clear()


@dataclass(frozen=True)
class Floods:
    """The floods that one web process holds back.

    `feeds` and `media` count for each feed token; `misses`, addresses with a secret that is none,
    and `anonymous`, whatever nobody signed in asks for, for each network. `noted` is no limit: it
    lets a token's use from one network be written down once in five minutes. `doubted` counts
    sessions and tokens that are none, each of which costs a query; `familiar` holds the hashes of
    those that were good lately, whose turn no flooding neighbour takes.
    """

    feeds: Flood = field(default_factory=lambda: Flood(600, 3600))
    media: Flood = field(default_factory=lambda: Flood(3000, 3600))
    misses: Flood = field(default_factory=lambda: Flood(20, 60))
    anonymous: Flood = field(default_factory=lambda: Flood(600, 60))
    noted: Flood = field(default_factory=lambda: Flood(1, 300))
    doubted: Flood = field(default_factory=lambda: Flood(600, 60))
    familiar: Familiar = field(default_factory=Familiar)

    def clear(self) -> None:
        """Forget everybody."""
        for one in fields(self):
            getattr(self, one.name).clear()
