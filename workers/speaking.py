"""A worker's side of its speech process: started when needed, ended when not."""

import json
import os
import selectors
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Self, cast

import workers
from storage.settings import Settings
from storage.transcripts import Segment, Spoken, Word
from workers import messages, waves
from workers.errors import Cancelled, Interrupted
from workers.ffmpeg import ignore, never
from workers.weights import find_model

POLL_SECONDS = 0.25
STOP_ASKED_SECONDS = 1.0
CLOSE_SECONDS = 1.0
# A piece of five minutes takes about 40 s on one core; a machine ten times slower may still try.
DEADLINE_SECONDS = 120.0
DEADLINE_FACTOR = 10.0
CRASHED = "The speech process ended in the middle of its work."


class SpeechProcess:
    """One child process that transcribes; no model is in memory before the first request.

    Safe to share between threads: one request at a time, the others wait (and may be stopped while
    they wait). A crash ends one request, the next starts a fresh process.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._turn = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Return itself; nothing is started yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the child."""
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id while one runs."""
        child = self._child
        return child.pid if child is not None and child.poll() is None else None

    def collect(self) -> None:
        """Let a child go that has ended by itself, after its idle time, so that no zombie stays."""
        child = self._child
        if child is not None:
            child.poll()

    def transcribe(
        self,
        path: Path,
        start: float = 0.0,
        end: float | None = None,
        language: str | None = None,
        *,
        progress: Callable[[float], None] = ignore,
        should_stop: Callable[[], bool] = never,
    ) -> dict[str, Any]:
        """Return what is said between two times of a speech copy, as `spoken_from` reads it.

        Times in the answer count from `start`. `language` None lets the engine detect it.

        Raises:
            Interrupted: the process crashed, took too long or could not load its model.
            Cancelled: `should_stop`, asked once a second, said so; the process is dead.
            WeightsError: the model is missing or not the published one.
        """
        request = {"kind": "transcribe", "language": language}
        answer = self._ask(request, path, start, end, progress, should_stop)
        return cast("dict[str, Any]", answer["spoken"])

    def speech_spans(
        self,
        path: Path,
        start: float = 0.0,
        end: float | None = None,
        *,
        should_stop: Callable[[], bool] = never,
    ) -> list[tuple[float, float]]:
        """Return (start, end) of every stretch of speech, in the copy's own time.

        Raises:
            Interrupted, Cancelled, WeightsError: as for `transcribe`.
        """
        answer = self._ask({"kind": "speech_spans"}, path, start, end, ignore, should_stop)
        return [(begins, ends) for begins, ends in answer["spans"]]

    def close(self) -> None:
        """End the child, if there is one; a later request starts another."""
        child, self._child = self._child, None
        if child is None:
            return
        with suppress(BrokenPipeError):
            cast("Any", child.stdin).close()
        try:
            child.wait(CLOSE_SECONDS)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        cast("Any", child.stdout).close()

    def _kill(self) -> None:
        """End the child in mid-work."""
        if self._child is not None:
            self._child.kill()
        self.close()

    def _ask(  # noqa: PLR0917  private, each caller names them all
        self,
        request: dict[str, Any],
        path: Path,
        start: float,
        end: float | None,
        progress: Callable[[float], None],
        should_stop: Callable[[], bool],
    ) -> dict[str, Any]:
        """Send one request and wait for its answer."""
        seconds = (waves.seconds(path) if end is None else end) - start
        watch = _Watch(should_stop, DEADLINE_SECONDS + DEADLINE_FACTOR * seconds)
        while not self._turn.acquire(timeout=POLL_SECONDS):
            watch.check()
        try:
            child = self._running()
            whole = {**request, "pcm": str(path.absolute()), "start": start, "end": end}
            messages.write(cast("Any", child.stdin), whole)
            answer = self._answer(child, progress, watch)
        except BaseException as error:
            # Whoever stopped waiting must not leave its answer to the next one.
            self._kill()
            if isinstance(error, (OSError, messages.Garbled)):
                raise Interrupted(CRASHED, repr(error)) from error
            raise
        finally:
            self._turn.release()
        if "error" in answer:
            raise Interrupted("The speech could not be read.", answer["error"])
        return answer

    def _answer(
        self, child: subprocess.Popen[bytes], progress: Callable[[float], None], watch: "_Watch"
    ) -> dict[str, Any]:
        """Return the next message that is no mere progress."""
        stdout = cast("Any", child.stdout)
        with selectors.DefaultSelector() as selector:
            selector.register(stdout, selectors.EVENT_READ)
            while True:
                watch.check()
                if not selector.select(POLL_SECONDS):
                    continue
                message = messages.read(stdout)
                if message is None:
                    raise Interrupted(CRASHED, f"speech process: exit {child.wait()}")
                if "progress" not in message:
                    return message
                progress(message["progress"])

    def _running(self) -> subprocess.Popen[bytes]:
        """Return the child, started anew when it is gone (idle, crashed, never there)."""
        if self._child is not None and self._child.poll() is None:
            return self._child
        self.close()
        self._child = subprocess.Popen(
            [sys.executable, "-m", "workers.speech_process", json.dumps(self._choice())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            cwd=_tree(),
            start_new_session=True,
        )
        return self._child

    def _choice(self) -> dict[str, Any]:
        settings = self.settings
        openai = settings.speech_engine == "openai-whisper"
        model = (
            Path(settings.whisper_model)
            if openai
            else find_model(settings.whisper_model, settings.data)
        )
        return {
            "engine": settings.speech_engine,
            "model": str(model),
            "device": settings.whisper_device,
            "compute": settings.whisper_compute,
            "idle_seconds": settings.whisper_idle_seconds,
        }


class _Watch:
    """Raises when a request was withdrawn or takes too long."""

    def __init__(self, should_stop: Callable[[], bool], deadline: float) -> None:
        self.should_stop = should_stop
        self.asked = time.monotonic()
        self.until = self.asked + deadline

    def check(self) -> None:
        now = time.monotonic()
        if now - self.asked >= STOP_ASKED_SECONDS:
            self.asked = now
            if self.should_stop():
                raise Cancelled("The work was stopped.")
        if now > self.until:
            raise Interrupted("Transcribing took too long.", "speech process: past its deadline")


def spoken_from(answer: dict[str, Any]) -> Spoken:
    """Return the typed form of what `SpeechProcess.transcribe` returned, or a row stored."""
    segments = tuple(
        Segment(
            one["start"],
            one["end"],
            one["text"],
            tuple(Word(**word) for word in one["words"]),
        )
        for one in answer["segments"]
    )
    return Spoken(answer["language"], answer["probability"], segments)


def _tree() -> str:
    """Return the folder that holds this package, from which the child imports it."""
    return os.path.dirname(os.path.dirname(workers.__file__))  # noqa: PTH120  a plain string
