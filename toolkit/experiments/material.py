"""The training and test pictures of a cell, shared by all cells that need the same ones."""

import hashlib
from functools import lru_cache

import torch
from torch import Tensor

from toolkit.autoshot import augmentation
from toolkit.experiments import study as studies
from toolkit.experiments.projection import CHUNK, project
from toolkit.experiments.study import Cell, Study
from toolkit.fewshot import Sample
from toolkit.pictures import images, labels


def shot_pictures(study: Study, cell: Cell) -> tuple[Tensor, Tensor]:
    """image, label_map (source's classes) that a cell may learn from; rounded up to tens, as projected."""
    return _shots(study, cell, study.gan.resolution)


def shot_details(study: Study, cell: Cell) -> Tensor | None:
    """The pictures of `shot_pictures` in more pixels, for `Sample.detail`; None where that is."""
    return _finer(study.gan, lambda side: _shots(study, cell, side)[0])


def test_pictures(study: Study, moved: bool = False) -> tuple[Sample, Tensor]:
    """`Sample` of the projected test pictures, as they are or moved, and their label_map (source's classes)."""
    how = (study.num_steps, study.cache, study.progress, moved)
    return _projected(study.gan, study.source, study.num_test, *how), test_images(study, moved)[1]


def test_images(study: Study, moved: bool = False) -> tuple[Tensor, Tensor]:
    """The test pictures, as they are or moved, and their label_map (source's classes)."""
    image, truth = _rendered(study.source, study.num_test, study.gan.resolution)
    return move(image, truth) if moved else (image, truth)


def test_details(study: Study, moved: bool = False) -> Tensor | None:
    """The test pictures in more pixels, as `shot_details`."""
    return _finer(study.gan, lambda side: _looked_at(study.source, study.num_test, side, moved))


def move(image: Tensor, truth: Tensor, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Pictures shifted by up to 30 %, scaled 0.6 to 1.6 and rotated by up to 10 degrees.

    Args:
        image: (N, 3, R, R); truth: (N, R, R) int64.
    Returns:
        image, its edges repeated; truth, 255 outside the picture.
    """
    rng = torch.Generator().manual_seed(seed)
    matrix = augmentation.draw(len(image), image.shape[2:], rng, flip=0.0, scale=(0.6, 1.6), shift=0.3)
    truth = augmentation.warp(truth[:, None] + 1.0, matrix, "nearest")[:, 0].long() - 1  # -1 from outside
    return augmentation.warp(image, matrix, padding_mode="border"), truth.where(truth >= 0, labels.IGNORE_INDEX)


def data_key(study: Study, cell: Cell) -> list[str]:
    """The source's name, and hashes of a cell's training and test pictures with their labels.

    Only the first ten training pictures are hashed: source and seed determine the others.
    """
    size = study.gan.resolution
    return [
        study.source.name,
        _shots_digest(study.source, cell.seed, size),
        _test_digest(study.source, study.num_test, size),
    ]


@lru_cache(maxsize=64)  # one entry a seed
def _shots_digest(source, seed, resolution):
    return _digest(*source.shots(seed, min(CHUNK, source.most_shots), resolution))


@lru_cache(maxsize=2)
def _test_digest(source, num, resolution):
    return _digest(*_rendered(source, num, resolution))


def _digest(image, label_map):
    """Hash of 8-bit pixels and labels; floats would vary with the number of threads."""
    pixels, parts = images.to_uint8(image), label_map.to(torch.uint8).numpy()
    return hashlib.sha256(pixels.tobytes() + parts.tobytes()).hexdigest()[:12]


@lru_cache(maxsize=4)  # cells share them, at two sizes
def _rendered(source, num, resolution):
    return source.test(num, resolution)


@lru_cache(maxsize=2)
def _projected(gan, source, num, num_steps, cache, progress, moved):
    def look(side):
        return _looked_at(source, num, side, moved)

    return project(gan, look(gan.resolution), num_steps, cache, progress, _finer(gan, look))


def _looked_at(source, num, side, moved):
    image, truth = _rendered(source, num, side)
    return move(image, truth)[0] if moved else image


def _shots(study, cell, side):
    source, num = study.source, cell.num_shots
    if num >= studies.MANY:
        return source.many(cell.seed, num, side)
    tens = -(-num // CHUNK) * CHUNK
    return source.shots(cell.seed, max(num, min(tens, source.most_shots)), side)


def _finer(gan, read):
    """What `read` gives of more pixels than the GAN's, if its hypercolumns look at them and there are so many."""
    side = gan.detail_resolution
    image = read(side) if side > gan.resolution else None
    return None if image is None or image.shape[-1] < side else image  # labelled samples of a GAN are as small as it
