"""Text in pictures, in any alphabet: each letter in the first font that has it.

matplotlib brings DejaVu Sans (Latin, Greek, Cyrillic, Hebrew and more); what it lacks, e.g. Chinese, is looked up in
the system's fonts. A letter that no font has is written as its code point, U+773C, so that two names still differ.
"""

from __future__ import annotations

import warnings
from functools import cache
from itertools import groupby

from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont

FIRST = "DejaVu Sans"
# Of the system's fonts these families in regular weight first: a serif or bold letter among others stands out.
PREFERRED = ("noto sans cjk", "source han sans", "noto sans", "droid sans fallback", "wenquanyi", "ipaexgothic")
NOT_LETTERS = ("last resort", "stix", "cm", "noto color", "apple color")  # placeholders; mathematics; bitmaps


def width(text: str, size: int) -> float:
    """How wide a line of text is, in pixels.

    Args:
        text: one line.
        size: of the letters, in pixels.
    """
    return sum(_font(path, size).getlength(part) for path, part in _runs(text))


def write(
    draw: ImageDraw.ImageDraw, left: float, middle: float, text: str, color: tuple[int, int, int], size: int
) -> None:
    """Write a line of text.

    Args:
        draw: what to write on.
        left, middle: x of its start, and y of its middle.
        text: one line.
        color: (r, g, b).
        size: of the letters, in pixels.
    """
    for path, part in _runs(text):
        font = _font(path, size)
        draw.text((left, middle), part, color, font, anchor="lm")
        left += font.getlength(part)


def _runs(text: str) -> list[tuple[str, str]]:
    """(font, letters that it has) in order; spaces and joiners keep the font before them."""
    letters, missing, font = [], [], None
    for letter in text:
        found = _font_with(letter)
        if found is None and not letter.isprintable():
            continue  # an invisible joiner or direction mark
        if found is None:
            missing.append(letter)
            letters += [(_font_with("U"), sign) for sign in f"U+{ord(letter):04X}"]
            continue
        font = font if font and letter in " \u200c\u200d" else found
        letters.append((font, letter))
    if missing:
        _tell("".join(dict.fromkeys(missing)))
    return [(path, "".join(letter for _, letter in run)) for path, run in groupby(letters, key=lambda pair: pair[0])]


@cache
def _tell(missing: str) -> None:
    warnings.warn(
        f"no font here has the letters {missing!r}: they are written as their numbers. Install one, e.g. Noto Sans CJK",
        stacklevel=2,
    )


@cache
def _font_with(letter: str) -> str | None:
    """The path of the first font that has a letter; None where none has."""
    return next((path for path in _paths() if ord(letter) in _letters(path)), None)


@cache
def _paths() -> tuple[str, ...]:
    """All fonts in the order in which they are tried."""

    def place(font):
        name = font.name.lower()
        kind = next((i for i, preferred in enumerate(PREFERRED) if name.startswith(preferred)), len(PREFERRED))
        upright = font.style == "normal" and str(font.weight) in ("400", "normal", "regular", "book")
        return font.name != FIRST, not upright, kind, name, font.fname

    fonts = [f for f in font_manager.fontManager.ttflist if not f.name.lower().startswith(NOT_LETTERS)]
    return tuple(dict.fromkeys(font.fname for font in sorted(fonts, key=place)))


@cache
def _letters(path: str) -> frozenset[int]:
    try:
        return frozenset(FT2Font(path).get_charmap())
    except (OSError, RuntimeError):  # matplotlib's list has removed fonts, and some it cannot read
        return frozenset()


@cache
def _font(path: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(path, size)
