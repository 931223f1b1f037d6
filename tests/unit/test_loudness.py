"""Reading the meter, and the search for the gain."""

from workers.loudness import Measured, next_gain, readings

REPORT = """
    title           : [Parsed_ebur128_0 @ 0x1] Summary:
                    :   Integrated loudness:
                    :     I:          -1.0 LUFS
[Parsed_ebur128_7 @ 0x7f4c] Summary:

  Integrated loudness:
    I:         -18.9 LUFS
    Threshold: -29.1 LUFS

  Loudness range:
    LRA:         5.3 LU
    Threshold: -39.1 LUFS
    LRA low:   -23.0 LUFS
    LRA high:  -17.7 LUFS

  True peak:
    Peak:        2.7 dBFS
[Parsed_ebur128_2 @ 0x7f4d] Summary:

  Integrated loudness:
    I:          -inf LUFS
    Threshold:   0.0 LUFS

  Loudness range:
    LRA:         0.0 LU
    Threshold:   0.0 LUFS
"""


def test_each_meter_is_read_in_the_order_of_the_graph():
    assert readings(REPORT) == [Measured(-70.0, -70.0, 0.0), Measured(-18.9, 2.7, 5.3)]


def test_the_first_step_allows_for_what_the_limiter_eats():
    assert next_gain([(3.0, -17.5)], -16.0) == 5.0


def test_later_steps_follow_the_line_through_the_last_two():
    # 2 dB more gave 1 LU more, so the missing 0.5 LU want 1 dB.
    assert next_gain([(3.0, -17.5), (5.0, -16.5)], -16.0) == 6.0


def test_a_limiter_that_gives_nothing_does_not_blow_the_gain_up():
    assert next_gain([(3.0, -17.5), (5.0, -17.5)], -16.0) == 10.0
