"""Finished cells, cached in small files: a second run recomputes nothing, and a killed one resumes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from toolkit.errors import ToolkitError
from toolkit.experiments import evaluation, material, projection
from toolkit.experiments.fingerprint import hash_of, key_of
from toolkit.experiments.pool import DIED, Pool
from toolkit.experiments.study import AUTO_SHOT, Cell, Study
from toolkit.files import replace_when_done
from toolkit.pictures import labels

SHOWN = 6  # predictions stored for each cell, for contact sheets


def kept(study: Study, name: str, key: dict, make: Callable[[], Any]) -> Any:
    """The value of `make()`, cached in a file by `key`.

    Args:
        name: start of the file's name.
        key: JSON-serialisable dict.
        make: function without arguments; its value must be JSON-serialisable.
    """
    file = study.folder / "cells" / f"{name}-{hash_of(key)}.json"
    return _read(file) if file.is_file() else _write(file, key, make())


def results(study: Study, cells: list[Cell], workers: int = 1, progress: bool = False) -> dict[Cell, dict]:
    """Results of cells; those that are not cached are measured.

    Args:
        workers: processes, one thread each; 1 measures in this process, with all its threads.
        progress: show a bar.
    Returns:
        dict, cell -> what `evaluation.measure` found.
    Raises:
        ToolkitError: cells whose process died, once all others are measured and cached.
    """
    files = {cell: _file(study, cell) for cell in cells}
    missing = [cell for cell, file in files.items() if not file.is_file()]
    # Longest first, so that no worker starts a long one when the others are done.
    missing.sort(key=lambda c: (c.method == AUTO_SHOT, c.num_shots), reverse=True)
    dead = []
    with Pool(min(workers, len(missing)), study) as pool:
        chunks = _chunks(study, missing)
        for _ in tqdm(pool.run(_project, chunks), "project pictures", len(chunks), disable=not progress):
            pass  # results are in the cache; where a process died, the cells try again
        bar = tqdm(pool.run(_measure, missing), "measure cells", len(missing), disable=not progress, unit="cell")
        for cell, outcome in bar:
            bar.set_postfix_str(cell.title)
            if outcome is DIED:
                dead.append(cell)
            else:
                _keep(study, cell, *outcome)
    if dead:
        titles, counted = ", ".join(cell.title for cell in dead), f"{len(missing)} cells to be measured"
        fix = "Free some memory and run it again: it measures these alone"
        raise ToolkitError("experiment", counted, f"{len(dead)} whose process died: {titles}", fix)
    return {cell: _read(file) for cell, file in files.items()}


def shown(study: Study, cell: Cell) -> Tensor:
    """label_map (up to `SHOWN`, R, R) that a measured cell predicted for the first test pictures."""
    strip = labels.load_label_png(_file(study, cell).with_suffix(".png"))[0]
    return torch.stack(strip.split(study.gan.resolution, 1))


def _file(study, cell):
    return study.folder / "cells" / f"{cell.title}-{hash_of(key_of(study, cell))}.json"


def _measure(study: Study, cell: Cell) -> tuple[dict, np.ndarray]:
    found, prediction = evaluation.measure(study, cell)
    return found, prediction[:SHOWN].cpu().numpy()


def _project(study: Study, image: Tensor) -> None:
    projection.project(study.gan, image, study.num_steps, study.cache)


def _keep(study, cell, found, prediction):
    file, classes = _file(study, cell), study.source.class_sets[cell.num_classes]
    # Written before the numbers, so that a cell with numbers always has its picture.
    strip = torch.cat(list(torch.from_numpy(prediction)), 1)
    labels.save_label_png(file.with_suffix(".png"), strip, labels.default_palette(len(classes)))
    _write(file, key_of(study, cell), found)


def _write(file, key, found):
    record = {"key": key, "torch": torch.__version__, "found": found}
    with replace_when_done(file) as temporary:
        Path(temporary).write_text(json.dumps(record, indent=1), "utf-8")
    return found


def _read(file):
    return json.loads(file.read_text("utf-8"))["found"]


def _chunks(study, cells):
    """All pictures the cells need projected, in chunks; none without a cache to share them."""
    if study.cache is None:
        return []
    wanted = {}
    for cell in cells:
        if cell.needs_latents:
            tens = -(-cell.num_shots // projection.CHUNK)
            wanted.setdefault((cell.seed, tens), lambda c=cell: material.shot_pictures(study, c))
            wanted.setdefault("test", lambda: material.test_images(study))
            if cell.moved:
                wanted.setdefault("moved", lambda: material.test_images(study, moved=True))
    return [chunk for make in wanted.values() for chunk in make()[0].split(projection.CHUNK)]
