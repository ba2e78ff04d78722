"""Experiments: the paper's tables and protocol, and the quality of GANs."""

from toolkit.experiments.catalogue import PLANS, run, source_of
from toolkit.experiments.evaluation import evaluate, judge
from toolkit.experiments.framing import FRAMING_SIDE, framing, framing_of_cut
from toolkit.experiments.frechet import frechet_to_folder
from toolkit.experiments.gan_quality import gan_quality
from toolkit.experiments.gan_recipes import recipes
from toolkit.experiments.gap import gap
from toolkit.experiments.overlap import overlap
from toolkit.experiments.projection import projected
from toolkit.experiments.quickstart import quickstart
from toolkit.experiments.reconstruction import reconstruction
from toolkit.experiments.refusals import refusals
from toolkit.experiments.report import into_readme
from toolkit.experiments.scoring import score
from toolkit.experiments.sources import CALIBRATION_SEED, EVALUATION_SEED, SHOT_SEED, WORLDS, world_named, world_of
from toolkit.experiments.study import Study

__all__ = [
    "CALIBRATION_SEED",
    "EVALUATION_SEED",
    "FRAMING_SIDE",
    "PLANS",
    "SHOT_SEED",
    "Study",
    "WORLDS",
    "evaluate",
    "framing",
    "framing_of_cut",
    "frechet_to_folder",
    "gan_quality",
    "gap",
    "into_readme",
    "judge",
    "overlap",
    "projected",
    "quickstart",
    "recipes",
    "reconstruction",
    "refusals",
    "run",
    "score",
    "source_of",
    "world_named",
    "world_of",
]
