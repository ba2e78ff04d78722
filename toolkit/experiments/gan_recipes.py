"""Ways to train a GAN on photographs, compared at equal processor time.

All are trained side by side in one process, a minute of processor time each in turn, so that whatever else the machine
does meanwhile slows all alike.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from toolkit import metrics
from toolkit.errors import ToolkitError, check_count
from toolkit.experiments.frechet import moments
from toolkit.experiments.report import markdown_table, versions
from toolkit.files import replace_when_done
from toolkit.pictures.images import as_float, grid
from toolkit.projection.imagenet import imagenet_features
from toolkit.training.autoencoder import AutoencoderJob, AutoencoderPlan
from toolkit.training.gan import GANJob
from toolkit.training.growth import finished
from toolkit.training.judged import SHARE, JudgedJob
from toolkit.training.plan import Plan

SIDE, START_SIDE = 64, 32
TURN = 60.0  # seconds of processor time
FADE = 3_000  # pictures over which 64 pixels come in
NEVER = 10**9  # pictures
GROWN = 0.5  # share of the time after which pictures have 64 pixels
REDRAWN = 0.6  # share of the time that goes into redrawing alone
JUDGED, UNJUDGED = 0.5, 0.75  # shares of the time between which the judges fade
AT_ONCE = 50  # samples drawn


class Recipe:
    """A training that goes on for a time, not for a number of pictures.

    Args:
        name: of the recipe.
        job: the training; its plan's numbers of pictures are kept to what the time will be enough for.
        pace: called before every step with the job and the share of the time gone.
    """

    def __init__(self, name: str, job: Any, pace: Callable[[Any, float], None]) -> None:
        self.name, self.job, self.pace = name, job, pace
        self.used = 0.0

    def train(self, until: float, budget: float) -> None:
        """Take steps until `until` of `budget` seconds of processor time are used."""
        while self.used < until:
            started = time.process_time()
            rate = self.job.seen / self.used if self.used else NEVER
            total = int(self.job.seen + rate * (budget - self.used)) + 1
            self.job.plan = self.job.plan._replace(num_pictures=total)
            self.pace(self.job, self.used / budget)
            self.job.step()
            self.used += time.process_time() - started

    def samples(self, num: int, truncation_psi: float = 1.0) -> torch.Tensor:
        """Pictures (num, 3, 64, 64) in [-1, 1] that the average of the generator draws."""
        with torch.no_grad():
            if isinstance(self.job, AutoencoderJob):
                generator, _ = self.job.finished()
            else:
                generator, _ = finished(self.job.ema, self.job.discriminator)
            z = torch.randn(num, generator.z_dim, generator=torch.Generator().manual_seed(1))
            parts = [generator(part, truncation_psi=truncation_psi).clamp(-1, 1) for part in z.split(AT_ONCE)]
        return F.interpolate(torch.cat(parts), size=(SIDE, SIDE), mode="bilinear", antialias=True)


def _grow(job, share):
    job.plan = job.plan._replace(grow_after=1 if share >= GROWN else NEVER)


def _grow_and_fade(job, share):
    _grow(job, share)
    job.share = SHARE * min(1.0, max(0.0, (UNJUDGED - share) / (UNJUDGED - JUDGED)))


def _judge(job, share):
    job.plan = job.plan._replace(judged_after=0 if share >= REDRAWN else NEVER)


def _recipes(pictures, folder, seed):
    plan = Plan(SIDE, START_SIDE, fade=FADE, seed=seed)
    redrawing = AutoencoderPlan(SIDE, seed=seed)
    return [
        Recipe("discriminator alone", GANJob(pictures, folder / "alone", plan), _grow),
        Recipe("with judges on ImageNet's features", JudgedJob(pictures, folder / "judged", plan), _grow_and_fade),
        Recipe(
            "redrawing first, then judges",
            AutoencoderJob(pictures, folder / "redrawn", redrawing, "crop", torch.device("cpu")),
            _judge,
        ),
    ]


def recipes(
    pictures: np.ndarray,
    unseen: np.ndarray,
    folder: str | Path,
    *,
    minutes: float = 40,
    marks: int = 4,
    num: int = 1000,
    seed: int = 0,
    progress: bool = False,
) -> dict[str, Any]:
    """Train a GAN of 64 pixels by each recipe for as long, and measure how near photographs its samples come.

    Adversarial ones spend half of the time at 32 pixels; judges fade out by three quarters of it.

    Args:
        pictures: (N, 3, 64, 64) uint8, to learn from.
        unseen: (M, 3, 64, 64) uint8, M >= 4, not among them.
        folder: where recipes.md and a sheet of samples for each go.
        minutes: of processor time, for each recipe.
        marks: how often, evenly, distances are taken.
        num: photographs and samples to measure by, at most M / 2.
        seed: of all trainings.
        progress: print each distance as it is known.
    Returns:
        dict: recipes (rows: recipe, and by mark the pictures seen and the Fréchet distance),
        frechet_photographs (the floor), minutes, num, versions.
    Raises:
        ToolkitError: too few unseen pictures, or the ImageNet weights are not installed.
    """
    check_count("recipes", "marks", marks)
    num = min(num, len(unseen) // 2)
    if num < 2:
        raise ToolkitError("recipes", "at least 4 unseen pictures", len(unseen), "Add some")
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    network = imagenet_features("cpu")
    order = np.random.default_rng(seed).permutation(len(unseen))
    real, others = (moments(network.embed(as_float(unseen[np.sort(order[i : i + num])]))) for i in (0, num))
    candidates = _recipes(pictures, folder, seed)
    rows = [{"recipe": candidate.name} for candidate in candidates]
    budget = 60.0 * minutes
    for mark in range(1, marks + 1):
        until = budget * mark / marks
        while any(candidate.used < until for candidate in candidates):
            for candidate in candidates:
                candidate.train(min(until, candidate.used + TURN), budget)
        for candidate, row in zip(candidates, rows, strict=True):
            distance = metrics.frechet_distance(*real, *moments(network.embed(candidate.samples(num))))
            row[f"pictures after {until / 60:g} min"] = candidate.job.seen
            row[f"distance after {until / 60:g} min"] = round(distance, 1)
            if progress:
                print(
                    f"{candidate.name}: {until / 60:g} min, {candidate.job.seen} pictures, {distance:.1f}", flush=True
                )
            with replace_when_done(folder / f"{candidate.job.out_dir.name}-{mark}.png") as temporary:
                grid(candidate.samples(64, 0.7), columns=8).save(temporary)
    floor = metrics.frechet_distance(*real, *others)
    about = {"minutes": minutes, "num": num, "frechet_photographs": round(floor, 1), **versions()}
    text = f"{markdown_table(rows)}\n\nOther photographs: {floor:.1f}, by {num} each.\n"
    with replace_when_done(folder / "recipes.md") as temporary:
        Path(temporary).write_text(text, "utf-8")
    return {"recipes": rows, **about}
