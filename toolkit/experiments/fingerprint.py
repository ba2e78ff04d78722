"""Hashes of all that a stored result depends on: settings, pictures and weights."""

import hashlib
import json
from pathlib import Path
from typing import Any

from toolkit.experiments import projection
from toolkit.experiments.material import data_key
from toolkit.experiments.study import AUTO_SHOT, IMAGENET, Cell, Study
from toolkit.parts import fitting
from toolkit.projection.imagenet import layer_channels

# Increment when a change of the code alters results.
RESULTS_VERSION = 1


def hash_of(key: Any) -> str:
    """A hash of a JSON-serialisable value: 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def key_of(study: Study, cell: Cell) -> dict:
    """All that a cell's result depends on: JSON-serialisable dict. Baselines do not depend on the GAN."""
    gan = study.gan
    key = {
        **cell._asdict(),
        "layers": list(cell.layers),
        "data": data_key(study, cell),
        "num_test": study.num_test,
        "version": RESULTS_VERSION,
    }
    if cell.method == IMAGENET or (cell.needs_latents and gan.imagenet):
        layers = list(layer_channels(gan.resolution) if cell.method == IMAGENET else gan.channels)
        key["seen"] = [gan.detail_resolution, layers]
        if cell.method in fitting.HIDDEN or cell.method == AUTO_SHOT:
            key["alone"] = fitting.ALONE
    if not cell.needs_latents:
        return key
    key |= {
        "gan": gan.hash,
        "class_index": gan.class_index,
        "encoder": None if gan.encoder is None else gan.encoder.hash,
        "num_steps": study.projection_steps,
        "projection": projection.VERSION,
    }
    if gan.imagenet and gan.framer is None:  # its shots' views move otherwise, see `parts.views`
        key["framed"] = False
    if cell.method in fitting.AT_ONCE:
        key["fitting"] = [fitting.NUM_STEPS[cell.method], fitting.AT_ONCE[cell.method]]
    return {**key, "distillation": study.distillation} if cell.method == AUTO_SHOT else key


def work_folder(study: Study, cell: Cell) -> Path:
    """The folder in which a cell's auto-shot network is trained."""
    return study.folder / "autoshot" / hash_of(key_of(study, cell))
