"""The paper's tables 4 and 5, cars and horses: of PASCAL-Parts, or of any other data set of theirs."""

from toolkit import fewshot
from toolkit.experiments import paper
from toolkit.experiments.study import AUTO_SHOT, IMAGENET, MANY, UNET, UNET_IMAGENET, Cell, Study
from toolkit.experiments.tables import TablePlan, number, shots_of, summary


def table4(study: Study, seeds: int) -> TablePlan:
    """Cars: IoU of each part."""
    return _table(study, seeds, "table4", "Cars", paper.TABLE4, paper.OIPARTS["car"])


def table5(study: Study, seeds: int) -> TablePlan:
    """Horses: IoU of each part; PASCAL-Parts has neck and torso as one."""
    return _table(study, seeds, "table5", "Horses", paper.TABLE5, paper.OIPARTS["horse"])


def _table(study, seeds, name, things, theirs, oiparts):
    title = f"{things} of {study.source.name}: IoU in percent"
    num, shots = max(study.source.class_sets), shots_of(study)[-1]

    def labels(k):
        return f"{k} label{'s'[: k > 1]}"

    methods = {
        "auto-shot": (AUTO_SHOT, shots),
        **{f"{k}-shot, projected": (fewshot.DEFAULT_NETWORK, k) for k in shots_of(study)},
        **{f"ImageNet MLP, {labels(k)}": (IMAGENET, k) for k in shots_of(study)},
        f"U-Net from ImageNet, {labels(shots)}": (UNET_IMAGENET, shots),
        f"U-Net from scratch, {labels(shots)}": (UNET, shots),
    }
    if number(study, MANY) > shots:
        methods[f"U-Net from scratch, {number(study, MANY)} labels"] = (UNET, MANY)

    def cells_of(method, shots):
        return [Cell(method, num, shots, s) for s in range(seeds)]

    def tables(found):
        rows = []
        for method, cell in methods.items():
            rows.append({"model": method} | summary(found, cells_of(*cell)))
        keys = list(rows[0])[1:]
        rows += [{"model": f"paper: {m}"} | {key: row.get(key) for key in keys} for m, row in theirs.items()]
        rows.append({"model": "OIParts, one shot"} | {key: oiparts if key == "mean" else None for key in keys})
        return {"by part": rows}

    cells = [cell for method in methods.values() for cell in cells_of(*method)]
    return TablePlan(name, title, cells, tables, {method: cells_of(*cell)[0] for method, cell in methods.items()})
