"""Pictures: files, PIL and NumPy on people's side, tensors (N, 3, H, W) in [-1, 1] on ours."""

import math
import os
import warnings
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps

from toolkit.errors import ImageError, ShapeError, describe
from toolkit.files import replace_when_done

PAPER = (255, 255, 255)  # what shows through transparent pixels, and between pictures in a grid
ROUNDING = 1e-3  # how far beyond [-1, 1] a tensor may stray


def load_image(source, resolution=None):
    """Turn whatever a person calls a picture into a tensor.

    Args:
        source: a path, a PIL image, a NumPy array (H, W), (H, W, 3) or (H, W, 4) uint8, or a float
            tensor (N, 3, H, W) in [-1, 1], which is only checked. EXIF orientation is honoured,
            transparency laid on white, 16 bits become 8.
        resolution: cut the largest centred square and resize it (antialiased) to this many pixels,
            >= 1; None keeps the whole picture at its own size. A tensor must have it already.
    Returns:
        image (1, 3, H, W) float32 in [-1, 1]; (N, 3, H, W) from such a tensor.
    Raises:
        ImageError: unreadable, truncated, empty or far too large.
        ShapeError: a tensor or a resolution that is not as above.
    """
    if resolution is not None and (not isinstance(resolution, int) or resolution < 1):
        raise ShapeError("load_image", "resolution >= 1, an int", describe(resolution), "Use e.g. 64")
    if isinstance(source, torch.Tensor):
        return _check_tensor(source, resolution)
    picture = _to_rgb(decode(source, "load_image"))
    if resolution is not None:
        picture = _centre_square(picture, resolution)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    return pixels.contiguous().float() / 127.5 - 1


def decode(source, call):
    """Read a picture completely, its EXIF orientation applied, its pixels otherwise as stored.

    Args:
        source: a path, a PIL image or a NumPy array (H, W), (H, W, 3) or (H, W, 4) uint8.
        call: the public call to name in errors.
    Returns:
        PIL image, loaded.
    Raises:
        ImageError: unreadable, truncated, empty or far too large.
    """
    if isinstance(source, np.ndarray):
        source = _from_array(source, call)
    is_path = isinstance(source, (str, os.PathLike))
    if not is_path and not isinstance(source, Image.Image):
        raise ImageError(
            call, "a path, PIL image, NumPy array or tensor", describe(source), "Pass one of these"
        )
    if is_path and not Path(source).is_file():
        raise ImageError(call, "a picture file", f"no file at {str(source)!r}", "Check the path")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # A PIL image is the caller's to close; exif_transpose copies both kinds.
            with Image.open(source) if is_path else source.copy() as opened:
                if 0 not in opened.size:
                    opened.load()
                    return ImageOps.exif_transpose(opened)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = f"a picture of at most {Image.MAX_IMAGE_PIXELS / 1e6:.0f} million pixels"
        raise ImageError(call, limit, describe(source), "Make it smaller first") from error
    except Exception as error:  # a decoder may raise anything on a broken file
        reason = str(error).split("\n")[0][:120]
        raise ImageError(call, "a readable picture", f"{describe(source)} ({reason})",
                         "Open it in an image program and save it as PNG or JPEG") from error  # fmt: skip
    raise ImageError(
        call, "at least one pixel", f"{opened.size[0]}x{opened.size[1]} pixels", "Pass a picture"
    )


def to_uint8(image):
    """Tensor to bytes; what lies beyond [-1, 1], as synthesis may, is clipped.

    Args:
        image: (N, 3, H, W) float in [-1, 1].
    Returns:
        image_uint8 (N, H, W, 3), NumPy.
    Raises:
        ShapeError: not such a tensor, or not finite.
    """
    if image.dim() != 4 or image.shape[1] != 3 or not image.is_floating_point() or not image.isfinite().all():
        raise ShapeError(
            "to_uint8", "image (N, 3, H, W) finite float", describe(image), "Use image[None] for one"
        )
    pixels = ((image.detach().float().cpu() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return pixels.permute(0, 2, 3, 1).contiguous().numpy()


def to_pil(image):
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


def save_png(path, image):
    """Write a PNG, whole or not at all.

    Args:
        path: the file; its folder is created.
        image: a PIL image, or what `to_pil` takes.
    """
    picture = to_pil(image) if isinstance(image, torch.Tensor) else image
    with replace_when_done(path) as temporary:
        picture.save(temporary, format="PNG")


def grid(images, columns=None, gap=2):
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


def _check_tensor(image, resolution):
    size = "H, W" if resolution is None else f"{resolution}, {resolution}"
    right = image.dim() == 4 and image.shape[1] == 3 and image.numel() and image.is_floating_point()
    if right and resolution is not None:
        right = tuple(image.shape[2:]) == (resolution, resolution)
    # `<=` is false for nan, so this refuses it too.
    if not right or not (image.abs() <= 1 + ROUNDING).all():
        raise ShapeError("load_image", f"image (N, 3, {size}) float in [-1, 1]", describe(image),
                         "Scale and resize the tensor, or pass a PIL image")  # fmt: skip
    return image.float()


def _from_array(array, call):
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ImageError(call, "an array (H, W), (H, W, 3) or (H, W, 4) uint8", describe(array),
                         "Convert it to uint8 in 0..255, channels last")  # fmt: skip
    if 0 in array.shape:
        raise ImageError(call, "at least one pixel", describe(array), "Pass a picture")
    return Image.fromarray(np.ascontiguousarray(array))


def _to_rgb(picture):
    if picture.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip them at 255
        return Image.fromarray((np.asarray(picture).clip(0, 65535) / 257).round().astype(np.uint8)).convert(
            "RGB"
        )
    if picture.mode == "F":
        raise ImageError("load_image", "a picture of 8 or 16 bits", "one of floats", "Save it as PNG or JPEG")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        paper = Image.new("RGBA", picture.size, (*PAPER, 255))
        picture = Image.alpha_composite(paper, picture)
    return picture.convert("RGB")


def _centre_square(picture, resolution):
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    # Lanczos as in FFHQ's own preparation; at its own size the picture is left alone.
    box = (left, top, left + side, top + side)
    return picture.resize((resolution, resolution), Image.Resampling.LANCZOS, box=box)
