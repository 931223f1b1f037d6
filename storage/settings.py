"""Settings: what this house may be told, and where each value comes from.

Order, first wins: environment variables `DARE_…`; `DIR/dare.toml`, which an operator writes;
`DIR/secrets.json`, made on the first start with mode 0600; `DIR/run/engines.json`, where `dare up`
says on which ports the embedded engines answer. DIR is `DARE_DATA`, by default `./data`.
Environment variables are read here and nowhere else.
"""

import json
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

LOOPBACK = ("127.0.0.1", "localhost", "::1")
GIB = 1024**3
# Scheme, host (whose first label may be a star) and port, as frame-ancestors takes it (CSP 3).
ORIGIN = re.compile(r"https?://(\*\.)?[a-z0-9-]+(\.[a-z0-9-]+)*(:[0-9]{1,5})?")


class SettingsError(Exception):
    """A setting is missing or may not have its value; the message names it and the fix."""


class OidcProvider(BaseModel):
    """One OpenID Connect provider, as `dare.toml` names it: `[[oidc]]` with these keys.

    `name` is part of addresses and of stored rows; `label` is what the sign-in button says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z0-9-]{0,39}$")
    label: str = Field(default="", max_length=60)
    issuer: str
    client_id: str
    client_secret: SecretStr = SecretStr("")
    scopes: str = "openid email profile"
    groups_claim: str = "groups"


class JsonFile(PydanticBaseSettingsSource):
    """Settings from a JSON object in a file, which may be absent."""

    def __init__(self, settings_cls: type[BaseSettings], path: Path) -> None:
        super().__init__(settings_cls)
        self.path = path

    def get_field_value(
        self,
        field: Any,  # noqa: ARG002  the signature is pydantic's
        field_name: str,
    ) -> tuple[Any, str, bool]:
        """Return what the file says of one field; pydantic itself asks for all of them at once."""
        return self().get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        """Return the file's object; nothing when there is no file."""
        try:
            found: dict[str, Any] = json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        return found


