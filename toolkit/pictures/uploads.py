"""Decode pictures of all common formats, even broken or malicious ones, within bounds.

Whatever the bytes, decoding takes seconds and less than a gigabyte, or raises a one-line `ImageError`.
"""

import functools
import os
import threading
import time
import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps, features

from toolkit.errors import ImageError, describe
from toolkit.pictures import tiff

PAPER = (255, 255, 255)  # the background of transparent pixels
# The formats read, and the most pixels of each, enough for phones. WebP's decoder keeps four copies of a picture.
MAX_PIXELS = {
    "JPEG": 50_000_000,
    "PNG": 50_000_000,
    "GIF": 50_000_000,
    "WEBP": 30_000_000,
    "BMP": 50_000_000,
    "TIFF": 50_000_000,
    "AVIF": 30_000_000,
    "HEIF": 50_000_000,
}
READ = "JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC"
SUFFIXES = {
    ".jpg": "JPEG",
    ".jpeg": "JPEG",
    ".jpe": "JPEG",
    ".jfif": "JPEG",
    ".png": "PNG",
    ".apng": "PNG",
    ".gif": "GIF",
    ".webp": "WEBP",
    ".bmp": "BMP",
    ".dib": "BMP",
    ".tif": "TIFF",
    ".tiff": "TIFF",
    ".avif": "AVIF",
    ".heic": "HEIF",
    ".heif": "HEIF",
    ".hif": "HEIF",
}
MISSING = {"HEIF": "pip install 'one-shot-parts[heic]'", "AVIF": "pip install --upgrade pillow"}  # their decoders
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"mif1", b"msf1")
MAX_SIDE = 65_535  # what a JPEG can have; the filters of a resize grow with it
MAX_BYTES = 64 << 20
MAX_SECONDS = 3  # of computing; a phone's picture takes a tenth of that
MAX_READING = 4  # times a file's length that may be read in all: crafted tables can refer to the same bytes often
MAX_SCANS = 100  # of a progressive JPEG: each goes over all pixels; ten are usual
JPEG_START, JPEG_SCAN = b"\xff\xd8", b"\xff\xda\x00"
ONE_AT_A_TIME = threading.Lock()  # bounds a page's memory; and Python's warning filters are not per thread
EIGHT_BITS = [round(value / 257) for value in range(65536)]


def open_rgb(source: Any, call: str = "open_rgb") -> Image.Image:
    """Read a picture as it is meant to look: upright, transparency laid on white, 8 bits a colour.

    Args:
        source: a path, bytes, a binary file, a PIL image, or a NumPy array (H, W), (H, W, 3) or (H, W, 4)
            uint8. Of an animation the first frame.
        call: the public call to name in errors.
    Returns:
        PIL image, RGB.
    Raises:
        ImageError: not a JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC; truncated, empty or far too large.
    """
    picture = decode(source, call)
    try:
        return _to_rgb(picture)
    except ValueError as error:  # a mode that no file has, such as floats
        raise ImageError(
            call,
            "a picture of 8 or 16 bits, in grey or in colours",
            f"one in mode {picture.mode!r}",
            "Convert it to RGB",
        ) from error


def decode(source: Any, call: str) -> Image.Image:
    """Read a picture completely, its EXIF orientation applied, its pixels otherwise as stored.

    Args, Raises: as `open_rgb`.
    Returns:
        PIL image, loaded, never `source` itself.
    """
    if isinstance(source, np.ndarray):
        return _finished(_from_array(source, call), call)
    data = None
    try:
        data = None if isinstance(source, Image.Image) else _read(source, call)
        with ONE_AT_A_TIME, warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks about metadata
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            # Pillow tries only these formats, so that no rarely used decoder gets untrusted bytes.
            opened = source.copy() if data is None else Image.open(_Patient(data), formats=formats())
            return _finished(opened, call)
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(call, max(MAX_PIXELS.values()), _name(source)) from error
    except Exception as error:  # a decoder may raise anything on a broken file
        raise ImageError(
            call, f"a readable picture ({READ})", f"{_name(source)} ({_reason(error)})", _fix(data)
        ) from error


@functools.cache
def formats() -> tuple[str, ...]:
    """Pillow's names of the formats that can be read here: HEIC needs pillow-heif, AVIF a Pillow that has it."""
    try:
        import pillow_heif
    except ImportError:
        missing = {"HEIF"}
    else:
        missing = set()
        pillow_heif.register_heif_opener(thumbnails=False, depth_images=False, aux_images=False)
    if not features.check("avif"):
        missing.add("AVIF")
    return tuple(name for name in MAX_PIXELS if name not in missing)


