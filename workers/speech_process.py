"""The process that holds a speech model: `python -m workers.speech_process CHOICE`.

CHOICE is a JSON object: engine, model (a path), device, compute, idle_seconds. Requests come on
standard input, answers go to standard output, see `messages`:

    {"kind": "transcribe", "pcm": path, "start": s, "end": s or null, "language": code or null}
    {"kind": "speech_spans", "pcm": path, "start": s, "end": s or null}

Any number of {"progress": 0…1} may precede an answer, {"spoken": …}, {"spans": […]} or {"error":
words}. The model is loaded at the first request that needs it. The process ends when its input
does, when nothing was asked for `idle_seconds`, or when its parent is gone.
"""

import json
import os
import select
import sys
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

from workers import messages
from workers.speech import (
    RATE,
    SpeechError,
    Transcriber,
    load_engine,
    read_samples,
    spans_of,
)

PARENT_CHECK_SECONDS = 1.0
NICE = 5


class Room:
    """One engine, loaded when it is first needed, and the requests that it answers."""

    def __init__(self, choice: dict[str, Any], answers: BinaryIO) -> None:
        self.choice = choice
        self.answers = answers
        self.engine: Transcriber | None = None

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return the answer to one request; an error becomes words."""
        try:
            if request["kind"] == "speech_spans":
                path, start, end = Path(request["pcm"]), request["start"], request["end"]
                return {"spans": spans_of(path, start, end)}
            return {"spoken": self.transcribe(request)}
        except (SpeechError, OSError, ValueError, RuntimeError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def transcribe(self, request: dict[str, Any]) -> dict[str, Any]:
        """Return what is said, as plain values; times count from the request's start."""
        pcm = read_samples(Path(request["pcm"]), request["start"], request["end"])
        length = len(pcm) / RATE
        if self.engine is None:
            self.engine = load_engine(
                self.choice["engine"],
                Path(self.choice["model"]),
                device=self.choice["device"],
                compute=self.choice["compute"],
            )
        spoken = self.engine.transcribe(
            pcm,
            request["language"],
            lambda done: messages.write(self.answers, {"progress": min(1.0, done / length)}),
        )
        return asdict(spoken)


def watch_parent(parent: int) -> None:
    """End this process at once when its parent is gone, even in the middle of a piece."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


def main() -> None:
    """Answer requests until there are no more."""
    parent = os.getppid()
    choice = json.loads(sys.argv[1])
    threading.Thread(target=watch_parent, args=(parent,), daemon=True).start()
    os.nice(NICE)
    # Libraries may print: only our own messages go to the pipe.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    requests = os.fdopen(os.dup(0), "rb", buffering=0)
    room = Room(choice, answers)
    while select.select([requests], [], [], choice["idle_seconds"])[0]:
        request = messages.read(requests)
        if request is None:
            break
        messages.write(answers, room.answer(request))


if __name__ == "__main__":
    main()
