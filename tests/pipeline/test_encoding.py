"""What is made of a talk: equally loud, playable, whole."""

import threading
import time
from itertools import pairwise

import pytest

from tests.pipeline.conftest import SPEECH, TONE, bare_ffmpeg
from workers import ffmpeg
from workers.encoding import encode_audio, encode_video
from workers.errors import Broken, Cancelled
from workers.loudness import readings

TARGET = -16.0


def heard(path):
    """Return what a meter of the test's own says of a file."""
    graph = "ebur128=peak=true:framelog=quiet"
    return readings(bare_ffmpeg("-i", path, "-vn", "-af", graph, "-f", "null", "-"))[-1]


def stream(path, kind):
    return next(one for one in ffmpeg.probe(path)["streams"] if one["codec_type"] == kind)


def packets(path):
    """Return the digest of a file's picture packets as they are."""
    written = path.parent / "digest"
    bare_ffmpeg("-i", path, "-map", "0:v:0", "-c", "copy", "-f", "md5", written)
    return written.read_text()


@pytest.mark.parametrize("change", ["anull", "volume=-12dB", "volume=9dB", "crystalizer=i=2"])
def test_every_talk_comes_out_equally_loud_and_without_clipping(clip, look, scratch, change):
    path = clip("a.wav", "-i", SPEECH / "jfk.flac", "-af", change, "-c:a", "pcm_s16le")
    facts = look(path)
    told: list[float] = []
    made = encode_audio(path, facts, scratch, target=TARGET, progress=told.append)
    for encoded in (made.mp3, made.m4a):
        measured = heard(encoded.path)
        assert measured.lufs == pytest.approx(TARGET, abs=0.5)
        assert measured.dbtp <= -1.0
        assert (measured.lufs, measured.dbtp) == (encoded.lufs, encoded.dbtp)
        assert facts.measured.range - measured.range <= 4
        assert encoded.duration == pytest.approx(11.0, abs=0.1)
        assert encoded.size == encoded.path.stat().st_size
        assert not encoded.notice
    assert all(one <= other for one, other in pairwise(told))
    assert told[-1] == 1.0


def test_the_renditions_are_what_apps_expect(look, scratch):
    path = SPEECH / "librispeech_1688.flac"
    made = encode_audio(path, look(path), scratch, target=TARGET)
    mp3, m4a = stream(made.mp3.path, "audio"), stream(made.m4a.path, "audio")
    assert (mp3["codec_name"], mp3["channels"], mp3["sample_rate"]) == ("mp3", 1, "44100")
    assert (m4a["codec_name"], m4a["channels"], m4a["sample_rate"]) == ("aac", 1, "44100")
    assert mp3["bit_rate"] == "64000"
    assert made.mp3.bitrate == pytest.approx(64_000, rel=0.02)
    assert (made.mp3.type, made.m4a.type) == ("audio/mpeg", "audio/mp4")
    head = made.m4a.path.read_bytes()
    assert head.index(b"moov") < head.index(b"mdat"), "the index comes first"
    assert ffmpeg.probe(made.mp3.path)["format"].get("tags", {}).keys() <= {"encoder"}


