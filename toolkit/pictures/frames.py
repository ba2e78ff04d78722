"""Where in an upload the square lies that a network sees: cut out of it, and labels put back into it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from toolkit.errors import ImageError, describe
from toolkit.pictures import resampling

SLACK = 1e-6  # of a pixel, by which a box that ends at the picture's edge may miss it in floats
BAND = 256  # rows that a turned frame puts back at once
MARGIN = 3  # pixels around a turned frame that its interpolation reads

Box = tuple[float, float, float, float]  # left, top, right, bottom


class Frame(NamedTuple):
    """A box in an upload, turned about its centre: of a square one a similarity, with centre, side and angle."""

    box: Box  # in the upload's pixels, before it is turned; may reach beyond its edges
    size: tuple[int, int]  # (width, height) of the upload, upright
    angle: float = 0.0  # degrees, clockwise as one looks at it

    @classmethod
    def around(cls, centre: tuple[float, float], side: float, angle: float, size: tuple[int, int]) -> Frame:
        """The square with this centre (x, y) and side, in pixels, turned by `angle` degrees clockwise."""
        (x, y), half = centre, side / 2
        return cls((x - half, y - half, x + half, y + half), size, angle)

    @property
    def centre(self) -> tuple[float, float]:
        """(x, y) in the upload's pixels."""
        left, top, right, bottom = self.box
        return (left + right) / 2, (top + bottom) / 2

    @property
    def side(self) -> float:
        """Pixels of the upload along its upper edge."""
        return self.box[2] - self.box[0]

    @property
    def corners(self) -> list[tuple[float, float]]:
        """(x, y) of its corners in the upload's pixels, clockwise from the one that is upper left before it is turned.

        >>> Frame.around((5, 5), 4, 90, (10, 10)).corners
        [(7.0, 3.0), (7.0, 7.0), (3.0, 7.0), (3.0, 3.0)]
        """
        (x, y), (left, top, right, bottom) = self.centre, self.box
        cos, sin = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        points = (left - x, top - y), (right - x, top - y), (right - x, bottom - y), (left - x, bottom - y)
        return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in points]

    def scaled(self, by: float) -> Frame:
        """About its centre, `by` times as large.

        >>> Frame((0.0, 0.0, 4.0, 2.0), (10, 10)).scaled(2).box
        (-2.0, -1.0, 6.0, 3.0)
        """
        (x, y), (left, top, right, bottom) = self.centre, self.box
        box = x + by * (left - x), y + by * (top - y), x + by * (right - x), y + by * (bottom - y)
        return self._replace(box=box)

    def checked(self, call: str) -> Frame:
        """Itself, in floats.

        Raises:
            ImageError: an empty box, or numbers that are not finite.
        """
        try:
            left, top, right, bottom, angle = map(float, (*self.box, self.angle))
        except (TypeError, ValueError):
            left = top = right = bottom = angle = math.nan
        if not (left < right and top < bottom) or not all(map(math.isfinite, (left, top, right, bottom, angle))):
            raise ImageError(
                call,
                "a box (left, top, right, bottom), left < right, top < bottom",
                describe(self.box) if self.angle == 0.0 else f"{describe(self.box)}, turned by {self.angle}",
                "Give the corners in the picture's pixels",
            )
        return Frame((left, top, right, bottom), self.size, angle)

    def cut(self, picture: Image.Image, resolution: int, call: str = "cut") -> Image.Image:
        """What it holds of the picture, antialiased; what lies beyond the picture's edges repeats the edge.

        Args:
            picture: RGB, of the frame's size.
            resolution: pixels a side of the result, >= 1; a box that is not square is stretched.
            call: the public call to name in errors.
        Raises:
            ImageError: the frame misses the picture.
        """
        found = _cut_turned(picture, self, resolution) if self.angle else _cut_box(picture, self.box, resolution)
        if found is None:
            raise ImageError(
                call,
                f"a box that overlaps a picture of {picture.width}x{picture.height} pixels",
                describe(self.box),
                "Give the corners in the picture's pixels",
            )
        return found

    def restore(self, label_map: Tensor, outside: int = 255) -> Tensor:
        """Carry labels back to the upload's own pixels: each takes the nearest label, or, of an upload with fewer
        pixels than the labels, the one that covers most of it.

        Args:
            label_map: (R, R) integers in 0..255.
            outside: the label of pixels outside the frame.
        Returns:
            label_map (H, W) int64, on the same device.
        """
        full = label_map.new_full(self.size[::-1], outside, dtype=torch.int64)
        small = label_map.to(torch.uint8)  # an upload's worth of int64 is plenty
        (_restore_turned if self.angle else _restore_box)(full, small, self)
        return full


