"""Figures and tables."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw
from torch import Tensor

from toolkit.errors import ShapeError, describe
from toolkit.pictures.images import PAPER, load_image, to_pil
from toolkit.pictures.labels import check_classes, colorize, default_palette
from toolkit.show import fonts

__all__ = ["comparison", "table"]

CELL = 256  # pixels a picture is magnified to, about: a multiple of what GANs here draw, so that a row is of one size
GAP = 8
INK, FRAME = (40, 40, 46), (205, 205, 210)


def comparison(
    columns: Mapping[str, Sequence | Tensor], palette: np.ndarray | None = None, classes: Sequence[str] | None = None
) -> Image.Image:
    """Pictures and label maps side by side: one row per picture, a titled column for each kind, a legend below.

    Args:
        columns: dict title -> N pictures: a tensor or a list of tensors (3, H, W) in [-1, 1], PIL
            images or NumPy (H, W, 3) uint8; or label maps: (H, W) integers. N is the same for all.
        palette: (K, 3) uint8 for label maps and legend; None is the default for `classes`.
        classes: names for the legend; None draws none.
    Returns:
        PIL image, RGB; small pictures are magnified without smoothing, so that each pixel shows.
    Raises:
        ShapeError: no pictures, or columns of different lengths. LabelError: classes that are no list of names.
    """
    classes = check_classes(classes, "comparison") if classes else None
    lengths = {len(pictures) for pictures in columns.values()}
    if len(lengths) != 1 or 0 in lengths:
        got = ", ".join(f"{title}: {len(pictures)}" for title, pictures in columns.items()) or "no columns"
        raise ShapeError("comparison", "the same number of pictures in every column", got, "Pass one a row in each")
    if palette is None:
        palette = default_palette(len(classes) if classes else 255)
    cells = [[_cell(p, palette) for p in pictures] for pictures in columns.values()]
    width = max(cell.width for column in cells for cell in column) + GAP
    height = max(cell.height for column in cells for cell in column) + GAP
    title_height, total = 30, len(cells) * width + GAP
    legend = _legend(classes, palette, total - 2 * GAP) if classes else None
    bottom = title_height + lengths.pop() * height
    figure = Image.new("RGB", (total, bottom + (legend.height + GAP if legend else 0)), PAPER)
    draw = ImageDraw.Draw(figure)
    for x, (title, column) in enumerate(zip(columns, cells)):
        left = GAP + x * width
        centre = left + (width - GAP) / 2
        fonts.write(draw, centre - fonts.width(title, 14) / 2, title_height / 2, title, INK, 14)
        for y, cell in enumerate(column):
            top = title_height + y * height
            figure.paste(cell, (left, top))
            draw.rectangle((left - 1, top - 1, left + cell.width, top + cell.height), outline=FRAME)
    if legend:
        figure.paste(legend, (GAP, bottom))
    return figure


def table(rows: Sequence[tuple]) -> str:
    """Results as aligned text, numbers to the right.

    Args:
        rows: tuples of equal length, the header first. Floats get two decimals; None and nan a dash.
    Returns:
        str, lines without trailing newline.
    Raises:
        ShapeError: no header, or rows of different lengths.
    """
    if len({len(row) for row in rows}) != 1:
        raise ShapeError(
            "table", "a header and rows as long as it", describe([len(row) for row in rows]), "Fill gaps with None"
        )
    lines = [[_text(value) for value in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    numeric = [all(isinstance(v, (int, float, type(None))) for v in column[1:]) for column in zip(*rows)]

    def lay(line):
        fields = (v.rjust(w) if right else v.ljust(w) for v, w, right in zip(line, widths, numeric))
        return "  ".join(fields).rstrip()

    return "\n".join([lay(lines[0]), lay(["-" * w for w in widths]), *map(lay, lines[1:])])


def _cell(picture, palette):
    picture = _draw(picture, palette)
    factor = max(1, CELL // max(picture.size))
    return picture.resize((picture.width * factor, picture.height * factor), Image.Resampling.NEAREST)


def _draw(picture, palette):
    """One entry of a column as a PIL image."""
    if isinstance(picture, (Tensor, np.ndarray)) and picture.ndim == 2:
        return colorize(picture, palette)
    if isinstance(picture, Tensor):
        if picture.dim() != 3:
            raise ShapeError(
                "comparison",
                "pictures (3, H, W) or label maps (H, W)",
                describe(picture),
                "Pass a list with one entry a row",
            )
        return to_pil(picture)
    return to_pil(load_image(picture))


def _legend(classes, palette, width):
    """A colour and a name for each class, wrapped at the width."""
    size, swatch, line = 13, 14, 24
    places, x, y = [], 0, 0
    for name in classes:
        step = swatch + 6 + fonts.width(name, size) + 16
        if x and x + step - 16 > width:
            x, y = 0, y + line
        places.append((x, y))
        x += step
    picture = Image.new("RGB", (width, y + line), PAPER)
    draw = ImageDraw.Draw(picture)
    for name, color, (left, top) in zip(classes, palette, places):
        box = (left, top + 5, left + swatch, top + 5 + swatch)
        draw.rounded_rectangle(box, 3, fill=tuple(color.tolist()))
        fonts.write(draw, left + swatch + 6, top + 5 + swatch / 2, name, INK, size)
    return picture


def _text(value):
    if value is None or value != value:
        return "-"
    return f"{value:.2f}" if isinstance(value, float) else str(value)
