"""The arithmetic of ratings: one example by hand, and what holds for all of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.rating.model import (
    LEVEL,
    WEIGHT,
    Evidence,
    StarsError,
    rated,
    score,
    stars_of,
    withdrawn,
)

stars = st.integers(1, 5)
votes = st.lists(stars, max_size=60)


def all_rated(given_stars):
    evidence = Evidence()
    for each in given_stars:
        evidence = rated(evidence, each, None)
    return evidence


def test_the_example_of_the_documents_by_hand():
    # 5, 4 and 4 stars: (13 + 2 · 3.8) / (3 + 2) = 20.6 / 5 = 4.12
    evidence = all_rated([5, 4, 4])
    assert evidence == Evidence(3, 13)
    assert score(evidence) == pytest.approx(4.12, abs=1e-12)
    # The third changes to 1: (10 + 7.6) / 5 = 3.52
    assert score(rated(evidence, 1, 4)) == pytest.approx(3.52, abs=1e-12)
    # and goes: (9 + 7.6) / 4 = 4.15
    assert score(withdrawn(rated(evidence, 1, 4), 1)) == pytest.approx(4.15, abs=1e-12)


def test_a_talk_that_nobody_has_rated_stands_at_the_level():
    assert score(Evidence()) == LEVEL


def test_one_five_does_not_beat_ten_that_are_nearly_as_good():
    assert score(all_rated([5])) < score(all_rated([5] * 8 + [4] * 2))


def test_one_bad_rating_does_not_put_a_talk_below_one_that_many_found_bad():
    assert score(all_rated([1])) > score(all_rated([2] * 10))


@given(votes, stars, stars)
def test_more_stars_never_lower_a_score(given_stars, low, high):
    low, high = sorted((low, high))
    before = all_rated(given_stars)
    assert score(rated(before, low, None)) <= score(rated(before, high, None))
    assert score(rated(rated(before, low, None), high, low)) == score(rated(before, high, None))


@given(votes)
def test_a_rating_above_the_score_raises_it_and_one_below_lowers_it(given_stars):
    before = all_rated(given_stars)
    assert score(rated(before, 5, None)) > score(before)
    assert score(rated(before, 1, None)) < score(before)


@given(st.data())
def test_the_order_of_ratings_does_not_matter(data):
    given_stars = data.draw(votes)
    shuffled = data.draw(st.permutations(given_stars))
    assert all_rated(shuffled) == all_rated(given_stars)


@given(votes, stars, st.lists(stars, max_size=8))
def test_taking_a_rating_back_undoes_it_exactly_however_often_it_was_changed(
    given_stars, first, changes
):
    before = all_rated(given_stars)
    evidence, last = rated(before, first, None), first
    for change in changes:
        evidence, last = rated(evidence, change, last), change
    assert withdrawn(evidence, last) == before
    assert score(withdrawn(evidence, last)) == score(before)


@given(votes)
def test_a_score_lies_between_its_stars_and_the_level(given_stars):
    value = score(all_rated(given_stars))
    assert math.isfinite(value)
    known = [*given_stars, LEVEL]
    assert min(known) - 1e-12 <= value <= max(known) + 1e-12


@given(stars, st.integers(1, 10_000))
def test_with_many_ratings_the_level_is_forgotten(each, many):
    value = score(Evidence(many, many * each))
    assert abs(value - each) <= WEIGHT * abs(LEVEL - each) / many


@given(stars)
def test_whole_numbers_from_one_to_five_are_stars_however_they_are_written(each):
    assert stars_of(each) == stars_of(float(each)) == stars_of(str(each)) == each


@pytest.mark.parametrize(
    "value",
    [0, 6, -1, 2.5, 5.000001, math.nan, math.inf, -math.inf, 10**400, True, False, None, "", "x",
     "nan", "inf", "2.5", "0", "6", "1e400", "True", [3], {"stars": 3}, b"3", 3 + 0j],
)  # fmt: skip
def test_nothing_else_is_stars(value):
    with pytest.raises(StarsError, match="Stars go from 1 to 5"):
        stars_of(value)


@given(st.one_of(st.text(), st.floats(), st.integers(), st.none(), st.binary()))
def test_whatever_comes_is_stars_or_refused(value):
    try:
        found = stars_of(value)
    except StarsError:
        return
    assert found in {1, 2, 3, 4, 5}
    assert found == float(value)
