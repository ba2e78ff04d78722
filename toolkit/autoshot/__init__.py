"""Auto-shot: distil a few-shot segmenter into a network that needs no GAN.

pairs = synthesize(segmenter, num_images=5000)
auto = train(pairs)
auto.segment("photo.jpg")

`distil` does both; `synthesizing`, `training` and `distilling` are the same jobs step by step.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from toolkit.autoshot.distillation import UNetPlan, train, training
from toolkit.autoshot.progress import Progress, last
from toolkit.autoshot.segmenter import AutoShotSegmenter
from toolkit.autoshot.synthesis import Pairs, check_number, synthesize, synthesizing

__all__ = [
    "AutoShotSegmenter",
    "Pairs",
    "Progress",
    "UNetPlan",
    "check",
    "distil",
    "distilling",
    "synthesize",
    "synthesizing",
    "train",
    "training",
]


def distil(segmenter: Any, num_images: int = 5000, *, progress: bool = False, **options: Any) -> AutoShotSegmenter:
    """Make an auto-shot network of a few-shot segmenter.

    Args:
        segmenter, num_images, options: as `distilling` takes them.
        progress: show bars.
    Returns:
        `AutoShotSegmenter`.
    Raises:
        ToolkitError: as `synthesizing` and `training`.
    """
    return last(distilling(segmenter, num_images, **options), progress)


def distilling(
    segmenter: Any,
    num_images: int = 5000,
    *,
    truncation_psi: float = 1.0,
    drop: float = 0.0,
    seed: int = 0,
    out_dir: str | Path | None = None,
    keep_pairs: bool = True,
    photographs: Tensor | np.ndarray | None = None,
    **options: Any,
) -> Iterator[Progress]:
    """Synthesise pairs, then train on them, as a generator: an interface can show progress and stop it.

    Args:
        segmenter, num_images, truncation_psi, drop, photographs: as `synthesizing` takes them.
        seed: of both stages.
        out_dir: folder for pairs, training and log; the same call resumes it. None writes nothing.
        keep_pairs: with a folder, write the pairs to it: twice as fast, and about K * R * R bytes each.
        options: the fields of `UNetPlan`.
    Yields:
        `Progress` of stage "synthesise", then of stage "train"; the last one's result is the
        `AutoShotSegmenter`.
    Raises:
        ToolkitError: as `synthesizing` and `training`.
    """
    check(segmenter.gan.resolution, num_images, classes=segmenter.classes, drop=drop, seed=seed, **options)
    folder = Path(out_dir) / "pairs" if out_dir is not None and keep_pairs else None
    what: dict[str, Any] = {"truncation_psi": truncation_psi, "drop": drop, "seed": seed, "photographs": photographs}
    for step in synthesizing(segmenter, num_images, out_dir=folder, **what):
        yield step._replace(result=None)
    yield from training(step.result, seed=seed, out_dir=out_dir, **options)


def check(
    resolution: int, num_images: int = 5000, *, classes: Sequence[str] = (), drop: float = 0.0, **options: Any
) -> None:
    """Raise the errors of `training` now, not after hours of synthesis.

    Args:
        resolution: of the GAN.
        num_images, drop, options: as `distilling` takes them.
        classes: of the segmenter; those of `init_from` must be the same.
    Raises:
        ToolkitError, CheckpointError: as `synthesizing` and `training`.
    """
    check_number(num_images, drop)
    UNetPlan(**options).check(resolution, classes)
