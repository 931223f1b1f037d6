"""Drawn artwork: always alike, always what podcast apps ask for."""

import io

import pytest
from PIL import Image

from service import artwork


def test_equal_titles_give_equal_bytes_and_others_do_not():
    first = artwork.drawn("Platform talks", "#1f4e79")
    artwork.drawn.cache_clear()
    assert artwork.drawn("Platform talks", "#1f4e79") == first
    assert artwork.drawn("Platform talks!", "#1f4e79") != first
    assert artwork.drawn("Platform talks", "#7a2e4d") != first


@pytest.mark.parametrize(
    "title", ["A", "", "word " * 60, "W" * 200, "日本語の番組", "👩‍👩‍👧", "Łódź & Zürich"]
)
def test_any_title_makes_a_square_rgb_jpeg(title):
    picture = Image.open(io.BytesIO(artwork.drawn(title, "#2c5f4b")))
    assert (picture.format, picture.mode, picture.size) == ("JPEG", "RGB", (1400, 1400))


@pytest.mark.parametrize(
    ("title", "words"),
    [
        ("Łódź: “straße” – café", 'Lodz: "strasse" - cafe'),
        ("日本語の番組", ""),
        ("Talks 日本", "Talks"),
        ("two\n lines", "two lines"),
    ],
)
def test_words_are_drawn_only_in_letters_that_the_typeface_has(title, words):
    assert artwork.writable(title) == words


def test_every_colour_carries_white_words():
    for colour in artwork.COLOURS:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
        assert 1.05 / (luminance + 0.05) >= 4.5
