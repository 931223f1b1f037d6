"""Messages between a worker and its speech process: JSON behind a length of four bytes."""

import json
import struct
from typing import Any, BinaryIO

LENGTH = struct.Struct(">I")
LONGEST = 64 * 1024**2


class Garbled(Exception):  # noqa: N818  reads as what happened to a message
    """The other side ended in mid-message or does not speak this language."""


def write(stream: BinaryIO, message: dict[str, Any]) -> None:
    """Send one message."""
    body = json.dumps(message).encode()
    stream.write(LENGTH.pack(len(body)) + body)
    stream.flush()


def read(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the next message; None when the other side has closed.

    Raises:
        Garbled: it closed in the middle of one, or the length is absurd.
    """
    head = _exactly(stream, LENGTH.size)
    if not head:
        return None
    if len(head) < LENGTH.size:
        raise Garbled("a length was cut off")
    (length,) = LENGTH.unpack(head)
    if length > LONGEST:
        raise Garbled(f"a message of {length} bytes")
    body = _exactly(stream, length)
    if len(body) < length:
        raise Garbled("a message was cut off")
    message: dict[str, Any] = json.loads(body)
    return message


def _exactly(stream: BinaryIO, length: int) -> bytes:
    """Return `length` bytes, fewer only at the end: an unbuffered pipe gives 64 KiB at a time."""
    found = bytearray()
    while len(found) < length:
        block = stream.read(length - len(found))
        if not block:
            break
        found += block
    return bytes(found)
