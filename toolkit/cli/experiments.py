"""What the toolkit claims, by command: the main job, the paper's protocol, its tables."""

import dataclasses
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.cli.commands import Commands, Device, Fit, Gan, Json, NumSteps, fit_of, load_gan, show
from toolkit.errors import ToolkitError

OUT = Path("out/experiments")
World = Annotated[str, typer.Option(help="The world whose pictures are used.")]
Data = Annotated[Path | None, typer.Option(help="A data set's folder, instead of a world; then also --gan.")]
Examples = Annotated[
    bool,
    typer.Option("--examples", help="Learn from the labelled pictures that come with the GAN; --data only scores."),
]


def quickstart(
    out: Path = Path("out/quickstart.png"),
    gan: Gan = None,
    num_test: int = 8,
    num_steps: NumSteps = None,
    device: Device = None,
) -> dict[str, Any]:
    """One labelled picture teaches the GAN's features; unseen ones get segmented."""
    from toolkit import experiments

    started = time.perf_counter()
    report = experiments.quickstart(load_gan(gan, device), out, num_test=num_test, num_steps=num_steps)
    print(f"picture: {out}   total: {time.perf_counter() - started:.1f} s")
    return report


def evaluate(
    world: World = "portraits",
    data: Data = None,
    fit: Fit = None,
    thing: Annotated[str | None, typer.Option("--object", help="Of PASCAL-Parts as --data: car or horse.")] = None,
    examples: Examples = False,
    classes: Annotated[int | None, typer.Option(help="Of faces, 10 or 3; default: all.")] = None,
    shots: int = 1,
    network: str | None = None,
    seed: int = 0,
    num_test: int = 200,
    gan: Gan = None,
    save: Annotated[Path | None, typer.Option(help="Write the segmenter to this file.")] = None,
    segmenter: Annotated[
        Path | None, typer.Option(help="Score this one, of either kind, as it is, on all its classes; none is taught.")
    ] = None,
    num_steps: NumSteps = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """The paper's protocol: K annotated pictures against N others, all projected."""
    from toolkit import experiments, fewshot

    if segmenter is not None:
        teaching = {"--classes": classes, "--network": network, "--save": save, "--examples": examples or None}
        for option, given in teaching.items():
            if given is not None:
                raise ToolkitError("evaluate", "--segmenter alone", f"{option} beside it", "Leave one of them out")
        judged = experiments.source_of("evaluate", world, data, gan or str(segmenter), thing)  # it names its GAN
        taught = fewshot.load_segmenter(segmenter, device, load_gan(gan, device) if gan else None)
        judged = _squared(judged, data, fit_of("evaluate", fit, data, getattr(taught, "gan", taught)))
        how: dict[str, Any] = {"num_test": num_test, "num_steps": num_steps, "progress": not as_json}
        show(experiments.judge(taught, judged, **how), as_json)
        return
    source, model = _source_and_gan("evaluate", world, data, fit, gan, device, thing, examples)
    report = experiments.evaluate(
        model,
        source=source,
        num_classes=classes,
        num_shots=shots,
        network=network or fewshot.DEFAULT_NETWORK,
        seed=seed,
        num_test=num_test,
        num_steps=num_steps,
        save=save,
        progress=not as_json,
    )
    show(report, as_json)


experiment = typer.Typer(
    name="experiment",
    cls=Commands,
    no_args_is_help=True,
    help="Measure a claim; run again, it goes on where it stopped and measures nothing twice.",
)
Num = Annotated[int, typer.Option(help="Pictures to judge by.")]
Seeds = Annotated[int, typer.Option(help="Choices of labelled pictures to take the mean over.")]
NumImages = Annotated[int, typer.Option(help="Pictures that auto-shot learns from.")]
Epochs = Annotated[int, typer.Option(help="Of auto-shot.")]
Out = Annotated[Path, typer.Option(help="Folder for tables, pictures, and what is needed to go on.")]


def table(
    context: typer.Context,
    world: World = "portraits",
    data: Data = None,
    fit: Fit = None,
    examples: Examples = False,
    num: Num = 200,
    seeds: Seeds = 3,
    out: Out = OUT,
    gan: Gan = None,
    num_steps: NumSteps = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """A table of few-shot networks."""
    _run(str(context.info_name), world, (data, fit, examples), num, seeds, None, out, (gan, num_steps, device), as_json)


def table_with_autoshot(
    context: typer.Context,
    world: World = "portraits",
    data: Data = None,
    fit: Fit = None,
    examples: Examples = False,
    num: Num = 200,
    seeds: Seeds = 3,
    num_images: NumImages = 5000,
    epochs: Epochs = 10,
    out: Out = OUT,
    gan: Gan = None,
    num_steps: NumSteps = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """A table in which auto-shot networks stand, too."""
    how = (num_images, epochs)
    _run(str(context.info_name), world, (data, fit, examples), num, seeds, how, out, (gan, num_steps, device), as_json)


TABLES: dict[str, tuple[Callable[..., None], str]] = {
    "table1": (table, "Networks and shots."),
    "table2": (table_with_autoshot, "Ten shots and projection against auto-shot."),
    "table3": (table, "Three classes."),
    "table4": (table_with_autoshot, "Cars, of PASCAL-Parts or your own; takes --data and --gan."),
    "table5": (table_with_autoshot, "Horses, of PASCAL-Parts or your own; takes --data and --gan."),
    "networks": (table, "All networks, by class."),
    "layers": (table, "What the features owe to each layer."),
    "upsampling": (table, "What they owe to how layers are enlarged."),
    "noise": (table, "What they owe to the noise."),
    "all": (table_with_autoshot, "Tables 1 to 3, networks and layers."),
}
for name, (command, text) in TABLES.items():
    experiment.command(name, help=text)(command)


@experiment.command()
def gan_quality(
    world: World = "portraits",
    folder: Annotated[Path | None, typer.Option(help="Photographs it never saw, instead of a world.")] = None,
    fit: Fit = None,
    num: Num = 2000,
    out: Annotated[Path, typer.Option(help="Where to draw both kinds side by side.")] = Path("out/gan-quality.png"),
    gan: Gan = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """The GAN's pictures against its world, or against a folder of photographs."""
    from toolkit import experiments
    from toolkit.experiments import sources

    options: dict[str, Any] = {"num": num, "out": out, "progress": not as_json}
    model = load_gan(gan or (sources.World(world).gan if folder is None else None), device)
    fit = fit_of("gan-quality", fit, folder, model)
    if folder is None:
        show(experiments.gan_quality(model, world=world, **options), as_json)
    else:
        show(experiments.frechet_to_folder(model, folder, fit=fit, **options), as_json)


@experiment.command()
def framing(
    world: World = "portraits",
    data: Data = None,
    folder: Annotated[Path | None, typer.Option(help="Framed pictures without labels, instead of a world.")] = None,
    cut: Annotated[
        bool, typer.Option("--cut", help="Of --folder: photographs cut to the object; find it in them as they are.")
    ] = False,
    fit: Fit = None,
    photographs: Annotated[
        Path | None, typer.Option(help="A folder of photographs to paste them on; default: drawn ones.")
    ] = None,
    segmenter: Annotated[
        list[Path] | None, typer.Option(help="Of which to compare IoU; may be given more than once.")
    ] = None,
    framer: Annotated[Path | None, typer.Option(help="What train-framer wrote; default: the GAN's.")] = None,
    num: Num = 200,
    num_steps: NumSteps = None,
    seed: int = 0,
    gan: Gan = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Pictures at any place, size and tilt in others: are they found, and segmented as well?"""
    import torch

    from toolkit import experiments, fewshot
    from toolkit.datasets import open_dataset
    from toolkit.experiments.sources import Collection, World
    from toolkit.pictures import images
    from toolkit.pictures.folders import pictures_in
    from toolkit.projection.framing import load_framer

    if cut and folder is None:
        raise ToolkitError("framing", "--folder with --cut", "none", "Name the folder of photographs")
    name = gan or (World(world).gan if data is None and folder is None else None)
    model: Any = None if framer is not None and segmenter is None else load_gan(name, device)
    finder = load_framer(framer) if framer is not None else model.framer
    if finder is None:
        raise ToolkitError("framing", "a GAN with a framer, or --framer", "neither", "Make one with train-framer")
    fit = fit_of("framing", fit, folder or data, model)
    networks = {str(file): fewshot.load_segmenter(file, gan=model) for file in segmenter or ()}
    label_map = None
    if folder is not None:
        some = pictures_in(folder, deep=True).files[:num]
        if cut:
            return show(experiments.framing_of_cut(finder, some, fit, progress=not as_json), as_json)
        image = torch.cat([images.load_image(file, experiments.FRAMING_SIDE, fit) for file in some])
    else:
        source = Collection(open_dataset(data, fit)) if data is not None else World(world)
        image, label_map = source.test(num, experiments.FRAMING_SIDE)
    files = pictures_in(photographs, deep=True).files if photographs is not None else []
    options: dict[str, Any] = {"segmenters": networks, "num_steps": num_steps, "fit": fit, "seed": seed}
    show(experiments.framing(finder, image, label_map, files, progress=not as_json, **options), as_json)


@experiment.command()
def refusals(
    folders: Annotated[list[Path], typer.Argument(help="Folders, each with pictures of one kind.")],
    segmenter: Annotated[Path, typer.Option(help="What Segmenter.save or AutoShotSegmenter.save wrote.")],
    fit: Fit = None,
    num: Num = 200,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Does a segmenter know what it does not know: how many pictures of each folder have low trust?"""
    from toolkit import experiments, fewshot

    network = fewshot.load_segmenter(segmenter, device)
    options: dict[str, Any] = {"fit": fit, "num": num, "progress": not as_json}
    show({"refused": experiments.refusals(network, folders, **options)}, as_json)


@experiment.command()
def reconstruction(
    folders: Annotated[list[Path], typer.Argument(help="Folders, each with pictures of one kind.")],
    fit: Fit = None,
    num: Num = 200,
    gan: Gan = None,
    num_steps: NumSteps = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """How near does the GAN come to pictures of each folder, and which of them does it trust?"""
    from toolkit import experiments

    options: dict[str, Any] = {"fit": fit, "num": num, "num_steps": num_steps, "progress": not as_json}
    show({"projected": experiments.reconstruction(load_gan(gan, device), folders, **options)}, as_json)


@experiment.command()
def overlap(
    folder: Annotated[Path, typer.Argument(help="Pictures to look for, e.g. those to score on.")],
    others: Annotated[Path, typer.Argument(help="Where to look for them, e.g. what a GAN learned from.")],
    as_json: Json = False,
) -> None:
    """Which pictures of one folder are in another as well, cut otherwise, or mirrored?"""
    from toolkit import experiments

    show(experiments.overlap(folder, others, progress=not as_json), as_json)


@experiment.command()
def gap(
    world: World = "portraits",
    data: Data = None,
    fit: Fit = None,
    num: Num = 200,
    gan: Gan = None,
    num_steps: NumSteps = None,
    device: Device = None,
    as_json: Json = False,
) -> None:
    """Where IoU is lost: in the GAN and projection, or in the segmenter."""
    from toolkit import experiments

    source, model = _source_and_gan("gap", world, data, fit, gan, device)
    options: dict[str, Any] = {"num_test": num, "num_steps": num_steps, "progress": not as_json}
    show(experiments.gap(model, source=source, **options), as_json)


@experiment.command()
def recipes(
    folder: Annotated[Path, typer.Option(help="Photographs to learn from.")],
    unseen: Annotated[Path, typer.Option(help="Other photographs, to measure by.")],
    minutes: Annotated[float, typer.Option(help="Of processor time, for each.")] = 40.0,
    marks: Annotated[int, typer.Option(help="How often distances are taken.")] = 4,
    num: Num = 1000,
    out: Path = OUT / "recipes",
    as_json: Json = False,
) -> None:
    """Ways to train a GAN on photographs, for the same processor time each."""
    from toolkit import experiments
    from toolkit.experiments.gan_recipes import SIDE
    from toolkit.pictures.cache import from_folder
    from toolkit.training.processes import processes

    processes("cpu")  # it is processor time that is compared
    pictures = from_folder(folder, SIDE, out / "pictures.npy", not as_json)
    held = from_folder(unseen, SIDE, out / "unseen.npy", not as_json)
    options: dict[str, Any] = {"minutes": minutes, "marks": marks, "num": num, "progress": not as_json}
    show(experiments.recipes(pictures, held, out, **options), as_json)


@experiment.command()
def readme(
    out: Annotated[Path, typer.Option(help="The folder that tables were written to.")] = OUT, as_json: Json = False
) -> None:
    """Put the tables that were written into README.md and docs/results.md, where these have room for them."""
    from toolkit import experiments

    texts = [text for text in ("README.md", "docs/results.md") if Path(text).is_file()]
    found = {text: experiments.into_readme(text, out) for text in texts}
    if not any(found.values()):
        want = f"tables in {out} that README.md or docs/results.md of the current folder have room for"
        raise ToolkitError("experiment readme", want, "none", "Run an experiment first, in a clone of the repository")
    show({text: ", ".join(names) for text, names in found.items()}, as_json)


def _source_and_gan(
    name: str,
    world: str,
    data: Path | None,
    fit: str | None,
    gan: str | None,
    device: str | None,
    thing: str | None = None,
    examples: bool = False,
) -> tuple[Any, Any]:
    """Where an experiment's pictures come from, and the `GAN` that they are measured with."""
    from toolkit import experiments, fewshot
    from toolkit.experiments.sources import ScoredOnly
    from toolkit.gan.files import zoo

    source = experiments.source_of(name, world, data, gan, thing)  # before a GAN is fetched
    if examples and data is None:
        raise ToolkitError(name, "--examples with --data to score on", "no --data", "Leave --examples out")
    model = load_gan(gan or source.gan, device)
    source = _squared(source, data, fit_of(name, fit, data, model))
    if not examples:
        return source, model
    shots = fewshot.examples(model)
    if not shots:
        want = f"a GAN that comes with labelled pictures, as {zoo.DEFAULT} does"
        raise ToolkitError(name, want, f"none beside {model.path}", "Leave --examples out")
    return ScoredOnly(source.dataset, shots), model


def _squared(source: Any, data: Path | None, fit: str) -> Any:
    """The source, one's own pictures made square by `fit`; those of published data sets are square."""
    from toolkit.datasets import OwnFolder
    from toolkit.experiments.sources import Collection

    if fit == "crop" or data is None or not isinstance(source.dataset, OwnFolder):
        return source
    return Collection(OwnFolder(data, fit))


def _run(
    name: str,
    world: str,
    photographs: tuple[Path | None, str | None, bool],
    num: int,
    seeds: int,
    autoshot: tuple[int, int] | None,
    out: Path,
    model: tuple[str | None, int | None, str | None],
    as_json: bool,
) -> None:
    """One table or all.

    Args:
        photographs: what --data, --fit and --examples say.
        autoshot: the pictures it learns from and its epochs, where it has a part.
        model: what --gan, --num-steps and --device say.
    """
    import torch

    from toolkit import experiments
    from toolkit.autoshot import check

    gan, num_steps, device = model
    data, fit, examples = photographs
    source, network = _source_and_gan(name, world, data, fit, gan, device, examples=examples)
    study = experiments.Study(network, source, num, num_steps=num_steps, folder=out)
    if autoshot is not None:
        distillation: dict[str, Any] = {"num_images": autoshot[0], "num_epochs": autoshot[1]}
        if study.gan.imagenet:  # as its hypercolumns; else as ever, so that what was measured still counts
            distillation["start"] = "imagenet"
        study = dataclasses.replace(study, distillation=distillation)
        check(study.gan.resolution, **study.distillation)
    workers = torch.get_num_threads() if study.gan.device.type == "cpu" else 1
    reports = experiments.run(study, name, seeds=seeds, workers=workers, progress=not as_json)
    if as_json:
        print(json.dumps(reports if name == "all" else reports[name]))
        return
    for report in reports.values():
        print(Path(report["files"]["text"]).read_text("utf-8"))
        print("\n".join(report["files"].values()), end="\n\n")
