"""How loud a sound is, and the chain that makes every talk equally loud.

Loudness is what ffmpeg's ebur128 filter (EBU R 128, ITU-R BS.1770) says of a sound with its own
channels, in LUFS; peaks are true peaks in dBTP.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

LIMITER_DBFS = -3.0
RATE = 44100
# ebur128's own floor for a sound in which nothing passes its gate.
FLOOR = -70.0
SUMMARY = re.compile(
    r"\[Parsed_ebur128_(?P<order>\d+) @ [^\]]*\] (?:\[info\] )?Summary:\s+"
    r"Integrated loudness:\s+I:\s+(?P<lufs>\S+) LUFS.*?"
    r"LRA:\s+(?P<range>\S+) LU\b"
    r"(?:(?:(?!Summary:).)*?True peak:\s+Peak:\s+(?P<peak>\S+) dBFS)?",
    re.DOTALL,
)


@dataclass(frozen=True)
class Measured:
    """Integrated loudness (LUFS), true peak (dBTP, the floor when unmeasured) and range (LU)."""

    lufs: float
    dbtp: float
    range: float


def meter(sound: Any, *, peaks: bool = True) -> Any:
    """Return the ffmpeg-python `sound` passed through a meter that reports at the end."""
    return sound.filter("ebur128", framelog="quiet", peak="true" if peaks else "none")


def readings(errors: str) -> list[Measured]:
    """Return what the meters of one command said, in the order of the filters in its graph.

    A file's own tags are printed before the meters report, so the last report of each counts.
    """
    last = {int(found["order"]): found for found in SUMMARY.finditer(errors)}
    return [
        Measured(_number(found["lufs"]), _number(found["peak"]), _number(found["range"], 0.0))
        for _, found in sorted(last.items())
    ]


def _number(text: str | None, floor: float = FLOOR) -> float:
    """Return a finite number from the meter's `-inf`, `nan` or nothing."""
    value = float(text) if text else floor
    return max(floor, value) if math.isfinite(value) else floor


def channel(sound: Any, number: int) -> Any:
    """Return one channel of `sound` alone."""
    return sound.filter("channelmap", map=str(number), channel_layout="mono")


def mixed(sound: Any, mix: str) -> Any:
    """Return one channel at 44.1 kHz that starts at the file's own zero.

    `mix` is "both", or "left" or "right" for stereo that would cancel itself out.
    Gaps are filled and a late start is padded, so that picture and sound stay together.
    """
    if mix != "both":
        sound = channel(sound, 0 if mix == "left" else 1)
    level = sound.filter("aresample", RATE, **{"async": 1, "first_pts": 0})
    return level.filter("aformat", channel_layouts="mono")


def levelled(sound: Any, *, gain: float, limiter: float = LIMITER_DBFS, trim: float = 0.0) -> Any:
    """Return `sound` raised by `gain` dB, its samples held under `limiter` dBFS, then trimmed.

    `level=0` matters: by default the limiter raises everything to full scale.
    """
    held = sound.filter("volume", f"{gain:.3f}dB").filter(
        "alimiter", limit=f"{10 ** (limiter / 20):.6f}", attack=5, release=50, level=0, latency=1
    )
    return held.filter("volume", f"{trim:.3f}dB") if trim else held


def next_gain(looks: list[tuple[float, float]], target: float) -> float:
    """Return the gain to try after `looks` of (gain, LUFS that came out), oldest first.

    The limiter eats about a quarter of what is added, hence the first division; then the secant
    through the last two looks.
    """
    gain, lufs = looks[-1]
    slope = 0.75
    if len(looks) > 1:
        before, lufs_before = looks[-2]
        if abs(gain - before) > 0.01:
            slope = min(1.0, max(0.3, (lufs - lufs_before) / (gain - before)))
    return gain + (target - lufs) / slope
