"""Batches of real pictures."""

import numpy as np
import torch
from torch import Tensor

from toolkit.parts import motions
from toolkit.pictures.images import as_float

AT_ONCE = 1000  # pictures on their way to an accelerator
MOST = 0.5  # of an accelerator's free memory, for pictures
MOVED = 0.6  # share of the pictures that `moved` changes
SCALE, ROTATION, SHIFT = 1.07, 4.0, 0.04  # of these, at most: times larger or smaller, degrees, share of the side
CONTRAST, COLOUR = 0.1, 0.06  # at most: share of the contrast, and of each colour in [-1, 1]


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


def moved(batch: Tensor, rng: torch.Generator) -> Tensor:
    """Pictures, many of them a little moved, scaled, turned, mirrored and recoloured; edges are repeated.

    Args:
        batch: (N, 3, R, R) in [-1, 1]; N may be 0.
        rng: on the CPU or on the batch's device; the numbers are drawn where it is.
    Returns:
        (N, 3, R, R) in [-1, 1].
    """
    num = len(batch)
    if not num:
        return batch
    grid = motions.draw(num, batch.shape[3], rng, scale=SCALE, rotation=ROTATION, shift=SHIFT)
    there = motions.move(batch, grid.to(batch), "border")
    contrast, colour = (torch.rand(num, n, 1, 1, generator=rng, device=rng.device).to(batch) * 2 - 1 for n in (1, 3))
    there = (there * (1 + CONTRAST * contrast) + COLOUR * colour).clamp(-1, 1)
    kept = torch.rand(num, 1, 1, 1, generator=rng, device=rng.device).to(batch) < MOVED
    return torch.where(kept, there, batch)


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
