"""A transcript's formats: from timed words to cues, and from cues to files (pure).

Times are seconds from the start of the episode. The three files hold the same words and times.
"""

import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

LINE = 32
LONGEST_TEXT = 64
LONGEST_SECONDS = 7.0
SHORTEST_SECONDS = 1.0
PAUSE = 0.5
PARAGRAPH_PAUSE = 0.8
PARAGRAPH_SENTENCES = (4, 6)
SEAM_SECONDS = 0.3
# A comma outweighs an imbalance of this share between the two parts of a long phrase.
COMMA_WORTH = 0.4
SENTENCE_END = re.compile(r"[.!?…。！？][\"'”’»)\]]*$")
# Words with a stop that end no sentence: titles, initials and the like.
ABBREVIATION = re.compile(
    r"(?:^|\s)(?:mr|mrs|ms|dr|prof|st|vs|etc|e\.g|i\.e|\w|bzw|z\.b|d\.h|ca|nr|mme)\.$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Word:
    """One spoken word; `text` keeps the space that stands before it, if any."""

    start: float
    end: float
    text: str
    probability: float = 1.0


@dataclass(frozen=True)
class Segment:
    """A stretch of speech as the engine heard it."""

    start: float
    end: float
    text: str
    words: tuple[Word, ...] = ()


@dataclass(frozen=True)
class Spoken:
    """What was heard in one piece: its language (with probability) and its segments."""

    language: str
    probability: float
    segments: tuple[Segment, ...]


@dataclass(frozen=True)
class Piece:
    """One transcribed stretch of an episode; the times in `spoken` count from `start`."""

    start: float
    end: float
    spoken: Spoken


@dataclass(frozen=True)
class Cue:
    """One timed line of a transcript."""

    start: float
    end: float
    text: str
    speaker: str = ""
    language: str = ""
    words: tuple[Word, ...] = ()


def ends_sentence(text: str) -> bool:
    """Return whether `text` ends a sentence; an abbreviation's stop does not."""
    trimmed = text.rstrip()
    return bool(SENTENCE_END.search(trimmed)) and not ABBREVIATION.search(trimmed)


def join(pieces: Sequence[Piece]) -> list[Cue]:
    """Return the cues of a whole episode from its pieces, in the order of time.

    Words outside their piece are dropped, times never run backwards, and where two pieces
    overlap each word appears once.
    """
    runs = [(piece.spoken.language, _shifted(piece)) for piece in _by_start(pieces)]
    for number in range(1, len(runs)):
        (left_language, left), (language, right) = runs[number - 1], runs[number]
        left, right = _seam(left, right)
        runs[number - 1 : number + 1] = [(left_language, left), (language, right)]
    cues: list[Cue] = []
    floor = 0.0
    for language, words in runs:
        ordered = _monotonic(words, floor)
        floor = ordered[-1].end if ordered else floor
        cues.extend(_unstretched(ordered, language))
    return _stretched(cues, max((piece.end for piece in pieces), default=0.0))


def _by_start(pieces: Iterable[Piece]) -> list[Piece]:
    return sorted(pieces, key=lambda piece: (piece.start, piece.end))


def _shifted(piece: Piece) -> list[Word]:
    """Return a piece's words in the episode's time, without those that lie outside it."""
    length = piece.end - piece.start
    return [
        replace(word, start=word.start + piece.start, end=min(word.end, length) + piece.start)
        for word in words_of(piece.spoken.segments)
        if 0 <= word.start < length
    ]


def words_of(segments: Iterable[Segment]) -> list[Word]:
    """Return the words of `segments`; one without words counts as a single long word."""
    return [
        word
        for segment in segments
        for word in segment.words or (Word(segment.start, segment.end, " " + segment.text.strip()),)
        if word.text.strip()
    ]


def _seam(left: list[Word], right: list[Word]) -> tuple[list[Word], list[Word]]:
    """Return both sides of a seam without what both heard.

    In an overlap the sides change over at the shared word that lies farthest from both ends;
    with none shared, in the middle.
    """
    if not left or not right or left[-1].end <= right[0].start:
        return left, right
    start, end = right[0].start, left[-1].end
    shared = [
        (min(word.start - start, end - word.end), number, other)
        for number, word in enumerate(left)
        for other, heard in enumerate(right)
        if abs(word.start - heard.start) <= SEAM_SECONDS and _same(word, heard)
    ]
    if shared:
        _, number, other = max(shared)
        return left[: number + 1], right[other + 1 :]
    middle = (start + end) / 2
    return (
        [word for word in left if word.start < middle],
        [word for word in right if word.start >= middle],
    )


def _same(one: Word, other: Word) -> bool:
    return _bare(one.text) == _bare(other.text) != ""


def _bare(text: str) -> str:
    return "".join(letter for letter in text.casefold() if letter.isalnum())


def _monotonic(words: Iterable[Word], floor: float) -> list[Word]:
    """Return words whose times never run backwards, none before `floor`."""
    kept: list[Word] = []
    for word in words:
        start = max(word.start, floor)
        end = max(word.end, start)
        kept.append(replace(word, start=start, end=end))
        floor = end
    return kept


def cues_from_segments(segments: Iterable[Segment], language: str = "") -> list[Cue]:
    """Return the cues of one engine's segments; see `cues_from_words`."""
    return cues_from_words(_monotonic(words_of(segments), 0.0), language=language)


def cues_from_words(words: Sequence[Word], *, language: str = "") -> list[Cue]:
    """Return cues of at most 64 characters and 7 s, at least 1 s where there is room.

    A cue ends with a sentence or before a pause of 0.5 s; what is longer is divided, best after a
    comma.
    """
    return _stretched(_unstretched(words, language))


def _unstretched(words: Sequence[Word], language: str) -> list[Cue]:
    """Return cues that end with their words, however short."""
    phrases: list[list[Word]] = []
    for word in words:
        if phrases and not _begins_phrase(phrases[-1], word):
            phrases[-1].append(word)
        else:
            phrases.append([word])
    groups = [group for phrase in phrases for group in _divided(phrase)]
    return [_cue(group, language) for group in _merged(groups)]


def _begins_phrase(phrase: list[Word], word: Word) -> bool:
    """Return whether `word` stands after a pause or a sentence's end."""
    return word.start - phrase[-1].end >= PAUSE or ends_sentence(phrase[-1].text)


def _divided(phrase: list[Word]) -> list[list[Word]]:
    """Return a phrase in parts that each make a cue, divided where a reader would breathe."""
    if len(phrase) == 1 or _fits(phrase):
        return [phrase]
    lengths = [len(_text(phrase[:number])) for number in range(len(phrase) + 1)]

    def worth(number: int) -> float:
        before, after = phrase[number - 1], phrase[number]
        pause = min(PAUSE, after.start - before.end)
        comma = COMMA_WORTH if before.text.rstrip().endswith((",", ";", ":", "—", "–")) else 0.0
        return pause + comma - abs(2 * lengths[number] - lengths[-1]) / lengths[-1]

    # Halves keep the depth of this small even for a phrase without any pause.
    place = max(range(1, len(phrase)), key=worth)
    return _divided(phrase[:place]) + _divided(phrase[place:])


def _merged(groups: list[list[Word]]) -> list[list[Word]]:
    """Return the groups, those under a second joined to a neighbour that has room for them."""
    kept: list[list[Word]] = []
    for group in groups:
        if kept and _is_short(kept[-1], group) and _may_join(kept[-1], group):
            kept[-1] = kept[-1] + group
        else:
            kept.append(group)
    return kept


def _is_short(one: list[Word], other: list[Word]) -> bool:
    return min(one[-1].end - one[0].start, other[-1].end - other[0].start) < SHORTEST_SECONDS


def _may_join(one: list[Word], other: list[Word]) -> bool:
    return other[0].start - one[-1].end < PAUSE and _fits(one + other)


def _fits(group: list[Word]) -> bool:
    """Return whether words make one cue: short enough to read, and two lines of 32 at most."""
    text = _text(group)
    return (
        len(text) <= LONGEST_TEXT
        and len(textwrap.wrap(text, LINE)) <= 2
        and group[-1].end - group[0].start <= LONGEST_SECONDS
    )


def _text(group: Iterable[Word]) -> str:
    return " ".join("".join(word.text for word in group).split())


def _cue(group: list[Word], language: str) -> Cue:
    start, end = group[0].start, group[-1].end
    # A single word that lasts longer is an engine's slip: nobody speaks so.
    end = min(end, start + LONGEST_SECONDS)
    return Cue(start, end, _text(group), language=language, words=tuple(group))


def _stretched(cues: list[Cue], last: float = float("inf")) -> list[Cue]:
    """Return the cues with the short ones held up to a second, never into the next."""
    limits = [*(cue.start for cue in cues[1:]), last][: len(cues)]
    return [
        replace(cue, end=max(cue.end, min(cue.start + SHORTEST_SECONDS, limit)))
        for cue, limit in zip(cues, limits, strict=True)
    ]


def paragraphs(cues: Sequence[Cue]) -> list[list[Cue]]:
    """Return the cues grouped for reading.

    A paragraph ends with a sentence that is followed by a pause of 0.8 s, or by any pause after
    four sentences, or by nothing after six; or before another speaker.
    """
    groups: list[list[Cue]] = []
    sentences = 0
    for cue in cues:
        if not groups or _begins(groups[-1][-1], cue, sentences):
            groups.append([])
            sentences = 0
        groups[-1].append(cue)
        sentences += ends_sentence(cue.text)
    return groups


def _begins(last: Cue, cue: Cue, sentences: int) -> bool:
    """Return whether `cue` begins a paragraph after `last`, which closes so many sentences."""
    if cue.speaker != last.speaker:
        return True
    if not ends_sentence(last.text):
        return False
    pause = cue.start - (last.words[-1].end if last.words else last.end)
    fewest, most = PARAGRAPH_SENTENCES
    return pause >= PARAGRAPH_PAUSE or (sentences >= fewest and pause > 0) or sentences >= most


def to_text(cues: Sequence[Cue]) -> str:
    """Return the transcript as plain text, paragraphs parted by an empty line."""
    return "\n\n".join(" ".join(cue.text for cue in group) for group in paragraphs(cues))


def to_vtt(cues: Iterable[Cue]) -> str:
    """Return a WebVTT file (W3C WebVTT): hours always, markup escaped, speakers as voices."""
    blocks = ["WEBVTT"]
    for cue in cues:
        voice = f"<v {_voice(cue.speaker)}>" if cue.speaker else ""
        times = f"{_stamp(cue.start, '.')} --> {_stamp(cue.end, '.')}"
        blocks.append(f"{times}\n{voice}{_escaped(_one_line(cue.text))}")
    return "\n\n".join(blocks) + "\n"


def _escaped(text: str) -> str:
    """Return text that a WebVTT parser shows as it is; `-->` can no longer occur."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _voice(speaker: str) -> str:
    return _escaped(_one_line(speaker))


def _one_line(text: str) -> str:
    return " ".join(text.replace("\x00", "").split())


def to_srt(cues: Iterable[Cue]) -> str:
    """Return a SubRip file: lines of 32, the speaker named where the voice changes."""
    blocks = []
    speaker = ""
    for number, cue in enumerate(cues, 1):
        text = _one_line(cue.text).replace("-->", "→")
        if cue.speaker and cue.speaker != speaker:
            text = f"{_one_line(cue.speaker)}: {text}"
        speaker = cue.speaker
        lines = "\n".join(textwrap.wrap(text, LINE, break_on_hyphens=False))
        times = f"{_stamp(cue.start, ',')} --> {_stamp(cue.end, ',')}"
        blocks.append(f"{number}\n{times}\n{lines}\n")
    return "\n".join(blocks)


def to_json(cues: Iterable[Cue]) -> str:
    """Return the Podcasting 2.0 JSON transcript, version 1.0.0."""
    segments = [
        {
            **({"speaker": cue.speaker} if cue.speaker else {}),
            # Rounded as in the other two files: halves may fall the other way.
            "startTime": round(cue.start * 1000) / 1000,
            "endTime": round(cue.end * 1000) / 1000,
            "body": _one_line(cue.text),
        }
        for cue in cues
    ]
    return json.dumps({"version": "1.0.0", "segments": segments}, ensure_ascii=False, indent=1)


def _stamp(seconds: float, mark: str) -> str:
    """Return 01:02:03.004 with `mark` before the milliseconds."""
    rest, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(rest, 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours:02d}:{minute:02d}:{second:02d}{mark}{thousandths:03d}"
