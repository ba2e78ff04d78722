"""Batches of real pictures."""

import numpy as np
import torch
from torch import Tensor

from toolkit.pictures.images import as_float


def real_batch(
    pictures: Tensor | np.ndarray, num: int, rng: torch.Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """Random pictures, half of them mirrored.

    Args:
        pictures: (N, 3, R, R) uint8 tensor or memory-mapped array.
        num: how many, drawn with replacement.
        rng: on the CPU.
        device: where the batch goes.
    Returns:
        (num, 3, R, R) float32 in [-1, 1].
    """
    pick = torch.randint(len(pictures), (num,), generator=rng)
    batch = as_float(pictures[pick.numpy()], device)
    mirrored = torch.rand(num, 1, 1, 1, generator=rng).to(device) < 0.5
    return torch.where(mirrored, batch.flip(3), batch)
