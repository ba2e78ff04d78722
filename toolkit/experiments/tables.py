"""Plans for the paper's face tables and for ablations: which cells to measure, and how to tabulate them."""

import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from toolkit import fewshot
from toolkit.experiments import paper
from toolkit.experiments.features import NOISES, UPSAMPLINGS
from toolkit.experiments.study import AUTO_SHOT, IMAGENET, MANY, MEAN_MAP, UNET, UNET_IMAGENET, Cell, Study

SHOTS = (1, 5, 10)
NAMES = {UNET: "U-Net", UNET_IMAGENET: "U-Net from ImageNet", MEAN_MAP: "mean label map", IMAGENET: "ImageNet MLP"}
INSTEAD = (IMAGENET, UNET_IMAGENET, UNET, MEAN_MAP)  # baselines without a GAN's features, on the same labels
ALL_LABELS = [(UNET_IMAGENET, MANY), (UNET, MANY)]


class TablePlan(NamedTuple):
    """An experiment: its cells, and how to tabulate them.

    name; title; cells: list of `Cell`; tables: function from dict, cell -> result, to dict, title -> list of rows
    (dicts); sheet: dict, title -> `Cell` whose predictions the contact sheet shows.
    """

    name: str
    title: str
    cells: list[Cell]
    tables: Callable[[dict], dict[str, Any]]
    sheet: dict[str, Cell]


def table1(study: Study, seeds: int) -> TablePlan:
    """CNN and MLP by shots, weighted and plain mean IoU, with baselines."""
    methods = [(m, k) for m in ("cnn-l", "mlp", *INSTEAD) for k in shots_of(study)] + ALL_LABELS
    sets = sorted(study.source.class_sets)

    def tables(found):
        rows = []
        for method, shots in methods:
            row = {"network": NAMES.get(method, method), "shots": number(study, shots)}
            for num in sets:
                here = summary(found, [Cell(method, num, shots, s) for s in range(seeds)])
                row[f"{num}-class"] = here["weighted"]
                if seeds > 1:
                    row[f"{num}-class ±"] = here["±"]
                row[f"{num}-class, mean"] = here["mean"]
                row[f"{num}-class, paper"] = paper.TABLE1.get((method, shots), {}).get(num)
            rows.append(row)
        return {"IoU": rows}

    cells = [Cell(m, num, k, s) for num in sets for m, k in methods for s in range(seeds)]
    return TablePlan("table1", "Networks and shots: IoU in percent", cells, tables, _sheet(study, sets[-1]))


def table2(study: Study, seeds: int, num_shots: int = SHOTS[-1]) -> TablePlan:
    """A few-shot segmenter with projection against the auto-shot network distilled from it."""
    num, num_shots = max(study.source.class_sets), min(num_shots, study.source.most_shots)
    methods = {
        f"{num_shots}-shot, projected": (fewshot.DEFAULT_NETWORK, num_shots),
        "auto-shot": (AUTO_SHOT, num_shots),
    }
    others = {
        f"ImageNet MLP, {num_shots} labels": (IMAGENET, num_shots),
        f"U-Net from ImageNet, {num_shots} labels": (UNET_IMAGENET, num_shots),
        f"U-Net from scratch, {num_shots} labels": (UNET, num_shots),
        f"U-Net from ImageNet, {number(study, MANY)} labels": (UNET_IMAGENET, MANY),
        f"U-Net from scratch, {number(study, MANY)} labels": (UNET, MANY),
    }

    def cells_of(method, shots):
        return [Cell(method, num, shots, s, moved=(method, shots) in methods.values()) for s in range(seeds)]

    def tables(found):
        here = [{"segmenter": name} | summary(found, cells_of(*m)) for name, m in (methods | others).items()]
        lines = [{"segmenter": name} | outlines(found, cells_of(*m)) for name, m in (methods | others).items()]
        keys = list(here[0])[1:]
        theirs = [
            {"segmenter": f"paper: {name}"} | {key: row.get(key) for key in keys}
            for name, row in paper.TABLE2.items()
            if num == 10
        ]
        moved = {cell: result["moved"] for cell, result in found.items() if "moved" in result}
        rows = [{"segmenter": name} | summary(moved, cells_of(*m)) for name, m in methods.items()]
        ahead = {
            "as they are (wanted: above -1)": here[1]["weighted"] - here[0]["weighted"],
            "moved (wanted: 15)": rows[1]["weighted"] - rows[0]["weighted"],
        }
        ahead = {name: round(points, 1) for name, points in ahead.items()}
        return {"as they are": here + theirs, "boundary F": lines, "moved": rows, "auto-shot ahead, in points": ahead}

    cells = [cell for m in (*methods.values(), *others.values()) for cell in cells_of(*m)]
    sheet = {name: cells_of(*m)[0] for name, m in (methods | others).items()}
    return TablePlan(
        "table2", f"{num_shots} shots and projection against auto-shot: IoU in percent", cells, tables, sheet
    )


