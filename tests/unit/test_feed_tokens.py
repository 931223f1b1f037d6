"""Feed tokens as arithmetic: how they are derived, spelled and hidden."""

import base64
import re
from uuid import UUID

import pytest

from service.feed import apps, tokens
from storage.models import FeedToken
from storage.settings import Settings

SECRET = b"a secret of the server, long enough"
GUID = UUID("0b5c1f6e-3a57-4d0c-9d55-000000000001")
OTHER = UUID("0b5c1f6e-3a57-4d0c-9d55-000000000002")


def token(**values) -> FeedToken:
    return FeedToken(
        **{"id": 1, "person_id": 1, "view_id": 1, "ref": "5f0c", "nonce": "ab" * 16} | values
    )


def test_a_token_has_at_least_128_bits_in_characters_that_every_app_keeps():
    spelled = tokens.spelled(SECRET, token())
    assert re.fullmatch(r"[A-Za-z0-9_-]+", spelled)
    assert len(base64.urlsafe_b64decode(spelled)) * 8 >= 128


def test_a_token_is_spelled_the_same_for_ever():
    assert tokens.spelled(SECRET, token()) == tokens.spelled(SECRET, token())
    assert tokens.episode_key(SECRET, token(), GUID) == tokens.episode_key(SECRET, token(), GUID)


@pytest.mark.parametrize(
    "other",
    [
        tokens.spelled(SECRET, token(nonce="cd" * 16)),
        tokens.spelled(SECRET, token(generation=2)),
        tokens.spelled(SECRET + b"!", token()),
        tokens.episode_key(SECRET, token(), GUID),
        tokens.artwork_key(SECRET, token(), GUID),
    ],
)
def test_nothing_else_spells_a_token(other):
    assert other != tokens.spelled(SECRET, token())


def test_each_key_opens_one_thing():
    keys = {
        derived(SECRET, held, guid)
        for derived in (tokens.episode_key, tokens.artwork_key)
        for held in (token(), token(nonce="cd" * 16), token(generation=2))
        for guid in (GUID, OTHER)
    }
    assert len(keys) == 12


def test_the_public_reference_and_the_label_are_no_part_of_the_secret():
    assert tokens.spelled(SECRET, token(ref="other", label="x")) == tokens.spelled(SECRET, token())


def test_a_changed_character_does_not_fit():
    right = tokens.episode_key(SECRET, token(), GUID)
    assert tokens.fits(right, right)
    for wrong in (right[:-1], right + "A", right.swapcase(), "", "é"):
        assert not tokens.fits(wrong, right)


def test_an_address_is_built_from_the_origin_alone():
    settings = Settings(base_url="https://dare.example/", secret_key=SECRET.decode())
    found = tokens.address(settings, token())
    assert found == f"https://dare.example/f/{tokens.spelled(SECRET, token())}.xml"


def test_a_masked_address_does_not_hold_the_token():
    spelled = tokens.spelled(SECRET, token())
    shown = tokens.masked(f"https://dare.example/f/{spelled}.xml")
    assert shown.startswith("https://dare.example/f/")
    assert spelled[4:] not in shown


@pytest.mark.parametrize(
    ("agent", "name"),
    [
        ("AntennaPod/3.9.0", "AntennaPod"),
        ("Podcasts/1830.7 CFNetwork/3826 Darwin/24.5.0", "Apple Podcasts"),
        (
            "AppleCoreMedia/1.0.0.20H320 (iPhone; U; CPU OS 16_7 like Mac OS X; en_us)",
            "Apple Podcasts",
        ),
        ("Overcast/3.0 (+http://overcast.fm/; iOS podcast app)", "Overcast"),
        ("Pocket Casts/1.0", "Pocket Casts"),
        ("gPodder/3.11.5 (http://gpodder.org/) Linux", "gPodder"),
        ("Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0", "a browser"),
        ("curl/8.14.1", "curl"),
        ("", ""),
        ("/", ""),
        ("x" * 500, "x" * 40),
    ],
)
def test_an_app_is_called_by_its_name(agent, name):
    assert apps.family(agent) == name
