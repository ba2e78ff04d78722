"""Masks as run lengths, as other programs read them."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from toolkit.errors import ToolkitError

WORD = 8  # bits of a value
SIZES = (3, 4, 8, 16)  # bits of a run's length, of four kinds


def coco_annotations(label_map: np.ndarray, classes: Sequence[str]) -> list[dict[str, Any]]:
    """The parts of one picture as COCO annotations with run-length masks, those without a pixel left out.

    Args:
        label_map: (H, W) integers.
        classes: names, background first, which is left out.
    Returns:
        list of dicts: category_id (the label), category (its name), segmentation (RLE), area, bbox
        (x, y, width, height), iscrowd 0.
    Raises:
        ToolkitError: pycocotools is not installed.
    """
    try:
        from pycocotools import mask
    except ImportError as error:
        raise ToolkitError(
            "coco",
            "the package pycocotools",
            "none installed",
            'Install it with: pip install "one-shot-parts[coco]"',
        ) from error
    annotations = []
    for i, name in enumerate(classes[1:], start=1):
        rle = mask.encode(np.asfortranarray(label_map == i, dtype=np.uint8))
        if area := int(mask.area(rle)):
            segmentation = {"size": list(rle["size"]), "counts": rle["counts"].decode("ascii")}
            annotations.append(
                {
                    "category_id": i,
                    "category": name,
                    "segmentation": segmentation,
                    "area": area,
                    "bbox": mask.toBbox(rle).tolist(),
                    "iscrowd": 0,
                }
            )
    return annotations


def brush_rle(mask: np.ndarray) -> list[int]:
    """A mask as Label Studio's brush stores it: the runs of its RGBA pixels, packed bit by bit.

    Args:
        mask: (H, W) bool.
    Returns:
        bytes 0..255.
    Source: https://github.com/thi-ng/umbrella/tree/develop/packages/rle-pack, which Label Studio uses.
    """
    values = mask.ravel()
    starts = np.flatnonzero(np.diff(values, prepend=~values[:1]))
    lengths = np.diff(starts, append=len(values)) * 4  # a pixel is four equal bytes
    most = 1 << SIZES[-1]
    bits = [f"{4 * len(values):032b}{WORD - 1:05b}", *(f"{size - 1:04b}" for size in SIZES)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = f"{255 if values[start] else 0:08b}"
        while length:
            run = min(length, most)
            kind = next(i for i, size in enumerate(SIZES) if run <= 1 << size)
            bits.append(f"1{kind:02b}{run - 1:0{SIZES[kind]}b}{value}")
            length -= run
    joined = "".join(bits)
    return list(int(joined.ljust(-(-len(joined) // 8) * 8, "0"), 2).to_bytes(-(-len(joined) // 8), "big"))
