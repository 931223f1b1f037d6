"""Show artwork for shows that brought none: drawn from the title and a colour, always alike.

Podcast apps want a square RGB picture of 1400 to 3000 pixels a side (Apple's requirements).
"""

import hashlib
import io
import unicodedata
from functools import lru_cache

from PIL import Image, ImageDraw, ImageFont

SIDE = 1400
MARGIN = 120
QUALITY = 82
# Dark enough for white words: each has a contrast above 4.5 against white.
COLOURS = ("#1f4e79", "#7a2e4d", "#2c5f4b", "#5b3f8c", "#8a3b12", "#22577a", "#6b2d5c", "#3a5a40")
# Letters that Unicode does not take apart, as the built-in typeface can write them.
FOLDED = str.maketrans(
    {"ß": "ss", "æ": "ae", "Æ": "Ae", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L", "œ": "oe", "đ": "d"}
    | {"“": '"', "”": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "…": "...", "·": "-"}
)


def colour_for(name: str) -> str:
    """Return the colour that belongs to a name, such as a show's guid: always the same one."""
    return COLOURS[hashlib.sha256(name.encode()).digest()[0] % len(COLOURS)]


def writable(title: str) -> str:
    """Return the title in the letters that the typeface has; empty when it would be unreadable."""
    decomposed = unicodedata.normalize("NFKD", title.translate(FOLDED))
    letters = "".join(mark for mark in decomposed if not unicodedata.combining(mark))
    plain = "".join(mark for mark in letters if mark.isascii() and mark.isprintable())
    return " ".join(plain.split()) if 2 * len(plain) > len(letters) else ""


def _broken(words: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    lines: list[str] = []
    for word in words.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def _typeface(size: int) -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise TypeError("Pillow was built without FreeType; install its wheel.")
    return font


def _set(words: str) -> tuple[list[str], ImageFont.FreeTypeFont, int]:
    """Return the largest setting of the words that fits, in lines, with its line height."""
    width, height = SIDE - 2 * MARGIN, SIDE * 0.6
    for size in range(190, 40, -10):
        font = _typeface(size)
        lines = _broken(words, font, width)
        fits = all(font.getlength(line) <= width for line in lines)
        if fits and len(lines) * size * 1.15 <= height:
            break
    most = int(height / (size * 1.15))
    return [_cut(line, font, width) for line in lines[:most]], font, round(size * 1.15)


def _cut(line: str, font: ImageFont.FreeTypeFont, width: float) -> str:
    while font.getlength(line) > width:
        line = line[:-1]
    return line


def _arcs(drawing: ImageDraw.ImageDraw, name: str) -> None:
    """Rings as of sound, from a corner that the name chooses."""
    chosen = hashlib.sha256(name.encode()).digest()
    x, y = (SIDE if chosen[1] % 2 else 0), (SIDE if chosen[2] % 2 else SIDE // 3)
    for ring in range(3 + chosen[3] % 4):
        radius = SIDE // 4 + ring * 150
        box = (x - radius, y - radius, x + radius, y + radius)
        drawing.ellipse(box, outline=(255, 255, 255, 46), width=26)


@lru_cache(maxsize=32)
def drawn(title: str, colour: str) -> bytes:
    """Return a JPEG of 1400 × 1400 pixels; equal arguments give equal bytes."""
    picture = Image.new("RGB", (SIDE, SIDE), colour)
    drawing = ImageDraw.Draw(picture, "RGBA")
    _arcs(drawing, title)
    words = writable(title)
    if words:
        lines, font, step = _set(words)
        top = SIDE - MARGIN - step * len(lines)
        for number, line in enumerate(lines):
            drawing.text((MARGIN, top + number * step), line, fill="white", font=font)
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=QUALITY, optimize=True)
    return out.getvalue()
