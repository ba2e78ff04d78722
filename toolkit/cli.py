"""`python -m toolkit COMMAND`: every step of the method, and every claim, by command."""

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Annotated

import typer

from toolkit.errors import ToolkitError

app = typer.Typer(
    help="Object parts segmented from one labelled picture.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Gan = Annotated[str | None, typer.Option(help="A bundled GAN's name or a weights file; default: bundled.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object as the last line.")]
Pictures = Annotated[list[Path], typer.Argument(help="Files, or folders of them: JPEG, PNG, WebP or GIF.")]
EXPERIMENTS = Path("out/experiments")
BENCHMARKS = Path(__file__).parent.parent / "tests" / "benchmarks"


def main():
    """Run the command line; a `ToolkitError` is one line on stderr and exit status 2."""
    try:
        app()
    except ToolkitError as error:
        print(error, file=sys.stderr)
        sys.exit(2)


def _load_gan(name):
    from toolkit import fewshot
    from toolkit.gan.files import zoo

    return fewshot.load_gan(name or zoo.DEFAULT)


@app.command()
def quickstart(out: Path = Path("out/quickstart.png"), gan: Gan = None, num_test: int = 8):
    """One labelled portrait teaches the GAN's features; unseen portraits get segmented."""
    from toolkit import experiments

    started = time.perf_counter()
    report = experiments.quickstart(_load_gan(gan), out, num_test=num_test)
    print(f"picture: {out}   total: {time.perf_counter() - started:.1f} s")
    return report


@app.command()
def evaluate(
    world: str = "portraits",
    classes: int = 10,
    shots: int = 1,
    network: str | None = None,
    seed: int = 0,
    num_test: int = 200,
    gan: Gan = None,
    save: Annotated[Path | None, typer.Option(help="Write the segmenter to this file.")] = None,
    as_json: Json = False,
):
    """The paper's face protocol: K annotated portraits against N others, all projected."""
    from toolkit import experiments, fewshot

    report = experiments.evaluate(
        _load_gan(gan),
        world=world,
        num_classes=classes,
        num_shots=shots,
        network=network or fewshot.DEFAULT_NETWORK,
        seed=seed,
        num_test=num_test,
        save=save,
        progress=not as_json,
    )
    _print(report, as_json)


@app.command()
def experiment(
    name: Annotated[
        str,
        typer.Argument(help="table1 to table5, networks, layers, upsampling, noise, all, gan-quality, gap, or readme"),
    ],
    world: str = "portraits",
    data: Annotated[Path | None, typer.Option(help="A data set's folder, instead of a world; then also --gan.")] = None,
    num: Annotated[int | None, typer.Option(help="Pictures to judge by; default: 200, of gan-quality 2000.")] = None,
    seeds: Annotated[int, typer.Option(help="Choices of labelled pictures to take the mean over.")] = 3,
    num_images: Annotated[int, typer.Option(help="Pictures that auto-shot learns from.")] = 5000,
    epochs: Annotated[int, typer.Option(help="Of auto-shot.")] = 10,
    out: Annotated[Path, typer.Option(help="Folder for tables, pictures, and what is needed to go on.")] = EXPERIMENTS,
    gan: Gan = None,
    as_json: Json = False,
):
    """Measure a claim; run again, it goes on where it stopped and measures nothing twice.

    table1: networks and shots. table2: ten shots and projection against auto-shot. table3: three classes.
    table4, table5: cars and horses of PASCAL-Parts. networks: all of them by class. layers, upsampling,
    noise: what the features owe to each. all: tables 1 to 3, networks and layers.
    gan-quality: the GAN's pictures against its world. gap: where IoU is lost.
    readme: put the tables that were written into README.md, where it has room for them."""
    import torch

    from toolkit import experiments

    judges = {
        "gan-quality": lambda g: experiments.gan_quality(
            g, world=world, num=num or 2000, out="out/gan-quality.png", progress=not as_json
        ),
        "gap": lambda g: experiments.gap(g, world=world, num_test=num or 200, progress=not as_json),
    }
    known = (*experiments.PLANS, "all", *judges, "readme")
    if name not in known:
        raise ToolkitError("experiment", f"one of {', '.join(known)}", repr(name), "Choose one of these")
    if name == "readme":
        _print({"README.md": ", ".join(experiments.into_readme("README.md", out))}, as_json)
        return
    if name in judges:
        _print(judges[name](_load_gan(gan)), as_json)
        return
    source = experiments.source_of(name, world, data, gan)
    distillation = {"num_images": num_images, "num_epochs": epochs, "mixed_precision": "bf16"}
    study = experiments.Study(_load_gan(gan), source, num or 200, folder=out, distillation=distillation)
    workers = torch.get_num_threads() if study.gan.device.type == "cpu" else 1
    reports = experiments.run(study, name, seeds=seeds, workers=workers, progress=not as_json)
    if as_json:
        print(json.dumps(reports if name == "all" else reports[name]))
        return
    for report in reports.values():
        print(Path(report["files"]["text"]).read_text("utf-8"))
        print("\n".join(report["files"].values()), end="\n\n")


@app.command()
def benchmark(name: Annotated[str, typer.Argument(help="hypercolumns, ...")], as_json: Json = False):
    """Time ours against the usual way, both in one run."""
    path = BENCHMARKS / f"benchmark_{name.replace('-', '_')}.py"
    if not path.is_file():
        known = sorted(p.stem.removeprefix("benchmark_") for p in BENCHMARKS.glob("benchmark_*.py"))
        raise ToolkitError("benchmark", f"one of {known}", repr(name), "Run it from a clone of the repository")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.main(json=as_json)


@app.command()
def train_gan(
    out: Annotated[Path, typer.Option(help="Folder of this training; the same command goes on where it stopped.")],
    world: Annotated[str | None, typer.Option(help="Train on this world's pictures.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Train on a folder of pictures.")] = None,
    resolution: int = 64,
    start_resolution: int = 32,
    num_images: Annotated[int, typer.Option(help="Different pictures to render.")] = 32_000,
    num_pictures: Annotated[int, typer.Option(help="Pictures the discriminator sees, in all.")] = 400_000,
    grow_after: int = 50_000,
    fade: int = 12_000,
    batch_size: int = 32,
    channel_base: Annotated[int, typer.Option(help="Channels at resolution r: min(base / r, 256).")] = 2048,
    seed: int = 0,
    init_from: Annotated[Path | None, typer.Option(help="A GAN to start from, of the start resolution.")] = None,
    mixed_precision: Annotated[str, typer.Option(help="no or bf16")] = "no",
):
    """Train a GAN on pictures alone. No label is ever read."""
    from toolkit import experiments
    from toolkit.pictures.cache import from_folder, from_world
    from toolkit.training.gan import Plan, train
    from toolkit.training.processes import processes

    if (world is None) == (folder is None):
        raise ToolkitError("train-gan", "either --world or --folder", f"{world} and {folder}", "Give one of them")
    state, cache = processes(), out / f"pictures-{resolution}.npy"
    with state.main_process_first():
        if folder is not None:
            images = from_folder(folder, resolution, cache)
        else:
            render = experiments.world_named(world).render
            images = from_world(render, num_images, resolution, cache, state.device)
    channels = tuple((4 << i, min(channel_base // (4 << i), 256)) for i in range(resolution.bit_length() - 2))
    plan = Plan(
        resolution=resolution,
        start_resolution=start_resolution,
        grow_after=grow_after,
        fade=fade,
        num_pictures=num_pictures,
        batch_size=batch_size,
        channels=channels,
        seed=seed,
    )
    print(train(images, out, plan, init_from=init_from, mixed_precision=mixed_precision))


@app.command()
def train_encoder(
    out: Annotated[Path, typer.Option(help="Folder of this training; the same command goes on where it stopped.")],
    gan: Gan = None,
    world: Annotated[str | None, typer.Option(help="Also learn from this world's pictures, unlabelled.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Also learn from a folder of pictures.")] = None,
    num_images: Annotated[int, typer.Option(help="Different pictures to render.")] = 20_000,
    num_pictures: Annotated[int, typer.Option(help="Pictures the encoder sees, in all.")] = 100_000,
    batch_size: int = 16,
    seed: int = 0,
    mixed_precision: Annotated[str, typer.Option(help="no or bf16")] = "no",
):
    """Train an encoder for any GAN on what it draws itself; projection then starts from its guess."""
    from toolkit import experiments
    from toolkit.pictures.cache import from_folder, from_world
    from toolkit.training.encoder import EncoderPlan
    from toolkit.training.encoder import train_encoder as train

    if world is not None and folder is not None:
        raise ToolkitError("train-encoder", "--world or --folder or neither", "both", "Give one of them")
    model, images = _load_gan(gan), None
    cache = out / f"pictures-{model.resolution}.npy"
    if folder is not None:
        images = from_folder(folder, model.resolution, cache)
    elif world is not None:
        images = from_world(experiments.world_named(world).render, num_images, model.resolution, cache)
    plan = EncoderPlan(num_pictures, batch_size, seed)
    print(train(model.generator, model.discriminator, out, plan, pictures=images, mixed_precision=mixed_precision))


@app.command()
def bundle_encoder(
    checkpoint: Annotated[Path, typer.Argument(help="An encoder.safetensors made by train-encoder.")],
    gan: Gan = None,
    world: Annotated[str, typer.Option(help="The pictures that trust is calibrated on.")] = "portraits",
    num: Annotated[int, typer.Option(help="How many of them.")] = 2000,
):
    """Store an encoder beside its GAN in weights/, in float16, with the errors that trust is judged by."""
    import torch

    from toolkit import experiments
    from toolkit.gan.encoder import load_encoder, save_encoder
    from toolkit.gan.files import zoo

    model = _load_gan(gan)
    model.encoder = load_encoder(checkpoint)
    image, _ = experiments.world_named(world).render(num, model.resolution, experiments.CALIBRATION_SEED)
    calibration = model.measure(image, 0, progress=True)
    path = zoo.folder() / f"{model.metadata['name']}-encoder.safetensors"
    save_encoder(path, model.encoder, {**model.encoder.metadata, "licence": "MIT"}, calibration, torch.float16)
    print(path)


@app.command()
def autoshot(
    segmenter: Annotated[Path, typer.Option(help="What Segmenter.save wrote.")],
    out: Annotated[Path, typer.Option(help="The file to write; beside it a folder OUT-work, to go on from.")],
    num_images: Annotated[int, typer.Option(help="Pictures to generate and label.")] = 5000,
    truncation_psi: float = 1.0,
    drop: Annotated[float, typer.Option(help="Share of the pictures, the least certain ones, to leave out.")] = 0.0,
    width: Annotated[int, typer.Option(help="Of the U-Net; the paper's is 64.")] = 16,
    epochs: int = 10,
    batch_size: int = 32,
    patience: Annotated[int, typer.Option(help="Epochs without progress after which to stop.")] = 5,
    color_jitter: bool = False,
    keep_pairs: Annotated[bool, typer.Option(help="Or make the pictures anew in every epoch.")] = True,
    half: Annotated[bool, typer.Option(help="Write float16, half the bytes.")] = False,
    seed: int = 0,
    mixed_precision: Annotated[str, typer.Option(help="no or bf16")] = "no",
):
    """Distil a few-shot segmenter into a network that needs no GAN; the same command goes on where it stopped.

    Several processes share the work: `accelerate launch --multi_gpu --num_processes N -m toolkit autoshot ...`,
    also on processors."""
    import torch

    from toolkit import fewshot
    from toolkit.autoshot import distilling, last
    from toolkit.training.processes import processes

    state = processes()
    few = fewshot.Segmenter.load(segmenter, device=state.device)
    work = out.with_name(f"{out.stem}-work")
    steps = distilling(
        few,
        num_images,
        truncation_psi=truncation_psi,
        drop=drop,
        seed=seed,
        out_dir=work,
        keep_pairs=keep_pairs,
        width=width,
        num_epochs=epochs,
        batch_size=batch_size,
        patience=patience,
        color_jitter=color_jitter,
        mixed_precision=mixed_precision,
    )
    auto = last(steps, progress=state.is_main_process)
    if state.is_main_process:
        auto.save(out, torch.float16 if half else torch.float32)
        print(f"{out}: {', '.join(auto.classes)}; pairs and log in {work}")


@app.command()
def export(
    file: Annotated[Path, typer.Argument(help="What AutoShotSegmenter.save wrote.")],
    onnx: Annotated[bool, typer.Option("--onnx", help="One ONNX file for pictures of any size.")] = False,
    out: Annotated[Path | None, typer.Option(help="Default: the same name, ending in .onnx.")] = None,
):
    """Write an auto-shot network for programs that have neither PyTorch nor this toolkit."""
    from toolkit.autoshot import AutoShotSegmenter

    if not onnx:
        raise ToolkitError("export", "--onnx", "no format", "Name the format")
    out = out or file.with_suffix(".onnx")
    AutoShotSegmenter.load(file).export_onnx(out)
    print(out)


@app.command()
def bundle(
    checkpoint: Annotated[Path, typer.Argument(help="A gan.safetensors made by train-gan.")],
    name: Annotated[str, typer.Argument(help="What to call it, e.g. portraits-64.")],
):
    """Store a trained GAN in weights/, in float16, under a name."""
    import torch

    from toolkit.gan.files import checkpoints, zoo

    generator = checkpoints.load_generator(checkpoint)
    path = zoo.folder() / f"{name}.safetensors"
    metadata = {**generator.metadata, "name": name, "licence": "MIT"}
    checkpoints.save_gan(path, generator, checkpoints.load_discriminator(checkpoint), metadata, torch.float16)
    print(path)


@app.command()
def project(
    pictures: Pictures,
    out: Annotated[Path, typer.Option(help="Folder for reconstructions, side-by-side pictures and latent files.")],
    gan: Gan = None,
    num_steps: Annotated[int | None, typer.Option(help="Optimiser steps; default: as many as usual.")] = None,
):
    """Find the latents that make given pictures. Exit status 1 if one of them could not be read."""
    from toolkit import batch

    if batch.project(_load_gan(gan), pictures, out, num_steps=num_steps):
        raise typer.Exit(1)


@app.command()
def segment(
    pictures: Pictures,
    segmenter: Annotated[Path, typer.Option(help="What Segmenter.save or AutoShotSegmenter.save wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for label maps, tinted pictures and JSON files.")],
):
    """Segment pictures at their own size. Exit status 1 if one of them could not be read."""
    from toolkit import batch, fewshot

    if batch.segment(fewshot.load_segmenter(segmenter), pictures, out):
        raise typer.Exit(1)


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="NVIDIA's .pkl or rosinality's .pt; no code in it is run.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    licence: Annotated[str | None, typer.Option(help="Noted in the file.")] = None,
):
    """Turn any public StyleGAN2 into safetensors."""
    from toolkit.gan.files import checkpoints

    generator = checkpoints.convert(source, out, {"licence": licence} if licence else None)
    print(f"{out}: {generator.resolution} pixels, {generator.metadata['source']}, hash {generator.hash[:12]}")


@app.command()
def gan_info(
    file: Annotated[str, typer.Argument(help="A weights file, or a GAN's name.")],
    out: Annotated[Path, typer.Option(help="Where to draw samples.")] = Path("out/gan-info.png"),
    num: Annotated[int, typer.Option(help="Samples to draw; of a conditional GAN, of each class.")] = 8,
    as_json: Json = False,
):
    """What is inside a GAN: its sizes layer by layer, and what it draws."""
    import torch

    from toolkit import fewshot
    from toolkit.gan.files.info import describe_gan
    from toolkit.pictures import images

    gan = fewshot.load_gan(file)
    classes = range(gan.generator.c_dim) if gan.generator.c_dim else [None]
    samples = [gan.sample(seed=seed, class_index=index).image for index in classes for seed in range(num)]
    images.save_png(out, images.grid(torch.cat(samples), columns=num if len(classes) > 1 else None))
    _print({**describe_gan(gan.generator, gan.discriminator), "samples": str(out)}, as_json)


def _print(report, as_json):
    """One JSON object, or the same as text: tables of rows, then of names and numbers."""
    from toolkit.show import plots

    if as_json:
        print(json.dumps(report))
        return
    for key, value in report.items():
        if isinstance(value, list):
            print(f"{key}\n{plots.table([tuple(value[0]), *(tuple(row.values()) for row in value)])}")
        elif isinstance(value, dict):
            header = ("", *next(iter(value.values()))) if isinstance(next(iter(value.values())), dict) else (key, "")
            rows = [(name, *v.values()) if isinstance(v, dict) else (name, v) for name, v in value.items()]
            print(f"{key}\n{plots.table([header, *rows])}")
        else:
            print(f"{key}: {value}")
