"""What a notebook shows of an object: a picture as PNG bytes, classes as chips in their colours."""

import html
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

SHOWN = 512  # pixels of the longer side, at most; small pictures are magnified towards it in whole steps
CHIP = "display:inline-block;width:.8em;height:.8em;border-radius:.2em;margin:0 .3em 0 .8em;background:#{}"


def png(picture: Image.Image) -> bytes:
    """A picture at a size for the screen, as a PNG file."""
    longest = max(picture.size)
    factor = max(1, SHOWN // longest) if longest <= SHOWN else SHOWN / longest
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    how = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    file = io.BytesIO()
    picture.resize(size, how).save(file, "PNG")
    return file.getvalue()


def legend(title: str, classes: Sequence[str], palette: np.ndarray) -> str:
    """A line of HTML: a title, and each class beside its colour.

    Args:
        title: text.
        classes: K names.
        palette: (K, 3) uint8.
    """
    colors = [bytes(color).hex() for color in palette]
    chips = [
        f'<span style="white-space:nowrap"><span style="{CHIP.format(color)}"></span>{html.escape(name)}</span>'
        for name, color in zip(classes, colors, strict=True)
    ]
    return f"<div>{html.escape(title)} {' '.join(chips)}</div>"
