"""Metrics: IoU as in the paper's tables, boundary F-score, PSNR, and the Fréchet distance."""

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.errors import LabelError, ShapeError, describe
from toolkit.pictures.labels import IGNORE_INDEX

__all__ = ["BOUNDARY_TOLERANCE", "ConfusionMatrix", "boundary_f_score", "frechet_distance", "psnr"]


class ConfusionMatrix:
    """Pixel counts over a whole test set; every IoU follows from them.

    `counts[t, p]` (K, K) int64 says how many pixels of class t were called p.

    Args:
        num_classes: K, parts + background, >= 2.
    Raises:
        LabelError: num_classes too small.
    """

    def __init__(self, num_classes: int) -> None:
        if not 2 <= num_classes <= IGNORE_INDEX:
            raise LabelError("ConfusionMatrix", f"2 to {IGNORE_INDEX} classes", num_classes, "Count background as one")
        self.num_classes = num_classes
        self.counts = torch.zeros(num_classes, num_classes, dtype=torch.int64)

    def update(self, prediction: Tensor, truth: Tensor) -> None:
        """Count more pixels.

        Args:
            prediction: (N, H, W) integers in 0..K-1.
            truth: the same shape; 255 = unlabelled is not counted.
        Raises:
            ShapeError: different shapes, or not integers. LabelError: a value out of range.
        """
        if prediction.shape != truth.shape or prediction.is_floating_point() or truth.is_floating_point():
            raise ShapeError(
                "ConfusionMatrix.update",
                f"prediction like truth, {describe(truth)}, both integers",
                describe(prediction),
                "Pass label maps, e.g. logits.argmax(1)",
            )
        prediction = prediction.to(truth.device)
        known = truth != IGNORE_INDEX
        prediction, truth = prediction[known].long(), truth[known].long()
        for name, values in (("prediction", prediction), ("truth", truth)):
            if values.numel() and not (0 <= values.min() and values.max() < self.num_classes):
                raise LabelError(
                    "ConfusionMatrix.update",
                    f"{name} in 0..{self.num_classes - 1}",
                    describe(values),
                    "Use as many classes as the labels have",
                )
        pairs = torch.bincount(truth * self.num_classes + prediction, minlength=self.num_classes**2)
        self.counts += pairs.view(self.num_classes, -1).cpu()

    def iou(self) -> Tensor:
        """Intersection over union, TP / (TP + FP + FN), of each class.

        Returns:
            (K,) float64 in [0, 1]; nan for a class in neither truth nor prediction.
        """
        hit = self.counts.diagonal().double()
        return hit / (self.counts.sum(0) + self.counts.sum(1) - hit)

    def weighted_iou(self, include_background: bool = True) -> float:
        """The mean of the classes' IoU weighted by their pixels in truth.

        Args:
            include_background: False leaves class 0 out, as the paper's 3-class tables do.
        Returns:
            float in [0, 1]; nan when truth has no such pixels.
        """
        first = 0 if include_background else 1
        weight = self.counts.sum(1)[first:].double()
        iou = self.iou()[first:].nan_to_num()  # a class without IoU has no pixels, so no weight either
        return float((iou * weight).sum() / weight.sum())

    def mean_iou(self, include_background: bool = True) -> float:
        """The plain mean over the classes that have an IoU.

        Args:
            include_background: False leaves class 0 out.
        Returns:
            float in [0, 1]; nan when none has.
        """
        return float(self.iou()[0 if include_background else 1 :].nanmean())


BOUNDARY_TOLERANCE = 0.0075  # of the picture's diagonal, and at least one pixel


