"""Our own copy of a talk's speech: WAV, 16 kHz, one channel, 16 bit; cut without any decoder."""

import wave
from pathlib import Path

RATE = 16000
BLOCK_FRAMES = 30 * RATE


def seconds(path: Path) -> float:
    """Return how long a copy lasts."""
    with wave.open(str(path), "rb") as sound:
        return sound.getnframes() / RATE


def frames(path: Path, start: float = 0.0, end: float | None = None) -> bytes:
    """Return the 16-bit little-endian samples between two times.

    Raises:
        ValueError: the file is not 16 kHz, one channel, 16 bit.
    """
    with wave.open(str(path), "rb") as sound:
        _check(sound)
        first, last = _span(sound, start, end)
        sound.setpos(first)
        return sound.readframes(last - first)


def cut(source: Path, start: float, end: float, target: Path) -> Path:
    """Write the stretch of `source` between two times to `target` and return it."""
    with wave.open(str(source), "rb") as sound, wave.open(str(target), "wb") as piece:
        _check(sound)
        first, last = _span(sound, start, end)
        piece.setparams(sound.getparams())
        sound.setpos(first)
        for position in range(first, last, BLOCK_FRAMES):
            piece.writeframes(sound.readframes(min(BLOCK_FRAMES, last - position)))
    return target


def _span(sound: wave.Wave_read, start: float, end: float | None) -> tuple[int, int]:
    """Return first and last frame, inside the sound."""
    count = sound.getnframes()
    first = min(count, max(0, round(start * RATE)))
    last = count if end is None else min(count, max(first, round(end * RATE)))
    return first, last


def _check(sound: wave.Wave_read) -> None:
    if (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) != (RATE, 1, 2):
        raise ValueError("A speech copy is WAV with 16 kHz, one channel, 16 bit.")
