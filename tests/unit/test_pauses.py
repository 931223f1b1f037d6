"""Where speech is cut."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from workers.pauses import PieceSpan, cut


def speech(pauses: list[tuple[float, float]], duration: float) -> list[tuple[float, float]]:
    """Return spans of speech that fill `duration` but for (start, end) pauses."""
    starts = [0.0, *(end for _, end in pauses)]
    ends = [*(start for start, _ in pauses), duration]
    return list(zip(starts, ends, strict=True))


def test_a_talk_under_a_minute_is_one_piece():
    assert cut(speech([(20, 22)], 59), 59, idle_processes=4) == [PieceSpan(0, 59)]


def test_a_short_talk_is_shared_among_idle_processes():
    pieces = cut(speech([(29, 30), (58, 60), (91, 92)], 120), 120, idle_processes=2)
    assert pieces == [PieceSpan(0, 59), PieceSpan(59, 120)]


def test_a_short_talk_stays_whole_when_all_are_busy():
    assert cut(speech([(58, 60)], 120), 120, idle_processes=1) == [PieceSpan(0, 120)]


def test_a_short_talk_without_pauses_stays_whole():
    assert cut([(0, 120)], 120, idle_processes=2) == [PieceSpan(0, 120)]


def test_a_long_talk_is_cut_in_the_middle_of_a_long_pause_near_three_and_a_half_minutes():
    pauses = [(130.0, 130.6), (205.0, 206.0), (290.0, 290.3)]
    assert cut(speech(pauses, 420), 420) == [PieceSpan(0, 205.5), PieceSpan(205.5, 420)]


def test_a_short_pause_serves_where_there_is_no_long_one():
    assert cut(speech([(200.0, 200.25)], 400), 400)[0].end == 200.125


def test_speech_without_any_pause_overlaps_by_ten_seconds():
    assert cut([(0, 700)], 700) == [
        PieceSpan(0, 300),
        PieceSpan(290, 590),
        PieceSpan(580, 700),
    ]


def test_a_rest_under_a_minute_is_never_left_over():
    pieces = cut(speech([(299.0, 300.0), (230.0, 230.3)], 340), 340)
    assert min(piece.end - piece.start for piece in pieces) >= 60


spans_in_time = st.lists(st.tuples(st.floats(0.3, 400), st.floats(0.0, 3.0)), max_size=60)


@given(spans_in_time, st.integers(1, 8))
def test_pieces_cover_everything_and_keep_their_lengths(drawn, idle):
    now, spans = 0.0, []
    for length, pause in drawn:
        spans.append((now, now + length))
        now += length + pause
    pieces = cut(spans, now, idle_processes=idle)
    assert pieces[0].start == 0
    assert pieces[-1].end == now
    for one, other in pairwise(pieces):
        assert one.end - 10 - 1e-6 <= other.start <= one.end
    for piece in pieces:
        assert piece.end - piece.start <= 300 + 1e-6
        if len(pieces) > 1:
            assert piece.end - piece.start >= 30 - 1e-6
