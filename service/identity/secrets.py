"""Random secrets: made here, given out once, kept as SHA-256 alone."""

import hashlib
import secrets


def fresh() -> str:
    """Return a new secret of 256 bits that fits in an address."""
    return secrets.token_urlsafe(32)


def key_of(secret: str) -> str:
    """Return what is stored of a secret: its SHA-256 in hexadecimal.

    The secrets are random and long, so a plain hash is enough; passwords go to argon2id.
    """
    return hashlib.sha256(secret.encode()).hexdigest()
