"""The paper's protocol, one cell of a table at a time: learn from a few labelled pictures, score on others."""

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import torch

from toolkit import fewshot
from toolkit.autoshot import augmentation
from toolkit.errors import ToolkitError
from toolkit.experiments import baselines
from toolkit.experiments.features import OtherFeatures, with_noise
from toolkit.experiments.fingerprint import hash_of
from toolkit.experiments.projection import CACHE, CHUNK, project
from toolkit.experiments.scoring import Clock, score
from toolkit.experiments.sources import World
from toolkit.fewshot import Shot
from toolkit.pictures import labels

UNET, MEAN_MAP, AUTO_SHOT = "u-net", "mean label map", "auto-shot"  # the methods that are no few-shot networks
MANY = 1000  # labelled pictures for full supervision


class Cell(NamedTuple):
    """One number of a table, and all that makes it differ from its neighbours.

    method: a few-shot network's name, or `UNET`, `MEAN_MAP` or `AUTO_SHOT`; moved: also score the test
    pictures shifted, scaled and rotated; layers, upsampling, noise: as `features` takes them.
    """

    method: str
    num_classes: int = 10
    num_shots: int = 1
    seed: int = 0
    moved: bool = False
    layers: tuple = ()
    upsampling: str = "bilinear"
    noise: str = "none"


class Study(NamedTuple):
    """A GAN, pictures for it, and how to measure: what all cells of all tables share.

    gan: `fewshot.GAN`; source: `World` or `Collection`; num_test: pictures to score on; num_steps: of
    projection, None for as many as usual; cache: folder of projections, None keeps none; folder: for
    auto-shot's work and finished cells; distillation: dict, options of `Segmenter.autoshot`; progress: show
    bars of projections.
    """

    gan: fewshot.GAN
    source: object
    num_test: int = 200
    num_steps: int | None = None
    cache: Path | None = CACHE
    folder: Path = Path("out/experiments")
    distillation: dict = {"num_images": 5000}  # never changed
    progress: bool = False


def evaluate(
    gan,
    *,
    world="portraits",
    num_classes=10,
    num_shots=1,
    network=fewshot.DEFAULT_NETWORK,
    seed=0,
    num_test=200,
    num_steps=None,
    cache=CACHE,
    save=None,
    source=None,
    progress=False,
):
    """The paper's face protocol: fit on a few projected portraits, score on others, projected too.

    Args:
        gan: a `fewshot.GAN`.
        world: name of a world in `WORLDS`.
        num_classes: 10, or 3 (eyes, mouth, nose; background is then left out of the means).
        num_shots: annotated portraits, >= 1.
        network: as `fewshot.fit` takes it.
        seed: which portraits are annotated, and the fit's own randomness; the test set stays.
        num_test: portraits to score on.
        num_steps: of projection; None for as many as usual.
        cache: folder that keeps projections, which do not depend on labels; None keeps nothing.
        save: file to write the segmenter to; None writes none.
        source: a `Collection`, instead of a world.
        progress: show bars.
    Returns:
        dict: weighted_iou, mean_iou and per_class in percent, psnr in dB, seconds by step.
    Raises:
        ToolkitError: an unknown world or class set, or seeds that would overlap.
    Source: Tritrong et al. 2021, sec. 4.1.
    """
    study = Study(gan, source or World(world), num_test, num_steps, cache, progress=progress)
    cell = Cell(network, num_classes, num_shots, seed)
    found, _ = measure(study, cell, save)
    about = {"world": study.source.name, "classes": num_classes, "shots": num_shots, "network": network, "seed": seed}
    return {**about, "num_test": num_test, **found}


def measure(study, cell, save=None):
    """One cell.

    Args:
        study: a `Study`.
        cell: a `Cell`.
        save: file for a few-shot network's segmenter; None writes none.
    Returns:
        dict: weighted_iou, mean_iou, per_class, psnr, seconds; with `cell.moved` also moved, such a dict;
        label_map (N, R, R) predicted for the test pictures as they are.
    Raises:
        ToolkitError: a class set that the source does not have, or not so many pictures.
    """
    sets = study.source.class_sets
    if cell.num_classes not in sets:
        raise ToolkitError("evaluate", f"classes of {list(sets)}", cell.num_classes, "Choose one of these")
    classes, clock = sets[cell.num_classes], Clock()
    image, label_map = shot_pictures(study, cell)
    shots = project(study.gan, image, study.num_steps, study.cache, study.progress) if needs_latents(cell) else None
    clock("project_shots")
    test, truth = test_pictures(study)
    clock("project_test")
    label_map, truth = (labels.merge(m, study.source.classes, classes) for m in (label_map, truth))
    shots = None if shots is None else shots[: cell.num_shots]
    predict = _fit(study, cell, image[: cell.num_shots], shots, label_map[: cell.num_shots], classes, save)
    clock("fit")
    prediction = predict(test)
    clock("segment")
    found = {**score(prediction, truth, classes), "psnr": round(float(test.psnr.mean()), 2), "seconds": clock.laps}
    if cell.moved:
        test, truth = test_pictures(study, moved=True)
        found["moved"] = score(predict(test), labels.merge(truth, study.source.classes, classes), classes)
    return found, prediction


