"""Makes renditions: local file in, checked local files out."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from workers import ffmpeg, streams
from workers.errors import Broken
from workers.inspection import SPEECH_NAME, SourceFacts, write_speech
from workers.loudness import (
    LIMITER_DBFS,
    Measured,
    levelled,
    meter,
    mixed,
    next_gain,
    readings,
)
from workers.renditions import M4A, MP3, AudioRendition, Picture, may_copy, picture_of

HIGHEST_GAIN = 30.0
LOOKS = 4
NEAR = 0.2
TOLERANCE_LU = 0.5
HIGHEST_PEAK = -1.0
CORRECTIONS = 2
VIDEO_NAME = "video.mp4"
VIDEO_KILOBITS = 2500


@dataclass(frozen=True)
class Encoded:
    """A rendition on disk: bytes, seconds, bit/s, what it sounds like, and its media type.

    `notice` says what could not be reached, or nothing. Width and height are 0 for sound.
    """

    path: Path
    type: str
    size: int
    duration: float
    bitrate: int
    lufs: float
    dbtp: float
    width: int = 0
    height: int = 0
    notice: str = ""


@dataclass(frozen=True)
class AudioOutputs:
    """What one talk's sound became; `speech` is 16 kHz, one channel, 16 bit WAV, ungained."""

    mp3: Encoded
    m4a: Encoded
    speech: Path


@dataclass(frozen=True)
class _Branch:
    """One rendition and the levels that it is encoded with."""

    rendition: AudioRendition
    gain: float
    limiter: float
    trim: float


@dataclass(frozen=True)
class _Desk:
    """Where one talk's sound is mixed: the source, the folder, and who follows."""

    source: Path
    facts: SourceFacts
    folder: Path
    progress: Callable[[float], None]
    should_stop: Callable[[], bool]

    def sound(self) -> Any:
        """Return the source's chosen sound as one channel."""
        stream = ffmpeg.source(self.source)[str(self.facts.audio.index)]
        return mixed(stream, self.facts.mix)

    def run(self, *outputs: Any, part: tuple[float, float]) -> str:
        """Run one command whose progress is the `part` (from, to) of the whole; return stderr."""
        start, end = part
        duration = self.facts.duration
        _, errors = ffmpeg.run(
            ffmpeg.compose(*outputs),
            scratch=self.folder,
            duration=duration,
            progress=lambda fraction: self.progress(start + (end - start) * fraction),
            should_stop=self.should_stop,
            cpu_seconds=max(30.0, duration / 10),
            output_bytes=int(duration * 20_000),
        )
        return errors


def encode_audio(
    source: Path,
    facts: SourceFacts,
    folder: Path,
    *,
    target: float,
    progress: Callable[[float], None] = ffmpeg.ignore,
    should_stop: Callable[[], bool] = ffmpeg.never,
) -> AudioOutputs:
    """Make the MP3 and the M4A of a talk in `folder`, both at `target` LUFS and ≤ −1 dBTP.

    The encoded files are measured, not the samples before: coding overshoots. One that misses is
    made again, at most twice; after that the peak wins and the rendition carries a notice.
    The speech copy is taken from `folder` where inspect left it, else made.

    Raises:
        Broken: the source, or what we made of it, cannot be read.
        Interrupted, Cancelled: see errors.
    """
    desk = _Desk(source, facts, folder, progress, should_stop)
    speech = folder / SPEECH_NAME
    if not speech.exists():
        write_speech(source, facts, folder, should_stop=should_stop)
    gain = _solve(desk, target)
    branches = [_Branch(made, gain, LIMITER_DBFS, made.trim) for made in (MP3, M4A)]
    heard = _make(desk, branches, part=(0.2, 0.85))
    done = [
        _correct(desk, branch, measured, target)
        for branch, measured in zip(branches, heard, strict=True)
    ]
    progress(1.0)
    return AudioOutputs(mp3=done[0], m4a=done[1], speech=speech)


