"""What a probe says of a file's streams, read with mistrust (pure).

Every value of a probe was written by whoever made the file: numbers may be missing, huge or no
numbers at all.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from workers.errors import Refused

SUPPORTED = "MP3, M4A, WAV, FLAC, Ogg/Opus, WebM, MP4, MOV, MKV, TS, AVI"
AUDIO_CODECS = {
    *("aac", "aac_latm", "alac", "mp3", "opus", "vorbis", "flac"),
    *("pcm_u8", "pcm_s16le", "pcm_s16be", "pcm_s24le", "pcm_s32le", "pcm_f32le"),
}
VIDEO_CODECS = {"h264", "hevc", "vp8", "vp9", "av1", "mpeg4", "mjpeg"}
# Always decodable: a failure in them is damage. AV1 and others depend on the ffmpeg at hand.
SURE = (AUDIO_CODECS | VIDEO_CODECS) - {"av1"}
CODEC_WORDS = (
    "AAC, ALAC, MP3, Opus, Vorbis, FLAC or PCM sound and H.264, HEVC, VP8, VP9 or MPEG-4 picture"
)
STILL_FRAMES = 1


@dataclass(frozen=True)
class Limits:
    """The largest source that we take; the defaults are those of the house."""

    bytes: int = 4 * 1024**3
    seconds: float = 4 * 3600.0
    longer_side: int = 3840
    shorter_side: int = 2160
    streams: int = 8
    chapters: int = 500
    channels: int = 8
    lowest_rate: int = 8000
    highest_rate: int = 192000
    frames_per_second: float = 120.0


@dataclass(frozen=True)
class AudioStream:
    """The sound that is taken from a source; it claims to end at `duration`, 0 for no claim."""

    index: int
    codec: str
    channels: int
    rate: int
    duration: float = 0.0


@dataclass(frozen=True)
class VideoStream:
    """The picture that is taken; width and height as shown, after any turn that the file asks."""

    index: int
    codec: str
    width: int
    height: int
    fps: float
    pixels: str = ""
    bitrate: int = 0
    duration: float = 0.0
    turned: bool = False


def unsupported(name: str) -> str:
    """Return the words for a container or codec outside the lists."""
    what = name or "This kind of file"
    return f"{what} is not supported here. Supported: {SUPPORTED} with {CODEC_WORDS}."


def as_minutes(seconds: float) -> str:
    """Return 1:02:03 or 1:58."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def as_mib(size: float) -> str:
    """Return a size in MiB, as limits are stated."""
    return f"{size / 1024**2:,.0f} MiB"


def plain(value: float) -> str:
    """Return a number without a needless fraction."""
    return f"{value:g}"


def check(what: str, value: float, limit: float, words: Callable[[float], str] = plain) -> None:
    """Refuse a value over its limit, naming both."""
    if value > limit:
        raise Refused(f"The {what} is {words(value)}; the limit is {words(limit)}.")


def signed(value: Any) -> float:
    """Return a finite number from anything a probe may say; 0 for what is none."""
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return found if math.isfinite(found) else 0.0


def number(value: Any) -> float:
    """Return a finite, non-negative number from anything a probe may say; 0 for what is none."""
    return max(0.0, signed(value))


def ratio(value: Any) -> float:
    """Return a fraction such as "30000/1001" as a number; 0 when it is none."""
    above, _, below = str(value).partition("/")
    divisor = number(below or 1)
    return number(above) / divisor if divisor else 0.0


def container_of(probed: dict[str, Any]) -> str:
    """Return the container's name as ffmpeg has it."""
    return str(probed.get("format", {}).get("format_name", ""))[:100]


def duration_of(probed: dict[str, Any]) -> float:
    """Return the seconds that the container claims; 0 when it claims none."""
    return number(probed.get("format", {}).get("duration"))


def check_probe(probed: dict[str, Any], limits: Limits) -> None:
    """Refuse a file with too many streams or chapters."""
    check("number of streams", len(probed.get("streams", [])), limits.streams)
    check("number of chapters", len(probed.get("chapters", [])), limits.chapters)


