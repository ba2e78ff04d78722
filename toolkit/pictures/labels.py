"""Label maps: class sets, palettes, checks at the door, indexed PNG files."""

import colorsys
import unicodedata
import zlib
from collections.abc import Iterable, Mapping, Sequence, Set
from os import PathLike

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toolkit.errors import LabelError, ShapeError, describe
from toolkit.files import replace_when_done
from toolkit.pictures import masks
from toolkit.pictures.images import to_pil
from toolkit.pictures.uploads import decode

__all__ = [
    "IGNORE_INDEX",
    "PORTRAIT_CLASSES",
    "THREE_CLASSES",
    "as_label_map",
    "check_classes",
    "check_label_map",
    "check_values",
    "colorize",
    "default_palette",
    "keep",
    "load_label_png",
    "merge",
    "overlay",
    "palette_of",
    "save_label_png",
]

IGNORE_INDEX = 255  # unlabelled, which is not background
PORTRAIT_CLASSES = (
    "background",
    "face",
    "hair",
    "eyes",
    "eyebrows",
    "nose",
    "mouth",
    "ears",
    "neck",
    "clothes",
)
THREE_CLASSES = ("background", "eyes", "mouth", "nose")

UNLABELLED_COLOR = (128, 128, 128)
# Background, then Paul Tol's "muted" scheme, made to be told apart with any colour vision. Its nine
# colours are ordered so that parts that touch in a face differ most in lightness.
COLORS = (
    (34, 34, 40),
    (136, 204, 238),
    (51, 34, 136),
    (221, 204, 119),
    (136, 34, 85),
    (68, 170, 153),
    (204, 102, 119),
    (153, 153, 51),
    (170, 68, 153),
    (17, 119, 51),
)
APART = 100  # between two colours, of 442 between black and white: told apart over a picture, too


def merge(label_map: Tensor | np.ndarray, from_classes: Sequence[str], to_classes: Sequence[str]) -> Tensor:
    """Reduce a label map to fewer classes: those that to_classes lacks become background.

    Args:
        label_map: (N, H, W) int64 over from_classes; 255 stays 255.
        from_classes, to_classes: names, background first.
    Returns:
        label_map (N, H, W) int64 over to_classes.
    Raises:
        LabelError: a value that is no class, or a name in to_classes that from_classes lacks.
    """
    unknown = [name for name in to_classes if name not in from_classes]
    if unknown:
        raise LabelError("merge", f"classes among {tuple(from_classes)}", unknown, "Spell them as there")
    table = torch.full((IGNORE_INDEX + 1,), -1)
    table[IGNORE_INDEX] = IGNORE_INDEX
    for i, name in enumerate(from_classes):
        table[i] = to_classes.index(name) if name in to_classes else 0
    label_map = as_label_map(label_map, "merge")
    check_values(label_map, len(from_classes), "merge")
    return table.to(label_map.device)[label_map]


def keep(label_map: Tensor | np.ndarray, from_classes: Sequence[str], to_classes: Sequence[str]) -> Tensor:
    """Carry labels over to another set of classes by name; what it does not name becomes unlabelled.

    Args:
        label_map: (N, H, W) int64 over from_classes; 255 stays 255.
        from_classes, to_classes: names, background first.
    Returns:
        label_map (N, H, W) int64 over to_classes.
    Raises:
        LabelError: a value that is no class.
    """
    label_map = as_label_map(label_map, "keep")
    check_values(label_map, len(from_classes), "keep")
    table = torch.full((IGNORE_INDEX + 1,), IGNORE_INDEX)
    for i, name in enumerate(from_classes):
        table[i] = to_classes.index(name) if name in to_classes else IGNORE_INDEX
    return table.to(label_map.device)[label_map]


