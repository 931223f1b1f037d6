"""Why a talk stands where it stands, from the same numbers as its place."""

from dataclasses import dataclass

from service.rating.model import LEVEL, WEIGHT, Evidence, score


@dataclass(frozen=True)
class Why:
    """A reason in one sentence, and the terms that sum to the score."""

    sentence: str
    terms: tuple[tuple[str, float], ...]


def why(evidence: Evidence) -> Why:
    """Return the reason for an episode's place; the terms sum to its score.

    The sentence tells direction and certainty, never an average or a count: who has not rated
    must not be led by those who have.
    """
    weight = evidence.count + WEIGHT
    terms = (
        ("benefit of the doubt", WEIGHT * LEVEL / weight),
        ("what colleagues found", evidence.total / weight),
    )
    return Why(_sentence(evidence), terms)


def _sentence(evidence: Evidence) -> str:
    if evidence.count == 0:
        return "Nobody has rated this yet, so it stands in the middle."
    lean = score(evidence) - LEVEL
    if abs(lean) < 0.1:
        found = "Colleagues found this about as useful as most talks"
    elif lean > 0:
        found = "Colleagues found this useful"
    else:
        found = "Colleagues found this less useful than most talks"
    sure = "many agree" if evidence.count >= 10 else "a first impression"
    return f"{found}; {sure}."
