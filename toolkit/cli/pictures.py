"""Pictures of one's own: projected, segmented, and a network that goes without the GAN."""

from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.cli.commands import Device, Fit, Gan, NumSteps, Precision, fit_of, load_gan
from toolkit.errors import ToolkitError
from toolkit.files import check_can_write

FittedOn = Annotated[str | None, typer.Option(help="The segmenter's GAN, where it cannot be found: a name or a file.")]
Pictures = Annotated[
    list[Path], typer.Argument(help="Files, or folders of them: JPEG, PNG, WebP, GIF, BMP, TIFF, AVIF or HEIC.")
]

Align = Annotated[
    str | None,
    typer.Option(
        help="auto: found by the framer; centre: the centred square, or padded to one if the GAN's own pictures were; "
        "none: the whole picture."
    ),
]


def fit(
    data: Annotated[Path, typer.Option(help="Folder with images/, masks/ of the same names, and classes.txt.")],
    out: Annotated[Path, typer.Option(help="The segmenter to write; beside it OUT-shots, the labelled pictures.")],
    gan: Gan = None,
    num_steps: NumSteps = None,
    network: Annotated[str | None, typer.Option(help="cnn-l, cnn-m, cnn-s, mlp or linear.")] = None,
    seed: int = 0,
    device: Device = None,
) -> None:
    """Teach a segmenter the parts of one's own labelled photographs, which are projected first."""
    from toolkit import batch, fewshot

    shots_file = out.with_name(f"{out.stem}-shots.safetensors")
    for file in (out, shots_file):
        check_can_write(file)
    network = network or fewshot.DEFAULT_NETWORK
    if network not in fewshot.NUM_STEPS:  # known before the photographs are projected
        raise ToolkitError("fit", f"one of {', '.join(fewshot.NUM_STEPS)}", repr(network), "Choose one of these")
    model = load_gan(gan, device)
    shots = batch.shots_from(model, data, num_steps=num_steps)
    fewshot.save_shots(shots_file, shots)  # first: they took longer than fitting does
    fewshot.fit(model, shots, network=network, seed=seed, progress=True).save(out)
    print(f"{out}: {', '.join(shots[0].classes)}; learned from the {len(shots)} shots in {shots_file}")


def project(
    pictures: Pictures,
    out: Annotated[Path, typer.Option(help="Folder for reconstructions, side-by-side pictures and latent files.")],
    gan: Gan = None,
    num_steps: NumSteps = None,
    align: Align = None,
    device: Device = None,
) -> None:
    """Find the latents that make given pictures. Exit status 1 if one of them could not be read."""
    from toolkit import batch

    if batch.project_files(load_gan(gan, device), pictures, out, num_steps=num_steps, align=align or "centre"):
        raise typer.Exit(1)


def segment(
    pictures: Pictures,
    segmenter: Annotated[Path, typer.Option(help="What Segmenter.save or AutoShotSegmenter.save wrote.")],
    out: Annotated[Path, typer.Option(help="Folder for label maps, tinted pictures and JSON files.")],
    gan: FittedOn = None,
    latents: Annotated[
        bool, typer.Option(help="The files are latents: .npy, .npz, .pt or what project wrote.")
    ] = False,
    num_steps: NumSteps = None,
    align: Align = None,
    coco: Annotated[Path | None, typer.Option(help="Also one COCO file of all.")] = None,
    label_studio: Annotated[Path | None, typer.Option(help="Also one file for Label Studio's import.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Also a folder of masks, class numbers in grey.")] = None,
    device: Device = None,
) -> None:
    """Segment pictures at their own size; the same command goes on where it stopped. Exit status 1 if one of them
    could not be read, or showed nothing to segment.

    Several processes share the work: `accelerate launch --multi_gpu --num_processes N -m toolkit segment ...`,
    also on CPUs, and on several machines that see the same folders."""
    from toolkit import batch, fewshot
    from toolkit.training.processes import processes

    state = processes(device)
    network: Any = fewshot.load_segmenter(segmenter, state.device, fewshot.load_gan(gan, state.device) if gan else None)
    if latents:
        if not isinstance(network, fewshot.Segmenter):
            raise ToolkitError(
                "segment", "a few-shot segmenter for --latents", f"{segmenter}", "Give it the pictures instead"
            )
        if align or coco or label_studio or masks:
            got = "--latents with --align, --coco, --label-studio or --masks"
            raise ToolkitError("segment", "pictures", got, "Leave it out")
        failed = batch.segment_latents(network, pictures, out)
    else:
        for file in (coco, label_studio):
            if file is not None:
                check_can_write(file)
        failed = batch.segment_files(network, pictures, out, num_steps=num_steps, align=align)
        if state.is_main_process and (coco or label_studio or masks):
            what: dict[str, Any] = {"coco": coco, "label_studio": label_studio, "masks": masks}
            batch.gather(network, pictures, out, num_steps=num_steps, align=align, **what)
    if failed:
        raise typer.Exit(1)