def test_another_machine_makes_the_speech_copy_again(look, scratch, tmp_path):
    path = SPEECH / "picovoice_test_de.wav"
    facts = look(path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    made = encode_audio(path, facts, elsewhere, target=TARGET)
    assert made.speech.read_bytes() == (scratch / "speech.wav").read_bytes()


def test_a_target_out_of_reach_is_told_and_nothing_clips(tone, look, scratch):
    path = tone("a.wav", 2, "-af", "volume=-34dB", "-c:a", "pcm_s24le")
    made = encode_audio(path, look(path), scratch, target=TARGET)
    assert made.mp3.lufs < TARGET - 0.5
    assert made.mp3.notice.endswith("-16.0 could not be reached.")
    assert made.mp3.dbtp <= -1.0


def test_a_withdrawn_talk_stops_within_two_seconds(clip, look, scratch):
    long = clip("a.wav", "-stream_loop", "20", "-i", SPEECH / "jfk.flac", "-c:a", "pcm_s16le")
    facts = look(long)
    withdrawn = threading.Event()
    moment: list[float] = []

    def stop_in_the_middle(fraction):
        if fraction > 0.1 and not moment:
            moment.append(time.monotonic())
            withdrawn.set()

    with pytest.raises(Cancelled):
        encode_audio(
            long,
            facts,
            scratch,
            target=TARGET,
            progress=stop_in_the_middle,
            should_stop=withdrawn.is_set,
        )
    assert time.monotonic() - moment[0] < 2


@pytest.fixture
def film(clip, look, scratch):
    """Make a video, inspect it, encode its sound: `film(name, *arguments, size=…, rate=…)`."""

    def make(name, *arguments, size="320x240", rate=25, seconds=2):
        picture = f"testsrc=size={size}:rate={rate}:duration={seconds}"
        inputs = ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", f"{TONE}:d={seconds}"]
        path = clip(name, *inputs, *arguments)
        facts = look(path)
        return path, facts, encode_audio(path, facts, scratch, target=TARGET).m4a

    return make


H264 = ("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p")


def test_a_picture_that_browsers_play_is_copied(film, scratch):
    path, facts, m4a = film("a.mp4", *H264)
    made = encode_video(path, facts, scratch, audio=m4a)
    assert packets(made.path) == packets(path)
    assert (made.width, made.height, made.type) == (320, 240, "video/mp4")
    assert made.duration == pytest.approx(2, abs=0.1)
    assert stream(made.path, "audio")["codec_name"] == "aac"
    assert heard(made.path).lufs == pytest.approx(TARGET, abs=0.5)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("a.webm", ["-c:v", "libvpx-vp9", "-deadline", "realtime", "-live", "1"]),
        ("a.mp4", ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv444p"]),
    ],
)
def test_any_other_picture_becomes_one_that_browsers_play(film, scratch, name, arguments):
    path, facts, m4a = film(name, *arguments, size="321x181")
    told: list[float] = []
    made = encode_video(path, facts, scratch, audio=m4a, progress=told.append)
    picture = stream(made.path, "video")
    assert (picture["codec_name"], picture["pix_fmt"]) == ("h264", "yuv420p")
    assert (made.width, made.height) == (320, 180)
    assert made.duration == pytest.approx(2, abs=0.1)
    data = made.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index comes first"
    assert all(one < other for one, other in pairwise(told))


def test_a_large_fast_picture_becomes_720_at_30(film, scratch):
    path, facts, m4a = film("a.mp4", "-c:v", "mpeg4", size="1600x900", rate=60, seconds=1)
    made = encode_video(path, facts, scratch, audio=m4a)
    assert (made.width, made.height) == (1280, 720)
    assert stream(made.path, "video")["avg_frame_rate"] == "30/1"


def test_a_picture_held_upright_stays_upright(film, clip, look, scratch):
    path, _, m4a = film("a.mp4", "-c:v", "mpeg4", size="1280x768", seconds=1)
    turned = clip("turned.mp4", "-display_rotation", "90", "-i", path, "-c", "copy")
    facts = look(turned)
    assert facts.video is not None
    assert (facts.video.width, facts.video.height) == (768, 1280)
    made = encode_video(turned, facts, scratch, audio=m4a)
    assert (made.width, made.height) == (720, 1200)


@pytest.mark.parametrize("arguments", [H264, ("-c:v", "mpeg4")])
@pytest.mark.parametrize("offset", ["-0.8", "0", "1.5"])
def test_picture_and_sound_stay_together(clip, look, scratch, arguments, offset):
    # White picture and tone both last from second 2 to second 3 of the picture's own time.
    flash = "color=black:size=160x120:rate=50:d=5,drawbox=c=white:t=fill:enable='between(t,2,3)'"
    beep = f"{TONE}:d=6,volume=0:enable='lt(t,{2 - float(offset)})+gt(t,{3 - float(offset)})'"
    path = clip(
        *("a.mkv", "-f", "lavfi", "-i", flash, "-itsoffset", offset, "-f", "lavfi", "-i", beep),
        *(*arguments, "-c:a", "flac"),
    )
    facts = look(path)
    m4a = encode_audio(path, facts, scratch, target=TARGET).m4a
    made = encode_video(path, facts, scratch, audio=m4a)
    said = bare_ffmpeg(
        *("-i", made.path, "-vf", "blackdetect=d=0.1:pix_th=0.5"),
        *("-af", "silencedetect=n=-40dB:d=0.1", "-f", "null", "-"),
    )
    seen = float(said.partition("black_end:")[2].split()[0])
    sounded = float(said.partition("silence_end: ")[2].split()[0])
    assert sounded == pytest.approx(seen, abs=0.04)


def test_what_was_made_must_be_as_long_as_the_source(film, scratch):
    path, facts, m4a = film("a.mp4", *H264)
    short = scratch / "short.m4a"
    bare_ffmpeg("-i", m4a.path, "-t", "0.5", "-c", "copy", short)
    m4a.path.unlink()
    short.rename(m4a.path)
    with pytest.raises(Broken) as broken:
        encode_video(path, facts, scratch, audio=m4a)
    assert "made of 2.0" in broken.value.detail
