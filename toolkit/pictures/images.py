"""Pictures: files, PIL and NumPy on people's side, tensors (N, 3, H, W) in [-1, 1] on ours."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toolkit.errors import ImageError, ShapeError, ToolkitError, describe
from toolkit.files import replace_when_done
from toolkit.pictures.frames import Box, Frame, centre_box, pad_box, whole_box
from toolkit.pictures.uploads import PAPER, open_rgb

__all__ = [
    "Box",
    "FITS",
    "Frame",
    "as_float",
    "centre_box",
    "check_fit",
    "frame_image",
    "frame_of",
    "given_box",
    "grid",
    "load_image",
    "pad_box",
    "save_png",
    "to_pil",
    "to_uint8",
]

MAX_WHOLE = 25_000_000  # pixels of a picture taken as it is, 12 bytes each as a tensor
ROUNDING = 1e-3  # how far beyond [-1, 1] a tensor may stray

# Where a picture lies in an upload: a frame, or a function that says so of a PIL image in RGB.
Align = Callable[[Image.Image], Box | Frame] | Frame
ALIGN: dict[str, Align] = {"centre": centre_box, "none": whole_box}
# How pictures of any shape become square: their centre alone, or all of them, with their edges repeated.
FITS: dict[str, Callable[[Image.Image], Box]] = {"crop": centre_box, "pad": pad_box}


def check_fit(fit: Any, call: str) -> str:
    """A word of `FITS`, itself; raises ToolkitError, in the name of `call`, for any other."""
    if not isinstance(fit, str) or fit not in FITS:
        raise ToolkitError(call, f"fit to be {' or '.join(FITS)}", repr(fit), "Choose one")
    return fit


def given_box(box: Box) -> Callable[[Image.Image], Box]:
    """An `align` for `frame_image` that always answers with this box (left, top, right, bottom)."""
    return lambda picture: box


def frame_of(picture: Image.Image, align: Align | str, call: str = "frame_image") -> Frame:
    """The frame that an `align` means in a picture.

    Args:
        picture: an upload, upright.
        align: as `frame_image` takes it.
        call: the public call to name in errors.
    Raises:
        ImageError: an empty box, or a frame for a picture of another size. ToolkitError: an unknown word.
    """
    if isinstance(align, str):
        if align not in ALIGN:
            raise ToolkitError(
                call, f"align to be {', '.join(ALIGN)}, a frame or a function", repr(align), "Choose one"
            )
        align = ALIGN[align]
    found = align if isinstance(align, Frame) else align(picture)
    frame = (found if isinstance(found, Frame) else Frame(found, picture.size)).checked(call)
    if frame.size != picture.size:
        want, got = f"a frame for a picture of {picture.size} pixels", f"one for {frame.size}"
        raise ImageError(call, want, got, "Frame this picture")
    return frame


def frame_image(source: Any, resolution: int, align: Align | str = "centre") -> tuple[Tensor, Frame]:
    """Cut from an upload the square that a network sees, and remember where it was.

    Args:
        source: what `load_image` takes. Of a tensor, which fills its frame, align is not asked.
        resolution: pixels a side of the square, >= 1.
        align: "centre" for the largest centred square, "none" for the whole picture, a `Frame`, or a function,
            PIL image (RGB) -> `Frame` or box (left, top, right, bottom) in its pixels. What it holds beyond
            the picture's edges repeats the edge; what is not square is stretched.
    Returns:
        image (1, 3, R, R) float32 in [-1, 1], resized antialiased; its `Frame`.
    Raises:
        ImageError: as `load_image`, or a frame that is empty or misses the picture.
        ShapeError: a tensor or a resolution that is not as above. ToolkitError: another word.
    """
    _check_resolution(resolution, "frame_image")
    if isinstance(source, torch.Tensor):
        frame = Frame((0.0, 0.0, float(resolution), float(resolution)), (resolution, resolution))
        return _check_tensor(source, resolution, "frame_image"), frame
    picture = open_rgb(source, "frame_image")
    frame = frame_of(picture, align)
    return _to_tensor(frame.cut(picture, resolution, "frame_image")), frame


def load_image(source: Any, resolution: int | None = None, fit: str = "crop") -> Tensor:
    """Turn whatever a person calls a picture into a tensor.

    Args:
        source: a path, bytes or binary file (see `uploads.READ`), a PIL image, a NumPy array (H, W),
            (H, W, 3) or (H, W, 4) uint8, or a float tensor (N, 3, H, W) in [-1, 1], which is only
            checked. EXIF orientation is honoured, transparency laid on white, 16 bits become 8.
        resolution: make it square and resize it (antialiased) to this many pixels, >= 1; None keeps the whole
            picture at its own size. A tensor must have it already.
        fit: how it becomes square: "crop" to the largest centred square, or "pad" the whole picture to the smallest
            one by repeating its edges.
    Returns:
        image (1, 3, H, W) float32 in [-1, 1]; (N, 3, H, W) from such a tensor.
    Raises:
        ImageError: unreadable, truncated, empty or far too large.
        ShapeError: a tensor or a resolution that is not as above. ToolkitError: another fit.
    """
    square = FITS[check_fit(fit, "load_image")]
    if resolution is not None:
        _check_resolution(resolution, "load_image")
    if isinstance(source, torch.Tensor):
        return _check_tensor(source, resolution, "load_image")
    picture = open_rgb(source, "load_image")
    if resolution is not None:
        picture = Frame(square(picture), picture.size).cut(picture, resolution, "load_image")
    elif picture.width * picture.height > MAX_WHOLE:
        raise ImageError(
            "load_image",
            f"at most {MAX_WHOLE / 1e6:.0f} million pixels without a resolution",
            f"{picture.width}x{picture.height} pixels",
            "Give a resolution",
        )
    return _to_tensor(picture)


def as_float(pictures: Tensor | np.ndarray, device: torch.device | str = "cpu") -> Tensor:
    """Bytes to colours, as networks take them; of NumPy a copy, for a memory map may be read-only.

    Args:
        pictures: uint8 of any shape.
        device: where they go.
    Returns:
        float32 in [-1, 1] of the same shape.
    """
    if isinstance(pictures, np.ndarray):
        pictures = torch.from_numpy(np.array(pictures))
    return pictures.to(device).float() / 127.5 - 1


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


def _to_tensor(picture):
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    return pixels.contiguous().float().div_(127.5).sub_(1)