def autoshot(
    segmenter: Annotated[Path, typer.Option(help="What Segmenter.save wrote.")],
    out: Annotated[Path, typer.Option(help="The file to write; beside it a folder OUT-work, to go on from.")],
    gan: FittedOn = None,
    num_images: Annotated[int, typer.Option(help="Pictures to generate and label.")] = 5000,
    folder: Annotated[
        Path | None, typer.Option(help="Label pictures of this folder, framed as the GAN's, instead of generated ones.")
    ] = None,
    fit: Fit = None,
    truncation_psi: float = 1.0,
    drop: Annotated[float, typer.Option(help="Share of the pictures, the least certain ones, to leave out.")] = 0.0,
    start: Annotated[
        str, typer.Option(help="scratch, as the paper's U-Net, or imagenet: learns more of photographs, larger.")
    ] = "scratch",
    width: Annotated[int, typer.Option(help="Of the U-Net; the paper's is 64.")] = 16,
    init_from: Annotated[Path | None, typer.Option(help="An auto-shot network of these classes to go on from.")] = None,
    epochs: int = 10,
    batch_size: int = 32,
    patience: Annotated[int, typer.Option(help="Epochs without progress after which to stop.")] = 5,
    color_jitter: bool = False,
    keep_pairs: Annotated[bool, typer.Option(help="Or make the pictures anew in every epoch.")] = True,
    half: Annotated[bool, typer.Option(help="Write float16, half the bytes.")] = False,
    seed: int = 0,
    mixed_precision: Precision = "auto",
    device: Device = None,
) -> None:
    """Distil a few-shot segmenter into a network that needs no GAN; the same command goes on where it stopped.

    Several processes share the work: `accelerate launch --multi_gpu --num_processes N -m toolkit autoshot ...`,
    also on CPUs."""
    import torch

    from toolkit import fewshot
    from toolkit.autoshot import distilling, last
    from toolkit.pictures.cache import from_folder, usual_side
    from toolkit.training.processes import processes

    state = processes(device)
    few = fewshot.Segmenter.load(segmenter, fewshot.load_gan(gan, state.device) if gan else None, state.device)
    fit = fit_of("autoshot", fit, folder, few.gan)
    check_can_write(out)
    work = out.with_name(f"{out.stem}-work")
    photographs = None
    if folder is not None:
        # As many of their pixels as the segmenter looks at, if they have so many; enlarged they would show no more.
        size = few.gan.detail_resolution
        size = size if usual_side(folder, fit) >= size else few.gan.resolution
        photographs = from_folder(folder, size, work / f"pictures-{size}.npy", state.is_main_process, fit)
    steps = distilling(
        few,
        num_images,
        truncation_psi=truncation_psi,
        drop=drop,
        seed=seed,
        out_dir=work,
        keep_pairs=keep_pairs,
        photographs=photographs,
        start=start,
        width=width,
        init_from=init_from,
        num_epochs=epochs,
        batch_size=batch_size,
        patience=patience,
        color_jitter=color_jitter,
        mixed_precision=mixed_precision,
    )
    auto = last(steps, progress=state.is_main_process)
    auto.fit = fit
    if state.is_main_process:
        auto.save(out, torch.float16 if half else torch.float32)
        print(f"{out}: {', '.join(auto.classes)}; pairs and log in {work}")


def export(
    file: Annotated[Path, typer.Argument(help="What AutoShotSegmenter.save wrote.")],
    to: Annotated[Path | None, typer.Argument(metavar="[OUT]", help="The file to write, as --out.")] = None,
    onnx: Annotated[bool, typer.Option("--onnx", help="One ONNX file for pictures of any size.")] = False,
    html: Annotated[bool, typer.Option("--html", help="One page for any browser, without a server.")] = False,
    out: Annotated[Path | None, typer.Option(help="Default: the same name, ending in .onnx or .html.")] = None,
) -> None:
    """Write an auto-shot network for programs that have neither PyTorch nor this toolkit, or for any browser."""
    from toolkit.autoshot import AutoShotSegmenter

    if onnx == html:
        raise ToolkitError("export", "--onnx or --html", "both" if onnx else "no format", "Name one format")
    out = out or to or file.with_suffix(".onnx" if onnx else ".html")
    auto = AutoShotSegmenter.load(file, "cpu")
    auto.export_onnx(out) if onnx else auto.export_html(out)
    print(out)
