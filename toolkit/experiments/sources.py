"""Sources of labelled pictures, and their split into training and evaluation.

World seeds below `EVALUATION_SEED` are for training (of GANs, shots and parsers), those from it on are for
evaluation; the two never overlap.
"""

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from toolkit.errors import ToolkitError
from toolkit.gan.model import GAN
from toolkit.parts.shots import Shot
from toolkit.pictures import labels
from toolkit.worlds import portraits

WORLDS = {"portraits": portraits}
GANS = {"portraits": "portraits-64"}  # bundled, and drawing such pictures
EVALUATION_SEED = 1_000_000
# All below EVALUATION_SEED, and above the seeds that GANs train on.
SHOT_SEED, CALIBRATION_SEED, PARSER_SEED, MANY_SEED = 900_000, 700_000, 600_000, 500_000
CLASS_SETS = {10: labels.PORTRAIT_CLASSES, 3: labels.THREE_CLASSES}
MAX_SHOTS, MAX_SEED = 100, 1000  # SHOT_SEED + 100 * seed + shot stays below EVALUATION_SEED


def world_named(name: str) -> ModuleType:
    """The module of a world: `render`, `CLASSES`. Raises ToolkitError for an unknown name."""
    if name not in WORLDS:
        raise ToolkitError("world", f"one of {', '.join(WORLDS)}", repr(name), "Choose a world by its name")
    return WORLDS[name]


def world_of(gan: GAN) -> str | None:
    """The world that a GAN learned to draw, as its own name says: "portraits" of portraits-64; None of others."""
    name = str(gan.metadata.get("name", ""))
    return next((world for world in WORLDS if name.startswith(f"{world}-")), None)


class World:
    """A procedural world, which renders any number of labelled pictures.

    name; classes: of its label maps; class_sets: number -> names of the classes to score; most_shots: limit of num;
    gan: name of the bundled GAN that draws such pictures, None for none.

    Args:
        name: of a world in `WORLDS`.
    Raises:
        ToolkitError: no such world.
    """

    def __init__(self, name: str) -> None:
        self.name, self.classes, self.class_sets = name, tuple(world_named(name).CLASSES), CLASS_SETS
        self.most_shots, self.is_world, self.gan = MAX_SHOTS, True, GANS[name]

    def shots(self, seed: int, num: int, resolution: int) -> tuple[Tensor, Tensor]:
        """Pictures to label: image (num, 3, R, R), label_map (num, R, R); another seed, other pictures."""
        if not 1 <= num <= MAX_SHOTS or not 0 <= seed < MAX_SEED:
            raise ToolkitError(
                "evaluate",
                f"1 to {MAX_SHOTS} shots and a seed in 0..{MAX_SEED - 1}",
                f"{num} shots, seed {seed}",
                "Shots must stay below the test seeds",
            )
        return world_named(self.name).render(num, resolution, SHOT_SEED + MAX_SHOTS * seed)

    def many(self, seed: int, num: int, resolution: int) -> tuple[Tensor, Tensor]:
        """As `shots`, for training on thousands of labels."""
        return world_named(self.name).render(num, resolution, MANY_SEED + num * seed)

    def for_parser(self, num: int, resolution: int) -> tuple[Tensor, Tensor]:
        """As `shots`, for training the parser."""
        return world_named(self.name).render(num, resolution, PARSER_SEED)

    def test(self, num: int, resolution: int) -> tuple[Tensor, Tensor]:
        """Pictures to score on: always the same."""
        return world_named(self.name).render(num, resolution, EVALUATION_SEED)


class Collection:
    """A data set of `toolkit.datasets`, with its fixed split into pictures to label and to score on.

    Attributes as of `World`.

    Args:
        dataset: has `name`, `classes`, `split(part) -> ids` for "train" and "test", and
            `read(ids, resolution) -> image, label_map`.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset, self.name, self.classes = dataset, dataset.name, tuple(dataset.classes)
        whole = {len(self.classes): self.classes}
        self.class_sets = CLASS_SETS if self.classes == tuple(labels.PORTRAIT_CLASSES) else whole
        self.most_shots, self.is_world, self.gan = len(dataset.split("train")), False, None

    def shots(self, seed: int, num: int, resolution: int) -> tuple[Tensor, Tensor]:
        """Pictures to label: image (num, 3, R, R), label_map (num, R, R); another seed, other pictures."""
        ids = self.dataset.split("train")
        return self.dataset.read([ids[i] for i in self._choice(seed, num)], resolution)

    def _choice(self, seed, num):
        """Which of the pictures to learn from: list of num numbers."""
        if num > self.most_shots:
            raise ToolkitError(
                "evaluate",
                f"at most {self.most_shots} pictures to learn from in {self.name}",
                num,
                "Ask for fewer, or add pictures",
            )
        order = torch.randperm(self.most_shots, generator=torch.Generator().manual_seed(seed))
        return order[:num].tolist()

    def many(self, seed: int, num: int, resolution: int) -> tuple[Tensor, Tensor]:
        """As `shots`, for training on thousands of labels; at most all there are."""
        return self.shots(seed, min(num, self.most_shots), resolution)

    def for_parser(self, num: int, resolution: int) -> tuple[Tensor, Tensor]:
        """As `many`, for training the parser."""
        return self.many(0, num, resolution)

    def test(self, num: int, resolution: int) -> tuple[Tensor, Tensor]:
        """Pictures to score on: always the same; at most all there are."""
        return self.dataset.read(self.dataset.split("test")[:num], resolution)


class ScoredOnly(Collection):
    """A data set that is scored on, where labelled pictures that come with a GAN are what there is to learn from.

    Attributes as of `World`.

    Args:
        dataset: as `Collection` takes it.
        examples: at least one `fewshot.Shot`, of one set of classes, as `fewshot.examples` gives them.
    Raises:
        LabelError: a class of the data set's that the examples lack.
    """

    def __init__(self, dataset: Any, examples: Sequence[Shot]) -> None:
        super().__init__(dataset)
        label_map = torch.cat([shot.label_map for shot in examples])
        self._image = torch.cat([shot.sample.image for shot in examples]).cpu()
        self._label_map = labels.merge(label_map, examples[0].classes, self.classes)
        self.most_shots = len(examples)

    def shots(self, seed: int, num: int, resolution: int) -> tuple[Tensor, Tensor]:
        """Some of the examples, which must be of that resolution; another seed, others."""
        choice = self._choice(seed, num)
        return self._image[choice], self._label_map[choice]
