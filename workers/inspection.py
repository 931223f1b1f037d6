"""Looks into an uploaded file: what it is, whether we take it, how long and how loud it is."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from workers import disguise, ffmpeg, streams
from workers.errors import Interrupted, PipelineError, Refused
from workers.loudness import Measured, channel, meter, mixed, readings
from workers.streams import AudioStream, Limits, VideoStream

# What the tools say when an allow-list stops them; read only once they have failed.
NOT_ALLOWED = re.compile(r"(?:Codec \((?P<codec>\w+)\)|Format) not on whitelist")
SPEECH_NAME = "speech.wav"
SPEECH_RATE = 16000
SILENCE_LUFS = -60.0
# Mono this much quieter than the loudest single channel means that the channels cancel out.
CANCELS_LU = 6.0
ROOM_FACTOR = 3


@dataclass(frozen=True)
class SourceFacts:
    """What is known of a source. Seconds; `duration` is what really decodes.

    `announced` is what the file claims (0 when it claims nothing), `notice` a sentence for the
    contributor, or empty; `mix` the way to one channel.
    """

    container: str
    size: int
    sha256: str
    duration: float
    announced: float
    audio: AudioStream
    video: VideoStream | None
    measured: Measured
    mix: str = "both"
    notice: str = ""

    @property
    def has_video(self) -> bool:
        """Whether there is a moving picture."""
        return self.video is not None

    def to_json(self) -> dict[str, Any]:
        """Return plain values, as a workflow stores them."""
        return asdict(self)

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Self:
        """Return the facts that `to_json` stored."""
        video = stored["video"]
        return cls(
            **{
                **stored,
                "audio": AudioStream(**stored["audio"]),
                "video": VideoStream(**video) if video else None,
                "measured": Measured(**stored["measured"]),
            }
        )


@dataclass(frozen=True)
class Follow:
    """How a run is followed: who hears of its progress, and who may stop it."""

    progress: Callable[[float], None] = ffmpeg.ignore
    should_stop: Callable[[], bool] = ffmpeg.never


def inspect(
    path: Path,
    *,
    given_name: str,
    limits: Limits,
    scratch: Path,
    progress: Callable[[float], None] = ffmpeg.ignore,
    should_stop: Callable[[], bool] = ffmpeg.never,
) -> SourceFacts:
    """Return the facts of the file at `path`, or say why we do not take it.

    One decode of the whole sound also writes `scratch/speech.wav`: 16 kHz, one channel, 16 bit,
    before any gain.

    Args:
        path: the file, under a generated name.
        given_name: what the contributor called it.
        limits: sizes that we take.
        scratch: a folder of this work's own.
        progress: told a fraction that never falls.
        should_stop: asked once a second.

    Raises:
        Refused: not a talk, or over a limit. Broken: damaged. Interrupted, Cancelled.
    """
    size = path.stat().st_size
    disguise.check_name(given_name)
    if size == 0:
        raise Refused("The file is empty.")
    streams.check("file size", size, limits.bytes, streams.as_mib)
    _check_room(scratch, size)
    head = disguise.check_head(path)
    if not head.known:
        raise Refused(streams.unsupported(head.name))
    probed = _probe(path, scratch)
    streams.check_probe(probed, limits)
    audio = streams.audio_of(probed, limits)
    video = streams.video_of(probed, limits)
    announced = _announced(path, probed, audio, scratch)
    streams.check("length", announced, limits.seconds, streams.as_minutes)
    _try_decoding(path, audio, video, scratch)
    facts = SourceFacts(
        container=streams.container_of(probed),
        size=size,
        sha256=_sha256(path),
        duration=announced,
        announced=announced,
        audio=audio,
        video=video,
        measured=Measured(0, 0, 0),
    )
    follow = Follow(progress, should_stop)
    return _listen(path, facts, limits, scratch=scratch, follow=follow)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_room(scratch: Path, size: int) -> None:
    """Refuse to begin what the disk cannot hold."""
    free = ffmpeg.room(scratch)
    if free < ROOM_FACTOR * size:
        raise Interrupted(
            "There was no room left to work in.", f"{free} bytes free, {ROOM_FACTOR * size} needed"
        )


def _probe(path: Path, scratch: Path) -> dict[str, Any]:
    """Return ffprobe's answer; a file that it cannot open is outside the lists or damaged."""
    try:
        return ffmpeg.probe(path, scratch=scratch)
    except ffmpeg.Failed as failure:
        stopped = NOT_ALLOWED.search(failure.detail)
        if stopped is None:
            raise
        raise Refused(streams.unsupported(stopped["codec"] or ""), failure.detail) from failure


