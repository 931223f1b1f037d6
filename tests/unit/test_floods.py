"""Coarse limits in one process: how much they let pass, and what they remember."""

import threading

from hypothesis import given
from hypothesis import strategies as st

from service.floods import Familiar, Flood, Floods


class Clock:
    def __init__(self):
        self.moment = 1000.0

    def __call__(self):
        return self.moment


def test_as_many_as_allowed_pass_at_once_and_then_one_by_one():
    clock = Clock()
    flood = Flood(20, 60, clock=clock)
    assert [flood.wait("a") for _ in range(20)] == [0] * 20
    assert flood.wait("a") == 3
    clock.moment += 2.9
    assert flood.wait("a") == 1
    clock.moment += 0.2
    assert flood.wait("a") == 0
    assert flood.wait("a") == 3


def test_others_do_not_feel_it():
    flood = Flood(1, 60, clock=Clock())
    assert flood.wait("a") == 0
    assert flood.wait("a") == 60
    assert flood.wait("b") == 0


def test_who_waits_as_long_as_told_passes():
    clock = Clock()
    flood = Flood(3, 10, clock=clock)
    for _ in range(50):
        wait = flood.wait("a")
        clock.moment += wait
        assert wait == 0 or flood.wait("a") == 0


def test_no_more_are_remembered_than_fit_and_the_longest_at_rest_is_forgotten_first():
    flood = Flood(1, 60, kept=3, clock=Clock())
    for who in "abcd":
        assert flood.wait(who) == 0
    assert len(flood) == 3
    assert flood.wait("d") > 0
    assert flood.wait("a") == 0


@given(st.lists(st.floats(0, 30), max_size=60), st.integers(1, 10))
def test_within_any_time_no_more_pass_than_held_and_refilled(pauses, most):
    clock, passed = Clock(), 0
    flood = Flood(most, 60, clock=clock)
    for pause in pauses:
        clock.moment += pause
        passed += flood.wait("a") == 0
    assert passed <= most + sum(pauses) * most / 60 + 1e-6


def test_many_threads_take_no_more_than_there_is():
    flood, passed = Flood(100, 3600, clock=Clock()), []

    def ask():
        passed.extend(flood.wait("a") == 0 for _ in range(50))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sum(passed) == 100


def test_everything_is_forgotten_at_once():
    floods = Floods()
    floods.misses.wait("a")
    floods.feeds.wait(1)
    floods.clear()
    assert (len(floods.misses), len(floods.feeds)) == (0, 0)


def test_looking_takes_nothing():
    clock = Clock()
    flood = Flood(1, 60, clock=clock)
    assert [flood.peek("a") for _ in range(3)] == [0, 0, 0]
    assert flood.wait("a") == 0
    assert [flood.peek("a") for _ in range(3)] == [60, 60, 60]
    clock.moment += 60
    assert (flood.peek("a"), flood.wait("a")) == (0, 0)


def test_who_was_here_lately_is_known_until_too_many_others_come():
    familiar = Familiar(kept=2)
    for who in ("a", "b", "a", "c"):
        familiar.note(who)
    assert [who in familiar for who in "abc"] == [True, False, True]
    familiar.clear()
    assert "a" not in familiar
