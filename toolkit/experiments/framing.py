"""Photographs as they come: is the object found, framed, and segmented as well as if it were framed exactly?"""

import math
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from toolkit.autoshot import AutoShotSegmenter
from toolkit.errors import ImageError, ToolkitError
from toolkit.metrics import ConfusionMatrix
from toolkit.pictures.frames import Frame
from toolkit.pictures.images import FITS, check_fit, to_pil
from toolkit.pictures.pasting import paste
from toolkit.pictures.uploads import open_rgb
from toolkit.projection.framing import Framer
from toolkit.training.scenes import clutter

FRAMING_SIDE = 256  # of the pictures that are pasted
SHORTEST, LONGEST = 512, 2000  # longest side of a photograph
SMALLEST = 0.2  # of the photograph's shorter side: an object's
MOST_TURNED = 30.0  # degrees, either way
NEAR = 0.25, 1.35, 15.0  # sides, times, degrees: a frame farther off than one of these is not the one


def framing(
    framer: Framer,
    image: Tensor,
    label_map: Tensor | None = None,
    photographs: Sequence[str | Path] = (),
    segmenters: dict[str, Any] | None = None,
    *,
    num_steps: int | None = None,
    fit: str = "crop",
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Paste pictures onto photographs at any place, size and tilt, and find them again.

    Args:
        framer: what is judged.
        image: (N, 3, R, R) in [-1, 1], pictures framed exactly, that no training saw.
        label_map: (N, R, R), their labels; None for none.
        photographs: files without the object, to paste onto and to be refused; none: drawn ones.
        segmenters: name -> one of either kind, whose IoU is compared; they get this framer.
        num_steps: of projection, for segmenters that need one; None for as many as usual.
        fit: how the pictures were made square; of those padded, the edges that were repeated are not pasted.
        seed: of places, sizes and tilts.
        progress: show a bar.
    Returns:
        dict: "found" and "refused", percent; "off", median errors; "seconds" a picture; "iou", for each segmenter
        weighted IoU in percent, framed exactly and as it finds it by itself ("auto").
    Raises:
        ToolkitError: segmenters without labels.
    """
    segmenters = segmenters or {}
    if segmenters and label_map is None:
        raise ToolkitError("framing", "labelled pictures to judge segmenters by", "none", "Give --data, or a world")
    for segmenter in segmenters.values():
        (segmenter if isinstance(segmenter, AutoShotSegmenter) else segmenter.gan).framer = framer
    rng, num = torch.Generator().manual_seed(seed), len(image)
    off: list[tuple[float, float, float]] = []
    refused, seconds = 0, 0.0
    ious = {name: [ConfusionMatrix(len(s.classes)) for _ in range(2)] for name, s in segmenters.items()}
    for i in tqdm(range(num), desc="framing", unit="picture", disable=not progress):
        photograph = _photograph(photographs, i, rng)
        refused += not framer.find(photograph)
        frame = _somewhere(photograph.size, rng)
        picture = paste(photograph, image[i], frame, fit)
        started = time.perf_counter()
        found = framer.find(picture)
        seconds += time.perf_counter() - started
        errors = [_errors(one.frame, frame) for one in found]
        off += [e for e in errors if all(a <= b for a, b in zip(e, NEAR))][:1]
        for name, segmenter in segmenters.items():
            truth = frame.restore(label_map[i])  # type: ignore[index]
            for matrix, align in zip(ious[name], (frame, "auto"), strict=True):
                matrix.update(_labels(segmenter, picture, align, num_steps), truth)
    middle = torch.tensor(off or [[math.nan] * 3]).median(0).values.tolist()
    return {
        "pictures": num,
        "found": round(100 * len(off) / num, 1),
        "refused": round(100 * refused / num, 1),
        "off": dict(zip(("centre (sides)", "size (times)", "tilt (degrees)"), (round(m, 3) for m in middle))),
        "seconds": round(seconds / num, 3),
        "iou": {
            name: {"exactly": round(100 * exact.weighted_iou(), 2), "found": round(100 * by_framer.weighted_iou(), 2)}
            for name, (exact, by_framer) in ious.items()
        },
    }


def framing_of_cut(
    framer: Framer, files: Sequence[str | Path], fit: str = "pad", *, progress: bool = False
) -> dict[str, Any]:
    """Find the object in photographs that were cut to it, as they are: nothing is pasted, so nothing betrays it.

    Args:
        framer: what is judged.
        files: pictures cut to the object, that no training saw.
        fit: how such pictures became square for training; that square is the frame to find.
        progress: show a bar.
    Returns:
        dict: "pictures"; "found", percent; "off", medians of those found: how far the centre is off in sides of the
        frame, how many times as large the frame is, and how far it is turned, in degrees; NaN
        where none was found.
    Raises:
        ToolkitError: another fit. ImageError: a file that is no picture.
    """
    square = FITS[check_fit(fit, "framing")]
    off: list[tuple[float, ...]] = []
    for file in tqdm(files, desc="framing", unit="picture", disable=not progress):
        picture = open_rgb(file, "framing")
        frame = Frame(square(picture), picture.size)
        placed = framer.find(picture)
        found = [one for one in placed if all(a <= b for a, b in zip(_errors(one.frame, frame), NEAR))]
        off += [(*_errors(one.frame, frame)[::2], one.frame.side / frame.side) for one in found[:1]]
    centre, turned, size = torch.tensor(off or [(math.nan,) * 3]).median(0).values.tolist()
    return {
        "pictures": len(files),
        "found": round(100 * len(off) / max(1, len(files)), 1),
        "off": {"centre (sides)": round(centre, 3), "size (times)": round(size, 3), "tilt (degrees)": round(turned, 3)},
    }


def _photograph(files, i, rng):
    """A photograph, or a drawn one, enlarged to some size."""
    longest = int(torch.randint(SHORTEST, LONGEST + 1, (), generator=rng))
    picture = open_rgb(files[i % len(files)], "framing") if files else to_pil(clutter(1, rng, 256)[0])
    scale = longest / max(picture.size)
    return picture.resize((round(picture.width * scale), round(picture.height * scale)), Image.Resampling.BICUBIC)


def _somewhere(size, rng):
    """A frame in a picture of this size, all of whose middle lies in it."""
    some = torch.rand(4, generator=rng).tolist()
    side = min(size) * math.exp(math.log(SMALLEST) * (1 - some[0]))
    x, y = (side / 2 + at * (length - side) for at, length in zip(some[1:3], size, strict=True))
    return Frame.around((x, y), side, (some[3] * 2 - 1) * MOST_TURNED, size)


def _errors(found, frame):
    distance = math.dist(found.centre, frame.centre) / frame.side
    ratio = max(found.side / frame.side, frame.side / found.side)
    return distance, ratio, abs((found.angle - frame.angle + 180) % 360 - 180)


def _labels(segmenter, picture, align, num_steps):
    """(H, W): what it sees; background wherever it sees nothing."""
    options = {} if isinstance(segmenter, AutoShotSegmenter) else {"num_steps": num_steps, "judge": False}
    try:
        found = segmenter.segment(picture, align=align, **options).full_label_map
    except ImageError:  # nothing is found
        return torch.zeros(picture.size[::-1], dtype=torch.int64)
    return torch.where(found == 255, 0, found)
