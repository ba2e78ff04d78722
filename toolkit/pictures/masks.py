"""Read mask files of other programs: the class of each pixel, by number or by colour."""

import numpy as np
from PIL import Image

from toolkit.errors import ImageError, LabelError

BLACK, WHITE = 0, 255
MOST_NAMED = 3  # colours or values in one line of error


def numbers(picture: Image.Image, name: str) -> np.ndarray:
    """The values of a mask as they are stored.

    Args:
        picture: as `uploads.decode` gives it: grey of 1, 8 or 16 bits, indexed, or grey written as colour.
        name: what to call it in errors.
    Returns:
        (H, W) uint8.
    Raises:
        ImageError: colours, transparency, a JPEG. LabelError: values beyond 255, or black and white alone.
    """
    picture = _whole(picture, name)
    values = np.asarray(picture)
    if picture.mode == "RGB":
        if (values != values[..., :1]).any():
            raise ImageError(
                "load_label_png",
                "class numbers: an indexed or grey PNG",
                f"colours (mode {picture.mode!r}) in {name}",
                "Save class numbers, e.g. with save_label_png, or say which colour is which class",
            )
        values = values[..., 0]
    if values.max() > 255:
        raise LabelError("load_label_png", "values 0 to 255", f"{values.max()} in {name}", "Save class numbers")
    if black_and_white(picture, values):
        raise LabelError(
            "load_label_png",
            "class numbers 0, 1, 2, ... and 255 for unlabelled",
            f"black 0 and white 255 alone in {name}",
            "If white is a part, save it as 1; if it is unlabelled, save the mask with save_label_png",
        )
    return values.astype(np.uint8)


def black_and_white(picture: Image.Image, values: np.ndarray) -> bool:
    """Whether a mask of 8 bits has no other values than black 0 and white 255, and some white."""
    if picture.mode == "1" or not (values == WHITE).any() or not set(np.unique(values)) <= {BLACK, WHITE}:
        return False
    # In an indexed mask 255 is white only with a grey palette; with others it means unlabelled.
    return picture.mode != "P" or picture.getpalette() == [grey for grey in range(256) for _ in "rgb"]


def classes_of_colors(picture: Image.Image, palette: np.ndarray, unlabelled: tuple, name: str) -> np.ndarray:
    """The class of each pixel by its colour.

    Args:
        picture: as `uploads.decode` gives it.
        palette: (K, 3) uint8, all different.
        unlabelled: the colour, (r, g, b), of what has no label.
        name: what to call it in errors.
    Returns:
        (H, W) uint8, 255 = unlabelled.
    Raises:
        ImageError: transparency, a JPEG. LabelError: a colour that is none of these.
    """
    pixels = _codes(np.asarray(_whole(picture, name).convert("RGB")))
    known = {int(_codes(np.array(unlabelled))): 255} | {int(code): i for i, code in enumerate(_codes(palette))}
    used, where = np.unique(pixels, return_inverse=True)
    strange = [code for code in used.tolist() if code not in known]
    if strange:
        named = ", ".join(f"#{code:06X}" for code in strange[:MOST_NAMED])
        raise LabelError(
            "load_label_png",
            f"no colours but those of the {len(palette)} classes",
            f"{len(strange)} others, such as {named}, in {name}",
            "Draw the mask without soft edges, and save it as PNG",
        )
    return np.array([known[code] for code in used.tolist()], np.uint8)[where.reshape(pixels.shape)]


def colors_of(picture: Image.Image) -> dict[int, str]:
    """The colours that an indexed picture uses: index -> "#RRGGBB"; empty for others."""
    if picture.mode != "P":
        return {}
    codes = _codes(np.array(picture.getpalette("RGB")).reshape(-1, 3))
    return {index: f"#{codes[index]:06X}" for index in np.unique(np.asarray(picture)).tolist() if index < len(codes)}


def _whole(picture, name):
    """The picture without its alpha channel if that is opaque; transparency and JPEGs are refused."""
    if picture.format == "JPEG":
        raise ImageError("load_label_png", "a PNG", f"a JPEG, {name}, which smears labels", "Save masks as PNG")
    if picture.mode in ("LA", "PA", "RGBA"):
        if picture.getchannel("A").getextrema() != (255, 255):
            raise ImageError(
                "load_label_png", "a label for each pixel", f"transparent ones in {name}", "Fill them with a class"
            )
        return picture.convert("L" if picture.mode == "LA" else "RGB")
    return picture


def _codes(colors):
    """One number, 0xRRGGBB, for each colour (..., 3)."""
    return colors.astype(np.int64) @ np.array([1 << 16, 1 << 8, 1])
