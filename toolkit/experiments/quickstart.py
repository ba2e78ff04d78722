"""One-shot segmentation from start to end, with a picture of the results."""

from pathlib import Path
from typing import Any

import torch

from toolkit import fewshot
from toolkit.experiments.scoring import Clock, score
from toolkit.experiments.sources import EVALUATION_SEED, SHOT_SEED
from toolkit.fewshot import GAN, Shot
from toolkit.files import check_can_write
from toolkit.pictures import images, labels
from toolkit.show import plots
from toolkit.worlds import portraits

SHOWN = 6  # rows of the picture


def quickstart(
    gan: GAN, out: str | Path, *, num_test: int = 8, num_steps: int | None = None, seed: int = 0
) -> dict[str, Any]:
    """One labelled portrait, a fit, and unseen portraits segmented.

    Args:
        gan: a `fewshot.GAN`.
        out: PNG to write: portrait, reconstruction, prediction and truth of the labelled portrait, in
            the first row, and of the first unseen ones.
        num_test: unseen portraits.
        num_steps: of projection; None for the GAN's default.
        seed: which portrait is labelled.
    Returns:
        dict as of `evaluate`; also printed as a table.
    """
    check_can_write(out)  # before the work, not after it
    classes, clock = labels.PORTRAIT_CLASSES, Clock()
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
    shown = {
        "portrait": (shot_image, image),
        "reconstruction": (shot.sample.reconstruction, test.reconstruction),
        "prediction": (segmenter.predict(shot.sample).argmax(1), prediction),
        "truth": (shot_labels, truth),
    }
    columns = {title: list(torch.cat(pair))[:SHOWN] for title, pair in shown.items()}
    images.save_png(out, plots.comparison(columns, segmenter.palette, classes))
    rows = [("part", "IoU %"), *report["per_class"].items(), ("weighted", report["weighted_iou"])]
    print(plots.table(rows), plots.table([("step", "seconds"), *clock.laps.items()]), sep="\n\n")
    return report
