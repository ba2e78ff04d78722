"""What a stored number depends on: settings, pictures and weights, in a few letters."""

import hashlib
import json
from pathlib import Path
from typing import Any

from toolkit.experiments import projection
from toolkit.experiments.material import data_key
from toolkit.experiments.study import AUTO_SHOT, Cell, Study

# Raise it whenever the code would find other numbers from the same settings, pictures and weights.
RESULTS_VERSION = 1


def hash_of(key: Any) -> str:
    """Twelve letters that stand for anything JSON can hold."""
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:12]


def key_of(study: Study, cell: Cell) -> dict:
    """All that a cell's number depends on: a dict that JSON can hold."""
    gan = study.gan
    key = {
        **cell._asdict(),
        "layers": list(cell.layers),
        "data": data_key(study, cell),
        "num_test": study.num_test,
        "gan": gan.hash,
        "class_index": gan.class_index,
        "encoder": None if gan.encoder is None else gan.encoder.hash,
        "num_steps": study.projection_steps,
        "version": [RESULTS_VERSION, projection.VERSION],
    }
    return {**key, "distillation": study.distillation} if cell.method == AUTO_SHOT else key


def work_folder(study: Study, cell: Cell) -> Path:
    """Where a cell's auto-shot network is made."""
    return study.folder / "autoshot" / hash_of(key_of(study, cell))