def centre_box(picture: Image.Image) -> Box:
    """The largest centred square of a PIL image: (left, top, right, bottom)."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return left, top, left + side, top + side


def pad_box(picture: Image.Image) -> Box:
    """The smallest centred square that holds all of a PIL image, whose edges repeat in the rest of it: (left, top,
    right, bottom)."""
    side = max(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return left, top, left + side, top + side


def whole_box(picture: Image.Image) -> Box:
    """All of a PIL image: (left, top, right, bottom)."""
    return 0, 0, *picture.size


def _cut_box(picture, box, resolution):
    """What an upright box holds of a picture, resized to (resolution, resolution); None where it holds nothing."""
    left, top, right, bottom = box
    across = _part_inside(left, right, picture.width, resolution)
    down = _part_inside(top, bottom, picture.height, resolution)
    if across is None or down is None:
        return None
    (x0, x1, left, right), (y0, y1, top, bottom) = across, down
    # Lanczos as in FFHQ's own preparation; at its own size the picture is left alone.
    inner = picture.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    if inner.size == (resolution, resolution):
        return inner
    beyond = ((y0, resolution - y1), (x0, resolution - x1), (0, 0))
    return Image.fromarray(np.pad(np.asarray(inner), beyond, mode="edge"))


def _cut_turned(picture, frame, resolution):
    """The same of a turned box: shrunk upright first, antialiased, then turned at about its own size."""
    left, top, right, bottom = frame.box
    steps = (right - left) / resolution, (bottom - top) / resolution
    # Where the pixels of the result lie in the picture.
    unit = (torch.arange(resolution, dtype=torch.float64) + 0.5) / resolution - 0.5
    across, down = unit * (right - left), unit[:, None] * (bottom - top)
    (x, y), cos, sin = frame.centre, math.cos(math.radians(frame.angle)), math.sin(math.radians(frame.angle))
    xs, ys = x + across * cos - down * sin, y + across * sin + down * cos
    if not ((xs > 0) & (xs < picture.width) & (ys > 0) & (ys < picture.height)).any():
        return None
    reach = [math.ceil(MARGIN * max(1.0, *steps))] * 2
    (x0, x1), (y0, y1) = (
        (max(0, math.floor(min(c)) - r), min(length, math.ceil(max(c)) + r))
        for c, r, length in zip(zip(*frame.corners, strict=True), reach, picture.size, strict=True)
    )
    shrink = max(1.0, *steps)
    size = max(1, round((x1 - x0) / shrink)), max(1, round((y1 - y0) / shrink))
    near = picture.resize(size, Image.Resampling.LANCZOS, box=(x0, y0, x1, y1))
    pixels = torch.from_numpy(np.array(near)).permute(2, 0, 1)[None].float()
    grid = torch.stack([(xs - x0) / (x1 - x0), (ys - y0) / (y1 - y0)], 2).float()[None] * 2 - 1
    turned = F.grid_sample(pixels, grid, mode="bicubic", padding_mode="border", align_corners=False)
    return Image.fromarray(turned[0].round().clamp(0, 255).to(torch.uint8).permute(1, 2, 0).contiguous().numpy())


def _restore_box(full, small, frame):
    left, top, right, bottom = frame.box
    rows, ys = _pixels_inside(top, bottom, frame.size[1], small.shape[0], small.device)
    columns, xs = _pixels_inside(left, right, frame.size[0], small.shape[1], small.device)
    if bottom - top < len(small) or right - left < small.shape[1]:  # the nearest would be one of several
        down = _edges_inside(rows, top, bottom, len(small))
        across = _edges_inside(columns, left, right, small.shape[1])
        full[rows, columns] = torch.from_numpy(resampling.majority(small.cpu().numpy(), down, across)).to(full)
    else:
        full[rows, columns] = small[ys][:, xs]


def _restore_turned(full, small, frame):
    left, top, right, bottom = frame.box
    xs, ys = zip(*frame.corners, strict=True)
    x0, x1 = max(0, math.floor(min(xs))), min(frame.size[0], math.ceil(max(xs)))
    y0, y1 = max(0, math.floor(min(ys))), min(frame.size[1], math.ceil(max(ys)))
    if x0 >= x1 or y0 >= y1:
        return
    # Where a pixel holds several labels, they are read this many times as finely, and the commonest is taken.
    fine = max(1, math.ceil(len(small) / (bottom - top)), math.ceil(small.shape[1] / (right - left)))
    for start in range(y0, y1, BAND):
        band = slice(start, min(y1, start + BAND)), slice(x0, x1)
        found, inside = _read(small, frame, band, 1)
        if fine > 1:
            finely, _ = _read(small, frame, band, fine)
            edges = [resampling.edges(0, fine * (s.stop - s.start), s.stop - s.start) for s in band]
            found = torch.from_numpy(resampling.majority(finely.cpu().numpy(), *edges)).to(small)
        full[band] = torch.where(inside, found.long(), full[band])


def _read(small, frame, band, fine):
    """The labels at an upload's pixels, each asked at fine x fine places, and which places lie in the frame."""
    ys, xs = (
        (torch.arange((s.stop - s.start) * fine, device=small.device, dtype=torch.float64) + 0.5) / fine + s.start
        for s in band
    )
    (x, y), cos, sin = frame.centre, math.cos(math.radians(frame.angle)), math.sin(math.radians(frame.angle))
    left, top, right, bottom = frame.box
    ys, xs = ys[:, None] - y, xs - x
    column = ((xs * cos + ys * sin) / (right - left) + 0.5) * small.shape[1]
    row = ((ys * cos - xs * sin) / (bottom - top) + 0.5) * len(small)
    inside = (column >= 0) & (column < small.shape[1]) & (row >= 0) & (row < len(small))
    at = row.long().clamp(0, len(small) - 1), column.long().clamp(0, small.shape[1] - 1)
    return torch.where(inside, small[at], 255), inside