def audio_of(probed: dict[str, Any], limits: Limits) -> AudioStream:
    """Return the default audio stream, else the first.

    Raises:
        Refused: there is none, its codec is outside the lists, or it is over a limit.
    """
    found = [one for one in probed.get("streams", []) if one.get("codec_type") == "audio"]
    if not found:
        raise Refused("There is no sound in this file.")
    chosen = max(found, key=lambda one: number(one.get("disposition", {}).get("default")))
    codec = str(chosen.get("codec_name", "unknown"))
    if codec not in AUDIO_CODECS:
        raise Refused(unsupported(codec))
    stream = AudioStream(
        index=int(number(chosen.get("index"))),
        codec=codec,
        channels=int(number(chosen.get("channels"))),
        rate=int(number(chosen.get("sample_rate"))),
        duration=_claimed(chosen, probed),
    )
    check("number of sound channels", stream.channels, limits.channels)
    check("sample rate", stream.rate, limits.highest_rate)
    if stream.rate == 0 or stream.channels == 0:
        raise Refused(unsupported(""))
    if stream.rate < limits.lowest_rate:
        raise Refused(f"The sample rate is {stream.rate}; at least {limits.lowest_rate} is needed.")
    return stream


def video_of(probed: dict[str, Any], limits: Limits) -> VideoStream | None:
    """Return the first stream with a moving picture, or nothing; covers and stills do not count.

    Raises:
        Refused: its codec is outside the lists, or it is over a limit.
    """
    moving = next((one for one in probed.get("streams", []) if _moves(one)), None)
    if moving is None:
        return None
    codec = str(moving.get("codec_name", "unknown"))
    if codec not in VIDEO_CODECS:
        raise Refused(unsupported(codec))
    turn = _turn(moving)
    width, height = _shown(moving)
    if turn % 180:
        width, height = height, width
    stream = VideoStream(
        index=int(number(moving.get("index"))),
        codec=codec,
        width=width,
        height=height,
        fps=ratio(moving.get("avg_frame_rate")) or ratio(moving.get("r_frame_rate")),
        pixels=str(moving.get("pix_fmt", "")),
        bitrate=int(number(moving.get("bit_rate"))),
        duration=_claimed(moving, probed),
        turned=turn != 0,
    )
    _check_picture(stream, limits)
    return stream


def _moves(stream: dict[str, Any]) -> bool:
    """Return whether a stream is a moving picture rather than a cover or a still."""
    if stream.get("codec_type") != "video":
        return False
    cover = number(stream.get("disposition", {}).get("attached_pic")) > 0
    frames = stream.get("nb_frames")
    return not cover and (frames is None or number(frames) > STILL_FRAMES)


def _claimed(stream: dict[str, Any], probed: dict[str, Any]) -> float:
    """Return the seconds from the file's first moment to the stream's claimed end; 0 for none.

    Most containers state start and length; Matroska states the end, as a tag: 00:01:02.5.
    """
    zero = signed(probed.get("format", {}).get("start_time"))
    length = number(stream.get("duration"))
    if length:
        return max(length, signed(stream.get("start_time")) + length - zero)
    hours, _, rest = str(stream.get("tags", {}).get("DURATION", "")).partition(":")
    minutes, _, seconds = rest.partition(":")
    tagged = 3600 * number(hours) + 60 * number(minutes) + number(seconds)
    return max(0.0, tagged - zero)


def _shown(stream: dict[str, Any]) -> tuple[int, int]:
    """Return width and height as shown: pixels are not square in every file."""
    shape = ratio(str(stream.get("sample_aspect_ratio", "1:1")).replace(":", "/"))
    width = number(stream.get("width")) * (shape if 0.1 < shape < 10 else 1)
    return round(width), int(number(stream.get("height")))


def _turn(stream: dict[str, Any]) -> int:
    """Return the degrees by which a player turns the picture."""
    for side in stream.get("side_data_list", []):
        try:
            return round(float(side["rotation"])) % 360
        except (KeyError, TypeError, ValueError, OverflowError):
            continue
    return 0


def _check_picture(stream: VideoStream, limits: Limits) -> None:
    """Refuse a picture without size, or over the limits."""
    if min(stream.width, stream.height) < 2:
        raise Refused("The picture in this file has no size.")
    sides = sorted((stream.width, stream.height))
    if sides[1] > limits.longer_side or sides[0] > limits.shorter_side:
        raise Refused(
            f"The picture is {stream.width}×{stream.height}; "
            f"the limit is {limits.longer_side}×{limits.shorter_side}."
        )
    # Variable frame rates are sometimes announced as the clock's ticks, such as 1000 or 90000.
    if limits.frames_per_second < stream.fps < 1000:
        check("frame rate", stream.fps, limits.frames_per_second)
