"""S72: secrets are wrapped, so that what is printed, dumped or told in an error lacks them."""

import json
from pathlib import Path

import pytest
from pydantic import SecretStr

from service.commands.status import waiting
from storage.embedded.ports import free_ports
from storage.objects import ObjectStore, StoreError
from storage.settings import OidcProvider, Settings

CANARY = "canary-that-nobody-may-read"


def settings_of(data, **values):
    """Return settings in which every secret holds a canary."""
    (port,) = free_ports(1)
    told = {
        name: SecretStr(f"{CANARY}-{name}-{'x' * 32}")
        for name, known in Settings.model_fields.items()
        if known.annotation is SecretStr
    }
    provider = OidcProvider(
        name="idp", issuer="https://idp.lan", client_id="dare", client_secret=SecretStr(CANARY)
    )
    url = SecretStr(f"postgresql://dare:{CANARY}@127.0.0.1:{port}/dare")
    base = {"data": data, "oidc": (provider,), "database_url": url}
    return Settings(**told | base | values)


def test_s72_every_setting_that_is_a_secret_is_wrapped_as_one():
    wrapped = {n for n, known in Settings.model_fields.items() if known.annotation is SecretStr}
    named = {
        name
        for name in Settings.model_fields
        if any(word in name for word in ("secret", "password", "_url", "access_key"))
    }
    assert named - {"base_url"} == wrapped
    assert OidcProvider.model_fields["client_secret"].annotation is SecretStr


def test_s72_printing_settings_shows_no_secret(tmp_path):
    known = settings_of(tmp_path)
    shown = [repr(known), str(known), known.model_dump_json(), repr(known.model_dump())]
    shown += [repr(known.oidc), f"{known.__dict__}", str(vars(known))]
    assert [text for text in shown if CANARY in text] == []
    assert CANARY in known.database_url.get_secret_value()


def test_s72_a_value_that_cannot_be_is_refused_without_the_secrets_beside_it(tmp_path):
    with pytest.raises(ValueError, match="port") as refused:
        settings_of(tmp_path, port=-1)
    assert CANARY not in str(refused.value)


def test_s72_the_status_of_a_house_whose_database_is_away_names_no_secret(tmp_path: Path):
    (port,) = free_ports(1)
    url = f"postgresql://dare:{CANARY}@127.0.0.1:{port}/dare"
    (tmp_path / "secrets.json").write_text(json.dumps({"database_url": url}))
    told = waiting(tmp_path)
    assert "error" in told["queues"]
    assert CANARY not in json.dumps(told)


def test_s72_a_store_that_is_away_names_no_secret(tmp_path):
    (port,) = free_ports(1)
    known = settings_of(tmp_path, s3_endpoint=f"http://127.0.0.1:{port}")
    with pytest.raises(StoreError) as refused:
        ObjectStore(known).put("a", b"b", "text/plain")
    assert CANARY not in str(refused.value)