def check_classes(classes: Iterable[str], call: str) -> tuple[str, ...]:
    """The names of classes, once it is certain that each label has one of its own that can be read.

    Args:
        classes: list of names, background first, at most 255.
        call: the public call to name in errors.
    Returns:
        tuple of str.
    Raises:
        LabelError: a string or a dictionary instead of a list; a name that is none, empty, or broken into lines; one
            name twice, be it written with other spaces or composed of other Unicode characters.
    """
    fix = "Pass a list of different names, background first"
    if isinstance(classes, (str, bytes, Mapping, Set)) or not isinstance(classes, Iterable):
        if isinstance(classes, Mapping):  # whether names or numbers are its keys would be a guess
            fix = "Pass a list of names in the order of their numbers, background first"
        raise LabelError(call, "a list of class names", f"{type(classes).__name__} {describe(classes)}", fix)
    names = tuple(classes)
    if not 1 <= len(names) <= IGNORE_INDEX:
        raise LabelError(call, f"1 to {IGNORE_INDEX} class names", len(names), "Use fewer classes" if names else fix)
    seen = {}
    for name in names:
        kinds = {unicodedata.category(letter) for letter in name} if isinstance(name, str) else {"none"}
        if kinds & {"none", "Cc", "Cs", "Zl", "Zp"} or not any(kind[0] not in "CZ" for kind in kinds):
            raise LabelError(call, "names of letters that can be seen, on one line", describe(name), fix)
        same = unicodedata.normalize("NFC", " ".join(name.split()))
        if same in seen:
            raise LabelError(call, "a name of its own for each class", f"{describe(name)} twice", fix)
        seen[same] = name
    return tuple(map(str, names))


def as_label_map(label_map: object, call: str) -> Tensor:
    """Labels as int64, in whatever form people have them.

    Args:
        label_map: a tensor, or a NumPy array in any order of memory, or nested lists, of integers or booleans; or a
            PIL picture whose values are classes, as `masks.numbers` takes it.
        call: the public call to name in errors.
    Returns:
        int64 tensor of the same shape, on its own device.
    Raises:
        ShapeError: anything else. ImageError, LabelError: a PIL picture of colours, or of black and white alone.
    """
    value = label_map
    if isinstance(value, Image.Image):
        value = masks.numbers(value, f"the mask that {call} was given")
    if isinstance(value, (list, tuple)):
        try:
            value = np.asarray(value)
        except ValueError:  # rows of different lengths
            value = np.empty(0, object)
    if isinstance(value, np.ndarray) and value.dtype.kind in "biu":
        return torch.from_numpy(
            value.astype(np.int64, order="C")
        )  # a copy: torch cannot take one that is flipped or big-endian
    if isinstance(value, Tensor) and not value.is_floating_point() and not value.is_complex():
        return value.long()
    raise ShapeError(call, "label_map of integers", describe(label_map), "Convert it with label_map.long()")


def default_palette(num_classes: int) -> np.ndarray:
    """A colour for each class: background dark, parts distinct for any colour vision up to ten classes.

    Args:
        num_classes: parts + background, 1 to 255.
    Returns:
        palette (num_classes, 3) uint8, NumPy.
    Raises:
        LabelError: num_classes out of range.
    Source: P. Tol, "Colour Schemes" (technical note SRON/EPS/TN/09-002), muted; beyond ten classes
        hues a golden angle apart.
    """
    if not 1 <= num_classes <= IGNORE_INDEX:
        raise LabelError("default_palette", f"1 to {IGNORE_INDEX} classes", num_classes, "Use fewer classes")
    more = range(len(COLORS), num_classes)
    extra = [colorsys.hls_to_rgb(i * 0.618 % 1, (0.35, 0.55, 0.75)[i % 3], 0.65) for i in more]
    colors = [*COLORS, *(tuple(round(255 * c) for c in color) for color in extra)]
    return np.array(colors[:num_classes], np.uint8)