def _part_inside(start, end, length, resolution):
    """Which of a box's columns lie in the picture, first and one past last, and the span they show."""
    step = (end - start) / resolution
    first = max(0, math.ceil(-start / step - SLACK))
    last = min(resolution, math.floor((length - start) / step + SLACK))
    inside = max(0.0, start), min(float(length), end)
    if inside[1] - inside[0] <= SLACK * step:
        return None
    if first >= last:  # a picture far longer than wide: less than a column, which the one around its middle shows
        first = min(resolution - 1, int((sum(inside) / 2 - start) / step))
        last = first + 1
    return first, last, max(0.0, start + first * step), min(float(length), start + last * step)


def _pixels_inside(start, end, length, resolution, device):
    """The upload's pixels, a slice, whose centres a box holds, and which of its columns shows each."""
    first, last = max(0, math.ceil(start - 0.5)), min(length, math.ceil(end - 0.5))
    centres = torch.arange(first, max(first, last), device=device, dtype=torch.float64) + 0.5
    indices = ((centres - start) * (resolution / (end - start))).long().clamp(0, resolution - 1)
    return slice(first, max(first, last)), indices


def _edges_inside(pixels, start, end, resolution):
    """Where the upload's pixels, a slice, begin and end in the label map that a box from start to end became."""
    edges = (np.arange(pixels.start, pixels.stop + 1) - start) * (resolution / (end - start))
    return edges.clip(0, resolution)  # a pixel that the box holds more than half of is the box's
