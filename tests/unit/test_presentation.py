from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service import presentation as say
from storage.models import STATES

NOON = datetime(2026, 3, 3, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "clock"),
    [(None, ""), (0, "0:00"), (7.9, "0:07"), (380, "6:20"), (3723, "1:02:03"), (-3, "0:00")],
)
def test_a_length_is_shown_as_a_clock_shows_it(seconds, clock):
    assert say.duration(seconds) == clock


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (None, "length not known yet"),
        (0.4, "0 seconds"),
        (61, "1 minute 1 second"),
        (380, "6 minutes 20 seconds"),
        (7200, "2 hours"),
    ],
)
def test_a_length_is_said_in_words_to_screen_readers(seconds, words):
    assert say.spoken_duration(seconds) == words


def test_a_length_for_machines_is_an_iso_duration():
    assert say.iso_duration(380.7) == "PT380S"
    assert say.iso_duration(None) == "PT0S"


@given(st.floats(min_value=0, max_value=1e6))
def test_a_link_to_a_moment_never_begins_after_it(seconds):
    assert seconds - 1 < say.whole_seconds(seconds) <= seconds


@pytest.mark.parametrize(
    ("seconds", "strokes"), [(None, 1), (1, 1), (60, 1), (61, 2), (380, 7), (90_000, 60)]
)
def test_a_stroke_stands_for_each_begun_minute(seconds, strokes):
    assert say.tally(seconds) == strokes


def test_strokes_are_filled_as_far_as_somebody_has_heard():
    assert say.tally_heard(190, 380) == 3.5
    assert say.tally_heard(999, 380) == 7
    assert say.tally_heard(None, 380) == say.tally_heard(20, None) == 0


@pytest.mark.parametrize(
    ("passed", "words"),
    [
        (timedelta(seconds=3), "just now"),
        (timedelta(seconds=-10), "just now"),
        (timedelta(seconds=-90), "soon"),
        (timedelta(seconds=60), "1 minute ago"),
        (timedelta(hours=5, minutes=59), "5 hours ago"),
        (timedelta(days=3), "3 days ago"),
        (timedelta(days=13), "1 week ago"),
        (timedelta(days=65), "2 months ago"),
        (timedelta(days=800), "2 years ago"),
    ],
)
def test_an_age_is_said_in_the_largest_unit_that_fits(passed, words):
    assert say.age(NOON - passed, NOON) == words


def test_days_are_told_in_utc_whatever_zone_the_moment_came_in():
    late = datetime(2026, 3, 3, 1, tzinfo=timezone(timedelta(hours=2)))
    assert say.day(late) == "2 March 2026"
    assert say.iso(late) == "2026-03-02T23:00:00+00:00"
    assert say.age(None) == say.day(None) == say.iso(None) == ""


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (None, ""),
        (1, "1 byte"),
        (812, "812 bytes"),
        (1536, "1.5 KB"),
        (256 * 1024**2, "256 MB"),
        (4 * 1024**3, "4 GB"),
        (5000 * 1024**3, "5000 GB"),
    ],
)
def test_a_file_size_is_short(count, words):
    assert say.file_size(count) == words


def test_counts_agree_with_their_nouns():
    assert say.counted(1, "talk") == "1 talk"
    assert say.counted(0, "talk") == "0 talks"
    assert say.counted(1204, "address", "addresses") == "1,204 addresses"


def test_a_language_has_a_name_and_a_direction():
    assert say.language("de-AT") == "German"
    assert say.language("tlh") == "tlh"
    assert not say.language(None)
    assert say.direction("ar") == "rtl"
    assert say.direction("en") == say.direction(None) == "ltr"


@pytest.mark.parametrize(
    ("name", "letters"),
    [("Anna Lindqvist", "AL"), ("anna", "A"), ("Cem (Ops) Yıldız", "CY"), ("", ""), (None, "")],
)
def test_a_person_is_stood_for_by_two_letters_at_most(name, letters):
    assert say.initials(name) == letters


@given(st.text())
def test_a_name_always_wears_the_same_one_of_six_tints(name):
    assert say.tint(name) == say.tint(name) in range(6)


def test_every_state_has_words_of_its_own():
    assert {say.state_words(state) for state in STATES}.isdisjoint(STATES)
    assert [say.star_words(stars) for stars in range(1, 6)] == list(say.STAR_WORDS.values())