def palette_of(classes: Sequence[str]) -> np.ndarray:
    """A colour for each class by its name, so that a part of a face has the same one in every set of classes.

    Args:
        classes: names, background first, 1 to 255.
    Returns:
        palette (K, 3) uint8, NumPy: parts among `PORTRAIT_CLASSES` as `default_palette` has them there, others beside
        them in further colours that their names choose, told apart at a glance while there are such. Without such
        parts `default_palette` itself.
    """
    own = {name: i for i, name in enumerate(PORTRAIT_CLASSES) if i and name in classes[1:]}
    if not own:
        return default_palette(len(classes))
    palette = default_palette(IGNORE_INDEX)
    further = range(len(PORTRAIT_CLASSES), IGNORE_INDEX)
    chosen = [0]
    for name in classes[1:]:
        if name in own:
            chosen.append(own[name])
            continue
        first = zlib.crc32(name.encode()) % len(further)
        order = [*further[first:], *further[:first], *range(len(PORTRAIT_CLASSES))]  # these when all others are taken
        taken = {*chosen, *own.values()}
        free = [i for i in order if i not in taken]
        apart = np.linalg.norm(palette[free][:, None] - palette[[*taken]].astype(float), axis=2).min(1) >= APART
        chosen.append(free[apart.argmax()])  # the first of them; or, where none is, the first that is free
    return palette[chosen]


def check_label_map(label_map: Tensor | np.ndarray, num_classes: int, call: str) -> None:
    """Refuse labels that nothing can be learned from.

    Args:
        label_map: (N, H, W) integers, tensor or NumPy; 0..num_classes-1, or 255 = unlabelled.
        num_classes: parts + background.
        call: the public call to name in errors.
    Raises:
        ShapeError: not three-dimensional, or not integers.
        LabelError: a value out of range, no pixel labelled, or only one class.
    """
    label_map = as_label_map(label_map, call)
    if label_map.ndim != 3:
        raise ShapeError(call, "label_map (N, H, W)", describe(label_map), "Use label_map[None] for one")
    check_values(label_map, num_classes, call)
    present = [v for v in np.unique(_numpy(label_map)).tolist() if v != IGNORE_INDEX]
    if not present:
        raise LabelError(call, "at least two classes labelled", "no labelled pixel", "Paint the parts first")
    if len(present) == 1:
        got, fix = f"only class {present[0]}", "Label some background as well as a part"
        if present == [0] and (label_map == IGNORE_INDEX).any():
            got, fix = f"only class 0, and {IGNORE_INDEX}, which is unlabelled", "If white is a part, write 1 for it"
        raise LabelError(call, "at least two classes labelled", got, fix)


def save_label_png(path: str | PathLike, label_map: Tensor | np.ndarray, palette: np.ndarray) -> None:
    """Write a label map as an indexed PNG, whole or not at all; any program shows it in colour.

    Args:
        path: the file; its folder is created.
        label_map: (H, W) or (1, H, W) integers in 0..K-1, or 255 = unlabelled.
        palette: (K, 3) uint8.
    Raises:
        ShapeError, LabelError: not such a label map or palette.
    """
    indices = _single(label_map, "save_label_png")
    _check_palette(palette, "save_label_png")
    check_values(indices, len(palette), "save_label_png")
    picture = Image.fromarray(_numpy(indices).astype(np.uint8))
    picture.putpalette(_all_colors(palette).tobytes())
    with replace_when_done(path) as temporary:
        picture.save(temporary, format="PNG")


def load_label_png(path: str | PathLike, palette: np.ndarray | None = None) -> Tensor:
    """Read a PNG whose values, or whose colours, are classes.

    Args:
        path: the file: indexed, grey of 1, 8 or 16 bits, or in colours.
        palette: (K, 3) uint8, the colour of each class, by which labels are told; `UNLABELLED_COLOR` is
            unlabelled where it is none of them. None: the file's values are class numbers.
    Returns:
        label_map (1, H, W) int64, 255 = unlabelled.
    Raises:
        ImageError: no such picture, a JPEG, transparent pixels, or colours without a palette.
        LabelError: black 0 and white 255 alone, or a colour that is not of the palette.
    """
    picture = decode(path, "load_label_png")
    if palette is None:
        values = masks.numbers(picture, str(path))
    else:
        _check_palette(palette, "load_label_png")
        values = masks.classes_of_colors(picture, palette, UNLABELLED_COLOR, str(path))
    return torch.from_numpy(values.astype(np.int64))[None]


