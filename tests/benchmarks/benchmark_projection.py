"""Projection: the standard recipe against ours, by quality, parts and seconds, in one run."""

import json as json_
import time

import torch

from toolkit import experiments, fewshot
from toolkit.pictures import labels
from toolkit.projection import projector
from toolkit.show import plots

NUM_SHOTS_SEEDS = 3
STEPS = (0, 20, 40, 50, 200)
BASELINE_STEPS = 1000
BATCH_SIZE = 16


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
    methods = {
        f"baseline: W, noise, {baseline_steps} steps": {"space": "w", "noise": True, "num_steps": baseline_steps},
        **{
            f"ours: encoder, {n} steps" if n else "ours: encoder only": {"encoder": gan.encoder, "num_steps": n}
            for n in steps
        },
    }
    found, seconds = {name: [] for name in methods}, dict.fromkeys(methods, 0.0)
    for part in image.split(BATCH_SIZE):  # in turn, so that a machine that is busy for a while slows all alike
        for name, options in methods.items():
            started = time.perf_counter()
            found[name].append(
                projector.project(gan.generator, part, discriminator=gan.discriminator, patience=None, **options)
            )
            seconds[name] += time.perf_counter() - started
    rows = []
    for name, parts in found.items():
        ws, picture = (torch.cat([getattr(p, f) for p in parts]) for f in ("ws", "image"))
        noise = {layer: torch.cat([p.noise[layer] for p in parts]) for layer in parts[0].noise}
        sample = fewshot.Sample(image, ws, noise, picture)
        ious = [experiments.score(s.predict(sample).argmax(1), truth, classes)["weighted_iou"] for s in segmenters]
        perceptual = torch.cat([p.errors[:, 1] for p in parts]).mean()
        rows.append(
            {
                "method": name,
                "psnr": round(float(sample.psnr.mean()), 2),
                "perceptual": round(float(perceptual), 3),
                "iou": round(sum(ious) / len(ious), 1),
                "seconds": float(f"{seconds[name] / num:.3g}"),
                "times_faster": round(next(iter(seconds.values())) / seconds[name], 1),
            }
        )
    return rows


def _one_shot(gan, seed):
    image, label_map = experiments.world_named("portraits").render(
        1, gan.resolution, experiments.SHOT_SEED + 100 * seed
    )
    shot = fewshot.Shot(gan.project(image, judge=False), label_map, labels.PORTRAIT_CLASSES, gan)
    return fewshot.fit(gan, [shot], seed=seed)


def main(json=False, num=64):
    """Print the table."""
    gan = fewshot.load_gan("portraits-64")
    rows = measure(gan, num)
    if json:
        print(json_.dumps({"num": num, "threads": torch.get_num_threads(), "rows": rows}))
        return
    print(f"{num} unseen portraits, {torch.get_num_threads()} threads; iou: one shot, mean of {NUM_SHOTS_SEEDS}")
    print(plots.table([tuple(rows[0]), *(tuple(row.values()) for row in rows)]))
    print("wanted: with at most 50 steps psnr and iou no worse than the baseline's, at least 20 times faster;")
    print("encoder only at least 500 times faster, iou within 5 points of the best row")