def _announced(path: Path, probed: dict[str, Any], audio: AudioStream, scratch: Path) -> float:
    """Return the claimed seconds; a recording without any is remuxed by copy to find them."""
    claimed = audio.duration or streams.duration_of(probed)
    if claimed:
        return claimed
    copy = scratch / "remuxed.mkv"
    kept = ffmpeg.source(path)
    wanted = kept[str(audio.index)]
    try:
        ffmpeg.run(
            ffmpeg.compose(wanted.output(f"file:{copy}", c="copy", map_metadata=-1)),
            scratch=scratch,
            duration=0,
            output_bytes=path.stat().st_size,
        )
        return streams.duration_of(ffmpeg.probe(copy, scratch=scratch))
    except ffmpeg.Failed:
        # Not every stream can be copied to Matroska; the decode below finds the length.
        return 0.0
    finally:
        copy.unlink(missing_ok=True)


def _try_decoding(path: Path, audio: AudioStream, video: VideoStream | None, scratch: Path) -> None:
    """Refuse a codec that this ffmpeg can name but not decode, by the first second of each."""
    for stream in (audio, video):
        if stream is None:
            continue
        second = ffmpeg.source(path)[str(stream.index)].output("-", f="null", t=1)
        try:
            ffmpeg.run(ffmpeg.compose(second), scratch=scratch, duration=1)
        except ffmpeg.Failed as failure:
            if stream.codec in streams.SURE:
                raise
            raise Refused(streams.unsupported(stream.codec), failure.detail) from failure


def _listen(
    path: Path,
    facts: SourceFacts,
    limits: Limits,
    *,
    scratch: Path,
    follow: Follow,
) -> SourceFacts:
    """Decode the whole sound once: its true length, its loudness, and our copy for speech."""
    seconds, both = _decode(path, facts, limits, scratch=scratch, follow=follow)
    facts = replace(facts, measured=both[-1])
    loudest = max(range(len(both) - 1), key=lambda n: both[n].lufs, default=None)
    if loudest is not None and both[loudest].lufs - both[-1].lufs > CANCELS_LU:
        facts = replace(facts, mix=("left", "right")[loudest])
        seconds, both = _decode(path, facts, limits, scratch=scratch, follow=follow)
        facts = replace(facts, measured=both[-1])
    streams.check("length", seconds, limits.seconds, streams.as_minutes)
    if facts.measured.lufs < SILENCE_LUFS and facts.measured.dbtp < SILENCE_LUFS + 20:
        raise Refused("We heard only silence. Was the right microphone chosen?")
    return replace(facts, duration=seconds, notice=_notice(seconds, facts))


def write_speech(
    path: Path,
    facts: SourceFacts,
    scratch: Path,
    *,
    should_stop: Callable[[], bool] = ffmpeg.never,
) -> Path:
    """Write `scratch/speech.wav` of an inspected source again, as another machine needs it."""
    limits = Limits(seconds=facts.duration + 1)
    _decode(path, facts, limits, scratch=scratch, follow=Follow(should_stop=should_stop))
    return scratch / SPEECH_NAME


def _decode(
    path: Path,
    facts: SourceFacts,
    limits: Limits,
    *,
    scratch: Path,
    follow: Follow,
) -> tuple[float, list[Measured]]:
    """Write the speech copy; return seconds and readings (each stereo channel, then the mix)."""
    draft, kept = scratch / f"draft-{SPEECH_NAME}", scratch / SPEECH_NAME
    sound = ffmpeg.source(path)[str(facts.audio.index)]
    channels: list[Any] = []
    if facts.audio.channels == 2 and facts.mix == "both":
        parts = sound.filter_multi_output("asplit", 3)
        sound = parts[2]
        channels = [
            meter(channel(parts[n], n), peaks=False).output("-", f="null", t=limits.seconds + 1)
            for n in (0, 1)
        ]
    speech = meter(mixed(sound, facts.mix)).filter("aresample", SPEECH_RATE)
    seconds, errors = ffmpeg.run(
        ffmpeg.compose(
            *channels,
            speech.output(
                f"file:{draft}",
                **{"c:a": "pcm_s16le", "fflags": "+bitexact", "map_metadata": -1},
                f="wav",
                t=limits.seconds + 1,
            ),
        ),
        scratch=scratch,
        duration=facts.announced,
        progress=follow.progress,
        should_stop=follow.should_stop,
        cpu_seconds=max(60.0, facts.announced / 50),
        output_bytes=int((facts.announced or limits.seconds) * SPEECH_RATE * 2),
    )
    measured = readings(errors)
    if len(measured) != len(channels) + 1:
        raise PipelineError("The sound could not be measured.", errors)
    draft.rename(kept)
    return seconds, measured


def _notice(found: float, facts: SourceFacts) -> str:
    """Return the sentence for a file whose sound ends before the file says it does.

    A container's length may be that of its picture, so beside one only the sound's own counts.
    """
    announced = facts.audio.duration if facts.has_video else facts.announced
    if found >= announced - max(0.5, 0.02 * announced):
        return ""
    ends, said = streams.as_minutes(found), streams.as_minutes(announced)
    return f"The file ends at {ends} of {said} announced."
