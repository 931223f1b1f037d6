"""Which passwords are refused because they are guessed first, and which are not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.identity import guessable, passwords
from service.identity.guessable import COMMON, HOUSE, PATTERN, PERSON, why

HOUSES = ["Northwind Rail"]
ANA = ["Ana Lima", "ana.lima@northwind.example"]


def test_the_list_is_long_and_says_where_it_comes_from():
    words = guessable.LIST.read_text().split()
    assert len(words) == len(set(words)) > 40_000
    assert sum(len(word) >= passwords.SHORTEST for word in words) > 200
    licence = guessable.LIST.with_suffix(".LICENSE").read_text()
    assert "Permission is hereby granted, free of charge" in licence


@pytest.mark.parametrize("added", ["{0}", "{0}{0}", "1{0}", "{0}99!", "!{0}!", "{0} {0}"])
def test_no_common_password_gets_better_by_what_people_add(added):
    words = guessable.LIST.read_text().split()[:3000]
    assert [word for word in words if len(word) > 4 and why(added.format(word)) is None] == []


@pytest.mark.parametrize(
    ("password", "words"),
    [
        ("Password1234!", COMMON),
        ("P4$$w0rd!2026", COMMON),
        ("Summer2026!!!!", COMMON),
        ("qwertyuiop12", COMMON),
        ("1qaz2wsx3edc", COMMON),
        ("letmeinletmein", COMMON),
        ("sunshine monkey", COMMON),
        ("zyxwvutsrqponm", COMMON),
        ("abcabcabcabc", PATTERN),
        ("111111111111", PATTERN),
        ("            ", PATTERN),
        ("Dare to Share!", HOUSE),
        ("i love daretoshare", HOUSE),
        ("northwind-rail-77", HOUSE),
        ("ana.lima@northwind.example", PERSON),
        ("AnaLima1987!!", PERSON),
        ("lima ana 2026", PERSON),
    ],
)
def test_easily_guessed_passwords_are_refused_and_the_words_say_why(password, words):
    assert why(password, house=HOUSES, person=ANA) == words


@pytest.mark.parametrize(
    "password",
    [
        "a long enough password",
        "a long walk in the rain",
        "the trains of Ana run late on Mondays",
        "Gx7 kPq2 mRt9",
        "correct horse battery",
        "ich dare nicht, aber gern",
        "日本語のパスワードです、長い",
    ],
)
def test_sentences_and_random_ones_pass(password):
    assert why(password, house=HOUSES, person=ANA) is None


@given(st.text(max_size=passwords.LONGEST))
def test_any_text_is_judged(password):
    assert why(password, house=HOUSES, person=ANA) in {None, COMMON, PATTERN, HOUSE, PERSON}


def test_names_too_short_to_mean_anything_refuse_nothing():
    assert why("wandering ox teapots", person=["Ox", "ox@x.io"], house=["X"]) is None


def test_a_password_is_hashed_as_typed_and_never_cut():
    long = "Ünïcode, spaces  and tails " * 30
    stored = passwords.hashed(long)
    assert passwords.matches(stored, long)
    assert not passwords.matches(stored, long[:-1])
    assert not passwords.matches(stored, long.strip())
    assert not passwords.matches(stored, long.lower())


@pytest.mark.parametrize("length", [0, 11, 1025])
def test_a_password_is_neither_short_nor_endless(length):
    with pytest.raises(passwords.PasswordError, match="characters"):
        passwords.hashed("aB3$ kuz! xqe".ljust(length, "q")[:length])


def test_a_hash_of_weaker_parameters_is_renewed_and_one_of_todays_is_kept():
    weak = "$argon2id$v=19$m=8,t=1,p=1$c29tZXNhbHQ$" + "A" * 43
    fresh = passwords.renewed(weak, "a long enough password")
    assert fresh is not None
    assert passwords.matches(fresh, "a long enough password")
    assert passwords.renewed(fresh, "a long enough password") is None
