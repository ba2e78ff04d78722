"""Which pictures of one folder are in another as well, in another cut or size: tests must not have been trained on."""

from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from toolkit.errors import ToolkitError
from toolkit.pictures.folders import pictures_in
from toolkit.pictures.images import load_image

LIKE, CANDIDATES = 24, 12  # pixels of pictures as all are compared, and how many of the likest are looked at closely
CLOSE, COARSE = 48, 9  # pixels of those, and of the mean that is taken off: many faces are light and dark alike
SAME = 0.87  # correlation of what is left, at the best place and size: of other faces at most 0.8, of the same 0.94
SCALES, SHIFTS = (0.9, 0.95, 1.0, 1.05, 1.1), (-0.12, -0.08, -0.04, 0.0, 0.04, 0.08, 0.12)
FINER = ((0.97, 0.985, 1.0, 1.015, 1.03), (-0.02, 0.0, 0.02))  # steps around the best of these


def overlap(folder: str | Path, others: str | Path, *, progress: bool = False) -> dict[str, Any]:
    """Pictures of a folder that are in another folder too, cut a little otherwise, or mirrored.

    Found are those cut up to a tenth larger or smaller, or moved by up to an eighth of the side; not those turned.

    Args:
        folder: pictures to look for, e.g. those to score on; searched with its sub-folders.
        others: where to look, e.g. those that a GAN learned from.
        progress: show bars.
    Returns:
        dict: pictures, their number; others, theirs; found, a list of {"picture", "other": files' names, "alike":
        correlation in 0..1} with alike >= `SAME`, the likest first.
    Raises:
        ToolkitError: a folder without pictures. ImageError: a file that cannot be read.
    """
    mine, theirs = (_files(path) for path in (folder, others))
    image, other = (_read(files, progress) for files in (mine, theirs))
    like = _unit(F.interpolate(other, size=LIKE, mode="area"))
    found = []
    for i in tqdm(range(len(mine)), desc="compare", disable=not progress):
        both = torch.cat([image[i : i + 1], image[i : i + 1].flip(3)])
        here = F.interpolate(both, size=LIKE, mode="area")
        shifted = torch.cat([here.roll((dy, dx), (2, 3)) for dy, dx in product((-1, 0, 1), repeat=2)])
        near = (_unit(shifted) @ like.T).max(0).values.topk(min(CANDIDATES, len(theirs))).indices
        alike = torch.stack([_best(view, other[near]) for view in both]).max(0).values
        if alike.max() >= SAME:
            pair = {"picture": mine[i].name, "other": theirs[near[alike.argmax()]].name}
            found.append({**pair, "alike": round(float(alike.max()), 3)})
    found.sort(key=lambda pair: pair["alike"], reverse=True)
    return {"pictures": len(mine), "others": len(theirs), "found": found}


def _files(folder):
    files = pictures_in(Path(folder), deep=True).files
    if not files:
        raise ToolkitError("overlap", "a folder with pictures", folder, "Check the path")
    return files


def _read(files: Sequence[Path], progress: bool) -> Tensor:
    """Grey pictures (N, 1, CLOSE, CLOSE)."""
    bar = tqdm(files, desc="read", disable=not progress)
    return torch.cat([load_image(file, CLOSE).mean(1, keepdim=True) for file in bar])


def _unit(image):
    """Pictures (N, 1, H, W) without their mean and contrast: (N, HW) of length 1."""
    flat = image.flatten(1) - image.flatten(1).mean(1, keepdim=True)
    return F.normalize(flat)


def _fine(image):
    """The middle of pictures without their coarse light and dark."""
    inner = CLOSE // 8
    left = image - F.avg_pool2d(image, COARSE, 1, COARSE // 2, count_include_pad=False)
    return _unit(left[:, :, inner:-inner, inner:-inner])


def _best(image, others):
    """The best correlation of one picture, at any place and size tried, with each of some others: (M,)."""
    other = _fine(others)
    views = [(scale, y, x) for scale in SCALES for y, x in product(SHIFTS, repeat=2)]
    alike = _fine(_views(image, views)) @ other.T
    scale, y, x = views[int(alike.max(1).values.argmax())]
    finer = [(scale * by, y + dy, x + dx) for by in FINER[0] for dy, dx in product(FINER[1], repeat=2)]
    return torch.cat([alike, _fine(_views(image, finer)) @ other.T]).max(0).values


def _views(image, views):
    """A picture (1, H, W) scaled and moved: (N, 1, H, W) for N of (scale, y, x)."""
    theta = torch.tensor([[[scale, 0, x], [0, scale, y]] for scale, y, x in views])
    grid = F.affine_grid(theta, [len(views), *image.shape], align_corners=False)
    return F.grid_sample(image.expand(len(views), -1, -1, -1), grid, padding_mode="border", align_corners=False)
