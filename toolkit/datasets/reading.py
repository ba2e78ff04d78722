"""Shared by all data sets: check a folder's layout, crop pictures with their labels, split by name."""

import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from toolkit.errors import ToolkitError
from toolkit.pictures import images, resampling
from toolkit.pictures.labels import check_values

TEST_SHARE = 5  # one picture in five is for scoring
MOST_NAMED = 3  # how many items an error lists


def check_layout(call: str, folder: Path, parts: Mapping[str, str], fix: str) -> None:
    """Refuse a folder that lacks a part.

    Args:
        call: the public call to name in errors.
        folder: Path.
        parts: dict, path inside the folder -> what it holds.
        fix: where to get it.
    Raises:
        ToolkitError: parts are missing; it names all of them.
    """
    missing = [f"{path} ({what})" for path, what in parts.items() if not (folder / path).exists()]
    if missing:
        raise ToolkitError(call, f"{', '.join(parts)} in {folder}", f"no {', no '.join(missing)}", fix)


def only(call: str, want: str, files: list[Path]) -> Path:
    """The only file of a list; raises ToolkitError (`want`: what was expected) where there are more."""
    if len(files) > 1:
        got = some([file.name for file in files])
        raise ToolkitError(call, want, got, "Keep one of them, or rename the others")
    return files[0]


def some(things: list) -> str:
    """The first few of many, for an error message."""
    return ", ".join(map(str, things[:MOST_NAMED])) + (", ..." if len(things) > MOST_NAMED else "")


def split_by_name(ids: Iterable[str]) -> dict[str, list[str]]:
    """Ids as dict of lists, "train" and "test", by a hash of the name: adding pictures moves no others."""
    parts = {"train": [], "test": []}
    for name in sorted(ids):
        test = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % TEST_SHARE == 0
        parts["test" if test else "train"].append(name)
    return parts


def stack(pairs: list, call: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Pictures and label maps as one batch each.

    Args:
        pairs: of (1, 3, R, R) and (1, R, R).
        call: the public call to name in errors.
    Raises:
        ToolkitError: no pairs.
    """
    if not pairs:
        raise ToolkitError(call, "at least one picture", "none", "Add pictures: about one in five is for scoring")
    image, label_map = zip(*pairs, strict=True)
    return torch.cat(image), torch.cat(label_map)


def cut(
    picture: Image.Image, label_map: np.ndarray, box: tuple, num_classes: int, resolution: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Crop a picture and its labels to a box.

    Args:
        picture: PIL image.
        label_map: (H, W) integers, 255 = unlabelled; of the whole picture, at any resolution.
        box: (left, top, right, bottom) in the picture's pixels; may reach beyond it.
        num_classes: parts + background.
        resolution: R.
    Returns:
        image (1, 3, R, R) in [-1, 1], edges repeated; label_map (1, R, R) int64: the label that covers most
        of each pixel, see `resampling.majority`, 255 beyond the picture.
    Raises:
        LabelError: a label that is no class.
    """
    check_values(label_map, num_classes, "cut")
    image, _ = images.frame_image(picture, resolution, images.given_box(box))
    (height, width), (left, top, right, bottom) = label_map.shape, box
    rows = resampling.edges(top, bottom, resolution, height / picture.height)
    columns = resampling.edges(left, right, resolution, width / picture.width)
    found = resampling.majority(label_map, rows, columns)
    return image, torch.from_numpy(found.astype(np.int64))[None]
