"""The paper's protocol, one cell of a table at a time: learn from a few labelled pictures, score on others."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import Tensor

from toolkit import fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.errors import ToolkitError
from toolkit.experiments import baselines
from toolkit.experiments.features import OtherFeatures, with_noise
from toolkit.experiments.fingerprint import work_folder
from toolkit.experiments.imagenet import fit_imagenet
from toolkit.experiments.material import shot_details, shot_pictures, test_details, test_images, test_pictures
from toolkit.experiments.projection import CACHE, project
from toolkit.experiments.scoring import Clock, score
from toolkit.experiments.sources import Collection, World
from toolkit.experiments.study import AUTO_SHOT, IMAGENET, MEAN_MAP, UNET, UNET_IMAGENET, Cell, Study
from toolkit.fewshot import Segmenter, Shot
from toolkit.files import check_can_write
from toolkit.pictures import labels


def evaluate(
    gan: fewshot.GAN,
    *,
    world: str = "portraits",
    num_classes: int | None = None,
    num_shots: int = 1,
    network: str = fewshot.DEFAULT_NETWORK,
    seed: int = 0,
    num_test: int = 200,
    num_steps: int | None = None,
    cache: Path | None = CACHE,
    save: Path | None = None,
    source: World | Collection | None = None,
    progress: bool = False,
) -> dict:
    """The paper's face protocol: fit on a few projected pictures, score on others, projected too.

    Args:
        gan: a `fewshot.GAN`.
        world: name of a world in `WORLDS`.
        num_classes: of faces 10, or 3 (eyes, mouth, nose; background is then left out of the means); None for all.
        num_shots: annotated pictures, >= 1.
        network: as `fewshot.fit` takes it.
        seed: which pictures are annotated, and the fit's own randomness; the test set stays.
        num_test: pictures to score on.
        num_steps: of projection; None for the GAN's default.
        cache: folder that keeps projections, which do not depend on labels; None keeps nothing.
        save: file to write the segmenter to; None writes none.
        source: a `Collection`, instead of a world.
        progress: show bars.
    Returns:
        dict: weighted_iou, mean_iou, per_class and boundary_f in percent, psnr in dB, seconds by step.
    Raises:
        ToolkitError: an unknown world or class set, or seeds that would overlap.
    Source: Tritrong et al. 2021, sec. 4.1.
    """
    if save is not None:
        check_can_write(save)  # before the work, not after it
    source = source or World(world)
    study = Study(gan, source, num_test, num_steps, cache, progress=progress)
    num_classes = max(source.class_sets) if num_classes is None else num_classes
    cell = Cell(network, num_classes, num_shots, seed)
    found, _ = measure(study, cell, save)
    about = {"world": study.source.name, "classes": num_classes, "shots": num_shots, "network": network, "seed": seed}
    num_test = len(test_images(study)[1])  # a data set may have fewer
    return {**about, "num_test": num_test, **found}


def judge(
    segmenter: Segmenter | AutoShotSegmenter,
    source: World | Collection,
    *,
    num_test: int = 200,
    num_steps: int | None = None,
    cache: Path | None = CACHE,
    progress: bool = False,
) -> dict:
    """Score a segmenter as it is on the pictures that `evaluate` scores on.

    Args:
        segmenter: of either kind; its classes are among the source's, others count as background. Where the source
            knows one class besides the background and the segmenter lacks it, e.g. horse or not, all parts together
            are scored as that.
        source: a `World` or `Collection`.
        num_test, num_steps, cache, progress: as `evaluate` takes them.
    Returns:
        dict: weighted_iou, mean_iou, per_class and boundary_f in percent; of a few-shot segmenter also psnr in dB.
    Raises:
        LabelError: a class that the source does not label.
    """
    about: dict[str, Any] = {"world": source.name}
    if isinstance(segmenter, AutoShotSegmenter):
        image, truth = source.test(num_test, segmenter.resolution)
        prediction = segmenter.predict(image).argmax(1).cpu()
    else:
        study = Study(segmenter.gan, source, num_test, num_steps, cache, progress=progress)
        test, truth = test_pictures(study)
        prediction, about["psnr"] = segmenter.predict(test).argmax(1).cpu(), round(float(test.psnr.mean()), 2)
    about["num_test"] = len(truth)
    if len(source.classes) == 2 and source.classes[1] not in segmenter.classes:
        return {**about, **score((prediction > 0).long(), truth, source.classes)}
    return {**about, **score(prediction, labels.merge(truth, source.classes, segmenter.classes), segmenter.classes)}


def measure(study: Study, cell: Cell, save: Path | None = None) -> tuple[dict, Tensor]:
    """Measure one cell.

    Args:
        study: a `Study`.
        cell: a `Cell`.
        save: file for a few-shot network's segmenter; None writes none.
    Returns:
        dict: weighted_iou, mean_iou, per_class, boundary_f, psnr (None without a GAN), seconds; with `cell.moved` also
        moved, its scores;
        label_map (N, R, R) predicted for the test pictures as they are.
    Raises:
        ToolkitError: a class set that the source does not have, or more shots than it has.
    """
    sets = study.source.class_sets
    if cell.num_classes not in sets:
        raise ToolkitError("evaluate", f"classes of {list(sets)}", cell.num_classes, "Choose one of these")
    classes, clock = sets[cell.num_classes], Clock()
    image, label_map = shot_pictures(study, cell)
    how, shots = (study.num_steps, study.cache, study.progress), None
    detail = shot_details(study, cell) if cell.needs_latents or cell.method == IMAGENET else None
    if cell.needs_latents:
        shots = project(study.gan, image, *how, detail)
    elif detail is not None:
        image = detail
    clock("project_shots")
    look = test_pictures if cell.needs_latents else _seen if cell.method == IMAGENET else test_images
    test, truth = look(study)
    clock("project_test")
    label_map, truth = (labels.merge(m, study.source.classes, classes) for m in (label_map, truth))
    shots = None if shots is None else shots[: cell.num_shots]
    predict = _fit(study, cell, image[: cell.num_shots], shots, label_map[: cell.num_shots], classes, save)
    clock("fit")
    prediction = predict(test)
    clock("segment")
    psnr = round(float(test.psnr.mean()), 2) if isinstance(test, fewshot.Sample) else None
    found = {**score(prediction, truth, classes), "psnr": psnr, "seconds": clock.laps}
    if cell.moved:
        test, truth = look(study, moved=True)
        found["moved"] = score(predict(test), labels.merge(truth, study.source.classes, classes), classes)
    return found, prediction


def _seen(study, moved=False):
    """As `test_images`, in all the detail that hypercolumns would see."""
    image, truth = test_images(study, moved)
    detail = test_details(study, moved)
    return image if detail is None else detail, truth


def _fit(study, cell, image, shots, label_map, classes, save):
    """Fit the cell's method; returns a function, `Sample` (of baselines: image) -> label_map."""
    if cell.method in (UNET, UNET_IMAGENET):
        start = "scratch" if cell.method == UNET else "imagenet"
        return baselines.fit_unet(image, label_map, classes, cell.seed, start=start)
    if cell.method == IMAGENET:
        return fit_imagenet(image, label_map, classes, cell.seed)
    if cell.method == MEAN_MAP:
        return baselines.fit_mean_map(label_map, len(classes))
    if cell.method == AUTO_SHOT:
        auto = distilled(study, cell, lambda: _few_shot(study.gan, cell, shots, label_map, classes))
        return lambda sample: auto.predict(sample.image).argmax(1)
    gan = study.gan
    if cell.layers or cell.upsampling != "bilinear":
        gan = OtherFeatures(gan, cell.layers, cell.upsampling)
    segmenter = _few_shot(gan, cell, shots, label_map, classes)
    if save is not None:
        segmenter.save(save)
    return lambda sample: segmenter.predict(with_noise(gan, sample, cell.noise, 1 + cell.seed)).argmax(1)


def _few_shot(gan, cell, shots, label_map, classes):
    network = fewshot.DEFAULT_NETWORK if cell.method == AUTO_SHOT else cell.method
    sample = with_noise(gan, shots, cell.noise, cell.seed)
    shots = [Shot(sample[i], label_map[i], classes, gan) for i in range(len(sample))]
    return fewshot.fit(gan, shots, network=network, seed=cell.seed)


def distilled(study: Study, cell: Cell, fit: Callable[[], Segmenter]) -> AutoShotSegmenter:
    """The auto-shot network of a cell, trained in a folder of its own, so that it can resume.

    Args:
        fit: returns the few-shot segmenter; called without arguments if none is saved yet.
    Returns:
        `AutoShotSegmenter`.
    """
    folder = work_folder(study, cell)
    file = folder / "segmenter.safetensors"
    if not file.is_file():  # saved, as auto-shot resumes only with the same segmenter
        fit().save(file)
    few = Segmenter.load(file, study.gan)
    auto = few.autoshot(seed=cell.seed, out_dir=folder, **study.distillation)
    auto.save(folder / "autoshot.safetensors")
    return auto
