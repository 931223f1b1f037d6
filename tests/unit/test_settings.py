"""Settings: where each value comes from, and what is refused."""

import json
import stat

import pytest
from pydantic import ValidationError

from storage.settings import Settings, SettingsError, ensure_secrets, load_settings

LONG = "s" * 32


@pytest.fixture
def data(tmp_path):
    (tmp_path / "run").mkdir()
    return tmp_path


def engines(data, **told):
    (data / "run" / "engines.json").write_text(json.dumps(told))


def test_without_anything_it_is_the_house_of_one_machine(data):
    found = load_settings(data)
    assert (found.bind, found.port, found.origin) == ("127.0.0.1", 8000, "http://127.0.0.1:8000")
    assert found.data == data
    assert found.scratch_folder == data / "scratch"


def test_the_nearest_source_wins(data, monkeypatch):
    engines(data, port=1, s3_bucket="engines", organisation="engines", language="engines")
    (data / "secrets.json").write_text(
        json.dumps({"s3_bucket": "secrets", "organisation": "secrets", "language": "secrets"})
    )
    (data / "dare.toml").write_text('organisation = "toml"\nlanguage = "toml"\n')
    monkeypatch.setenv("DARE_LANGUAGE", "environment")
    found = load_settings(data)
    told = (found.port, found.s3_bucket, found.organisation, found.language)
    assert told == (1, "secrets", "toml", "environment")
    assert load_settings(data, language="given").language == "given"


def test_the_folder_of_the_data_comes_from_the_environment(data, monkeypatch):
    monkeypatch.setenv("DARE_DATA", str(data))
    (data / "dare.toml").write_text('organisation = "There"\n')
    assert load_settings().organisation == "There"


def test_secrets_are_not_in_what_is_printed(data):
    ensure_secrets(data)
    found = load_settings(data)
    for secret in (found.secret_key, found.s3_secret_key):
        assert secret.get_secret_value()
        assert secret.get_secret_value() not in repr(found) + str(found.model_dump())


def test_secrets_are_made_once_for_their_owner_alone(data):
    path = ensure_secrets(data)
    first = path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert ensure_secrets(data).read_bytes() == first
    made = json.loads(first)
    assert len(set(made.values())) == len(made) == 5
    assert len(load_settings(data).secret) >= 32
    assert [left.name for left in data.iterdir() if left.is_file()] == ["secrets.json"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("port", "-1"),
        ("port", "70000"),
        ("port", "http"),
        ("workers", "0"),
        ("max_upload_bytes", "0"),
        ("loudness_lufs", "0"),
        ("speech_engine", "guess"),
        ("whisper_device", "tpu"),
    ],
)
def test_values_that_cannot_be_are_refused_by_name(data, monkeypatch, name, value):
    monkeypatch.setenv(f"DARE_{name.upper()}", value)
    with pytest.raises(ValidationError, match=name):
        load_settings(data)


@pytest.mark.parametrize("secret", ["", "short", "s" * 31])
def test_a_missing_or_short_secret_is_refused(data, secret):
    with pytest.raises(SettingsError, match="DARE_SECRET_KEY"):
        load_settings(data, secret_key=secret).check_secret()
    load_settings(data, secret_key=LONG).check_secret()


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"base_url": "http://dare.example.org"}, "must begin with https"),
        ({"base_url": "ftp://dare.example.org"}, "no http or https address"),
        ({"base_url": "dare.example.org"}, "no http or https address"),
        ({"base_url": "https://dare.example.org:99999"}, "no http or https address"),
        ({"base_url": "https://[dare"}, "no http or https address"),
        ({"base_url": "https://dare.example.org/talks"}, "more than an origin"),
        ({"base_url": "https://dare.example.org?x"}, "more than an origin"),
        ({"base_url": "https://ana@dare.example.org"}, "more than an origin"),
        ({"bind": "0.0.0.0"}, "needs DARE_BASE_URL"),
        ({"bind": "::"}, "needs DARE_BASE_URL"),
    ],
)
def test_an_origin_that_would_send_passwords_in_the_clear_is_refused(data, told, words):
    with pytest.raises(SettingsError, match=words):
        load_settings(data, **told).check_origin()


@pytest.mark.parametrize(
    ("told", "origin"),
    [
        ({}, "http://127.0.0.1:8000"),
        ({"port": 9}, "http://127.0.0.1:9"),
        ({"base_url": "http://localhost:9/"}, "http://localhost:9"),
        ({"base_url": "https://dare.example.org//"}, "https://dare.example.org"),
        ({"base_url": "HTTPS://Dare.Example.ORG:443/"}, "https://dare.example.org"),
        ({"base_url": "https://dare.example.org:8443"}, "https://dare.example.org:8443"),
        ({"base_url": "http://[::1]:80"}, "http://[::1]"),
        ({"bind": "0.0.0.0", "base_url": "https://a.example"}, "https://a.example"),
    ],
)
def test_an_origin_on_loopback_or_by_https_is_taken_without_its_slash(data, told, origin):
    found = load_settings(data, **told)
    found.check_origin()
    assert found.origin == origin


def test_settings_do_not_change_while_the_house_runs(data):
    with pytest.raises(ValidationError, match="frozen"):
        load_settings(data).port = 1


def test_every_setting_of_the_readme_exists_and_every_setting_is_in_the_readme(request):
    words = (request.config.rootpath / "README.md").read_text()
    missing = [name for name in Settings.model_fields if f"DARE_{name.upper()}" not in words]
    assert missing == []
