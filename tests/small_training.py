"""The GAN that trainers are tested with: it grows once, and is trained within a second."""

import torch
from torch import Tensor

from toolkit.training.gan import Plan

PLAN = Plan(
    resolution=16,
    start_resolution=8,
    grow_after=16,
    fade=16,
    num_pictures=48,
    batch_size=4,
    z_dim=6,
    w_dim=8,
    num_mapping_layers=2,
    channels=((4, 8), (8, 8), (16, 8), (32, 4)),
)


def noise() -> Tensor:
    """(40, 3, 16, 16) uint8."""
    return torch.randint(0, 256, (40, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