def boundary_f_score(prediction: Tensor, truth: Tensor, num_classes: int) -> Tensor:
    """F-score of the boundary pixels of each class, which match within a small distance.

    A pixel is on a class's boundary when it has that class and one of its four neighbours another. It
    matches if the other map has a boundary pixel of the class within `BOUNDARY_TOLERANCE` (Euclidean). The IoU of
    large parts hardly depends on their outlines, that of thin ones on little else; this score suits both.

    Args:
        prediction: (N, H, W) integers in 0..K-1.
        truth: the same shape; 255 = unlabelled is not counted, in either map.
        num_classes: K, parts + background.
    Returns:
        (K,) float64 in [0, 1]; nan for a class without a boundary in truth and prediction.
    Raises:
        ShapeError, LabelError: as `ConfusionMatrix.update`.
    Source: Csurka et al. 2013, sec. 3 (BMVC), with their 0.75%; differs: boundary pixels are summed over the test
        set, as IoU's are, not scored picture by picture.
    """
    ConfusionMatrix(num_classes).update(prediction, truth)  # checks shapes and values
    height, width = truth.shape[1:]
    disc = _disc(max(1.0, BOUNDARY_TOLERANCE * (height**2 + width**2) ** 0.5)).to(truth.device)
    met, found = torch.zeros(2, num_classes, dtype=torch.float64), torch.zeros(2, num_classes, dtype=torch.float64)
    for one, other in zip(prediction.to(truth.device).long(), truth.long(), strict=True):
        known = other != IGNORE_INDEX
        lines = [_boundary(label_map, known, num_classes) for label_map in (one, other)]
        for side, (line, target) in enumerate((lines, lines[::-1])):
            near = F.conv2d(target[:, None].float(), disc[None, None], padding=disc.shape[0] // 2)[:, 0] > 0.5
            met[side] += (line & near).sum((1, 2)).cpu()
            found[side] += line.sum((1, 2)).cpu()
    precision, recall = met / found.clamp(min=1)
    score = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
    return score.where(found.sum(0) > 0, torch.nan)


def _boundary(label_map, known, num_classes):
    """(K, H, W) bool: pixels of each class with a neighbour of another, both known."""
    edge = torch.zeros_like(known)
    down, right = (label_map.diff(dim=d) != 0 for d in (0, 1))
    down, right = down & known[1:] & known[:-1], right & known[:, 1:] & known[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= right
    edge[:, :-1] |= right
    return edge & (label_map == torch.arange(num_classes, device=label_map.device)[:, None, None])


def _disc(radius):
    """A square with ones within a radius of its centre, else zeros."""
    steps = torch.arange(-int(radius), int(radius) + 1)
    return (steps**2 + steps[:, None] ** 2 <= radius**2).float()


def psnr(a: Tensor, b: Tensor) -> Tensor:
    """Peak signal-to-noise ratio of each picture.

    Args:
        a, b: (N, 3, H, W) float in [-1, 1], so peak to peak is 2.
    Returns:
        (N,) decibels, infinite where they are equal.
    Raises:
        ShapeError: different shapes.
    """
    if a.shape != b.shape or a.dim() != 4:
        raise ShapeError("psnr", "two images (N, 3, H, W)", f"{describe(a)} and {describe(b)}", "Match their sizes")
    return 10 * torch.log10(4 / (a - b.to(a.device)).square().mean((1, 2, 3)))


def frechet_distance(mean1: Tensor, cov1: Tensor, mean2: Tensor, cov2: Tensor) -> float:
    """Fréchet distance between two Gaussians: |m1 - m2|² + tr(C1 + C2 - 2 (C1 C2)^½).

    Args:
        mean1, mean2: (D,).
        cov1, cov2: (D, D), symmetric, positive semi-definite.
    Returns:
        float, >= 0 up to rounding; computed in float64.
    Raises:
        ShapeError: sizes that do not belong together.
    Source: Heusel et al. 2017, eq. 6 (arXiv:1706.08500).
    """
    size = mean1.shape[0] if mean1.dim() == 1 else -1
    if mean2.shape != (size,) or cov1.shape != (size, size) or cov2.shape != (size, size):
        got = ", ".join(str(tuple(t.shape)) for t in (mean1, cov1, mean2, cov2))
        raise ShapeError("frechet_distance", "means (D,) and covariances (D, D)", got, "Use features.T.cov()")
    mean1, cov1, mean2, cov2 = (t.double() for t in (mean1, cov1, mean2, cov2))
    # C1 C2 has the eigenvalues of the symmetric C1^½ C2 C1^½, whose roots are real.
    values, vectors = torch.linalg.eigh(cov1)
    root = (vectors * values.clamp(min=0).sqrt()) @ vectors.T
    trace = torch.linalg.eigvalsh(root @ cov2 @ root).clamp(min=0).sqrt().sum()
    return float((mean1 - mean2).square().sum() + cov1.trace() + cov2.trace() - 2 * trace)
