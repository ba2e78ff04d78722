"""What all data sets share: the check of a folder, a cut through picture and labels, a split by name."""

import hashlib

import numpy as np
import torch
import torch.nn.functional as F

from toolkit.errors import ToolkitError
from toolkit.pictures import images
from toolkit.pictures.labels import IGNORE_INDEX

TEST_SHARE = 5  # one picture in five is for scoring


def check_layout(call, folder, parts, fix):
    """Refuse a folder that lacks a part.

    Args:
        call: the public call to name in errors.
        folder: Path.
        parts: dict, path inside the folder -> what it holds.
        fix: where to get it.
    Raises:
        ToolkitError: names all that is missing.
    """
    missing = [f"{path} ({what})" for path, what in parts.items() if not (folder / path).exists()]
    if missing:
        raise ToolkitError(call, f"{', '.join(parts)} in {folder}", f"no {', no '.join(missing)}", fix)


def split_by_name(ids):
    """Ids as dict of lists, "train" and "test": by a hash of the name, so that more pictures move none."""
    parts = {"train": [], "test": []}
    for name in sorted(ids):
        test = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % TEST_SHARE == 0
        parts["test" if test else "train"].append(name)
    return parts


def cut(picture, label_map, box, num_classes, resolution):
    """What a box holds of a picture and of its labels.

    Args:
        picture: what `images.load_image` takes.
        label_map: (H, W) integers, NumPy; 255 = unlabelled.
        box: (left, top, right, bottom) in the picture's pixels, whole numbers; may reach beyond it.
        num_classes: parts + background.
        resolution: R.
    Returns:
        image (1, 3, R, R) in [-1, 1], edges repeated; label_map (1, R, R) int64: the label that covers most
        of each pixel, 255 beyond the picture.
    """
    image, _ = images.frame_image(picture, resolution, images.given_box(box))
    left, top, right, bottom = (int(edge) for edge in box)
    height, width = label_map.shape
    inside = np.full((bottom - top, right - left), IGNORE_INDEX, np.uint8)
    y0, y1, x0, x1 = max(top, 0), min(bottom, height), max(left, 0), min(right, width)
    inside[y0 - top : y1 - top, x0 - left : x1 - left] = label_map[y0:y1, x0:x1]
    known = torch.from_numpy(inside.astype(np.int64))
    one_hot = F.one_hot(known.where(known != IGNORE_INDEX, num_classes), num_classes + 1)
    shares = F.adaptive_avg_pool2d(one_hot.permute(2, 0, 1)[None].float(), resolution)
    found = shares.argmax(1)
    return image, found.where(found != num_classes, IGNORE_INDEX)
