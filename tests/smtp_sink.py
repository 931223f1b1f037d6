"""A real mail server on loopback that keeps what it is given, and refuses what it is told to."""

import ssl
from datetime import timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from storage.embedded.ports import LOOPBACK, free_ports
from storage.models import now
from storage.settings import Settings

SENDER = "house@example.org"
USER, PASSWORD = "house", "a secret of the mail server"


class Sink:
    """A mail server. `answers` maps an address, or a whole server by "", to what it says instead.

    `given` are (sender, recipients, message) in order.
    """

    def __init__(self, **options: Any) -> None:
        self.given: list[tuple[str, list[str], EmailMessage]] = []
        self.answers: dict[str, str] = {}
        self.port = free_ports(1)[0]
        self._options = options
        self._controller: Controller | None = None

    def start(self) -> Self:
        self._controller = Controller(
            self, hostname=LOOPBACK, port=self.port, ready_timeout=10, **self._options
        )
        self._controller.start()
        return self

    def stop(self) -> None:
        if self._controller is not None:
            self._controller.stop()
            self._controller = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_error: object) -> None:
        self.stop()

    async def handle_RCPT(self, _server, _session, envelope, address, options):  # noqa: N802
        said = self.answers.get(address, self.answers.get("", ""))
        if said:
            return said
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 OK"

    async def handle_DATA(self, _server, _session, envelope):  # noqa: N802
        message = message_from_bytes(envelope.content, policy=default)
        self.given.append((envelope.mail_from, list(envelope.rcpt_tos), message))
        return "250 kept"

    def last(self) -> EmailMessage:
        """Return the letter that came last."""
        return self.given[-1][2]

    def text(self, number: int = -1) -> str:
        """Return the words of a letter, as a reader sees them."""
        return self.given[number][2].get_content()

    def known_to(self, settings: Settings, **values: Any) -> Settings:
        """Return settings that name this server, without encryption unless told."""
        told = {
            "smtp_host": LOOPBACK,
            "smtp_port": self.port,
            "smtp_security": "none",
            "mail_from": SENDER,
        }
        return settings.model_copy(update=told | values)


def lets_in(_server, _session, _envelope, _mechanism, given) -> AuthResult:
    """Let in who knows USER and PASSWORD."""
    right = isinstance(given, LoginPassword) and (given.login, given.password) == (
        USER.encode(),
        PASSWORD.encode(),
    )
    return AuthResult(success=right, handled=False)


def certified(folder: Path, name: str = LOOPBACK) -> tuple[ssl.SSLContext, Path]:
    """Make a certificate for one host; return what a server needs, and the file to trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sink")])
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(hours=1))
        .not_valid_after(now() + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address(name))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .sign(key, hashes.SHA256())
    )
    certificate, secret = folder / "sink.pem", folder / "sink.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, secret)
    return context, certificate
