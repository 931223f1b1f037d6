"""What is made of what people type: titles, notes, topics, addresses."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.publishing import Draft, PublishingError, clean, many_lines, one_line, slug_of
from service.text import marked, rich

anything = st.text(st.characters(codec=None), max_size=200)


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Two   words ", "Two words"),
        ("One\nline\tonly\r\n", "One line only"),
        ("a\x00b\x07c\x1b[31m", "abc[31m"),
        ("\u202eevil\u202c \u2066x\u2069", "evil x"),
        ("e\u0301", "é"),
        ("👩\u200d🔧 and 🏳️\u200d🌈", "👩\u200d🔧 and 🏳️\u200d🌈"),
        ("\ud800lone", "lone"),
        ("no\u00a0break\u2003spaces", "no break spaces"),
        ("שלום עולם", "שלום עולם"),
        ("\x00", ""),
    ],
)
def test_a_title_is_one_line_without_hidden_characters(typed, kept):
    assert one_line(typed) == kept


def test_notes_keep_their_lines_and_tabs():
    assert many_lines("\n a\r\nb\rc\n\n\td \x00\u202e\n") == "a\nb\nc\n\n\td"


@given(anything)
def test_cleaned_text_can_be_stored_and_cleaning_it_again_changes_nothing(typed):
    for cleaned in (one_line(typed), many_lines(typed)):
        cleaned.encode("utf-8")
        assert "\x00" not in cleaned
        assert unicodedata.is_normalized("NFC", cleaned)
    assert one_line(one_line(typed)) == one_line(typed)
    assert many_lines(many_lines(typed)) == many_lines(typed)


def test_a_draft_that_is_right_is_taken_as_typed():
    made = clean(Draft(" How ", "Notes\r\n", " EN ", "pumps, , water,pumps", "any"))
    assert (made.title, made.notes, made.language) == ("How", "Notes", "en")
    assert made.topics == ["pumps", "water"]


@pytest.mark.parametrize(
    ("draft", "right"),
    [
        (Draft("t" * 200), True),
        (Draft("t" * 201), False),
        (Draft("t", notes="n" * 10_000), True),
        (Draft("t", notes="n" * 10_001), False),
        (Draft("t", topics=",".join("abcdefgh")), True),
        (Draft("t", topics=",".join("abcdefghi")), False),
        (Draft("t", topics="x" * 80), True),
        (Draft("t", topics="x" * 81), False),
        (Draft("t", language="deu"), True),
        (Draft("t", language="german"), False),
        (Draft("t", language="d\n"), False),
        (Draft("\u202e"), False),
    ],
)
def test_the_limits_of_a_draft_are_exact(draft, right):
    if right:
        clean(draft)
        return
    with pytest.raises(PublishingError) as refused:
        clean(draft)
    assert len(refused.value.errors) == 1


def test_everything_that_is_wrong_is_told_at_once():
    with pytest.raises(PublishingError) as refused:
        clean(Draft("", "n" * 10_001, "??", ",".join("abcdefghi")))
    assert set(refused.value.errors) == {"title", "notes", "language", "topics"}
    assert str(refused.value) == " ".join(refused.value.errors.values())


@given(anything)
def test_an_address_part_is_plain_whatever_the_title(title):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*-?", slug_of(title, "talk"))
    assert len(slug_of(title, "talk")) <= 60


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Größe & Maß", "groe-ma"),
        ("Crème brûlée", "creme-brulee"),
        ("日本語", "talk"),
        ("../..", "talk"),
    ],
)
def test_an_address_part_is_made_of_letters_and_digits(title, slug):
    assert slug_of(title, "talk") == slug


# What is shown of it


TAGS = re.compile(r"</?(p|br|a|ul|ol|li|em|strong|code|pre|blockquote|h3|h4)(>| href=\"| start=)")


@given(st.one_of(anything, st.text("<>[]()*_`#&;:/!\"' \nascriptjvhtp=", max_size=80)))
def test_s14_notes_become_a_few_tags_and_nothing_else(notes):
    shown = str(rich(many_lines(notes)))
    assert all(TAGS.match(shown, at.start()) for at in re.finditer("<", shown)), shown
    links = re.findall(r'href="([^"]*)"', shown)
    assert all(
        not re.match(r"\s*(javascript|data|vbscript):", link, re.IGNORECASE) for link in links
    )


@pytest.mark.parametrize(
    ("notes", "shown"),
    [
        ("**bold** and `code`", "<p><strong>bold</strong> and <code>code</code></p>\n"),
        ("one\ntwo", "<p>one<br>\ntwo</p>\n"),
        ("<b>raw</b>", "<p>&lt;b&gt;raw&lt;/b&gt;</p>\n"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>\n"),
        (
            "[x](https://example.org/?a=1&b=2)",
            '<p><a href="https://example.org/?a=1&amp;b=2" REL>x</a></p>\n',
        ),
    ],
)
def test_s14_notes_are_markdown_and_raw_markup_is_shown_as_typed(notes, shown):
    rel = 'rel="nofollow noopener noreferrer ugc"'
    assert str(rich(notes)) == shown.replace("REL", rel)


@given(anything)
def test_a_hits_snippet_holds_no_tag_but_the_mark(words):
    shown = str(marked(words))
    assert re.sub(r"</?mark>", "", shown).count("<") == 0


def test_a_hits_words_are_marked_and_the_rest_is_text():
    assert str(marked("a <b> \x02hit\x03 & c")) == "a &lt;b&gt; <mark>hit</mark> &amp; c"
