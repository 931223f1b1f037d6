"""What a probe says, read with mistrust."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.errors import Refused
from workers.streams import Limits, as_minutes, audio_of, check_probe, number, ratio, video_of

AUDIO = {
    "index": 1,
    "codec_type": "audio",
    "codec_name": "aac",
    "channels": 2,
    "sample_rate": "48000",
    "duration": "12.5",
}
VIDEO = {
    "index": 0,
    "codec_type": "video",
    "codec_name": "h264",
    "width": 1920,
    "height": 1080,
    "avg_frame_rate": "30000/1001",
    "nb_frames": "300",
    "pix_fmt": "yuv420p",
}


def probed(*streams, **more):
    return {"streams": list(streams), "format": {}} | more


@given(st.one_of(st.none(), st.text(), st.floats(), st.integers(), st.lists(st.integers())))
def test_a_number_is_read_from_anything(value):
    assert number(value) >= 0
    assert ratio(value) >= 0


def test_the_default_sound_is_chosen():
    second = {**AUDIO, "index": 2, "disposition": {"default": 1}}
    assert audio_of(probed(AUDIO, second), Limits()).index == 2
    assert audio_of(probed(AUDIO, {**AUDIO, "index": 2}), Limits()).index == 1


@pytest.mark.parametrize(
    ("streams", "words"),
    [
        ([VIDEO], "There is no sound in this file."),
        ([{**AUDIO, "codec_name": "ac3"}], "ac3 is not supported here."),
        ([{**AUDIO, "channels": 16}], "The number of sound channels is 16; the limit is 8."),
        ([{**AUDIO, "sample_rate": "4000"}], "The sample rate is 4000; at least 8000 is needed."),
        ([{**AUDIO, "sample_rate": "384000"}], "The sample rate is 384000; the limit is 192000."),
        ([{**AUDIO, "sample_rate": "311|"}], "This kind of file is not supported here."),
    ],
)
def test_a_sound_outside_the_lists_is_refused_in_words(streams, words):
    with pytest.raises(Refused) as refused:
        audio_of(probed(*streams), Limits())
    assert words in refused.value.words


def test_a_cover_is_no_moving_picture():
    cover = {**VIDEO, "codec_name": "mjpeg", "disposition": {"attached_pic": 1}}
    still = {**VIDEO, "codec_name": "png", "nb_frames": "1"}
    assert video_of(probed(cover, still, AUDIO), Limits()) is None


def test_a_turned_picture_is_measured_as_shown():
    turned = {**VIDEO, "side_data_list": [{"rotation": -90}]}
    stream = video_of(probed(turned), Limits())
    assert (stream.width, stream.height, stream.turned) == (1080, 1920, True)


def test_pixels_that_are_not_square_count_as_shown():
    wide = {**VIDEO, "width": 720, "height": 576, "sample_aspect_ratio": "16:15"}
    assert video_of(probed(wide), Limits()).width == 768


def test_a_late_stream_claims_its_end_and_not_its_length():
    late = {**AUDIO, "start_time": "1.500", "duration": "2.0"}
    assert audio_of(probed(late, format={"start_time": "0.5"}), Limits()).duration == 3.0


def test_matroska_states_its_length_as_a_tag():
    tagged = {**AUDIO, "duration": None, "tags": {"DURATION": "00:01:02.500000000"}}
    assert audio_of(probed(tagged), Limits()).duration == 62.5


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"width": 30000, "height": 30000}, "The picture is 30000×30000; the limit is 3840×2160."),
        ({"avg_frame_rate": "240/1"}, "The frame rate is 240; the limit is 120."),
        ({"codec_name": "magicyuv"}, "magicyuv is not supported here."),
        ({"width": None}, "The picture in this file has no size."),
    ],
)
def test_a_picture_outside_the_limits_is_refused_in_words(change, words):
    with pytest.raises(Refused) as refused:
        video_of(probed({**VIDEO, **change}), Limits())
    assert words in refused.value.words


def test_too_many_streams_or_chapters_are_refused():
    with pytest.raises(Refused, match="number of streams is 9; the limit is 8"):
        check_probe(probed(*[AUDIO] * 9), Limits())
    with pytest.raises(Refused, match="number of chapters is 501; the limit is 500"):
        check_probe(probed(AUDIO, chapters=[{}] * 501), Limits())


def test_times_read_as_people_say_them():
    assert [as_minutes(seconds) for seconds in (0, 118.9, 3723)] == ["0:00", "1:58", "1:02:03"]
