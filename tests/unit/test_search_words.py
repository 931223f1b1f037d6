"""Which of the words asked for are looked for in single lines."""

import pytest

from storage.search import _positive


@pytest.mark.parametrize(
    ("asked", "sought"),
    [
        ("valve pump", "valve pump"),
        ("valve -pump", "valve"),
        ('"pressure valve" -"old pump"', "pressure valve old pump"),
        ('-"', ""),
        ("-", ""),
        ("--x y", "y"),
        ('say "hello', "say hello"),
        ("half-open", "half-open"),
        ("", ""),
        ("\t\n", ""),
    ],
)
def test_what_must_not_be_there_is_not_looked_for(asked, sought):
    assert _positive(asked) == sought
