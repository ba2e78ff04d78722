"""Random numbers that depend on a picture's own seed and a name, and on nothing else.

A picture must not change when it is rendered in another batch, at another resolution or on
another device, so every number is a hash of (seed, name) instead of a draw from a stream.
"""

import math
import zlib
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def _hash(x):
    """splitmix64's finaliser on int64 (Steele et al. 2014); products wrap, shifts are made logical."""
    x = (x ^ ((x >> 30) & 0x3FFFFFFFF)) * -0x40A7B892E31B1A47
    x = (x ^ ((x >> 27) & 0x1FFFFFFFFF)) * -0x6B2FB644ECCEEE15
    return x ^ ((x >> 31) & 0x1FFFFFFFF)


class Dice:
    """Named random numbers for a batch of pictures.

    Args:
        seeds: (N,) int64, one seed a picture.
    """

    def __init__(self, seeds: Tensor) -> None:
        self.seeds = seeds
        self.num = len(seeds)

    def _unit(self, name, count):
        """(N, count) float32, uniform in [0, 1)."""
        salt = zlib.crc32(name.encode()) << 20
        index = torch.arange(count, dtype=torch.int64, device=self.seeds.device)
        bits = _hash(_hash(self.seeds[:, None] + 0x1E3779B97F4A7C15) + salt + index)
        return ((bits >> 40) & 0xFFFFFF).float() / 0x1000000

    def uniform(self, name: str, low: float = 0.0, high: float = 1.0, count: int = 1) -> Tensor:
        """(N, count) float32, uniform in [low, high)."""
        return low + (high - low) * self._unit(name, count)

    def normal(self, name: str, mean: float = 0.0, std: float = 1.0, limit: float = 2.0) -> Tensor:
        """(N, 1) float32, normal, cut off at `limit` standard deviations."""
        u = self._unit(name, 2)
        value = torch.sqrt(-2 * torch.log1p(-u[:, :1])) * torch.cos(2 * math.pi * u[:, 1:])
        return mean + std * value.clamp(-limit, limit)

    def chance(self, name: str, probability: float) -> Tensor:
        """(N, 1) float32, 1 with this probability, else 0."""
        return (self._unit(name, 1) < probability).float()

    def choice(self, name: str, options: Sequence[Sequence[float]], weights: Sequence[float] | None = None) -> Tensor:
        """(N, D) float32: one row of `options` (K, D) a picture; `weights` (K,) need not sum to 1."""
        rows = torch.as_tensor(options, dtype=torch.float32, device=self.seeds.device)
        odds = torch.ones(len(rows)) if weights is None else torch.as_tensor(weights).float()
        edges = (odds.cumsum(0) / odds.sum()).to(rows.device)
        return rows[torch.searchsorted(edges, self._unit(name, 1)[:, 0]).clamp(max=len(rows) - 1)]

    def lattice(self, name: str, size: int = 32) -> Tensor:
        """(N, 1, size, size) float32 in [-1, 1): random values for `noise`."""
        return self.uniform(name, -1, 1, size * size).view(self.num, 1, size, size)


def noise(lattice: Tensor, u: Tensor, v: Tensor, mode: str = "bilinear") -> Tensor:
    """Value noise: the lattice read at (u, v), mirrored outside.

    Args:
        lattice: (N, 1, S, S).
        u, v: (N, P), in lattice cells; 0 is the middle.
        mode: "bilinear", or the smoother and slower "bicubic".
    Returns:
        (N, P) in [-1, 1].
    """
    size = lattice.shape[-1]
    grid = torch.stack([u, v], -1)[:, None] * (2 / size)
    return F.grid_sample(lattice, grid, mode=mode, padding_mode="reflection", align_corners=False)[:, 0, 0]