class Settings(BaseSettings):
    """Everything that can be set. Defaults make the embedded, one-machine house."""

    model_config = SettingsConfigDict(env_prefix="DARE_", extra="ignore", frozen=True)

    data: Path = Path("data")
    organisation: str = "Our house"
    language: str = "en"

    # Web
    bind: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    base_url: str = ""
    web_processes: int = Field(default=2, ge=1, le=64)
    web_threads: int = Field(default=32, ge=1, le=256)
    trusted_proxies: int = Field(default=0, ge=0, le=8)

    # People
    local_sign_in: bool = True
    new_people: Literal["learner", "contributor"] = "contributor"
    oidc: tuple[OidcProvider, ...] = ()
    public_talks: bool = False
    # Origins whose pages may show the embed page in a frame, beside our own.
    embed_origins: tuple[str, ...] = ()
    contact: str = ""
    # Hosts inside the network that the one outward fetch may reach: "idp.lan" or "idp.lan:8443".
    internal_hosts: tuple[str, ...] = ()
    feed_grace_days: int = Field(default=30, ge=0)
    feed_leaver_days: int = Field(default=90, ge=1)

    # Mail
    smtp_host: str = ""
    smtp_port: int = Field(default=587, ge=1, le=65535)
    smtp_security: Literal["starttls", "tls", "none"] = "starttls"
    smtp_user: str = ""
    smtp_password: SecretStr = SecretStr("")
    mail_from: str = ""

    # How long what is kept, in days; see docs/privacy.md
    keep_audit_days: int = Field(default=730, ge=1)
    keep_exports_days: int = Field(default=7, ge=1)
    keep_feed_networks_days: int = Field(default=30, ge=1)
    keep_mail_days: int = Field(default=30, ge=1)
    keep_notices_days: int = Field(default=365, ge=1)
    keep_sessions_days: int = Field(default=30, ge=1)
    keep_sign_in_failures_days: int = Field(default=90, ge=1)
    keep_uploads_days: int = Field(default=7, ge=1)
    keep_withdrawn_days: int = Field(default=30, ge=1)

    # Engines
    database_url: SecretStr = SecretStr("")
    s3_endpoint: str = ""
    s3_region: str = "us-east-1"
    s3_bucket: str = "dare"
    s3_access_key: SecretStr = SecretStr("")
    s3_secret_key: SecretStr = SecretStr("")
    secret_key: SecretStr = SecretStr("")

    # Work
    workers: int = Field(default_factory=lambda: max(1, os.cpu_count() or 1), ge=1, le=256)
    lease_seconds: float = Field(default=30.0, gt=0)
    heartbeat_seconds: float = Field(default=5.0, gt=0)
    scratch: Path | None = None
    ffmpeg: str = ""
    ffprobe: str = ""

    # Speech
    speech_engine: Literal["faster-whisper", "openai-whisper"] = "faster-whisper"
    whisper_model: str = "base"
    whisper_device: Literal["cpu", "cuda", "auto"] = "cpu"
    whisper_compute: str = "int8"
    whisper_idle_seconds: float = Field(default=120.0, gt=0)

    # Limits
    max_upload_bytes: int = Field(default=4 * GIB, gt=0)
    max_form_bytes: int = Field(default=256 * 1024**2, gt=0)
    max_talk_seconds: float = Field(default=4 * 3600.0, gt=0)
    loudness_lufs: float = Field(default=-16.0, le=-5, ge=-40)

    @field_validator("base_url")
    @classmethod
    def _trim(cls, value: str) -> str:
        return value.rstrip("/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003  as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Return the sources in their order; see the module's docstring."""
        data = Path(init_settings().get("data") or os.environ.get("DARE_DATA") or "data")
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, data / "dare.toml"),
            JsonFile(settings_cls, data / "secrets.json"),
            JsonFile(settings_cls, data / "run" / "engines.json"),
        )

    @property
    def origin(self) -> str:
        """The public origin, from which every absolute address is built; never a Host header."""
        return _as_browsers_say(self.base_url) or f"http://127.0.0.1:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only this machine can reach the house."""
        return urlsplit(self.origin).hostname in LOOPBACK

    def provider(self, name: str) -> OidcProvider | None:
        """Return the sign-in provider of this name."""
        return next((known for known in self.oidc if known.name == name), None)

    @property
    def scratch_folder(self) -> Path:
        """Where workers keep files while they work on them."""
        return self.scratch or self.data / "scratch"

    @property
    def secret(self) -> bytes:
        """The server's secret, from which tokens are derived.

        Raises:
            SettingsError: it is missing or shorter than 32 bytes.
        """
        value = self.secret_key.get_secret_value().encode()
        if len(value) < 32:
            raise SettingsError(
                "DARE_SECRET_KEY is missing or short: set 32 bytes or more, "
                "for instance from `openssl rand -hex 32`."
            )
        return value

    def check_secret(self) -> None:
        """Refuse a missing or short secret.

        Raises:
            SettingsError: see `secret`.
        """
        _ = self.secret

    def check_origin(self) -> None:
        """Refuse an origin that would send passwords and tokens in the clear.

        Raises:
            SettingsError: plain http on anything but loopback, or more than an origin.
        """
        try:
            parts = urlsplit(self.origin)
            whole = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
        except ValueError:
            whole = False
        if not whole:
            raise SettingsError(f"DARE_BASE_URL is no http or https address: {self.base_url!r}.")
        if self.origin != f"{parts.scheme}://{parts.netloc}" or "@" in parts.netloc:
            raise SettingsError(
                f"DARE_BASE_URL is more than an origin: {self.base_url!r}. "
                "Write it like https://dare.example.org: Dare needs a host name of its own."
            )
        if parts.scheme == "http" and parts.hostname not in LOOPBACK:
            raise SettingsError(
                "DARE_BASE_URL must begin with https: plain http is for loopback only. "
                "Put a TLS proxy in front and name its address."
            )
        if self.bind not in LOOPBACK and not self.base_url:
            raise SettingsError(
                f"Listening on {self.bind} needs DARE_BASE_URL: the https address people will use."
            )

    def check_embedding(self) -> None:
        """Refuse what is no origin: it would become part of a security header.

        Raises:
            SettingsError: an entry is more or less than scheme, host and perhaps port.
        """
        for known in self.embed_origins:
            if not ORIGIN.fullmatch(known):
                raise SettingsError(
                    f"DARE_EMBED_ORIGINS names {known!r}, which is no origin: "
                    "write it like https://wiki.example.org, without a path."
                )

    def check_people(self) -> None:
        """Refuse what would leave nobody able to sign in, or send secrets in the clear.

        Raises:
            SettingsError: no way to sign in, two providers of one name, an issuer or a mail server
                without TLS beyond loopback, or a mail server without an address to send from.
        """
        if not self.local_sign_in and not self.oidc:
            raise SettingsError("DARE_LOCAL_SIGN_IN is off and DARE_OIDC names no provider.")
        if len({known.name for known in self.oidc}) < len(self.oidc):
            raise SettingsError("DARE_OIDC names two providers alike: each needs its own name.")
        for known in self.oidc:
            parts = urlsplit(known.issuer)
            if parts.scheme != "https" and parts.hostname not in LOOPBACK:
                raise SettingsError(f"DARE_OIDC: the issuer of {known.name} must be https.")
        if self.smtp_host and not self.mail_from:
            raise SettingsError("DARE_MAIL_FROM is missing: the address that letters come from.")
        if self.smtp_security == "none" and self.smtp_host not in {"", *LOOPBACK}:
            raise SettingsError(
                "DARE_SMTP_SECURITY may be none for loopback only: letters carry secret links."
            )


