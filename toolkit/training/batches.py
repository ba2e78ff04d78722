"""Batches of real pictures."""

import numpy as np
import torch
from torch import Tensor

from toolkit.pictures.images import as_float

AT_ONCE = 1000  # pictures on their way to an accelerator
MOST = 0.5  # of an accelerator's free memory, for pictures


def real_batch(
    pictures: Tensor | np.ndarray, num: int, rng: torch.Generator, device: torch.device | str = "cpu"
) -> Tensor:
    """Random pictures, half of them mirrored.

    Args:
        pictures: (N, 3, R, R) uint8 tensor or memory-mapped array.
        num: how many, drawn with replacement.
        rng: on the CPU or on `device`; the numbers are drawn where it is.
        device: where the batch goes.
    Returns:
        (num, 3, R, R) float32 in [-1, 1].
    """
    pick = torch.randint(len(pictures), (num,), generator=rng, device=rng.device)
    where = pick.to(pictures.device) if isinstance(pictures, Tensor) else pick.cpu().numpy()
    batch = as_float(pictures[where], device)
    mirrored = torch.rand(num, 1, 1, 1, generator=rng, device=rng.device).to(device) < 0.5
    return torch.where(mirrored, batch.flip(3), batch)


def held(pictures: Tensor | np.ndarray, device: torch.device) -> Tensor | np.ndarray:
    """Pictures where they are needed; as they were if they would take half of the memory that is free there.

    Args:
        pictures: (N, 3, R, R) uint8 tensor or memory-mapped array.
        device: a CUDA device, or the CPU.
    """
    if device.type == "cuda" and pictures.nbytes > MOST * torch.cuda.mem_get_info(device)[0]:
        return pictures
    if isinstance(pictures, Tensor):
        return pictures.to(device)
    there = torch.empty(tuple(pictures.shape), dtype=torch.uint8, device=device)
    for start in range(0, len(pictures), AT_ONCE):
        there[start : start + AT_ONCE] = torch.as_tensor(np.array(pictures[start : start + AT_ONCE]))
    return there
