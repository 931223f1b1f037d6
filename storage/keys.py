"""Object keys: generated, never built from what somebody typed.

Every key holds a random part, so an attempt never overwrites what another attempt wrote; the row
that names the key decides which of them counts.
"""

from uuid import UUID, uuid4


def source(guid: UUID) -> str:
    """Return a fresh key for the bytes of an upload."""
    return f"sources/{guid}/{uuid4().hex}"


def rendition(guid: UUID, revision: int, extension: str) -> str:
    """Return a fresh key for one encoded version."""
    return f"renditions/{guid}/{revision}/{uuid4().hex}.{extension}"


def speech(guid: UUID, revision: int) -> str:
    """Return a fresh key for the 16 kHz sound that speech recognition hears."""
    return f"speech/{guid}/{revision}/{uuid4().hex}.flac"


def export(ref: UUID) -> str:
    """Return a fresh key for the archive of everything that is kept about a person."""
    return f"exports/{ref}/{uuid4().hex}.zip"


def artwork(guid: UUID) -> str:
    """Return a fresh key for a show's picture."""
    return f"artwork/{guid}/{uuid4().hex}.jpg"
