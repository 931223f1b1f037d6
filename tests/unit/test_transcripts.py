"""Cues from words, and the files that hold them."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.transcripts import (
    Cue,
    Piece,
    Segment,
    Spoken,
    Word,
    cues_from_segments,
    cues_from_words,
    ends_sentence,
    join,
    paragraphs,
    to_json,
    to_srt,
    to_text,
    to_vtt,
)

GOLDEN = Path(__file__).parents[1] / "golden" / "transcripts"


def spoken(text: str, *, start: float = 0.0, step: float = 0.3, gap: float = 0.0) -> list[Word]:
    """Return words spoken at an even pace."""
    return [
        Word(start + n * (step + gap), start + n * (step + gap) + step, f" {word}")
        for n, word in enumerate(text.split())
    ]


def segment(words: list[Word]) -> Segment:
    return Segment(words[0].start, words[-1].end, "", tuple(words))


words_in_time = st.lists(
    st.tuples(
        st.text(
            st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=20
        ),
        st.floats(0.01, 2.0),
        st.floats(0.0, 2.0),
    ),
    min_size=1,
    max_size=60,
)


def timed(drawn: list[tuple[str, float, float]]) -> list[Word]:
    now, words = 0.0, []
    for text, length, pause in drawn:
        words.append(Word(now, now + length, " " + text))
        now += length + pause
    return words


@given(words_in_time)
def test_cues_keep_every_word_in_order(drawn):
    words = timed(drawn)
    cues = cues_from_words(words)
    assert [word for cue in cues for word in cue.words] == words
    assert " ".join(cue.text for cue in cues) == " ".join(word.text.strip() for word in words)


@given(words_in_time)
def test_cues_are_short_enough_and_never_overlap(drawn):
    cues = cues_from_words(timed(drawn))
    for cue in cues:
        assert len(cue.text) <= 64
        assert cue.end - cue.start <= 7.0 + 1e-6
    for one, other in pairwise(cues):
        assert one.end <= other.start + 1e-6


@given(words_in_time)
def test_a_cue_lasts_a_second_unless_the_next_begins(drawn):
    cues = cues_from_words(timed(drawn))
    for one, other in pairwise(cues):
        assert one.end - one.start >= 1.0 - 1e-6 or one.end >= other.start - 1e-6
    assert cues[-1].end - cues[-1].start >= 1.0 - 1e-6


@given(words_in_time)
def test_the_three_files_hold_the_same_words_and_times(drawn):
    cues = cues_from_words(timed(drawn))
    segments = json.loads(to_json(cues))["segments"]
    stamps = re.findall(r"(\d+):(\d+):(\d+)\.(\d+) --> ", to_vtt(cues))
    starts = [int(h) * 3600 + int(m) * 60 + int(s) + int(t) / 1000 for h, m, s, t in stamps]
    assert starts == pytest.approx([one["startTime"] for one in segments], abs=0.0011)
    assert to_srt(cues).count(" --> ") == to_vtt(cues).count(" --> ") == len(cues)


@given(st.text(max_size=200), st.text(max_size=30))
def test_no_text_breaks_out_of_its_cue(text, speaker):
    vtt = to_vtt([Cue(0, 1, text, speaker=speaker), Cue(1, 2, "after")])
    assert vtt.count("-->") == 2
    assert vtt.endswith("00:00:01.000 --> 00:00:02.000\nafter\n")
    payload = vtt.split("\n\n")[1].partition("\n")[2]
    assert "\n" not in payload
    assert payload.count("<") == payload.count(">") == (1 if speaker else 0)


@given(
    st.lists(st.tuples(st.floats(-5, 400), st.floats(0, 9), st.sampled_from("abc")), max_size=30)
)
def test_joined_pieces_never_run_backwards(drawn):
    words = tuple(Word(start, start + length, " " + text) for start, length, text in drawn)
    pieces = [
        Piece(start, end, Spoken("en", 1.0, (Segment(0, 1, "", words),) if words else ()))
        for start, end in ((0.0, 300.0), (290.0, 500.0), (500.0, 620.0))
    ]
    cues = join(pieces)
    times = [time for cue in cues for word in cue.words for time in (word.start, word.end)]
    assert times == sorted(times)
    assert all(0 <= time <= 620 for time in times)


@pytest.mark.parametrize("given_file", sorted(GOLDEN.glob("*.input.json")), ids=lambda p: p.name)
def test_files_are_written_as_the_golden_ones(given_file):
    cues = [Cue(**one) for one in json.loads(given_file.read_text())]
    name = given_file.name.removesuffix(".input.json")
    for ending, write in (("vtt", to_vtt), ("srt", to_srt)):
        assert write(cues) == (GOLDEN / f"{name}.{ending}").read_text()
    for ending, write in (("json", to_json), ("txt", to_text)):
        assert write(cues) + "\n" == (GOLDEN / f"{name}.{ending}").read_text()


def test_a_cue_ends_with_its_sentence():
    words = spoken("We were all there on that day. Nobody else was there at all.")
    assert [cue.text for cue in cues_from_words(words)] == [
        "We were all there on that day.",
        "Nobody else was there at all.",
    ]


def test_a_cue_ends_before_a_pause_of_half_a_second():
    words = spoken("four words right here") + spoken("and four more here", start=1.75)
    assert len(cues_from_words(words)) == 2
    together = spoken("four words right here") + spoken("and four more here", start=1.6)
    assert len(cues_from_words(together)) == 1


def test_a_long_sentence_is_divided_after_a_comma():
    words = spoken(
        "ask not what your country can do for you, ask what you can do for your country."
    )
    assert [cue.text for cue in cues_from_words(words)] == [
        "ask not what your country can do for you,",
        "ask what you can do for your country.",
    ]


def test_a_short_cue_joins_its_neighbour_when_there_is_room():
    words = spoken("Yes. I think so too.", step=0.25)
    assert [cue.text for cue in cues_from_words(words)] == ["Yes. I think so too."]


def test_a_title_ends_no_sentence():
    assert not ends_sentence(" Dr.")
    assert not ends_sentence("as J.")
    assert ends_sentence('He said "no."')
    assert ends_sentence("Really?")
    assert not ends_sentence("and")


def test_a_segment_without_words_is_still_readable():
    cues = cues_from_segments([Segment(1.0, 3.0, "Whole thing")])
    assert [(cue.start, cue.end, cue.text) for cue in cues] == [(1.0, 3.0, "Whole thing")]


def test_a_paragraph_ends_after_a_pause_of_eight_tenths():
    first = spoken("One sentence that is long enough here.")
    second = spoken("Another one after some time has gone.", start=first[-1].end + 0.9)
    groups = paragraphs(cues_from_words(first + second))
    assert [[cue.text for cue in group] for group in groups] == [
        ["One sentence that is long enough here."],
        ["Another one after some time has gone."],
    ]


def test_a_paragraph_has_at_most_six_sentences():
    words = spoken("This is said without any pause at all. " * 9)
    groups = paragraphs(cues_from_words(words))
    assert [len(group) for group in groups] == [6, 3]


def test_a_word_heard_on_both_sides_of_an_overlap_appears_once():
    left = spoken("the very last words of it", start=290.0, step=1.0, gap=0.5)
    right = spoken("words of it and more", start=4.5, step=1.0, gap=0.5)
    cues = join(
        [
            Piece(0.0, 300.0, Spoken("en", 1.0, (segment(left),))),
            Piece(290.0, 400.0, Spoken("en", 1.0, (segment(right),))),
        ]
    )
    assert " ".join(cue.text for cue in cues) == "the very last words of it and more"


def test_words_outside_their_piece_are_dropped():
    words = [*spoken("inside here"), Word(12.0, 12.5, " outside")]
    cues = join([Piece(100.0, 110.0, Spoken("en", 1.0, (segment(words),)))])
    assert [(cue.start, cue.text) for cue in cues] == [(100.0, "inside here")]


def test_a_pieces_language_travels_to_its_cues():
    cues = join(
        [
            Piece(0.0, 5.0, Spoken("de", 0.9, (segment(spoken("guten Tag zusammen")),))),
            Piece(5.0, 9.0, Spoken("fr", 0.9, (segment(spoken("bonjour tout le monde")),))),
        ]
    )
    assert [(cue.language, cue.text) for cue in cues] == [
        ("de", "guten Tag zusammen"),
        ("fr", "bonjour tout le monde"),
    ]
