"""One-shot segmentation from start to end, with a picture of the results."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from toolkit import fewshot
from toolkit.experiments.scoring import Clock, score
from toolkit.experiments.sources import EVALUATION_SEED, SHOT_SEED, world_of
from toolkit.fewshot import GAN, Shot
from toolkit.files import check_can_write
from toolkit.pictures import images, labels
from toolkit.show import plots
from toolkit.worlds import portraits

SHOWN = 6  # rows of the picture


def quickstart(
    gan: GAN, out: str | Path, *, num_test: int = 8, num_steps: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """One labelled picture, a fit, and unseen pictures segmented.

    A GAN that comes with labelled pictures (`fewshot.examples`) is taught by one of them and judged by the others. The
    GAN of the world of portraits, whose labels are exact, and one without any, gets portraits, all projected.

    Args:
        gan: a `fewshot.GAN`.
        out: PNG to write: picture, prediction and truth, and the reconstruction of portraits, of the labelled one in
            the first row, and of the first unseen ones.
        num_test: unseen pictures, at most as many as there are.
        num_steps: of projection; None for the GAN's default.
        seed: which picture is labelled.
    Returns:
        dict as of `evaluate`, without "psnr" where nothing is projected; also printed as a table.
    """
    check_can_write(out)  # before the work, not after it
    clock, examples = Clock(), fewshot.examples(gan) if world_of(gan) is None else []
    if len(examples) > 1:
        columns, report = _with_examples(gan, examples, num_test, seed, clock)
    else:
        columns, report = _with_portraits(gan, num_test, num_steps, seed, clock)
    classes = examples[0].classes if examples else labels.PORTRAIT_CLASSES
    shown = {title: list(pictures)[:SHOWN] for title, pictures in columns.items()}
    images.save_png(out, plots.comparison(shown, labels.palette_of(classes), classes))
    rows = [("part", "IoU %"), *report["per_class"].items(), ("weighted", report["weighted_iou"])]
    print(plots.table(rows), plots.table([("step", "seconds"), *clock.laps.items()]), sep="\n\n")
    return report


Columns = dict[str, Tensor]  # of the picture: title -> images (N, 3, R, R) or label maps (N, R, R)


def _with_examples(
    gan: GAN, examples: list[Shot], num_test: int, seed: int, clock: Clock
) -> tuple[Columns, dict[str, Any]]:
    order = [(seed + i) % len(examples) for i in range(min(num_test + 1, len(examples)))]
    shot, *others = (examples[i] for i in order)
    segmenter = fewshot.fit(gan, [shot], seed=seed, progress=True)
    clock("fit on one label")
    prediction = torch.cat([segmenter.predict(one.sample).argmax(1) for one in (shot, *others)])
    clock("segment the others")
    image, truth = (torch.cat(parts) for parts in zip(*((one.sample.image, one.label_map) for one in (shot, *others))))
    report = {**score(prediction[1:], truth[1:], shot.classes), "seconds": clock.laps}
    return {"picture": image, "prediction": prediction, "labelled by hand": truth}, report


def _with_portraits(
    gan: GAN, num_test: int, num_steps: int | None, seed: int, clock: Clock
) -> tuple[Columns, dict[str, Any]]:
    classes = labels.PORTRAIT_CLASSES
    shot_image, shot_labels = portraits.render(1, gan.resolution, SHOT_SEED + 100 * seed)
    image, truth = portraits.render(num_test, gan.resolution, EVALUATION_SEED)
    clock("render portraits")
    shot = Shot(gan.project(shot_image, num_steps=num_steps, progress=True), shot_labels, classes, gan)
    clock("project the labelled one")
    segmenter = fewshot.fit(gan, [shot], seed=seed, progress=True)
    clock("fit on one label")
    test = gan.project(image, num_steps=num_steps, progress=True)
    clock("project the unseen ones")
    prediction = segmenter.predict(test).argmax(1)
    clock("segment them")
    report = {
        **score(prediction, truth, classes),
        "psnr": round(float(test.psnr.mean()), 2),
        "seconds": clock.laps,
    }
    columns = {
        "portrait": (shot_image, image),
        "reconstruction": (shot.sample.reconstruction, test.reconstruction),
        "prediction": (segmenter.predict(shot.sample).argmax(1), prediction),
        "truth": (shot_labels, truth),
    }
    return {title: torch.cat(pair) for title, pair in columns.items()}, report
