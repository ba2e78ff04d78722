"""Random shifts, scalings, rotations and mirrorings of features together with their labels."""

import math

import torch
import torch.nn.functional as F

from toolkit.pictures.labels import IGNORE_INDEX

SCALE, ROTATION, SHIFT = 1.5, 15.0, 0.25  # at most: times larger or smaller, degrees, share of the side; either way


def draw(
    num: int,
    resolution: int,
    rng: torch.Generator,
    *,
    scale: float = SCALE,
    rotation: float = ROTATION,
    shift: float = SHIFT,
) -> torch.Tensor:
    """Draw a random transform for each picture; half of them mirror, on average.

    Args:
        num: pictures.
        resolution: R.
        rng: on the device where the grid is wanted.
        scale: at most, times larger or smaller.
        rotation: at most, in degrees, either way.
        shift: at most, as a share of the side, either way.
    Returns:
        grid (num, R, R, 2): where each pixel of the moved pictures comes from, as `move` takes it.
    """

    def between(most, *shape):
        return (torch.rand(num, *shape, generator=rng, device=rng.device) * 2 - 1) * most

    zoom, angle = between(math.log(scale)).exp(), between(math.radians(rotation))
    mirror = between(1.0).sign()
    cos, sin, to = angle.cos() * zoom, angle.sin() * zoom, between(2 * shift, 2)
    matrix = torch.stack([cos * mirror, -sin * mirror, to[:, 0], sin, cos, to[:, 1]], 1).view(num, 2, 3)
    return F.affine_grid(matrix, [num, 1, resolution, resolution], align_corners=False)


def coarser(grid: torch.Tensor, resolution: int) -> torch.Tensor:
    """A grid (N, R, R, 2) of `draw` for the same pictures in fewer pixels, resolution <= R: the means of its places."""
    return F.interpolate(grid.permute(0, 3, 1, 2), size=(resolution, resolution), mode="area").permute(0, 2, 3, 1)


def move(features: torch.Tensor, grid: torch.Tensor, beyond: str = "zeros") -> torch.Tensor:
    """Resample features (N, C, R, R) by a grid of `draw`.

    Args:
        beyond: what lies outside the picture: "zeros", as convolutions pad, or "border", its edges repeated.
    Returns:
        (N, C, R, R) in channels-last memory, differentiable.
    """
    moved = F.grid_sample(features, grid, padding_mode=beyond, align_corners=False)
    return moved.contiguous(memory_format=torch.channels_last)


def move_labels(label_map: torch.Tensor, grid: torch.Tensor) -> torch.Tensor:
    """Resample labels (N, R, R) by a grid of `draw`, nearest neighbour; 255 outside the picture."""
    above = label_map[:, None].float() + 1  # so that the padding, zero, is no label
    moved = F.grid_sample(above, grid, mode="nearest", align_corners=False)[:, 0].long() - 1
    return moved.where(moved >= 0, IGNORE_INDEX)
