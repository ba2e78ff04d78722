"""Projection: the standard recipe against ours, by quality, parts and seconds, in one run."""

import json as json_
import time

import torch

from toolkit import experiments, fewshot, labels, plots, projector

NUM_SHOTS_SEEDS = 3
STEPS = (0, 20, 50, 200)
BASELINE_STEPS = 1000


def measure(gan, num=64, baseline_steps=BASELINE_STEPS, steps=STEPS):
    """Rows of the table: the baseline first, then ours by number of steps.

    Args:
        gan: a `fewshot.GAN` with an encoder.
        num: unseen portraits.
    Returns:
        list of dicts: method, psnr in dB, perceptual distance, iou (one-shot, weighted, percent, mean
        over shots), seconds a picture, and how many times faster than the baseline.
    """
    classes = labels.PORTRAIT_CLASSES
    image, truth = experiments.world_named("portraits").render(num, gan.resolution, experiments.EVALUATION_SEED)
    segmenters = [_one_shot(gan, seed) for seed in range(NUM_SHOTS_SEEDS)]
    rows = []
    for name, options in [
        (f"baseline: W, noise, {baseline_steps} steps", {"space": "w", "noise": True, "num_steps": baseline_steps}),
        *((f"ours: encoder, {n} steps" if n else "ours: encoder only", {"encoder": gan.encoder, "num_steps": n})
          for n in steps),
    ]:
        started = time.perf_counter()
        found = projector.project(gan.generator, image, discriminator=gan.discriminator, patience=None, **options)
        seconds = (time.perf_counter() - started) / num
        sample = fewshot.Sample(image, found.ws, found.noise, found.image)
        ious = [experiments.score(s.predict(sample).argmax(1), truth, classes)["weighted_iou"] for s in segmenters]
        rows.append({
            "method": name, "psnr": round(float(sample.psnr.mean()), 2),
            "perceptual": round(float(found.errors[:, 1].mean()), 3), "iou": round(sum(ious) / len(ious), 1),
            "seconds": float(f"{seconds:.3g}"),
            "times_faster": round((rows[0]["seconds"] if rows else seconds) / seconds, 1),
        })  # fmt: skip
    return rows


def _one_shot(gan, seed):
    image, label_map = experiments.world_named("portraits").render(
        1, gan.resolution, experiments.SHOT_SEED + 100 * seed
    )
    shot = fewshot.Shot(gan.project(image, judge=False), label_map, labels.PORTRAIT_CLASSES, gan)
    return fewshot.fit(gan, [shot], seed=seed)


def main(json=False, num=64):
    """Print the table."""
    gan = fewshot.load_gan()
    rows = measure(gan, num)
    if json:
        print(json_.dumps({"num": num, "threads": torch.get_num_threads(), "rows": rows}))
        return
    print(f"{num} unseen portraits, {torch.get_num_threads()} threads; iou: one shot, mean of {NUM_SHOTS_SEEDS}")
    print(plots.table([tuple(rows[0]), *(tuple(row.values()) for row in rows)]))
    print("wanted: with at most 50 steps psnr and iou no worse than the baseline's, at least 20 times faster;")
    print("encoder only at least 500 times faster, iou within 5 points of the best row")