def table3(study: Study, seeds: int) -> TablePlan:
    """Three classes: IoU of each by shots."""
    num = min(study.source.class_sets)
    few = dict.fromkeys(("cnn-l", fewshot.DEFAULT_NETWORK, *INSTEAD))
    methods = [(m, k) for k in shots_of(study) for m in few]
    methods += ALL_LABELS

    def tables(found):
        rows, lines = [], []
        for name, k in methods:
            row = {"network": NAMES.get(name, name), "shots": number(study, k)}
            here = summary(found, [Cell(name, num, k, s) for s in range(seeds)])
            if name == "cnn-l" and num == 3:
                theirs = {key: paper.TABLE3[k].get(key) for key in here}
                rows.append({"network": "paper: CNN", "shots": k} | theirs)
            rows.append(row | here)
            lines.append(row | outlines(found, [Cell(name, num, k, s) for s in range(seeds)]))
        return {"by class": rows, "boundary F": lines}

    cells = [Cell(name, num, k, s) for name, k in methods for s in range(seeds)]
    return TablePlan("table3", f"{num} classes by shots: IoU in percent", cells, tables, _sheet(study, num))


def networks(
    study: Study,
    seeds: int,
    names: Sequence[str] = tuple(fewshot.NUM_STEPS),
    shots: Sequence[int] = (SHOTS[0], SHOTS[-1]),
) -> TablePlan:
    """All networks and baselines: IoU of each class."""
    shots = shots_of(study, shots)
    methods = [(m, k) for k in shots for m in (*names, *INSTEAD)] + ALL_LABELS
    sets = study.source.class_sets

    def tables(found):
        rows, lines = {num: [] for num in sets}, {num: [] for num in sets}
        for num in sets:
            for method, k in methods:
                results = [Cell(method, num, k, s) for s in range(seeds)]
                seconds = statistics.mean(found[cell]["seconds"]["fit"] for cell in results)
                row = {"network": NAMES.get(method, method), "shots": number(study, k)}
                rows[num].append(row | summary(found, results) | {"fit, s": round(seconds, 1)})
                lines[num].append(row | outlines(found, results))
        boundaries = {f"{num}-class, boundary F": lines[num] for num in sets}
        return {f"{num}-class": rows[num] for num in sets} | boundaries

    cells = [Cell(m, num, k, s) for num in sets for m, k in methods for s in range(seeds)]
    names = tuple(name for name in ("cnn-l", "mlp") if name in names) or names
    return TablePlan("networks", "Networks: IoU in percent", cells, tables, _sheet(study, max(sets), names, shots))


