"""Score label maps against the truth; a stopwatch."""

import time
from collections.abc import Sequence

from torch import Tensor

from toolkit import metrics
from toolkit.errors import LabelError
from toolkit.pictures import labels


def score(prediction: Tensor, truth: Tensor, classes: Sequence[str]) -> dict:
    """Weighted, mean and per-class IoU, and boundary F-scores, in percent, as the paper's tables count them.

    Args:
        prediction, truth: (N, H, W) int64; 255 in truth is ignored.
        classes: names, background first; with `THREE_CLASSES` background is left out of the means.
    Returns:
        dict with weighted_iou, mean_iou, per_class (IoU) and boundary_f (by class); an absent class is None.
    Raises:
        LabelError: truth has no pixels to score on, so that the means would be NaN.
    """
    matrix = metrics.ConfusionMatrix(len(classes))
    matrix.update(prediction, truth)
    background = tuple(classes) != tuple(labels.THREE_CLASSES)
    if not matrix.counts[0 if background else 1 :].any():
        want = f"pixels of {', '.join(classes if background else classes[1:])} to score on"
        raise LabelError("score", want, "none", f"Label the test pictures; {labels.IGNORE_INDEX} is unlabelled")
    each = {"per_class": matrix.iou(), "boundary_f": metrics.boundary_f_score(prediction, truth, len(classes))}
    percent = {kind: [None if v != v else round(100 * v, 2) for v in values.tolist()] for kind, values in each.items()}
    return {
        "weighted_iou": round(100 * float(matrix.weighted_iou(include_background=background)), 2),
        "mean_iou": round(100 * float(matrix.mean_iou(include_background=background)), 2),
        **{kind: dict(zip(classes, values, strict=True)) for kind, values in percent.items()},
    }


class Clock:
    """Seconds since the last lap, by name, rounded to hundredths: `clock("fit")` fills `laps["fit"]`."""

    def __init__(self) -> None:
        self.laps, self.last = {}, time.perf_counter()

    def __call__(self, name: str) -> None:
        now = time.perf_counter()
        self.laps[name], self.last = round(now - self.last, 2), now
