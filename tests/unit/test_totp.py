"""One-time codes as arithmetic: RFC 6238, the seal, the drift of clocks."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.identity import totp

SERVER = b"0123456789abcdef0123456789abcdef"
# RFC 6238, appendix B: SHA-1, eight digits there; six are its last.
RFC = base64.b32encode(b"12345678901234567890").decode()


@pytest.mark.parametrize(
    ("second", "code"),
    [
        (59, "287082"),
        (1111111109, "081804"),
        (1111111111, "050471"),
        (1234567890, "005924"),
        (2000000000, "279037"),
    ],
)
def test_codes_are_those_of_the_standard(second, code):
    at = datetime.fromtimestamp(second, UTC)
    assert totp.code_at(RFC, at) == code
    assert totp.step_of(RFC, code, at) == second // 30


@given(st.integers(-4, 4), st.integers(0, 2**31))
def test_a_code_counts_one_step_before_and_after_and_no_further(steps, second):
    at = datetime.fromtimestamp(second + 120, UTC)
    code = totp.code_at(RFC, at + timedelta(seconds=30 * steps))
    found = totp.step_of(RFC, code, at)
    if abs(steps) <= 1:
        assert found is not None
    else:  # six digits repeat now and then
        assert found is None or totp.code_at(RFC, at.fromtimestamp(found * 30, UTC)) == code


@pytest.mark.parametrize("typed", ["", "28708", "2870822", "28708a", "２８７０８２", "\x00" * 6])
def test_what_is_no_code_counts_nothing(typed):
    assert totp.step_of(RFC, typed, datetime.fromtimestamp(59, UTC)) is None


def test_a_code_may_be_typed_with_the_space_that_apps_show():
    assert totp.step_of(RFC, " 287 082 ", datetime.fromtimestamp(59, UTC)) == 1


def test_a_secret_is_sealed_and_opens_with_the_servers_secret_alone():
    sealed = totp.fresh_secret(SERVER)
    secret = totp.opened(SERVER, sealed)
    assert len(base64.b32decode(secret)) == 20
    assert secret not in sealed
    assert len(sealed) <= 255
    for other, text in ((SERVER[::-1], sealed), (SERVER, sealed[:-4] + "AAAA")):
        with pytest.raises(totp.SealError):
            totp.opened(other, text)
    assert totp.fresh_secret(SERVER) != sealed


def test_the_address_in_the_picture_names_the_house_and_the_account():
    told = totp.address(RFC, "ana@example.org", "Our house")
    assert told.startswith("otpauth://totp/")
    assert f"secret={RFC}" in told
    assert "ana%40example.org" in told


def test_recovery_codes_hold_140_bits_and_read_the_same_however_they_are_typed():
    codes = {totp._fresh_code() for _ in range(100)}
    assert len(codes) == 100
    assert len(set(totp._LETTERS)) == 32
    for code in codes:
        assert len(code.replace("-", "")) == 28
        assert totp._key(code) == totp._key(f" {code.upper().replace('-', ' ')} ")
