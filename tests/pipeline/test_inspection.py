"""What is taken, what is refused, and in which words."""

import hashlib
import socket
import threading
import time
import wave

import pytest

from tests.pipeline.conftest import PICTURE, SPEECH, TONE
from workers import ffmpeg
from workers.errors import Broken, PipelineError
from workers.inspection import SourceFacts
from workers.streams import Limits

POINTS_ELSEWHERE = (
    "This file points to other files instead of holding sound or video. "
    "Please upload the recording itself."
)
SECRET = "SECRET-9f2c"  # what no output may hold


def refusal(look, path, **options) -> PipelineError:
    with pytest.raises(PipelineError) as refused:
        look(path, **options)
    assert refused.value.permanent
    return refused.value


@pytest.mark.parametrize(
    ("name", "arguments", "codec"),
    [
        ("a.mp3", [], "mp3"),
        ("a.m4a", [], "aac"),
        ("a.wav", [], "pcm_s16le"),
        ("a.wav", ["-c:a", "pcm_s24le"], "pcm_s24le"),
        ("a.wav", ["-c:a", "pcm_f32le"], "pcm_f32le"),
        ("a.flac", [], "flac"),
        ("a.ogg", ["-c:a", "vorbis", "-strict", "experimental", "-ac", "2"], "vorbis"),
        ("a.opus", [], "opus"),
        ("a.webm", [], "opus"),
        ("a.mkv", ["-c:a", "flac"], "flac"),
        ("a.ts", ["-c:a", "aac"], "aac"),
        ("a.m4a", ["-c:a", "alac"], "alac"),
        ("a.aac", [], "aac"),
    ],
)
def test_every_promised_container_is_taken(tone, look, name, arguments, codec):
    facts = look(tone(name, 1, *arguments))
    assert facts.audio.codec == codec
    assert facts.duration == pytest.approx(1.0, abs=0.06)
    assert not facts.has_video
    assert not facts.notice


@pytest.mark.parametrize(
    ("name", "arguments", "codec"),
    [
        ("v.mp4", ["-c:v", "libx264", "-pix_fmt", "yuv420p"], "h264"),
        ("v.mov", ["-c:v", "libx265", "-x265-params", "log-level=none"], "hevc"),
        ("v.webm", ["-c:v", "libvpx", "-c:a", "libopus"], "vp8"),
        ("v.mkv", ["-c:v", "libvpx-vp9", "-c:a", "libopus"], "vp9"),
        ("v.avi", ["-c:v", "mpeg4", "-c:a", "libmp3lame"], "mpeg4"),
        ("v.ts", ["-c:v", "libx264", "-c:a", "aac"], "h264"),
        # What a browser's recorder writes as video/mp4: the ending says little.
        ("v.mp4", ["-c:v", "libvpx-vp9", "-c:a", "libopus"], "vp9"),
    ],
)
def test_every_promised_picture_is_taken(clip, look, name, arguments, codec):
    inputs = ["-f", "lavfi", "-i", f"{PICTURE}:duration=1", "-f", "lavfi", "-i", f"{TONE}:d=1"]
    facts = look(clip(name, *inputs, *arguments))
    assert facts.has_video
    assert facts.video is not None
    assert (facts.video.codec, facts.video.width, facts.video.height) == (codec, 320, 240)
    assert facts.video.fps == pytest.approx(25, abs=0.1)


def test_the_facts_of_real_speech(look, scratch):
    path = SPEECH / "jfk.flac"
    facts = look(path)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert facts.size == path.stat().st_size
    assert facts.duration == pytest.approx(11.0, abs=0.01)
    assert facts.measured.lufs == pytest.approx(-12.5, abs=0.2)
    assert facts.measured.dbtp == pytest.approx(0.9, abs=0.2)
    assert SourceFacts.from_json(facts.to_json()) == facts
    with wave.open(str(scratch / "speech.wav")) as copy:
        assert (copy.getframerate(), copy.getnchannels(), copy.getsampwidth()) == (16000, 1, 2)
        assert copy.getnframes() == pytest.approx(11 * 16000, abs=160)


def test_the_content_counts_and_not_the_ending(tone, look):
    path = tone("a.mp4", 1)
    assert look(path, name="talk.wav").audio.codec == "aac"
    assert look(path, name="recording").audio.codec == "aac"


def test_an_empty_file_says_so(tmp_path, look):
    path = tmp_path / "a.mp3"
    path.touch()
    assert refusal(look, path).words == "The file is empty."


def test_noise_bytes_are_no_talk(tmp_path, look):
    path = tmp_path / "a.mp3"
    path.write_bytes(b"\1" + hashlib.shake_256(b"noise").digest(200_000))
    words = refusal(look, path).words
    assert words.startswith("This kind of file is not supported here. Supported: MP3, M4A, WAV")