def layers(study: Study, seeds: int) -> TablePlan:
    """Which synthesis layers carry the parts: each alone, all but one, the first ones."""
    names, num = list(study.gan.hypercolumns(study.gan.sample()).channels), max(study.source.class_sets)
    choices: dict[str, dict[str, tuple[str, ...]]] = {
        "all": {"all": ()},
        "each alone": {name: (name,) for name in names},
        "all but one": {f"without {name}": tuple(n for n in names if n != name) for name in names},
        "the first": {f"up to {name}": tuple(names[: i + 1]) for i, name in enumerate(names[:-1])},
    }

    def cells_of(chosen):
        return [Cell(fewshot.DEFAULT_NETWORK, num, 1, s, layers=chosen) for s in range(seeds)]

    def tables(found):
        return {
            title: [{"layers": name} | summary(found, cells_of(chosen)) for name, chosen in group.items()]
            for title, group in choices.items()
        }

    cells = [cell for group in choices.values() for chosen in group.values() for cell in cells_of(chosen)]
    sheet = {name: cells_of(chosen)[0] for name, chosen in (choices["all"] | choices["each alone"]).items()}
    return TablePlan("layers", "Layers of the generator, one shot: IoU in percent", cells, tables, sheet)


def upsampling(study: Study, seeds: int) -> TablePlan:
    """Ways of upsampling activations to the picture's size."""
    title = "Upsampling of activations, one shot: IoU in percent"
    return _variants(study, seeds, "upsampling", title, {mode: {"upsampling": mode} for mode in UPSAMPLINGS})


def noise(study: Study, seeds: int) -> TablePlan:
    """Choices of noise maps when computing the activations of projected pictures."""
    kinds = dict(zip(("none, as projected", "the generator's own", "drawn anew"), NOISES, strict=True))
    title = "Noise behind the activations, one shot: IoU in percent"
    return _variants(study, seeds, "noise", title, {name: {"noise": kind} for name, kind in kinds.items()})


def summary(found: dict[Cell, dict], cells: list[Cell]) -> dict:
    """Mean over cells that differ in their seed alone: weighted IoU, its std ("±"), mean IoU, IoU of each class.

    One cell has no standard deviation, and no "±".
    """
    results = [found[cell] for cell in cells]
    weighted = [r["weighted_iou"] for r in results]
    row = {"weighted": _mean(weighted)}
    if len(weighted) > 1:
        row["±"] = round(statistics.stdev(weighted), 1)
    row["mean"] = _mean([r["mean_iou"] for r in results])
    return row | {name: _mean([r["per_class"][name] for r in results]) for name in results[0]["per_class"]}


def outlines(found: dict[Cell, dict], cells: list[Cell]) -> dict:
    """Mean over cells that differ in their seed alone: boundary F-score of each class."""
    results = [found[cell]["boundary_f"] for cell in cells]
    return {name: _mean([r[name] for r in results]) for name in results[0]}


def shots_of(study: Study, shots: Sequence[int] = SHOTS) -> tuple[int, ...]:
    """These numbers of labelled pictures, capped at what the source has, each once."""
    return tuple(dict.fromkeys(min(k, study.source.most_shots) for k in shots))


def number(study: Study, shots: int) -> int:
    """How many labelled pictures a cell has: at most as many as its data set."""
    return shots if study.source.is_world else min(shots, study.source.most_shots)


def _mean(values):
    known = [v for v in values if v is not None]
    return round(statistics.mean(known), 1) if known else None


def _variants(study, seeds, name, title, variants):
    num = max(study.source.class_sets)

    def cells_of(options):
        return [Cell(fewshot.DEFAULT_NETWORK, num, 1, s, **options) for s in range(seeds)]

    def tables(found):
        return {name: [{name: variant} | summary(found, cells_of(o)) for variant, o in variants.items()]}

    cells = [cell for options in variants.values() for cell in cells_of(options)]
    return TablePlan(name, title, cells, tables, {variant: cells_of(o)[0] for variant, o in variants.items()})


def _sheet(study, num, names=("cnn-l", "mlp"), shots=SHOTS):
    """The first seed's cells of some networks, then of the baselines."""
    shots = shots_of(study, shots)
    methods = {
        f"{NAMES.get(name, name)}, {k} shot{'s'[: k > 1]}": (name, k)
        for name in (*names, IMAGENET, UNET)
        for k in (shots[0], shots[-1])
    }
    methods |= {f"U-Net, {number(study, MANY)} labels": (UNET, MANY), "mean label map": (MEAN_MAP, shots[-1])}
    return {title: Cell(method, num, k, 0) for title, (method, k) in methods.items()}
