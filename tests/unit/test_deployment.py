"""What is written for operators agrees with the program: README, image, compose file."""

import re
import shutil
import subprocess
import sysconfig
import tomllib
from pathlib import Path

import pytest
import yaml

from service.cli import COMMANDS
from storage.settings import Settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
DOCKERFILE = (ROOT / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
OURS = ("web", "worker", "migrate")


@pytest.mark.parametrize("name", sorted(Settings.model_fields))
def test_every_setting_is_in_the_readme(name):
    assert f"`DARE_{name.upper()}`" in README


def test_the_readme_names_no_setting_that_is_not_there():
    named = {word.lower() for word in re.findall(r"`DARE_([A-Z0-9_]+)`", README)}
    assert named <= set(Settings.model_fields)


@pytest.mark.parametrize("word", sorted(COMMANDS))
def test_every_command_is_in_the_readme(word):
    assert f"`dare {word}" in README


def test_the_two_commands_come_first():
    assert README.index("make up") < README.index("make test") < README.index("## Settings")


def test_s74_hadolint_finds_nothing_in_the_dockerfile():
    program = shutil.which("hadolint", path=sysconfig.get_path("scripts"))
    assert program is not None
    done = subprocess.run(
        [program, str(ROOT / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_s74_the_image_runs_as_a_plain_user_and_checks_every_package_by_hash():
    users = re.findall(r"^USER (\S+)$", DOCKERFILE, re.MULTILINE)
    assert users
    assert not any(user.startswith(("0", "root")) for user in users)
    for line in re.findall(r"pip install.*", DOCKERFILE):
        assert "--require-hashes" in line or "--no-deps --no-build-isolation -e ." in line


def test_what_the_dockerfile_copies_is_there():
    for line in re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources), line


def test_the_image_holds_everything_that_the_program_reads():
    copied = " ".join(re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE, re.MULTILINE))
    packages = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"][
        "packages"
    ]
    for needed in [*packages, "templates", "demo", "alembic.ini"]:
        assert needed in copied


def test_each_role_of_the_compose_file_is_a_command_of_the_image():
    assert [COMPOSE["services"][name]["command"] for name in OURS] == [[name] for name in OURS]
    assert set(OURS) <= set(COMMANDS)
    assert 'ENTRYPOINT ["dare"]' in DOCKERFILE


def test_the_compose_file_sets_only_settings_that_exist():
    for name in OURS:
        set_here = COMPOSE["services"][name]["environment"]
        unknown = {key.removeprefix("DARE_").lower() for key in set_here} - set(
            Settings.model_fields
        )
        assert unknown == set()


def test_the_compose_file_holds_no_secret_and_opens_no_port_to_the_world():
    words = (ROOT / "compose.yaml").read_text()
    for name in ("POSTGRES_PASSWORD", "S3_SECRET_KEY", "DARE_SECRET_KEY"):
        assert f"{name}:?write it into .env" in words
    ports = [port for one in COMPOSE["services"].values() for port in one.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_s74_roles_of_ours_run_read_only_without_capabilities():
    for name in OURS:
        service = COMPOSE["services"][name]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert "no-new-privileges:true" in service["security_opt"]


def test_the_store_of_the_compose_file_is_hardened_like_the_embedded_one():
    store = COMPOSE["services"]["store"]
    assert {"-master.telemetry=false", "-admin.ui=false"} <= set(store["command"])
    security = COMPOSE["configs"]["security"]["content"]
    for section in ("jwt.signing", "jwt.filer_signing"):
        assert f"[{section}]" in security
        assert f"[{section}.read]" in security
    assert "-fsync" in " ".join(COMPOSE["services"]["store-rule"]["command"])


def test_s74_locks_hold_hashes_and_no_addresses():
    for path in ROOT.glob("requirements*"):
        words = path.read_text()
        assert "--hash=sha256:" in words
        assert "://" not in words