def _solve(desk: _Desk, target: float) -> float:
    """Return the gain after which the limiter lets `target` through, found without encoding."""
    measured = desk.facts.measured
    gain = min(HIGHEST_GAIN, target - measured.lufs)
    looks: list[tuple[float, float]] = []
    while measured.dbtp + gain > LIMITER_DBFS and len(looks) < LOOKS:
        seen = levelled(desk.sound(), gain=gain)
        part = (0.2 * len(looks) / LOOKS, 0.2 * (len(looks) + 1) / LOOKS)
        out = readings(desk.run(meter(seen, peaks=False).output("-", f="null"), part=part))[-1]
        looks.append((gain, out.lufs))
        if abs(out.lufs - target) <= NEAR:
            break
        gain = min(HIGHEST_GAIN, next_gain(looks, target))
    return gain


def _make(desk: _Desk, branches: list[_Branch], *, part: tuple[float, float]) -> list[Measured]:
    """Encode all `branches` from one decode; return how each file sounds once encoded."""
    sound = desk.sound()
    parts = [sound] if len(branches) == 1 else list(_split(sound, len(branches)))
    start, end = part
    middle = start + 0.8 * (end - start)
    desk.run(
        *(_output(desk, branch, one) for branch, one in zip(branches, parts, strict=True)),
        part=(start, middle),
    )
    meters = [
        meter(ffmpeg.source(desk.folder / branch.rendition.name).audio).output("-", f="null")
        for branch in branches
    ]
    return readings(desk.run(*meters, part=(middle, end)))


def _split(sound: Any, count: int) -> list[Any]:
    node = sound.filter_multi_output("asplit", count)
    return [node[number] for number in range(count)]


def _output(desk: _Desk, branch: _Branch, sound: Any) -> Any:
    made = branch.rendition
    return levelled(sound, gain=branch.gain, limiter=branch.limiter, trim=branch.trim).output(
        f"file:{desk.folder / made.name}",
        **{"c:a": made.codec, "b:a": f"{made.kilobits}k", "map_metadata": -1, "map_chapters": -1},
        **dict(made.options),
    )


def _correct(desk: _Desk, branch: _Branch, heard: Measured, target: float) -> Encoded:
    """Return the rendition once it is as loud as asked and its peaks pass; see `encode_audio`."""
    for _ in range(CORRECTIONS):
        if _passes(heard, target):
            break
        branch = _moved(branch, heard, target)
        heard = _make(desk, [branch], part=(0.85, 1.0))[-1]
    if heard.dbtp > HIGHEST_PEAK:
        down = heard.dbtp - HIGHEST_PEAK + 0.1
        branch = replace(branch, trim=branch.trim - down)
        heard = _make(desk, [branch], part=(0.85, 1.0))[-1]
    return _described(desk, branch, heard, target)


def _passes(heard: Measured, target: float) -> bool:
    return abs(heard.lufs - target) <= TOLERANCE_LU and heard.dbtp <= HIGHEST_PEAK


def _moved(branch: _Branch, heard: Measured, target: float) -> _Branch:
    """Return the branch with a lower limiter for its peaks, or another gain for its loudness."""
    if heard.dbtp > HIGHEST_PEAK:
        excess = heard.dbtp - HIGHEST_PEAK + 0.3
        branch = replace(branch, limiter=branch.limiter - excess)
    if abs(heard.lufs - target) > TOLERANCE_LU:
        gain = branch.gain + (target - heard.lufs) / 0.75
        branch = replace(branch, gain=min(HIGHEST_GAIN, gain))
    return branch


def _described(desk: _Desk, branch: _Branch, heard: Measured, target: float) -> Encoded:
    """Return what was made, after a last look that it opens and is whole."""
    path = desk.folder / branch.rendition.name
    probed = ffmpeg.probe(path)
    found = streams.audio_of(probed, streams.Limits())
    _check_whole(streams.duration_of(probed), desk.facts.duration, path)
    size = path.stat().st_size
    notice = ""
    if not _passes(heard, target):
        notice = f"This talk is at {heard.lufs:.1f} LUFS; {target:.1f} could not be reached."
    return Encoded(
        path=path,
        type=branch.rendition.type,
        size=size,
        duration=found.duration,
        bitrate=int(8 * size / found.duration) if found.duration else 0,
        lufs=heard.lufs,
        dbtp=heard.dbtp,
        notice=notice,
    )


