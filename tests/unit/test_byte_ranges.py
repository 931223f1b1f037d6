"""RFC 9110, section 14, read as a list of cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from service.byte_ranges import Span, UnsatisfiableError, requested

SIZE = 1000


@pytest.mark.parametrize(
    ("header", "start", "end"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=0-999", 0, 999),
        ("bytes=0-1000", 0, 999),
        ("bytes=0-", 0, 999),
        ("bytes=999-", 999, 999),
        ("bytes=500-600", 500, 600),
        ("bytes=-1", 999, 999),
        ("bytes=-1000", 0, 999),
        ("bytes=-99999999999999999999999999", 0, 999),
        ("bytes=0-99999999999999999999999999", 0, 999),
        ("bytes=000000000000000000000000005-7", 5, 7),
        ("BYTES=1-2", 1, 2),
        ("bytes=1-2,", 1, 2),
        ("bytes= 1-2 ", 1, 2),
    ],
)
def test_one_range_is_given_as_far_as_the_file_goes(header, start, end):
    assert requested(header, SIZE) == Span(start, end)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=a-b",
        "bytes=1",
        "bytes=5-2",
        "bytes=1-2-3",
        "bytes=-1-2",
        "bytes=+1-2",
        "bytes=1 - 2",
        "bytes=٣-٤",
        "bytes:0-1",
        "items=0-1",
        "seconds=0-1",
        "bytes=0-1,5-6",
        "bytes=0-1,0-1,0-1",
        "bytes=5000-,6000-",
        "bytes=" + ",".join(f"{n}-{n}" for n in range(1000)),
    ],
)
def test_malformed_foreign_and_several_ranges_mean_the_whole_file(header):
    assert requested(header, SIZE) is None


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0", "bytes=-00"])
def test_a_range_past_the_end_cannot_be_satisfied(header):
    with pytest.raises(UnsatisfiableError):
        requested(header, SIZE)


def test_a_number_of_ten_thousand_digits_is_read_at_once():
    with pytest.raises(UnsatisfiableError):
        requested(f"bytes={'9' * 10_000}-", SIZE)


def test_an_empty_file_has_no_first_byte():
    assert requested("bytes=-5", 0) is None
    with pytest.raises(UnsatisfiableError):
        requested("bytes=0-", 0)


def test_a_cap_shortens_from_the_end():
    assert Span(10, 500).capped(100) == Span(10, 109)
    assert Span(10, 50).capped(100) == Span(10, 50)
    assert Span(10, 109).content_range(SIZE) == "bytes 10-109/1000"


@given(some.integers(0, 2000), some.integers(0, 2000), some.integers(1, 1500))
def test_a_span_lies_within_the_file_and_begins_where_it_was_asked(first, last, size):
    header = f"bytes={first}-{last}"
    if first <= last and first >= size:
        with pytest.raises(UnsatisfiableError):
            requested(header, size)
        return
    span = requested(header, size)
    if last < first:
        assert span is None
    else:
        assert span == Span(first, min(last, size - 1))
        assert span.length >= 1


@given(some.text(max_size=40), some.integers(0, 1500))
def test_no_header_breaks_it(text, size):
    try:
        span = requested(text, size) or requested(f"bytes={text}", size)
    except UnsatisfiableError:
        return
    assert span is None or 0 <= span.start <= span.end < size
