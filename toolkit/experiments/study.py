"""What an experiment is made of: a study, which all numbers of all tables share, and cells, a number each."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from toolkit import fewshot
from toolkit.experiments.projection import CACHE
from toolkit.experiments.sources import Collection, World

# The methods that are no few-shot networks on a GAN's features.
UNET, MEAN_MAP, AUTO_SHOT, IMAGENET = "u-net", "mean label map", "auto-shot", "imagenet mlp"
MANY = 1000  # labelled pictures for full supervision; all there are, where there are fewer


class Cell(NamedTuple):
    """One number of a table, and all that makes it differ from its neighbours.

    method: a few-shot network's name, or `UNET`, `MEAN_MAP`, `AUTO_SHOT` or `IMAGENET`; moved: also score the
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
        """Whether the method reads the GAN, and so its pictures' latents."""
        return self.method not in (UNET, MEAN_MAP, IMAGENET)

    @property
    def title(self) -> str:
        """For people, and for the names of files."""
        return f"{self.method}-{self.num_classes}-class-{self.num_shots}-shot-seed-{self.seed}".replace(" ", "-")


@dataclass(frozen=True)
class Study:
    """A GAN, pictures for it, and how to measure: what all cells of all tables share.

    gan: `fewshot.GAN`; source: where labelled pictures come from; num_test: pictures to score on; num_steps: of
    projection, None for as many as usual; cache: folder of projections, None keeps none; folder: for
    auto-shot's work and finished cells; distillation: options of `Segmenter.autoshot`; progress: show bars of
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