def needs_latents(cell):
    """Whether a cell's method reads the GAN, and so its pictures' latents."""
    return cell.method not in (UNET, MEAN_MAP)


def shot_pictures(study, cell):
    """image, label_map (source's classes) that a cell may learn from; in tens, as they are projected."""
    source, num = study.source, cell.num_shots
    if num >= MANY:
        return source.many(cell.seed, num, study.gan.resolution)
    tens = -(-num // CHUNK) * CHUNK
    return source.shots(cell.seed, max(num, min(tens, source.most_shots)), study.gan.resolution)


def test_pictures(study, moved=False):
    """`Sample` of the projected test pictures, as they are or moved, and their label_map (source's classes)."""
    how = (study.num_steps, study.cache, study.progress, moved)
    return _projected(study.gan, study.source, study.num_test, *how), test_images(study, moved)[1]


def test_images(study, moved=False):
    """The test pictures, as they are or moved, and their label_map (source's classes)."""
    image, truth = _rendered(study.source, study.num_test, study.gan.resolution)
    return move(image, truth) if moved else (image, truth)


def move(image, truth, seed=0):
    """Pictures shifted by up to 30 %, scaled 0.6 to 1.6 and rotated by up to 10 degrees.

    Args:
        image: (N, 3, R, R); truth: (N, R, R) int64.
    Returns:
        image, its edges repeated; truth, 255 where it came from outside.
    """
    rng = torch.Generator().manual_seed(seed)
    matrix = augmentation.draw(len(image), image.shape[2:], rng, flip=0.0, scale=(0.6, 1.6), shift=0.3)
    truth = augmentation.warp(truth[:, None] + 1.0, matrix, "nearest")[:, 0].long() - 1  # -1 from outside
    return augmentation.warp(image, matrix, padding_mode="border"), truth.where(truth >= 0, labels.IGNORE_INDEX)


def _fit(study, cell, image, shots, label_map, classes, save):
    """What the labels taught: a function, `Sample` -> label_map."""
    if cell.method == UNET:
        predict = baselines.fit_unet(image, label_map, classes, cell.seed)
    elif cell.method == MEAN_MAP:
        predict = baselines.fit_mean_map(label_map, len(classes))
    elif cell.method == AUTO_SHOT:
        auto = distilled(study, cell, lambda: _few_shot(study.gan, cell, shots, label_map, classes))
        return lambda sample: auto.predict(sample.image).argmax(1)
    else:
        gan = study.gan
        if cell.layers or cell.upsampling != "bilinear":
            gan = OtherFeatures(gan, cell.layers, cell.upsampling)
        segmenter = _few_shot(gan, cell, shots, label_map, classes)
        if save is not None:
            segmenter.save(save)
        return lambda sample: segmenter.predict(with_noise(gan, sample, cell.noise, 1 + cell.seed)).argmax(1)
    return lambda sample: predict(sample.image)


def _few_shot(gan, cell, shots, label_map, classes):
    network = fewshot.DEFAULT_NETWORK if cell.method == AUTO_SHOT else cell.method
    sample = with_noise(gan, shots, cell.noise, cell.seed)
    shots = [Shot(sample[i], label_map[i], classes, gan) for i in range(len(sample))]
    return fewshot.fit(gan, shots, network=network, seed=cell.seed)


def distilled(study, cell, fit):
    """The auto-shot network of a cell, made in a folder of its own, where it goes on after a stop.

    Args:
        fit: called without arguments when the few-shot segmenter is not there yet.
    Returns:
        `AutoShotSegmenter`.
    """
    folder = work_folder(study, cell)
    file = folder / "segmenter.safetensors"
    if not file.is_file():  # kept: auto-shot goes on only with the very same
        fit().save(file)
    few = fewshot.Segmenter.load(file, study.gan)
    auto = few.autoshot(seed=cell.seed, out_dir=folder, **study.distillation)
    auto.save(folder / "autoshot.safetensors")
    return auto


def work_folder(study, cell):
    """Where a cell's auto-shot network is made: Path."""
    from toolkit.experiments.records import key_of  # it names cells, and measures them with this module

    return study.folder / "autoshot" / hash_of(key_of(study, cell))


@lru_cache(maxsize=2)  # cells share them
def _rendered(source, num, resolution):
    return source.test(num, resolution)


@lru_cache(maxsize=2)
def _projected(gan, source, num, num_steps, cache, progress, moved):
    image, truth = _rendered(source, num, gan.resolution)
    return project(gan, move(image, truth)[0] if moved else image, num_steps, cache, progress)