def suffixes_read() -> set[str]:
    """Suffixes, in lower case, of the files that can be read here."""
    return {suffix for suffix, name in SUFFIXES.items() if name in formats()}


class _Patient(BytesIO):
    """Bytes whose `read` raises once decoding has taken too long, as with crafted headers."""

    def __init__(self, data):
        super().__init__(data)
        self.deadline = time.thread_time() + MAX_SECONDS
        self.left = MAX_READING * len(data) + (1 << 20)

    def read(self, size=-1):
        if time.thread_time() > self.deadline:
            raise TimeoutError(f"still not decoded after {MAX_SECONDS} s of computing")
        found = super().read(size)
        self.left -= len(found)
        if self.left < 0:
            raise OSError("the same bytes again and again")
        return found


def _read(source, call):
    """All bytes of a path, of bytes, or of a binary file from its position."""
    if isinstance(source, (str, os.PathLike)):
        if not Path(source).is_file():
            raise ImageError(call, "a picture file", f"no file at {str(source)!r}", "Check the path")
        with open(source, "rb") as file:
            return _read(file, call)
    if hasattr(source, "read"):
        source = source.read(MAX_BYTES + 1)
    if not isinstance(source, (bytes, bytearray, memoryview)):
        raise ImageError(
            call, "a path, bytes, binary file, PIL image or NumPy array", describe(source), "Pass one of these"
        )
    if len(source) > MAX_BYTES:
        raise ImageError(call, f"a file of at most {MAX_BYTES >> 20} MB", "a larger one", "Save it as JPEG")
    data = bytes(source)
    if data.startswith(JPEG_START) and data.count(JPEG_SCAN) > MAX_SCANS:
        raise ImageError(call, f"a JPEG of at most {MAX_SCANS} scans", data.count(JPEG_SCAN), "Save it anew")
    tiff.check_header(data)
    return data


def _finished(picture, call):
    """The picture loaded and upright, after its header has been checked."""
    if 0 in picture.size:
        raise ImageError(call, "at least one pixel", _size(picture), "Pass a picture")
    # A PIL image that never was a file has no format; its pixels are in memory already.
    limit = MAX_PIXELS.get(picture.format, max(MAX_PIXELS.values()))
    if picture.width * picture.height > limit or max(picture.size) > MAX_SIDE:
        raise _too_large(call, limit, _size(picture))
    if picture.format == "TIFF" and (used := picture.info.get("compression", "raw")) not in tiff.COMPRESSIONS:
        raise ValueError(f"a TIFF compressed by {used}")
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    return picture


def _to_rgb(picture):
    if picture.mode == "F":
        raise ValueError("the range of floats is anyone's guess")
    if picture.mode.startswith("I"):  # 16 bits; Pillow's own conversion would clip them at 255
        return picture.convert("I").point(EIGHT_BITS, "L").convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        paper = Image.new("RGB", picture.size, PAPER)
        paper.paste(picture, mask=picture)
        return paper
    return picture.convert("RGB")


def _too_large(call, limit, got):
    want = f"a picture of at most {limit / 1e6:.0f} million pixels, {MAX_SIDE} a side"
    return ImageError(call, want, got, "Make it smaller first")


def _from_array(array, call):
    if array.dtype != np.uint8 or not (array.ndim == 2 or (array.ndim == 3 and array.shape[2] in (3, 4))):
        raise ImageError(
            call,
            "an array (H, W), (H, W, 3) or (H, W, 4) uint8",
            describe(array),
            "Convert it to uint8 in 0..255, channels last",
        )
    if 0 in array.shape:
        raise ImageError(call, "at least one pixel", describe(array), "Pass a picture")
    return Image.fromarray(np.ascontiguousarray(array))


def _reason(error):
    """The first line of a decoder's error, without the repr of our objects."""
    return str(error).split("\n")[0].split(" <toolkit.")[0][:120] or type(error).__name__


def _fix(data):
    if data is not None and data[4:8] == b"ftyp":
        missing = "HEIF" if data[8:12] in HEIC_BRANDS else "AVIF"
        if missing not in formats():
            return f"Run {MISSING[missing]}"
    return "Open it in an image program and save it as PNG or JPEG"


def _name(source):
    """What to call a source in an error."""
    if isinstance(source, (bytes, bytearray, memoryview)):
        return f"{len(source)} bytes"
    return repr(str(source)) if isinstance(source, os.PathLike) else describe(source)


def _size(picture):
    return f"{picture.width}x{picture.height} pixels"
