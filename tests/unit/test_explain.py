"""Why a talk stands where it stands."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.rating.explain import why
from service.rating.model import Evidence, score

evidences = st.lists(st.integers(1, 5), max_size=200).map(lambda s: Evidence(len(s), sum(s)))


@given(evidences)
def test_the_terms_sum_to_the_score(evidence):
    assert sum(value for _, value in why(evidence).terms) == pytest.approx(score(evidence))


@given(evidences)
def test_the_sentence_tells_neither_count_nor_mean(evidence):
    sentence = why(evidence).sentence
    assert not re.search(r"\d", sentence)
    assert sentence.endswith(".")


@pytest.mark.parametrize(
    ("evidence", "sentence"),
    [
        (Evidence(), "Nobody has rated this yet, so it stands in the middle."),
        (Evidence(1, 5), "Colleagues found this useful; a first impression."),
        (Evidence(9, 45), "Colleagues found this useful; a first impression."),
        (Evidence(10, 50), "Colleagues found this useful; many agree."),
        (
            Evidence(5, 19),
            "Colleagues found this about as useful as most talks; a first impression.",
        ),
        (Evidence(12, 12), "Colleagues found this less useful than most talks; many agree."),
    ],
)
def test_the_sentence_tells_direction_and_certainty(evidence, sentence):
    assert why(evidence).sentence == sentence
