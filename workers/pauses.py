"""Where speech is cut into pieces: in pauses, never in a word if it can be helped (pure)."""

from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST = 120.0
AIM = 210.0
LONGEST = 300.0
REST = 60.0
OVERLAP = 10.0
LONG_PAUSE = 0.5
SHORT_PAUSE = 0.2
# A talk this short is shared out only when processes stand idle.
SHARED_FROM = 60.0
SHARED_SHORTEST = 30.0
# A pause beyond this length is no better a place than one of it.
PAUSE_COUNTS = 1.5


@dataclass(frozen=True)
class PieceSpan:
    """Seconds of an episode that are transcribed as one unit of work."""

    start: float
    end: float


@dataclass(frozen=True)
class _Pause:
    middle: float
    length: float


def cut(
    spans: Sequence[tuple[float, float]], duration: float, *, idle_processes: int = 1
) -> list[PieceSpan]:
    """Return the pieces of an episode, in order, together all of it.

    Args:
        spans: (start, end) of speech, in order, from voice detection.
        duration: seconds of the episode.
        idle_processes: speech processes that have nothing else to do.

    A piece lasts 2–5 minutes, aiming at 3.5, and is cut in the middle of a long pause; where there
    is no pause at all, two pieces overlap by 10 s. A talk of 1–5 minutes becomes as many pieces as
    processes stand idle, none under 30 s, and stays whole where it has no pauses.
    """
    pauses = _pauses(spans, duration)
    if SHARED_FROM <= duration <= LONGEST and idle_processes > 1:
        return _shared(pauses, duration, idle_processes)
    pieces: list[PieceSpan] = []
    start = 0.0
    while duration - start > LONGEST:
        latest = min(start + LONGEST, duration - REST)
        place = _best(pauses, start + SHORTEST, latest, start + AIM)
        pieces.append(PieceSpan(start, place or latest))
        start = place or latest - OVERLAP
    return [*pieces, PieceSpan(start, duration)]


def _pauses(spans: Sequence[tuple[float, float]], duration: float) -> list[_Pause]:
    """Return the gaps between stretches of speech that are long enough to cut in."""
    ends = [0.0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), duration]
    return [
        _Pause((end + start) / 2, start - end)
        for end, start in zip(ends, starts, strict=True)
        if start - end >= SHORT_PAUSE
    ]


def _best(pauses: list[_Pause], earliest: float, latest: float, aim: float) -> float | None:
    """Return the middle of the best pause between two times: long first, then near the aim."""
    inside = [pause for pause in pauses if earliest <= pause.middle <= latest]
    long = [pause for pause in inside if pause.length >= LONG_PAUSE]
    reach = max(latest - aim, aim - earliest, 1.0)

    def worth(pause: _Pause) -> float:
        return min(pause.length, PAUSE_COUNTS) - abs(pause.middle - aim) / reach / 2

    return max(long or inside, key=worth).middle if inside else None


def _shared(pauses: list[_Pause], duration: float, processes: int) -> list[PieceSpan]:
    """Return about equal pieces, one for each idle process, cut in pauses only."""
    count = min(processes, int(duration // SHARED_SHORTEST))
    share = duration / count
    cuts = [0.0]
    for number in range(1, count):
        aim = number * share
        earliest = max(cuts[-1] + SHARED_SHORTEST, aim - share / 3)
        latest = min(duration - SHARED_SHORTEST, aim + share / 3)
        place = _best(pauses, earliest, latest, aim)
        if place is not None:
            cuts.append(place)
    return [PieceSpan(*pair) for pair in zip(cuts, [*cuts[1:], duration], strict=True)]
