"""Finished cells, kept in small files: a second run recomputes nothing, one that was killed goes on."""

import json
import multiprocessing
import os
import threading
from pathlib import Path

import torch
from tqdm import tqdm

from toolkit import fewshot
from toolkit.autoshot import augmentation, distillation, synthesis
from toolkit.experiments import baselines, evaluation, features, projection
from toolkit.experiments.fingerprint import code_of, hash_of
from toolkit.files import replace_when_done
from toolkit.parts import fitting, hypercolumns, networks
from toolkit.pictures import labels
from toolkit.training import loop

SHOWN = 6  # predictions kept of each cell, for contact sheets
FEW_SHOT = code_of(fewshot, fitting, hypercolumns, networks, features)
CODE = {
    evaluation.UNET: code_of(baselines, networks, augmentation),
    evaluation.MEAN_MAP: code_of(baselines),
    evaluation.AUTO_SHOT: code_of(
        fewshot, fitting, hypercolumns, networks, augmentation, distillation, synthesis, loop
    ),
}


def key_of(study, cell):
    """All that a cell's number depends on: a dict that JSON can hold."""
    gan = study.gan
    encoder, num_steps = None if gan.encoder is None else gan.encoder.hash, study.num_steps
    key = {
        **cell._asdict(),
        "layers": list(cell.layers),
        "source": study.source.key,
        "num_test": study.num_test,
        "gan": gan.hash,
        "encoder": encoder,
        "num_steps": gan.projection_steps if num_steps is None else num_steps,
        "projection": projection.CODE,
        "code": CODE.get(cell.method, FEW_SHOT),
    }
    return {**key, "distillation": study.distillation} if cell.method == evaluation.AUTO_SHOT else key


def kept(study, name, key, make):
    """What `make()` returned the first time it was asked for with this key, from a file ever after.

    Args:
        name: for people who look into the folder.
        key: dict that JSON can hold.
        make: function without arguments; its value must be one that JSON can hold.
    """
    file = study.folder / "cells" / f"{name}-{hash_of(key)}.json"
    if file.is_file():
        return json.loads(file.read_text("utf-8"))["found"]
    found = make()
    record = {"key": key, "torch": torch.__version__, "found": found}
    with replace_when_done(file) as temporary:
        Path(temporary).write_text(json.dumps(record, indent=1), "utf-8")
    return found


def results(study, cells, workers=1, progress=False):
    """What the cells are worth, those that are not known yet by measuring them.

    Args:
        study: a `Study`.
        cells: list of `Cell`.
        workers: processes, one thread each; 1 measures here, with as many threads as there are.
        progress: show a bar.
    Returns:
        dict, cell -> what `evaluation.measure` found.
    """
    cells = list(dict.fromkeys(cells))
    missing = [cell for cell in cells if not _file(study, cell).is_file()]
    if missing:
        # Longest first, so that no worker starts a long one when the others are done.
        missing.sort(key=lambda c: (c.method == evaluation.AUTO_SHOT, c.num_shots), reverse=True)
        with _crew(study, min(workers, len(missing))) as crew:
            chunks = _chunks(study, missing)
            for job, work, what in ((_project, chunks, "project pictures"), (_measure, missing, "measure cells")):
                bar = tqdm(crew(job, work), what, len(work), disable=not progress, unit=what.split()[1][:-1])
                for done in bar:
                    bar.set_postfix_str(done)
    return {cell: _measure(cell, study, read=True) for cell in cells}


def shown(study, cell):
    """label_map (up to `SHOWN`, R, R) that a measured cell predicted for the first test pictures."""
    strip = labels.load_label_png(_file(study, cell).with_suffix(".png"))[0]
    return torch.stack(strip.split(study.gan.resolution, 1))


def _file(study, cell):
    name = f"{cell.method}-{cell.num_classes}-class-{cell.num_shots}-shot-seed-{cell.seed}".replace(" ", "-")
    return study.folder / "cells" / f"{name}-{hash_of(key_of(study, cell))}.json"


def _measure(cell, study=None, read=False):
    study = study or _study

    def make():
        found, prediction = evaluation.measure(study, cell)
        palette = labels.default_palette(len(study.source.class_sets[cell.num_classes]))
        # Before the numbers: where those are, the picture is too.
        labels.save_label_png(_file(study, cell).with_suffix(".png"), torch.cat(list(prediction[:SHOWN]), 1), palette)
        return found

    file = _file(study, cell)
    found = kept(study, file.stem.rpartition("-")[0], key_of(study, cell), make)
    return found if read else file.stem


def _chunks(study, cells):
    """The pictures that several cells want projected, a chunk each, where there is a cache to share."""
    if study.cache is None:
        return []
    wanted = {}
    for cell in cells:
        if evaluation.needs_latents(cell):
            tens = -(-cell.num_shots // projection.CHUNK)
            wanted.setdefault((cell.seed, tens), lambda c=cell: evaluation.shot_pictures(study, c))
        wanted.setdefault("test", lambda: evaluation.test_images(study))
        if cell.moved:
            wanted.setdefault("moved", lambda: evaluation.test_images(study, moved=True))
    return [chunk for make in wanted.values() for chunk in make()[0].split(projection.CHUNK)]


def _project(image):
    projection.project(_study.gan, image, _study.num_steps, _study.cache)
    return ""


_study = None  # of this process


def _start(study):
    global _study
    _study = study
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent():
    """A pool's workers do not notice when the process that started them is killed, and would work on for nobody."""
    multiprocessing.parent_process().join()
    os._exit(1)


class _crew:
    """Workers that share a study: `crew(job, work)` gives what they return, as they finish."""

    def __init__(self, study, workers):
        self.study, self.workers, self.pool = study, workers, None

    def __enter__(self):
        global _study
        _study = self.study
        if self.workers > 1:
            self.pool = multiprocessing.get_context("spawn").Pool(self.workers, _start, [self.study])
        return lambda job, work: self.pool.imap_unordered(job, work) if self.pool else map(job, work)

    def __exit__(self, *error):
        if self.pool:
            self.pool.terminate()