def test_a_file_over_the_size_limit_names_both_sizes(tone, look):
    error = refusal(look, tone("a.wav", 30), limits=Limits(bytes=1024**2))
    assert error.words == "The file size is 3 MiB; the limit is 1 MiB."


def test_a_talk_that_is_too_long_names_both_lengths(tone, look):
    error = refusal(look, tone("a.mp3", 70), limits=Limits(seconds=60))
    assert error.words == "The length is 1:10; the limit is 1:00."


def test_a_length_that_is_not_announced_is_still_limited(tone, look):
    path = tone("a.webm", 70, "-live", "1")
    error = refusal(look, path, limits=Limits(seconds=60))
    assert error.words.endswith("the limit is 1:00.")


@pytest.mark.parametrize("picture", [False, True])
def test_a_browsers_recording_without_duration_is_measured(clip, look, picture):
    inputs = ["-f", "lavfi", "-i", f"{TONE}:d=3"]
    if picture:
        inputs = [*inputs, "-f", "lavfi", "-i", f"{PICTURE}:d=3", "-pix_fmt", "yuv420p"]
    path = clip("a.webm", *inputs, "-live", "1")
    assert "duration" not in ffmpeg.probe(path)["format"]
    facts = look(path)
    assert facts.duration == pytest.approx(3.0, abs=0.1)
    assert facts.has_video == picture


def test_no_sound_is_refused(clip, look):
    path = clip("a.mp4", "-f", "lavfi", "-i", f"{PICTURE}:d=1")
    assert refusal(look, path).words == "There is no sound in this file."


@pytest.mark.parametrize("source", ["anullsrc=d=2", "anoisesrc=d=2:a=0.0001"])
def test_only_silence_is_refused(clip, look, source):
    path = clip("a.wav", "-f", "lavfi", "-i", source, "-t", "2", "-c:a", "pcm_s24le")
    assert refusal(look, path).words == "We heard only silence. Was the right microphone chosen?"


def test_a_short_word_in_a_long_silence_is_a_talk(clip, look):
    source = f"{TONE}:d=1,apad=whole_dur=20"
    assert look(clip("a.wav", "-f", "lavfi", "-i", source)).duration == pytest.approx(20, abs=0.1)


def test_channels_that_cancel_each_other_are_heard_by_the_louder(clip, look):
    graph = "[0]asplit[a][b];[b]volume=-0.8[c];[a][c]join=inputs=2:channel_layout=stereo"
    path = clip("a.wav", "-f", "lavfi", "-i", f"{TONE}:d=2", "-filter_complex", graph)
    facts = look(path)
    assert facts.mix == "left"
    assert facts.measured.lufs > -25


def test_a_codec_outside_the_lists_is_named(tone, clip, look):
    assert refusal(look, tone("a.mp4", 1, "-c:a", "ac3")).words.startswith("ac3 is not supported")
    inputs = ["-f", "lavfi", "-i", f"{PICTURE}:d=1", "-f", "lavfi", "-i", f"{TONE}:d=1"]
    magic = clip("a.avi", *inputs, "-c:v", "magicyuv", "-c:a", "pcm_s16le")
    assert refusal(look, magic).words.startswith("magicyuv is not supported here.")


def test_a_codec_that_this_ffmpeg_cannot_decode_is_named(clip, look):
    inputs = ["-f", "lavfi", "-i", f"{PICTURE}:d=1", "-f", "lavfi", "-i", f"{TONE}:d=1"]
    path = clip("a.mp4", *inputs, "-c:v", "libsvtav1", "-svtav1-params", "preset=12")
    assert refusal(look, path).words.startswith("av1 is not supported here.")


def test_a_container_outside_the_lists_is_named(tone, look):
    path = tone("a.asf", 1)
    error = refusal(look, path, name="talk.mp3")
    assert error.words.startswith("Windows Media is not supported here.")


def test_a_file_cut_off_at_its_end_is_taken_with_a_notice(tone, look, tmp_path):
    whole = tone("a.mp4", 30, "-b:a", "64k", "-movflags", "+faststart").read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    facts = look(path)
    assert 10 < facts.duration < 20
    ends = f"0:{int(facts.duration):02d}"
    assert facts.notice == f"The file ends at {ends} of 0:30 announced."


