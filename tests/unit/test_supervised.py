"""How long a dead child waits for its next life, and how its end is told."""

import pytest

from service.supervised import Backoff, ending


def test_the_pause_doubles_from_half_a_second_to_thirty() -> None:
    backoff = Backoff()
    pauses = [backoff.after(lived=1.0) for _ in range(9)]
    assert pauses == [0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


def test_a_child_that_lived_a_minute_starts_afresh() -> None:
    backoff = Backoff()
    for _ in range(5):
        backoff.after(lived=0.1)
    assert backoff.after(lived=60.0) == 0.5
    assert backoff.after(lived=59.9) == 1.0


@pytest.mark.parametrize(
    ("status", "words"), [(0, "status 0"), (3, "status 3"), (-9, "SIGKILL"), (-15, "SIGTERM")]
)
def test_an_ending_is_told_in_words(status: int, words: str) -> None:
    assert ending(status) == words