def _as_browsers_say(address: str) -> str:
    """Return an origin as browsers write it: in small letters, without its scheme's own port.

    What is no http or https address with a port that can be, comes back as it is.
    """
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        return address
    netloc = parts.netloc.lower()
    if port is not None and port == {"http": 80, "https": 443}.get(parts.scheme):
        netloc = netloc.rpartition(":")[0]
    return parts._replace(netloc=netloc).geturl() if parts.scheme else address


def load_settings(data: Path | None = None, **values: Any) -> Settings:
    """Return the settings of the house whose data lie in `data`."""
    folder = (data or Path(os.environ.get("DARE_DATA") or "data")).expanduser().resolve()
    return Settings(data=folder, **values)


@dataclass(frozen=True)
class Told:
    """One setting as an operator may be shown it: no secret, and where its value comes from."""

    name: str
    value: str
    source: str


def told(settings: Settings) -> list[Told]:
    """Return every setting with its source, in the order of the class; secrets as dots.

    The sources are read anew: one that was changed since this process began is said to be so.
    """
    data = settings.data
    sources = {
        "environment": _now(EnvSettingsSource(Settings)),
        "dare.toml": _now(partial(_toml, data / "dare.toml")),
        "secrets.json": _now(JsonFile(Settings, data / "secrets.json")),
        "engines.json": _now(JsonFile(Settings, data / "run" / "engines.json")),
    }
    fresh = _now(lambda: dict(Settings(data=data)))
    found = []
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        source = next((where for where, values in sources.items() if name in values), "default")
        if value != fresh.get(name):
            source = "given at the start, or changed since"
        elif source == "default" and name == "data" and value != field.default:
            source = "command line"
        # Where no address is set, the one in use is worth more to read than that.
        said = settings.origin if name == "base_url" else _masked(value)
        found.append(Told(f"DARE_{name.upper()}", said, source))
    return found


def _toml(path: Path) -> dict[str, Any]:
    return TomlConfigSettingsSource(Settings, path)()


def _now(source: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what a source says at this moment; nothing when it has become unreadable."""
    try:
        return source()
    except ValueError:
        return {}


def _masked(value: Any) -> str:
    """Return a value without its secrets: dots for one that is set, whatever its length."""
    if isinstance(value, SecretStr):
        return "••••" if value.get_secret_value() else ""
    if isinstance(value, tuple):
        return ", ".join(_masked(part) for part in value)
    if isinstance(value, OidcProvider):
        return f"{value.name} ({value.issuer}, client {value.client_id})"
    if isinstance(value, bool):
        return "on" if value else "off"
    return "" if value is None else str(value)


def ensure_secrets(data: Path) -> Path:
    """Make DIR/secrets.json with fresh secrets on the first start; return its path.

    The file is readable by its owner alone and never rewritten.
    """
    path = data / "secrets.json"
    if path.exists():
        return path
    data.mkdir(parents=True, exist_ok=True)
    made = {
        "secret_key": secrets.token_hex(32),
        "s3_access_key": secrets.token_hex(10),
        "s3_secret_key": secrets.token_hex(32),
        "postgres_password": secrets.token_hex(24),
        "seaweed_signing": secrets.token_hex(32),
    }
    draft = path.with_suffix(".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(made, file, indent=1)
        file.flush()
        os.fsync(file.fileno())
    draft.rename(path)
    return path
