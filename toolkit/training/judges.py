"""Judges of how real pictures look that know the world already: small heads on features fixed by ImageNet.

A discriminator of pixels finds out slowly what pictures show; these heads are told, so they win quickly, and must be
held: each sees moved and recoloured views, is normalised by its largest singular values, and what it asks of the
generator is scaled to a share of what the generator's own task asks, however sure the head is.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from toolkit.projection.imagenet import CHANNELS

WIDTH = 64
SHIFT, SCALE = 0.125, 0.15  # of a view, in shares of the picture's side
BRIGHTNESS, COLOUR = 0.1, 0.15  # largest changes, of contrast as a share, of each colour in [-1, 1]


class Heads(nn.Module):
    """Features at several scales -> a verdict at each pixel of each: above 0 for real.

    Args:
        num_stages: how many of `ImageNetFeatures`'s stages.
    Source: Sauer et al. 2021 (arXiv:2111.01007), without its random projections; spectral norm as in Miyato
        et al. 2018 (arXiv:1802.05957).
    """

    def __init__(self, num_stages: int) -> None:
        super().__init__()
        self.heads = nn.ModuleList(_head(channels) for channels in CHANNELS[:num_stages])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """list of (N, C, h, w) -> list of (N, h w)."""
        pairs = zip(self.heads, features, strict=True)
        return [head(f * f.square().mean(1, keepdim=True).add(1e-6).rsqrt()).flatten(1) for head, f in pairs]


def _head(channels: int) -> nn.Module:
    return nn.Sequential(
        spectral_norm(nn.Conv2d(channels, WIDTH, 1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(WIDTH, WIDTH, 3, padding=1)),
        nn.LeakyReLU(0.2),
        spectral_norm(nn.Conv2d(WIDTH, 1, 1)),
    )


def judges_loss(on_real: list[Tensor], on_fake: list[Tensor]) -> Tensor:
    """What judges learn by, (): hinge loss, the mean over scales."""
    pairs = zip(on_real, on_fake, strict=True)
    return torch.stack([F.relu(1 - real).mean() + F.relu(1 + fake).mean() for real, fake in pairs]).mean()


def verdict(on_fake: list[Tensor]) -> Tensor:
    """What a generator wants large, (N,): the mean verdict of a picture, summed over scales."""
    return torch.stack([fake.mean(1) for fake in on_fake]).sum(0)


def held(wish: Tensor, task: Tensor, share: float) -> Tensor:
    """What judges ask of pictures, scaled to a share of what another task asks of some, however sure they are.

    Args:
        wish: (N, ...), the gradient of their verdict at the pictures.
        task: (M, ...), the other's gradient.
        share: of the mean length of a picture's.
    Returns:
        (N, ...).
    """
    return wish * (share * _length(task) / _length(wish).clamp_min(1e-12))


def _length(gradient):
    return gradient.flatten(1).norm(dim=1).mean()


def view(image: Tensor, rng: torch.Generator) -> Tensor:
    """Pictures moved, scaled and recoloured at random, differentiably.

    Args:
        image: (N, 3, R, R) in [-1, 1].
        rng: on the CPU; the same state moves other pictures alike.
    Returns:
        (N, 3, R, R), edges mirrored.
    """
    n = len(image)
    grid = torch.zeros(n, 2, 3)
    grid[:, 0, 0] = grid[:, 1, 1] = 1 + SCALE * _spread(rng, n)
    grid[:, :, 2] = SHIFT * _spread(rng, n, 2)
    where = F.affine_grid(grid.to(image), list(image.shape), align_corners=False)
    moved = F.grid_sample(image, where, padding_mode="reflection", align_corners=False)
    return moved * (1 + BRIGHTNESS * _spread(rng, n, 1, 1, 1).to(image)) + COLOUR * _spread(rng, n, 3, 1, 1).to(image)


def _spread(rng: torch.Generator, *shape: int) -> Tensor:
    """Uniform in [-1, 1]."""
    return 2 * torch.rand(*shape, generator=rng) - 1
