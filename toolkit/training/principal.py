"""Principal components of pictures: the straight lines along which a collection of pictures varies most."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.pictures.images import as_float

CHUNK = 2048  # pictures at a time
EXTRA = 64  # directions tried beyond those asked for, so that the last of these are right as well
ROUNDS = 2  # of the power iteration


class Components(NamedTuple):
    """A picture x (D,) is about `mean + basis @ c`, where c (K,) has the variances `variance`."""

    mean: Tensor  # (D,)
    basis: Tensor  # (D, K), orthonormal columns, the most telling first
    variance: Tensor  # (K,)


@torch.no_grad()
def principal_components(pictures: Tensor | np.ndarray, num: int, side: int, seed: int = 0) -> Components:
    """Principal components of pictures and their mirror images, by randomised subspace iteration.

    Args:
        pictures: (N, 3, R, R) uint8 tensor or memory-mapped array; counted as float in [-1, 1].
        num: K, how many; at most 3 side^2 and 2 N.
        side: pictures are averaged down to it first; divides R.
        seed: of the first directions.
    Returns:
        `Components` with D = 3 side^2, float32.
    Source: Halko et al. 2011 (arXiv:0909.4061), algorithm 4.4.
    """
    size = 3 * side**2
    mean = torch.stack([part.sum(0) for part in _flat(pictures, side)]).sum(0) / (2 * len(pictures))
    width = min(num + EXTRA, size, 2 * len(pictures))
    basis = torch.randn(size, width, generator=torch.Generator().manual_seed(seed))
    for _ in range(ROUNDS):
        found = torch.zeros(size, width)
        for part in _flat(pictures, side):
            part -= mean
            found.addmm_(part.T, part @ basis)
        basis = torch.linalg.qr(found)[0]
    covariance = torch.zeros(width, width)
    for part in _flat(pictures, side):
        along = (part - mean) @ basis
        covariance.addmm_(along.T, along)
    variance, turn = torch.linalg.eigh(covariance / (2 * len(pictures)))
    return Components(mean, basis @ turn.flip(1)[:, :num], variance.flip(0)[:num].clamp_min(0))


def _flat(pictures: Tensor | np.ndarray, side: int) -> Iterator[Tensor]:
    """The pictures and their mirror images as rows (n, D) in [-1, 1], a few at a time."""
    for i in range(0, len(pictures), CHUNK):
        part = F.interpolate(as_float(np.asarray(pictures[i : i + CHUNK])), size=(side, side), mode="area")
        yield part.flatten(1)
        yield part.flip(3).flatten(1)