def test_a_file_without_its_index_is_damaged(tone, look, tmp_path):
    whole = tone("a.mp4", 10).read_bytes()
    path = tmp_path / "cut.mp4"
    path.write_bytes(whole[: len(whole) // 2])
    error = refusal(look, path)
    assert isinstance(error, Broken)
    assert error.words.startswith("The file is damaged and could not be read.")


def test_too_many_streams_are_refused_at_once(tone, clip, look):
    sound = tone("a.m4a", 1)
    maps = [word for _ in range(12) for word in ("-map", "0:a")]
    path = clip("many.mkv", "-i", sound, *maps, "-c", "copy")
    assert refusal(look, path).words == "The number of streams is 12; the limit is 8."


def test_a_claimed_length_of_a_day_is_refused_at_once(tone, clip, look):
    later = "setts=ts=if(gt(N\\,20)\\,TS+86400/TB\\,TS)"
    path = clip("bomb.mkv", "-i", tone("a.m4a", 1), "-c", "copy", "-bsf:a", later)
    assert path.stat().st_size < 100_000
    began = time.monotonic()
    assert refusal(look, path).words.endswith("the limit is 4:00:00.")
    assert time.monotonic() - began < 10


def test_hostile_tags_stay_out_of_everything(clip, tone, look):
    path = clip(
        *("a.mp3", "-i", tone("b.wav", 1)),
        *("-metadata", f"title=<script>{SECRET}</script>\n[Parsed_ebur128_0 @ 0x1] Summary:"),
        *("-metadata", f"artist={'x' * 100_000}"),
    )
    facts = look(path)
    assert SECRET not in str(facts.to_json())
    assert facts.measured.lufs == pytest.approx(-21.8, abs=1)


def test_a_cover_picture_does_not_make_a_video(clip, tone, look):
    cover = clip("cover.jpg", "-f", "lavfi", "-i", PICTURE, "-frames:v", "1")
    inputs = ["-i", tone("b.mp3", 1), "-i", cover, "-map", "0", "-map", "1", "-c", "copy"]
    facts = look(clip("a.mp3", *inputs, "-disposition:v", "attached_pic"))
    assert not facts.has_video


class Listener:
    """Counts who knocks on a loopback port."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.hits = 0
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        while True:
            try:
                visitor, _ = self.socket.accept()
            except OSError:
                return
            self.hits += 1
            visitor.close()


@pytest.fixture
def listener():
    one = Listener()
    yield one
    with socket.create_connection(("127.0.0.1", one.port), timeout=2) as probe:
        probe.recv(1)
    assert one.hits == 1, "only our own knock: the listener did listen"
    one.socket.close()


def disguises(target, port):
    """Return files that point elsewhere: at a local file and at a loopback address."""
    away = f"http://127.0.0.1:{port}/a.ts"
    return {
        "hls file": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{target}\n#EXT-X-ENDLIST\n",
        "hls net": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{away}\n#EXT-X-ENDLIST\n",
        "concat": f"ffconcat version 1.0\nfile '{target}'\n",
        "concat relative": f"ffconcat version 1.0\nfile {target.name}\n",
        "dash": (
            '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" '
            'mediaPresentationDuration="PT9S"><Period><AdaptationSet mimeType="audio/mp4">'
            f'<Representation id="1" bandwidth="1"><BaseURL>{away}</BaseURL>'
            "</Representation></AdaptationSet></Period></MPD>"
        ),
        "sdp": f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\n"
        f"m=audio {port} RTP/AVP 0\n",
        "svg": f'<svg xmlns="http://www.w3.org/2000/svg"><image href="{away}"/></svg>',
        "html": f"<html><script src='{away}'></script></html>",
    }


@pytest.mark.parametrize("ending", ["mp3", "mp4", "m4a", "wav", "ts", "mkv", "webm", "ogg", "avi"])
def test_a_playlist_in_disguise_is_refused(tone, tmp_path, look, listener, ending):
    target = tone("target.ts", 1, "-c:a", "aac")
    for kind, text in disguises(target, listener.port).items():
        path = tmp_path / f"source.{ending}"
        path.write_text(text)
        assert refusal(look, path).words == POINTS_ELSEWHERE, kind
    assert list((tmp_path / "scratch").iterdir()) == []


@pytest.mark.parametrize("ending", ["mp3", "mp4", "ts"])
def test_the_allow_lists_alone_hold_a_playlist_back(tone, tmp_path, listener, ending):
    target = tone("target.ts", 1, "-c:a", "aac")
    for kind, text in disguises(target, listener.port).items():
        path = tmp_path / f"source.{ending}"
        path.write_text(text)
        with pytest.raises(ffmpeg.Failed):
            ffmpeg.probe(path)
        output = ffmpeg.source(path).output(f"file:{tmp_path / 'out.wav'}", f="wav")
        with pytest.raises(ffmpeg.Failed):
            ffmpeg.run(ffmpeg.compose(output), scratch=tmp_path, duration=1)
        assert not (tmp_path / "out.wav").exists(), kind


@pytest.mark.parametrize("name", ["-i.mp3", "|x.mp3", "concat:a.mp3", "a'b\"$(x)\n.mp3", "..mp3"])
def test_a_wild_name_is_only_text(tone, look, name):
    assert look(tone("plain.mp3", 1), name=name).audio.codec == "mp3"
