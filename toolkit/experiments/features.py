"""Variants of the hypercolumns, for ablations: fewer layers, other upsampling, other noise."""

import dataclasses
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.gan.model import GAN
from toolkit.parts.hypercolumns import Hypercolumns
from toolkit.parts.sample import Sample
from toolkit.projection.projector import no_noise

UPSAMPLINGS = ("bilinear", "nearest", "bicubic", "bilinear, corners aligned")
NOISES = ("none", "own", "random")


class OtherFeatures(GAN):
    """A GAN whose hypercolumns keep some layers only, or are upsampled in another way.

    Args:
        gan: a `GAN`.
        layers: names of the layers to keep, in order; empty keeps all.
        upsampling: one of `UPSAMPLINGS`; all but the first store full-size activations.
    """

    def __init__(self, gan: GAN, layers: Sequence[str] = (), upsampling: str = "bilinear") -> None:
        super().__init__(gan.generator, gan.discriminator, gan.encoder, framer=gan.framer)
        self.layers, self.upsampling, self.full = tuple(layers), upsampling, gan

    def hypercolumns(
        self, sample: Sample, noise_mode: str = "const", rng: torch.Generator | None = None
    ) -> Hypercolumns:
        """As `GAN.hypercolumns`, of these features."""
        columns = super().hypercolumns(sample, noise_mode, rng)
        columns = columns.select(self.layers) if self.layers else columns
        if self.upsampling == "bilinear":
            return columns
        mode, _, aligned = self.upsampling.partition(", ")
        how = {"mode": mode} if mode == "nearest" else {"mode": mode, "align_corners": bool(aligned)}
        size = columns.resolution
        return Hypercolumns(
            {name: F.interpolate(a, size=(size, size), **how) for name, a in columns.activations.items()}, size
        )

    @property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """As `GAN.statistics`, which do not depend on upsampling."""
        mean, std = self.full.statistics
        names = self.layers or list(self.channels)
        parts = [dict(zip(self.channels, s.split(list(self.channels.values())), strict=True)) for s in (mean, std)]
        mean, std = (torch.cat([part[name] for name in names]) for part in parts)
        return mean, std

    @property
    def channels(self) -> dict[str, int]:
        """dict, layer name -> number of channels, of all the generator's layers."""
        return self.full.hypercolumns(self.full.sample()).channels


def with_noise(gan: GAN, sample: Sample, kind: str, seed: int = 0) -> Sample:
    """The sample with other noise maps for its activations; latents and pictures are unchanged.

    Args:
        gan: a `GAN`.
        sample: `Sample` of N pictures.
        kind: "none" (zeros, as projection leaves them), "own" (the generator's own) or "random".
        seed: of random ones.
    Returns:
        `Sample`.
    """
    if kind == "own":
        noise = {}
    else:
        noise = no_noise(gan.generator, len(sample))
    if kind == "random":
        rng = torch.Generator().manual_seed(seed)
        noise = {name: torch.randn(n.shape, generator=rng).to(n) for name, n in noise.items()}
    return dataclasses.replace(sample, noise=noise)
