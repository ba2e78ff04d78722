"""The paper's tables 4 and 5: cars and horses of PASCAL-Parts."""

from toolkit import fewshot
from toolkit.experiments import paper
from toolkit.experiments.study import AUTO_SHOT, IMAGENET, MANY, UNET, UNET_IMAGENET, Cell, Study
from toolkit.experiments.tables import TablePlan, summary

NUM_SHOTS = 10


def table4(study: Study, seeds: int) -> TablePlan:
    """Cars: IoU of each part."""
    return _table(study, seeds, "table4", "Cars of PASCAL-Parts: IoU in percent", paper.TABLE4)


def table5(study: Study, seeds: int) -> TablePlan:
    """Horses: IoU of each part, neck and torso as one."""
    return _table(study, seeds, "table5", "Horses of PASCAL-Parts: IoU in percent", paper.TABLE5)


def _table(study, seeds, name, title, theirs):
    num, shots = max(study.source.class_sets), min(NUM_SHOTS, study.source.most_shots)
    methods = {
        "auto-shot": (AUTO_SHOT, shots),
        f"{shots}-shot, projected": (fewshot.DEFAULT_NETWORK, shots),
        f"ImageNet MLP, {shots} labels": (IMAGENET, shots),
        f"U-Net from ImageNet, {shots} labels": (UNET_IMAGENET, shots),
        f"U-Net from scratch, {shots} labels": (UNET, shots),
        "U-Net, all labels": (UNET, MANY),
    }

    def cells_of(method, shots):
        return [Cell(method, num, shots, s) for s in range(seeds)]

    def tables(found):
        rows = []
        for method, cell in methods.items():
            rows.append({"model": method} | summary(found, cells_of(*cell)))
        keys = list(rows[0])[1:]
        rows += [{"model": f"paper: {m}"} | {key: row.get(key) for key in keys} for m, row in theirs.items()]
        return {"by part": rows}

    cells = [cell for method in methods.values() for cell in cells_of(*method)]
    return TablePlan(name, title, cells, tables, {method: cells_of(*cell)[0] for method, cell in methods.items()})