def _check_whole(made: float, expected: float, path: Path) -> None:
    """Refuse our own output when its length is not that of the source.

    Raises:
        Broken: it differs by more than 2 % and more than 0.5 s.
    """
    if abs(made - expected) > max(0.5, 0.02 * expected):
        words = "The file could not be read to its end. Export it again and replace it."
        raise Broken(words, f"{path.name}: {made:.2f} s made of {expected:.2f} s")


def encode_video(
    source: Path,
    facts: SourceFacts,
    folder: Path,
    *,
    audio: Encoded,
    progress: Callable[[float], None] = ffmpeg.ignore,
    should_stop: Callable[[], bool] = ffmpeg.never,
) -> Encoded:
    """Make `folder/video.mp4`: H.264 that browsers play, with the sound of `audio` (the M4A).

    A picture that browsers play as it is gets copied, any other is encoded with its shorter side
    at most 720 and at most 30 frames a second.

    Raises:
        Broken: the picture, or what we made of it, cannot be read.
        Interrupted, Cancelled: see errors.
    """
    video = facts.video
    if video is None:
        raise Broken("There is no moving picture in this file.")
    path = folder / VIDEO_NAME
    expected = max(video.duration, facts.duration)
    copied = may_copy(video, size=facts.size, seconds=facts.duration)
    picture = ffmpeg.source(source)[str(video.index)]
    how = _copy() if copied else _h264(picture_of(video))
    output = _scaled(picture, copied, picture_of(video))
    ffmpeg.run(
        ffmpeg.compose(
            ffmpeg.outputs_with(
                output,
                ffmpeg.source(audio.path).audio,
                path,
                **{"c:a": "copy", "map_metadata": -1, "map_chapters": -1},
                movflags="+faststart",
                f="mp4",
                **how,
            )
        ),
        scratch=folder,
        duration=expected,
        progress=progress,
        should_stop=should_stop,
        deadline=120 + 10 * expected,
        cpu_seconds=max(60.0, 2 * expected),
        output_bytes=max(facts.size, int(expected * VIDEO_KILOBITS * 125)),
    )
    return _described_video(path, facts, audio)


def _copy() -> dict[str, Any]:
    return {"c:v": "copy", "avoid_negative_ts": "make_zero"}


def _h264(picture: Picture) -> dict[str, Any]:
    """Return the encoder's settings; keyframes by time, since recordings vary their frame rate."""
    return {
        "c:v": "libx264",
        "preset": "veryfast",
        "crf": 23,
        "pix_fmt": "yuv420p",
        "maxrate": f"{VIDEO_KILOBITS}k",
        "bufsize": f"{2 * VIDEO_KILOBITS}k",
        "force_key_frames": "expr:gte(t,n_forced*4)",
        **({} if picture.fps else {"fps_mode": "vfr"}),
    }


def _scaled(picture: Any, copied: bool, wanted: Picture) -> Any:  # noqa: FBT001  both are facts
    if copied:
        return picture
    scaled = picture.filter("scale", wanted.width, wanted.height).filter("setsar", 1)
    return scaled.filter("fps", wanted.fps) if wanted.fps else scaled


def _described_video(path: Path, facts: SourceFacts, audio: Encoded) -> Encoded:
    """Return the video that was made, once it opens with picture and sound of the right length."""
    probed = ffmpeg.probe(path)
    unlimited = streams.Limits(frames_per_second=1000.0)
    picture = streams.video_of(probed, unlimited)
    if picture is None:
        raise Broken(ffmpeg.DECODER_ENDED, f"{path.name}: no picture was made")
    sound = streams.audio_of(probed, unlimited)
    _check_whole(sound.duration, audio.duration, path)
    if facts.video and facts.video.duration and not facts.notice:
        _check_whole(picture.duration, facts.video.duration, path)
    size = path.stat().st_size
    duration = streams.duration_of(probed)
    return Encoded(
        path=path,
        type="video/mp4",
        size=size,
        duration=duration,
        bitrate=int(8 * size / duration) if duration else 0,
        lufs=audio.lufs,
        dbtp=audio.dbtp,
        width=picture.width,
        height=picture.height,
    )
