"""Messages between a worker and its speech process, over a pipe as it really is."""

import io
import os
import threading

import pytest

from workers import messages
from workers.messages import Garbled


def _through_a_pipe(content: bytes) -> object:
    """Send bytes through a pipe whose reading end is not buffered, as a speech process's is."""
    reading, writing = os.pipe()

    def send() -> None:
        with os.fdopen(writing, "wb") as stream:
            stream.write(content)

    sender = threading.Thread(target=send)
    sender.start()
    try:
        with os.fdopen(reading, "rb", buffering=0) as stream:
            return messages.read(stream)
    finally:
        sender.join()


def _written(message: dict[str, object]) -> bytes:
    stream = io.BytesIO()
    messages.write(stream, message)
    return stream.getvalue()


@pytest.mark.parametrize("words", [0, 1, 1_000, 20_000])
def test_a_message_of_any_length_arrives_whole(words):
    message = {"words": [{"start": n / 10, "text": " and so"} for n in range(words)]}
    assert _through_a_pipe(_written(message)) == message


def test_the_end_of_the_other_side_reads_as_none():
    assert _through_a_pipe(b"") is None


@pytest.mark.parametrize("cut", [1, 3, 5, 100_000])
def test_a_message_that_was_cut_off_is_garbled(cut):
    whole = _written({"text": "a" * 200_000})
    with pytest.raises(Garbled):
        _through_a_pipe(whole[:cut])


def test_an_absurd_length_is_garbled():
    with pytest.raises(Garbled, match="a message of"):
        _through_a_pipe(messages.LENGTH.pack(messages.LONGEST + 1))
