"""Trust in an auto-shot network's labels: do the parts lie as they do in pictures it should know?

A U-Net labels cars as portraits without hesitation, but their "faces" have not the places, sizes and spreads that
those of portraits have, nor is it as certain, and their outlines are frayed. What is compared is the layout alone:
logits suffice for it.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from toolkit.autoshot.augmentation import draw, warp

VIEWS: dict[str, Any] = {"scale": (0.75, 1.33), "rotation": 10.0, "shift": 0.15}  # framings to be at home in
SHRINK = 0.05  # of correlations towards none: few pictures say little of many
LEAST_DEVIATION = 1e-4  # of a class that is never seen
BATCH = 32
NUMBERS = 8  # that describe a class


class Layout(NamedTuple):
    """mean (D,) and root (D, D) of usual layouts, and how unusual (M,) pictures are that it should know, sorted."""

    mean: Tensor
    root: Tensor
    usual: Tensor


def describe(logits: Tensor) -> Tensor:
    """The layout of the parts: of each class its area, the first and second moments of where it is, how certain it
    is, and how long its upright and level edges are.

    Args:
        logits: (N, K, H, W).
    Returns:
        (N, 8K), whatever the resolution.
    """
    soft = logits.softmax(1)
    height, width = logits.shape[2:]
    across = (torch.arange(width, device=logits.device) * 2 + 1) / width - 1
    down = ((torch.arange(height, device=logits.device) * 2 + 1) / height - 1)[:, None]
    weights = (torch.ones_like(down), across, down, across.square(), down.square())
    moments = [(soft * weight).mean((2, 3)) for weight in weights]
    upright = (soft[..., 1:] - soft[..., :-1]).abs().sum((2, 3)) / height
    level = (soft[:, :, 1:] - soft[:, :, :-1]).abs().sum((2, 3)) / width
    return torch.cat([*moments, soft.square().mean((2, 3)), upright, level], 1)


@torch.no_grad()
def learn_layout(network: Any, image: Tensor, seed: int = 0) -> Layout:
    """Measure the layouts of pictures that a network should know, moved, scaled and turned a little.

    Args:
        network: a `UNet`, in eval mode.
        image: (M, 3, R, R) in [-1, 1], some hundreds.
        seed: of the moves.
    """
    rng = torch.Generator().manual_seed(seed)
    matrix = draw(len(image), tuple(image.shape[2:]), rng, **VIEWS)
    moved = warp(image, matrix.to(image.device), padding_mode="border")
    found = torch.cat([describe(network(part)).double() for part in moved.split(BATCH)])
    mean, deviation = found.mean(0), found.std(0, correction=0) + LEAST_DEVIATION
    scaled = (found - mean) / deviation
    alike = scaled.T @ scaled / len(scaled)
    alike = (1 - SHRINK) * alike + SHRINK * torch.eye(len(alike), dtype=alike.dtype, device=alike.device)
    root = torch.linalg.cholesky(torch.linalg.inv(alike)) / deviation[:, None]
    usual = ((found - mean) @ root).square().sum(1).sort().values
    return Layout(mean.float(), root.float(), usual.float())


def trust(layout: Layout, logits: Tensor) -> Tensor:
    """The share of pictures that it should know whose layout is no less unusual.

    Args:
        layout: of the network.
        logits: (N, K, H, W).
    Returns:
        (N,) in [0, 1]: 0 for a layout less usual than all, 1 for one more usual than all.
    """
    unusual = ((describe(logits.float()) - layout.mean) @ layout.root).square().sum(1)
    return (layout.usual >= unusual[:, None]).float().mean(1)


class Judged(nn.Module):
    """A network that says its trust too: image -> logits, trust (N,).

    Args:
        network: image -> logits.
        layout: of the network.
    """

    mean: Tensor
    root: Tensor
    usual: Tensor

    def __init__(self, network: nn.Module, layout: Layout) -> None:
        super().__init__()
        self.network = network
        for name, value in layout._asdict().items():
            self.register_buffer(name, value)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """As `network`, and `trust`."""
        logits = self.network(image)
        return logits, trust(Layout(self.mean, self.root, self.usual), logits)