def colorize(label_map: Tensor | np.ndarray, palette: np.ndarray) -> Image.Image:
    """A label map in its palette's colours, unlabelled pixels grey.

    Args:
        label_map: (H, W) or (1, H, W) integers in 0..K-1, or 255.
        palette: (K, 3) uint8.
    Returns:
        PIL image, RGB.
    Raises:
        ShapeError, LabelError: not such a label map or palette.
    """
    indices = _single(label_map, "colorize")
    _check_palette(palette, "colorize")
    check_values(indices, len(palette), "colorize")
    return Image.fromarray(_all_colors(palette)[_numpy(indices)])


def overlay(
    image: Tensor | Image.Image,
    label_map: Tensor | np.ndarray,
    palette: np.ndarray,
    alpha: float = 0.5,
) -> Image.Image:
    """A picture with its parts tinted; background and unlabelled pixels stay as they are.

    Args:
        image: (1, 3, H, W) float in [-1, 1], or a PIL image, which is left alone.
        label_map: (H, W) or (1, H, W) integers in 0..K-1, or 255.
        palette: (K, 3) uint8.
        alpha: strength of the tint, 0 to 1.
    Returns:
        PIL image, RGB.
    Raises:
        ShapeError, LabelError: not as above, or of different sizes.
    """
    indices = _numpy(_single(label_map, "overlay"))
    height, width = indices.shape
    if isinstance(image, Image.Image):
        fits, got = image.size == (width, height), f"a picture of {image.width}x{image.height}"
    else:
        fits, got = tuple(image.shape) == (1, 3, height, width), describe(image)
    if not fits:
        fix = "Pass one picture and its own label map"
        raise ShapeError("overlay", f"image (1, 3, {height}, {width}), or a picture of {width}x{height}", got, fix)
    if not 0 <= alpha <= 1:
        raise ShapeError("overlay", "alpha in [0, 1]", alpha, "Use e.g. 0.5")
    # In PIL's bytes: an upload of 50 million pixels as floats would fill the memory.
    tinted = image.convert("RGB") if isinstance(image, Image.Image) else to_pil(image)
    strength = [0 if i in (0, IGNORE_INDEX) else round(255 * alpha) for i in range(256)]
    mask = Image.fromarray(indices.astype(np.uint8)).point(strength)
    tinted.paste(colorize(indices, palette), mask=mask)
    return tinted


def _numpy(label_map):
    return label_map.cpu().numpy() if isinstance(label_map, torch.Tensor) else label_map


def _single(label_map, call):
    """(H, W) from (H, W) or (1, H, W)."""
    label_map = as_label_map(label_map, call)
    if label_map.ndim == 3 and len(label_map) == 1:
        label_map = label_map[0]
    if label_map.ndim != 2:
        raise ShapeError(call, "label_map (H, W) or (1, H, W)", describe(label_map), "Pass one at a time")
    return label_map


def check_values(label_map: Tensor | np.ndarray, num_classes: int, call: str) -> None:
    """Refuse, with a LabelError, labels other than 0..num_classes-1 and 255."""
    values = np.unique(_numpy(label_map))
    wrong = [v for v in values.tolist() if not 0 <= v < num_classes and v != IGNORE_INDEX]
    if wrong:
        raise LabelError(
            call,
            f"labels 0..{num_classes - 1}, or {IGNORE_INDEX} for unlabelled",
            f"value {wrong[0]}",
            "Name every class you paint, background first",
        )


def _check_palette(palette, call):
    if getattr(palette, "shape", (0,))[1:] != (3,) or palette.dtype != np.uint8 or len(palette) > IGNORE_INDEX:
        raise ShapeError(call, "palette (K, 3) uint8", describe(palette), "Use default_palette(num_classes)")


def _all_colors(palette):
    """The palette for all 256 values: unlabelled, and what is never used, grey."""
    colors = np.full((256, 3), UNLABELLED_COLOR, np.uint8)
    colors[: len(palette)] = palette
    return colors
