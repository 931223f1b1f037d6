"""Which renditions a source gets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.renditions import fit, may_copy, picture_of
from workers.streams import VideoStream


def video(**changes):
    facts = {"width": 1280, "height": 720, "fps": 30.0, "pixels": "yuv420p", "bitrate": 2_000_000}
    return VideoStream(index=0, codec="h264", **{**facts, **changes})


@pytest.mark.parametrize(
    ("given", "made"),
    [
        ((1920, 1080), (1280, 720)),
        ((1080, 1920), (720, 1280)),
        ((640, 360), (640, 360)),
        ((641, 361), (640, 360)),
        ((3840, 2160), (1280, 720)),
    ],
)
def test_the_shorter_side_is_720_at_most(given, made):
    assert fit(*given, 720) == made


@given(st.integers(2, 4000), st.integers(2, 4000))
def test_sizes_are_even_and_never_larger_than_the_source(width, height):
    wide, high = fit(width, height, 720)
    assert wide % 2 == high % 2 == 0
    assert 2 <= wide <= max(2, width)
    assert 2 <= high <= max(2, height)
    assert min(wide, high) <= 720


def test_fast_pictures_are_slowed_and_others_keep_their_times():
    assert picture_of(video(fps=60.0)).fps == 30.0
    assert picture_of(video(fps=25.0)).fps == 0.0


def test_a_picture_that_browsers_play_is_copied():
    assert may_copy(video(), size=0, seconds=1)
    assert may_copy(video(width=1920, height=1080), size=0, seconds=1)


@pytest.mark.parametrize(
    "changes",
    [
        {"pixels": "yuv420p10le"},
        {"pixels": "yuv444p"},
        {"width": 2560, "height": 1440},
        {"bitrate": 7_000_000},
        {"fps": 120.0},
    ],
)
def test_a_picture_outside_what_browsers_play_is_encoded(changes):
    assert not may_copy(video(**changes), size=0, seconds=1)


def test_an_unstated_rate_is_judged_by_the_whole_file():
    assert may_copy(video(bitrate=0), size=7_000_000, seconds=10)
    assert not may_copy(video(bitrate=0), size=8_000_000, seconds=10)
    assert not may_copy(video(bitrate=0), size=8_000_000, seconds=0)
