"""Cutting our own copy of a talk's speech."""

import wave

import pytest

from workers.waves import cut, frames, seconds


def ramp(path, *, rate=16000, count=32000):
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, rate, 0, "NONE", "not compressed"))
        sound.writeframes(b"".join((n % 30000).to_bytes(2, "little") for n in range(count)))
    return path


def test_a_piece_holds_exactly_its_samples(tmp_path):
    whole = ramp(tmp_path / "a.wav")
    piece = cut(whole, 0.5, 1.25, tmp_path / "b.wav")
    assert seconds(piece) == 0.75
    assert frames(piece) == frames(whole, 0.5, 1.25) == frames(whole)[16000:40000]


def test_pieces_join_to_the_whole(tmp_path):
    whole = ramp(tmp_path / "a.wav")
    parts = [
        cut(whole, *span, tmp_path / f"{span[0]}.wav") for span in ((0, 0.7), (0.7, 1.9), (1.9, 9))
    ]
    assert b"".join(frames(part) for part in parts) == frames(whole)


def test_times_outside_the_sound_give_nothing(tmp_path):
    assert frames(ramp(tmp_path / "a.wav"), 5, 9) == b""


def test_a_sound_of_another_kind_is_refused(tmp_path):
    with pytest.raises(ValueError, match="16 kHz, one channel, 16 bit"):
        frames(ramp(tmp_path / "a.wav", rate=44100))
