"""Speech to text: the engines, and where in a sound somebody speaks.

Imported by the speech process alone: the libraries are large, and a crash in their native code
must not take a worker along. Engines get our own samples, never an uploaded file.
"""

import importlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from faster_whisper import WhisperModel
from faster_whisper.vad import VadOptions, get_speech_timestamps

from storage.transcripts import Segment, Spoken, Word
from workers import waves

RATE = waves.RATE
FULL_SCALE = 32768.0
# Voice detection keeps about 20 bytes a sample while it works: long talks go block by block.
BLOCK_SECONDS = 600.0
SHORTEST_PAUSE_MS = 160
PAD_MS = 30

Samples = np.ndarray[Any, np.dtype[np.float32]]


class SpeechError(Exception):
    """An engine cannot be had; the message names it and the fix."""


class Transcriber(Protocol):
    """A speech engine whose model is loaded."""

    def transcribe(
        self, pcm: Samples, language: str | None, progress: Callable[[float], None]
    ) -> Spoken:
        """Return what is said in `pcm` (16 kHz, −1…1), in `language` or the one detected.

        Never a translation. `progress` is told seconds done.
        """


class FasterWhisper:
    """Whisper on CTranslate2: sequential, beam 1, with voice detection and word times.

    Sequential, because batches drop whole stretches of speech; beam 1, because 5 costs a third
    more and hears nothing more.
    """

    def __init__(self, folder: Path, *, device: str = "cpu", compute: str = "int8") -> None:
        self.model = WhisperModel(
            str(folder),
            device=device,
            compute_type=compute,
            cpu_threads=1,
            num_workers=1,
            local_files_only=True,
        )

    def transcribe(
        self, pcm: Samples, language: str | None, progress: Callable[[float], None]
    ) -> Spoken:
        """See Transcriber."""
        if not speech_spans(pcm):
            return Spoken(language or "", 0.0, ())
        heard, facts = self.model.transcribe(
            pcm,
            language=language,
            task="transcribe",
            beam_size=1,
            vad_filter=True,
            word_timestamps=True,
            condition_on_previous_text=True,
        )
        segments = []
        for one in heard:
            segments.append(_segment(one.start, one.end, one.text, one.words or ()))
            progress(one.end)
        return Spoken(str(facts.language), float(facts.language_probability), tuple(segments))


class OpenAIWhisper:
    """Whisper on torch, the reference implementation; present only with the extra installed."""

    def __init__(self, checkpoint: Path, *, device: str = "cpu") -> None:
        try:
            whisper = importlib.import_module("whisper")
        except ImportError as missing:
            raise SpeechError(
                "DARE_SPEECH_ENGINE is openai-whisper, which is not installed: "
                "pip install 'dare-to-share[openai-whisper]', or choose faster-whisper."
            ) from missing
        if not checkpoint.is_file():
            # The library would fetch a named model from the network.
            raise SpeechError(
                f"DARE_WHISPER_MODEL is {str(checkpoint)!r}: "
                "openai-whisper needs the path of a .pt file."
            )
        self.half = device != "cpu"
        self.model = whisper.load_model(str(checkpoint), device=device)

    def transcribe(
        self, pcm: Samples, language: str | None, progress: Callable[[float], None]
    ) -> Spoken:
        """See Transcriber."""
        if not speech_spans(pcm):
            return Spoken(language or "", 0.0, ())
        said = self.model.transcribe(
            pcm,
            language=language,
            task="transcribe",
            beam_size=1,
            word_timestamps=True,
            condition_on_previous_text=True,
            fp16=self.half,
        )
        progress(len(pcm) / RATE)
        segments = tuple(
            _segment(one["start"], one["end"], one["text"], one.get("words", ()))
            for one in said["segments"]
        )
        return Spoken(str(said["language"]), 1.0 if language else 0.0, segments)


def load_engine(
    engine: str, model: Path, *, device: str = "cpu", compute: str = "int8"
) -> Transcriber:
    """Return the engine of that name with its model loaded.

    Raises:
        SpeechError: the engine is not installed, or it has no such model.
    """
    if engine == "openai-whisper":
        return OpenAIWhisper(model, device=device)
    return FasterWhisper(model, device=device, compute=compute)


def read_samples(path: Path, start: float = 0.0, end: float | None = None) -> Samples:
    """Return the samples of a speech copy between two times, −1…1."""
    whole = np.frombuffer(waves.frames(path, start, end), dtype="<i2")
    return whole.astype(np.float32) / np.float32(FULL_SCALE)


def speech_spans(pcm: Samples) -> list[tuple[float, float]]:
    """Return (start, end) in seconds of every stretch in which somebody speaks."""
    options = VadOptions(min_silence_duration_ms=SHORTEST_PAUSE_MS, speech_pad_ms=PAD_MS)
    found = get_speech_timestamps(pcm, options)
    return [(one["start"] / RATE, one["end"] / RATE) for one in found]


def spans_of(path: Path, start: float = 0.0, end: float | None = None) -> list[tuple[float, float]]:
    """Return the stretches of speech in a whole speech copy, whatever its length."""
    last = waves.seconds(path) if end is None else end
    spans: list[tuple[float, float]] = []
    while start < last:
        block = min(last, start + BLOCK_SECONDS)
        for begins, ends in speech_spans(read_samples(path, start, block)):
            span = (start + begins, start + ends)
            # A stretch that a block's edge cut in two is one again.
            if spans and span[0] - spans[-1][1] < SHORTEST_PAUSE_MS / 1000:
                span = (spans.pop()[0], span[1])
            spans.append(span)
        start = block
    return spans


def _segment(start: float, end: float, text: str, words: Iterable[Any]) -> Segment:
    return Segment(float(start), float(end), text.strip(), tuple(_word(word) for word in words))


def _word(word: Any) -> Word:
    """Return one engine's word as ours: an object in one engine, a dict in the other."""
    said = word if isinstance(word, dict) else vars(word)
    return Word(
        float(said["start"]), float(said["end"]), str(said["word"]), float(said["probability"])
    )
