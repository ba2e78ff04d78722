"""The paper's tables of cars and horses: photographs of PASCAL-Parts."""

import statistics

from toolkit import fewshot
from toolkit.experiments import paper
from toolkit.experiments.study import AUTO_SHOT, MANY, UNET, Cell
from toolkit.experiments.tables import TablePlan, summary

NUM_SHOTS = 10


def table4(study, seeds):
    """Cars: IoU of each part."""
    return _table(study, seeds, "table4", "Cars of PASCAL-Parts: IoU in percent", paper.TABLE4)


def table5(study, seeds):
    """Horses: IoU of each part, neck and torso as one."""
    return _table(study, seeds, "table5", "Horses of PASCAL-Parts: IoU in percent", paper.TABLE5)


def _table(study, seeds, name, title, theirs):
    num = max(study.source.class_sets)
    methods = {
        "auto-shot": (AUTO_SHOT, NUM_SHOTS),
        f"{NUM_SHOTS}-shot, projected": (fewshot.DEFAULT_NETWORK, NUM_SHOTS),
        f"U-Net from scratch, {NUM_SHOTS} labels": (UNET, NUM_SHOTS),
        "U-Net, all labels": (UNET, MANY),
    }

    def cells_of(method, shots):
        return [Cell(method, num, shots, s) for s in range(seeds)]

    def tables(found):
        rows = []
        for method, cell in methods.items():
            row = {"model": method} | summary(found, cells_of(*cell))
            known = [row[c] for c in study.source.classes if row[c] is not None]
            rows.append(row | {"average": round(statistics.mean(known), 1)})
        keys = list(rows[0])[1:]
        rows += [{"model": f"paper: {m}"} | {key: row.get(key) for key in keys} for m, row in theirs.items()]
        return {"by part": rows}

    cells = [cell for method in methods.values() for cell in cells_of(*method)]
    return TablePlan(name, title, cells, tables, {method: cells_of(*cell)[0] for method, cell in methods.items()})
