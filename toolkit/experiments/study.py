"""Settings of experiments: a `Study`, shared by all tables, and `Cell`s, one measurement each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from toolkit import fewshot
from toolkit.experiments.projection import CACHE
from toolkit.experiments.sources import Collection, World

# The methods other than few-shot networks on a GAN's features.
UNET, MEAN_MAP, AUTO_SHOT, IMAGENET = "u-net", "mean label map", "auto-shot", "imagenet mlp"
UNET_IMAGENET = "imagenet u-net"
MANY = 1000  # labelled pictures for full supervision; at most all there are


class Cell(NamedTuple):
    """One measurement of a table: its method and settings.

    method: a few-shot network's name, or `UNET`, `UNET_IMAGENET`, `MEAN_MAP`, `AUTO_SHOT` or
    `IMAGENET`; moved: also score the
    test pictures shifted, scaled and rotated; layers, upsampling, noise: as `features` takes them.
    """

    method: str
    num_classes: int = 10
    num_shots: int = 1
    seed: int = 0
    moved: bool = False
    layers: tuple[str, ...] = ()
    upsampling: str = "bilinear"
    noise: str = "none"

    @property
    def needs_latents(self) -> bool:
        """Whether the method uses the GAN, and so needs the pictures' latents."""
        return self.method not in (UNET, UNET_IMAGENET, MEAN_MAP, IMAGENET)

    @property
    def title(self) -> str:
        """A readable name, also used for files."""
        return f"{self.method}-{self.num_classes}-class-{self.num_shots}-shot-seed-{self.seed}".replace(" ", "-")


@dataclass(frozen=True)
class Study:
    """What all cells share: a GAN, pictures for it, and how to measure.

    gan: `fewshot.GAN`; source: where labelled pictures come from; num_test: pictures to score on; num_steps: of
    projection, None for the GAN's default; cache: folder of projections, None keeps none; folder: for
    auto-shot's training and finished cells; distillation: options of `Segmenter.autoshot`; progress: show bars of
    projections.
    """

    gan: fewshot.GAN
    source: World | Collection
    num_test: int = 200
    num_steps: int | None = None
    cache: Path | None = CACHE
    folder: Path = Path("out/experiments")
    distillation: dict = field(default_factory=lambda: {"num_images": 5000})  # the paper's
    progress: bool = False

    @property
    def projection_steps(self) -> int:
        """Optimiser steps of a projection."""
        return self.gan.projection_steps if self.num_steps is None else self.num_steps
