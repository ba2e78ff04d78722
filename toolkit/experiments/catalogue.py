"""Experiments by name: measure the cells that are missing, and write reports."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from toolkit import datasets
from toolkit.errors import ToolkitError
from toolkit.experiments import pascal, records, report, tables
from toolkit.experiments.cost import cost
from toolkit.experiments.sources import Collection, World
from toolkit.experiments.study import Study

PLANS: dict[str, Callable[..., tables.TablePlan]] = {
    "table1": tables.table1,
    "table2": tables.table2,
    "table3": tables.table3,
    "table4": pascal.table4,
    "table5": pascal.table5,
    "networks": tables.networks,
    "layers": tables.layers,
    "upsampling": tables.upsampling,
    "noise": tables.noise,
}
PASCAL = {"table4": ("car", "cars-64"), "table5": ("horse", "horses-64")}  # the object, and a GAN that draws it
ALL = ("table1", "table2", "table3", "networks", "layers")


def source_of(
    name: str,
    world: str = "portraits",
    data: Path | None = None,
    gan: str | None = None,
    thing: str | None = None,
) -> World | Collection:
    """Where an experiment's pictures come from.

    Args:
        name: of the experiment.
        world: name of a world, where no data set is given.
        data: folder of a data set, or None.
        gan: name of the GAN, or None for the bundled one.
        thing: of PASCAL-Parts, "car" or "horse", where the experiment does not say it; None for other data sets.
    Returns:
        `World` or `Collection`.
    Raises:
        ToolkitError: pictures without a GAN for them, or an experiment without the pictures it needs.
    """
    if name in PASCAL and (data is None or gan is None):
        missing = " and ".join(option for option, given in (("--data", data), ("--gan", gan)) if given is None)
        raise ToolkitError(
            f"experiment {name}",
            f"--data DIR of PASCAL-Parts, or of your own {PASCAL[name][0]}s, and --gan NAME, e.g. {PASCAL[name][1]}",
            f"no {missing}",
            f"{datasets.PascalParts.SOURCE}. {datasets.OwnFolder.SOURCE}",
        )
    if data is None:
        return World(world)
    if gan is None:
        raise ToolkitError(
            "evaluate" if name == "evaluate" else "experiment",
            "--gan NAME of a GAN of what --data shows",
            "no --gan",
            "Name one, e.g. ffhq-1024 for faces, or a weights file",
        )
    own = (data / datasets.OwnFolder.PICTURES).is_dir()
    thing = PASCAL[name][0] if name in PASCAL and not own else thing
    if thing is not None:
        return Collection(datasets.PascalParts(data, thing))
    return Collection(datasets.open_dataset(data))


def run(
    study: Study,
    names: str | Sequence[str],
    *,
    seeds: int = 3,
    workers: int = 1,
    progress: bool = False,
    **options: Any,
) -> dict[str, dict[str, Any]]:
    """Run experiments; cells that several of them share are measured once, and cached.

    Args:
        study: a `Study`.
        names: of experiments in `PLANS`, or "all" for `ALL`.
        seeds: how many choices of labelled pictures.
        workers: processes, one thread each; 1 measures in this process.
        progress: show bars.
        options: of the experiments, e.g. `shots` of `tables.networks`.
    Returns:
        dict, name -> what `report.write` returned.
    Raises:
        ToolkitError: an unknown name.
    """
    names = ALL if names == "all" else [names] if isinstance(names, str) else names
    for name in names:
        if name not in PLANS:
            raise ToolkitError("experiment", f"one of {', '.join(PLANS)}", repr(name), "Choose one of these")
    if seeds < 1:
        raise ToolkitError("experiment", "seeds >= 1", seeds, "Use e.g. 3")
    plans = [PLANS[name](study, seeds, **options) for name in names]
    cells = [cell for plan in plans for cell in (*plan.cells, *plan.sheet.values())]
    found = records.results(study, cells, workers, progress)
    reports = {}
    for plan in plans:
        outcome: dict[str, Any] = plan.tables(found)
        if plan.name == "table2":  # timed when nothing else runs
            outcome |= cost(study, plan.cells[0].num_shots)
        reports[plan.name] = report.write(study, plan, found, outcome, seeds)
    return reports
