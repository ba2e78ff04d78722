"""Pictures: files, PIL and NumPy on people's side, tensors (N, 3, H, W) in [-1, 1] on ours."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toolkit.errors import ImageError, ShapeError, describe
from toolkit.files import replace_when_done
from toolkit.pictures import resampling
from toolkit.pictures.uploads import PAPER, open_rgb

__all__ = [
    "Box",
    "Frame",
    "centre_box",
    "frame_image",
    "given_box",
    "grid",
    "load_image",
    "save_png",
    "to_pil",
    "to_uint8",
]

MAX_WHOLE = 25_000_000  # pixels of a picture taken as it is, 12 bytes each as a tensor
SLACK = 1e-6  # of a pixel, by which a box that ends at the picture's edge may miss it in floats
ROUNDING = 1e-3  # how far beyond [-1, 1] a tensor may stray


Box = tuple[float, float, float, float]  # left, top, right, bottom


class Frame(NamedTuple):
    """Where in an upload the square lies that was cut out for a network."""

    box: Box  # in the upload's pixels; may reach beyond its edges
    size: tuple[int, int]  # (width, height) of the upload, upright

    def restore(self, label_map: Tensor, outside: int = 255) -> Tensor:
        """Carry labels back to the upload's own pixels: each takes the nearest label, or, of an upload with fewer
        pixels than the labels, the one that covers most of it.

        Args:
            label_map: (R, R) integers in 0..255.
            outside: the label of pixels outside the box.
        Returns:
            label_map (H, W) int64, on the same device.
        """
        left, top, right, bottom = self.box
        full = label_map.new_full(self.size[::-1], outside, dtype=torch.int64)
        rows, ys = _pixels_inside(top, bottom, self.size[1], label_map.shape[0], label_map.device)
        columns, xs = _pixels_inside(left, right, self.size[0], label_map.shape[1], label_map.device)
        small = label_map.to(torch.uint8)  # an upload's worth of int64 is plenty
        if bottom - top < len(small) or right - left < small.shape[1]:  # the nearest would be one of several
            down = _edges_inside(rows, top, bottom, len(small))
            across = _edges_inside(columns, left, right, small.shape[1])
            full[rows, columns] = torch.from_numpy(resampling.majority(small.cpu().numpy(), down, across)).to(full)
        else:
            full[rows, columns] = small[ys][:, xs]
        return full


def centre_box(picture: Image.Image) -> Box:
    """The largest centred square of a PIL image: (left, top, right, bottom)."""
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return left, top, left + side, top + side


def given_box(box: Box) -> Callable[[Image.Image], Box]:
    """An `align` for `frame_image` that always answers with this box (left, top, right, bottom)."""
    return lambda picture: box


def frame_image(source: Any, resolution: int, align: Callable[[Image.Image], Box] = centre_box) -> tuple[Tensor, Frame]:
    """Cut from an upload the square that a network sees, and remember where it was.

    Args:
        source: what `load_image` takes. Of a tensor, which fills its frame, align is not asked.
        resolution: pixels a side of the square, >= 1.
        align: a function, PIL image (RGB) -> box (left, top, right, bottom) in its pixels. What the box
            holds beyond the picture's edges repeats the edge; a box that is not square is stretched.
    Returns:
        image (1, 3, R, R) float32 in [-1, 1], resized antialiased; its `Frame`.
    Raises:
        ImageError: as `load_image`, or a box that is empty or misses the picture.
        ShapeError: a tensor or a resolution that is not as above.
    """
    _check_resolution(resolution, "frame_image")
    if isinstance(source, torch.Tensor):
        frame = Frame((0.0, 0.0, float(resolution), float(resolution)), (resolution, resolution))
        return _check_tensor(source, resolution, "frame_image"), frame
    picture = open_rgb(source, "frame_image")
    frame = Frame(_check_box(align(picture), "frame_image"), picture.size)
    return _to_tensor(_cut(picture, frame.box, resolution, "frame_image")), frame


def load_image(source: Any, resolution: int | None = None) -> Tensor:
    """Turn whatever a person calls a picture into a tensor.

    Args:
        source: a path, bytes or binary file (see `uploads.READ`), a PIL image, a NumPy array (H, W),
            (H, W, 3) or (H, W, 4) uint8, or a float tensor (N, 3, H, W) in [-1, 1], which is only
            checked. EXIF orientation is honoured, transparency laid on white, 16 bits become 8.
        resolution: cut the largest centred square and resize it (antialiased) to this many pixels,
            >= 1; None keeps the whole picture at its own size. A tensor must have it already.
    Returns:
        image (1, 3, H, W) float32 in [-1, 1]; (N, 3, H, W) from such a tensor.
    Raises:
        ImageError: unreadable, truncated, empty or far too large.
        ShapeError: a tensor or a resolution that is not as above.
    """
    if resolution is not None:
        _check_resolution(resolution, "load_image")
    if isinstance(source, torch.Tensor):
        return _check_tensor(source, resolution, "load_image")
    picture = open_rgb(source, "load_image")
    if resolution is not None:
        picture = _cut(picture, centre_box(picture), resolution, "load_image")
    elif picture.width * picture.height > MAX_WHOLE:
        raise ImageError(
            "load_image",
            f"at most {MAX_WHOLE / 1e6:.0f} million pixels without a resolution",
            f"{picture.width}x{picture.height} pixels",
            "Give a resolution",
        )
    return _to_tensor(picture)


def to_uint8(image: Tensor) -> np.ndarray:
    """Tensor to bytes; what lies beyond [-1, 1], as synthesis may, is clipped.

    Args:
        image: (N, 3, H, W) float in [-1, 1].
    Returns:
        image_uint8 (N, H, W, 3), NumPy.
    Raises:
        ShapeError: not such a tensor, or not finite.
    """
    if image.dim() != 4 or image.shape[1] != 3 or not image.is_floating_point() or not image.isfinite().all():
        raise ShapeError("to_uint8", "image (N, 3, H, W) finite float", describe(image), "Use image[None] for one")
    pixels = ((image.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


def to_pil(image: Tensor) -> Image.Image:
    """One picture as a PIL image.

    Args:
        image: (3, H, W) or (1, 3, H, W) float in [-1, 1].
    Returns:
        PIL image, RGB.
    Raises:
        ShapeError: not one such picture.
    """
    batch = image[None] if image.dim() == 3 else image
    if len(batch) != 1:
        raise ShapeError("to_pil", "one image (3, H, W)", describe(image), "Use grid for several")
    return Image.fromarray(to_uint8(batch)[0])


def save_png(path: str | Path, image: Tensor | Image.Image) -> None:
    """Write a PNG, whole or not at all.

    Args:
        path: the file; its folder is created.
        image: a PIL image, or what `to_pil` takes.
    """
    picture = to_pil(image) if isinstance(image, torch.Tensor) else image
    with replace_when_done(path) as temporary:
        picture.save(temporary, format="PNG")


def grid(images: Tensor | Sequence[Image.Image], columns: int | None = None, gap: int = 2) -> Image.Image:
    """A contact sheet, filled row by row.

    Args:
        images: (N, 3, H, W) float in [-1, 1], or a list of PIL images; N >= 1.
        columns: pictures a row; None makes the sheet about square.
        gap: white pixels between pictures.
    Returns:
        PIL image, RGB.
    Raises:
        ShapeError: no pictures, or columns < 1.
    """
    if isinstance(images, torch.Tensor):
        images = [Image.fromarray(pixels) for pixels in to_uint8(images)]
    columns = columns if columns is not None else math.ceil(math.sqrt(len(images)))
    if not images or columns < 1:
        raise ShapeError(
            "grid",
            "at least one picture and one column",
            f"{len(images)} pictures, {columns} columns",
            "Pass some pictures",
        )
    columns, rows = min(columns, len(images)), math.ceil(len(images) / columns)
    width = max(picture.width for picture in images) + gap
    height = max(picture.height for picture in images) + gap
    sheet = Image.new("RGB", (columns * width - gap, rows * height - gap), PAPER)
    for i, picture in enumerate(images):
        sheet.paste(picture, (i % columns * width, i // columns * height))
    return sheet


def _check_resolution(resolution, call):
    if not isinstance(resolution, int) or resolution < 1:
        raise ShapeError(call, "resolution >= 1, an int", describe(resolution), "Use e.g. 64")


def _check_tensor(image, resolution, call):
    size = "H, W" if resolution is None else f"{resolution}, {resolution}"
    right = image.dim() == 4 and image.shape[1] == 3 and image.numel() and image.is_floating_point()
    if right and resolution is not None:
        right = tuple(image.shape[2:]) == (resolution, resolution)
    # `<=` is false for nan, so this refuses it too.
    if not right or not (image.abs() <= 1 + ROUNDING).all():
        raise ShapeError(
            call,
            f"image (N, 3, {size}) float in [-1, 1]",
            describe(image),
            "Scale and resize the tensor, or pass a PIL image",
        )
    return image.float()


def _check_box(box: Any, call: str) -> Box:
    try:
        left, top, right, bottom = map(float, box)
    except (TypeError, ValueError):
        left = top = right = bottom = math.nan
    if not (left < right and top < bottom) or not all(map(math.isfinite, (left, top, right, bottom))):
        raise ImageError(
            call,
            "a box (left, top, right, bottom), left < right, top < bottom",
            describe(box),
            "Give the corners in the picture's pixels",
        )
    return left, top, right, bottom


def _cut(picture, box, resolution, call):
    """What a box holds of a picture, resized to (resolution, resolution)."""
    left, top, right, bottom = box
    across = _part_inside(left, right, picture.width, resolution)
    down = _part_inside(top, bottom, picture.height, resolution)
    if across is None or down is None:
        raise ImageError(
            call,
            f"a box that overlaps a picture of {picture.width}x{picture.height} pixels",
            describe(box),
            "Give the corners in the picture's pixels",
        )
    (x0, x1, left, right), (y0, y1, top, bottom) = across, down
    # Lanczos as in FFHQ's own preparation; at its own size the picture is left alone.
    inner = picture.resize((x1 - x0, y1 - y0), Image.Resampling.LANCZOS, box=(left, top, right, bottom))
    if inner.size == (resolution, resolution):
        return inner
    beyond = ((y0, resolution - y1), (x0, resolution - x1), (0, 0))
    return Image.fromarray(np.pad(np.asarray(inner), beyond, mode="edge"))


def _part_inside(start, end, length, resolution):
    """Which of a box's columns lie in the picture, first and one past last, and the span they show."""
    step = (end - start) / resolution
    first = max(0, math.ceil(-start / step - SLACK))
    last = min(resolution, math.floor((length - start) / step + SLACK))
    if first >= last:
        return None
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


def _to_tensor(picture):
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    return pixels.contiguous().float().div_(127.5).sub_(1)
