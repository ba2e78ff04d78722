"""Batches of real pictures."""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.pictures.images import as_float

AT_ONCE = 1000  # pictures on their way to an accelerator
MOST = 0.5  # of an accelerator's free memory, for pictures
MOVED = 0.6  # share of the pictures that `moved` changes
TURN, SCALE, SHIFT = 0.07, 0.07, 0.04  # at most: radians, share of the size, shares of the side
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
    """Pictures, many of them a little moved, scaled, turned and recoloured; edges are mirrored.

    Args:
        batch: (N, 3, R, R) in [-1, 1].
        rng: on the CPU or on the batch's device; the numbers are drawn where it is.
    Returns:
        (N, 3, R, R) in [-1, 1].
    """
    if not len(batch):
        return batch
    num, most = len(batch), torch.tensor([TURN, SCALE, 2 * SHIFT, 2 * SHIFT, CONTRAST, COLOUR, COLOUR, COLOUR])
    change = (2 * torch.rand(num, len(most), generator=rng, device=rng.device) - 1) * most.to(rng.device)
    kept = torch.rand(num, 1, generator=rng, device=rng.device) < MOVED
    turn, scale, right, down, contrast, *colour = (change * kept).to(batch).T
    cos, sin = (1 + scale) * turn.cos(), (1 + scale) * turn.sin()
    where = torch.stack([torch.stack([cos, -sin, right], 1), torch.stack([sin, cos, down], 1)], 1)
    grid = F.affine_grid(where, list(batch.shape), align_corners=False)
    there = F.grid_sample(batch, grid, padding_mode="reflection", align_corners=False)
    there = there * (1 + contrast.view(-1, 1, 1, 1)) + torch.stack(colour, 1)[:, :, None, None]
    return torch.where(kept.view(-1, 1, 1, 1).to(batch.device), there.clamp(-1, 1), batch)


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
