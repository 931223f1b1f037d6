"""Single-use links in letters: their secret is derived, so that no dump opens one."""

import base64
import hashlib
import hmac
import secrets


def fresh_nonce() -> str:
    """Return a new nonce of 256 bits, in hexadecimal."""
    return secrets.token_hex(32)


def secret_of(server_secret: bytes, kind: str, nonce: str) -> str:
    """Return the secret of a link: base64url(HMAC-SHA256(server secret, "link" ‖ kind ‖ nonce))."""
    digest = hmac.digest(server_secret, f"link\0{kind}\0{nonce}".encode(), "sha256")
    return base64.urlsafe_b64encode(digest).decode("ascii").rstrip("=")


def key_of(secret: str) -> str:
    """Return what is stored to look a link up: the SHA-256 of its secret."""
    return hashlib.sha256(secret.encode()).hexdigest()
