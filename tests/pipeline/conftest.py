"""Clips, made on the spot or real, and a place to work on them."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from workers.ffmpeg import ffmpeg_path
from workers.inspection import SourceFacts, inspect
from workers.streams import Limits

SPEECH = Path(__file__).parents[1] / "media"
TONE = "sine=frequency=440:sample_rate=48000"
PICTURE = "testsrc=size=320x240:rate=25"


def bare_ffmpeg(*arguments: str | Path) -> str:
    """Run ffmpeg as a test may, without any limits; return what it wrote to stderr."""
    done = subprocess.run(
        [ffmpeg_path(), "-nostdin", "-hide_banner", "-y", *map(str, arguments)],
        capture_output=True,
        check=False,
    )
    errors = done.stderr.decode(errors="replace")
    assert done.returncode == 0, errors
    return errors


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    """An empty folder of one piece of work's own."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    return folder


@pytest.fixture
def clip(tmp_path: Path) -> Callable[..., Path]:
    """Make a clip: `clip("a.mp4", *ffmpeg arguments)`."""

    def make(name: str, *arguments: str | Path) -> Path:
        path = tmp_path / name
        bare_ffmpeg(*arguments, path)
        return path

    return make


@pytest.fixture
def tone(clip) -> Callable[..., Path]:
    """Make a tone of some seconds: `tone("a.mp3", 3, *encoder arguments)`."""

    def make(name: str, seconds: float, *arguments: str) -> Path:
        return clip(name, "-f", "lavfi", "-i", f"{TONE}:duration={seconds}", *arguments)

    return make


@pytest.fixture
def look(scratch) -> Callable[..., SourceFacts]:
    """Inspect a file under its own name, or another: `look(path, name="talk.mp3")`."""

    def inspected(path: Path, *, name: str | None = None, limits: Limits | None = None):
        given_name = path.name if name is None else name
        return inspect(path, given_name=given_name, limits=limits or Limits(), scratch=scratch)

    return inspected
