"""Which renditions a source gets, and in which size (pure)."""

from dataclasses import dataclass

from workers.streams import VideoStream

SHORTER_SIDE = 720
FRAMES_PER_SECOND = 30.0
COPY_SHORTER_SIDE = 1080
COPY_FRAMES_PER_SECOND = 60.0
COPY_BITRATE = 6_000_000
COPY_PIXELS = {"yuv420p", "yuvj420p"}


@dataclass(frozen=True)
class AudioRendition:
    """One encoded version of the sound: file name, type, kbit/s, and what its codec takes away.

    `trim` dB are added behind the limiter: LAME at 64 kbit/s comes out about 0.4 LU lower than
    AAC from the same samples.
    """

    name: str
    type: str
    codec: str
    kilobits: int
    trim: float
    options: tuple[tuple[str, str | int], ...]


MP3 = AudioRendition(
    name="audio.mp3",
    type="audio/mpeg",
    codec="libmp3lame",
    kilobits=64,
    trim=0.4,
    # Level 7 halves the price of LAME in the default build; speech at 64 kbit/s does not show it.
    options=(("compression_level", 7), ("write_xing", 1), ("f", "mp3")),
)
M4A = AudioRendition(
    name="audio.m4a",
    type="audio/mp4",
    codec="aac",
    kilobits=96,
    trim=0.0,
    options=(("movflags", "+faststart"), ("f", "ipod")),
)


@dataclass(frozen=True)
class Picture:
    """How a picture is encoded; width and height are even, fps 0 keeps the source's times."""

    width: int
    height: int
    fps: float


def picture_of(video: VideoStream) -> Picture:
    """Return the largest picture that we make of `video`: never larger than it is."""
    width, height = fit(video.width, video.height, SHORTER_SIDE)
    return Picture(width, height, FRAMES_PER_SECOND if video.fps > FRAMES_PER_SECOND else 0.0)


def fit(width: int, height: int, shorter_side: int) -> tuple[int, int]:
    """Return the even size in which the shorter side is at most `shorter_side`."""
    scale = min(1.0, shorter_side / min(width, height))
    return _even(width * scale), _even(height * scale)


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2 - 1e-9))


def may_copy(video: VideoStream, *, size: int, seconds: float) -> bool:
    """Return whether a browser plays this picture as it is, at a fair rate.

    A file that does not state the picture's rate is judged by its whole size.
    """
    bitrate = video.bitrate or (8 * size / seconds if seconds else float("inf"))
    return (
        video.codec == "h264"
        and video.pixels in COPY_PIXELS
        and min(video.width, video.height) <= COPY_SHORTER_SIDE
        and video.fps <= COPY_FRAMES_PER_SECOND
        and bitrate <= COPY_BITRATE
    )
