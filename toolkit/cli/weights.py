"""Weight files that people have: converted, and described."""

from pathlib import Path
from typing import Annotated

import typer

from toolkit.cli.commands import Device, Fit, Gan, Json, NumSteps, fit_of, load_gan, show
from toolkit.errors import check_count
from toolkit.files import check_can_write

SAMPLES_AT_ONCE = 64  # pictures of a GAN


def convert(
    source: Annotated[Path, typer.Argument(help="NVIDIA's .pkl or rosinality's .pt; no code in it is run.")],
    out: Annotated[Path, typer.Argument(help="The .safetensors file to write.")],
    licence: Annotated[str | None, typer.Option(help="Noted in the file.")] = None,
) -> None:
    """Turn any public StyleGAN2 into safetensors."""
    from toolkit.gan.files import checkpoints

    check_can_write(out)
    generator = checkpoints.convert(source, out, {"licence": licence} if licence else None)
    print(f"{out}: {generator.resolution} pixels, {generator.metadata['source']}, hash {generator.hash[:12]}")


def gan_info(
    file: Annotated[str, typer.Argument(help="A weights file, or a GAN's name.")],
    out: Annotated[Path, typer.Option(help="Where to draw samples.")] = Path("out/gan-info.png"),
    num: Annotated[int, typer.Option(help="Samples to draw; of a conditional GAN, of each class.")] = 8,
    as_json: Json = False,
    device: Device = None,
) -> None:
    """What is inside a GAN: its sizes layer by layer, and what it draws."""
    import torch

    from toolkit.gan.files.info import describe_gan
    from toolkit.pictures import images

    check_count("gan-info", "num", num)
    gan = load_gan(file, device)
    check_can_write(out)
    classes = range(gan.generator.c_dim) if gan.generator.c_dim else [None]
    samples = [gan.sample(seed=seed, class_index=index).image for index in classes for seed in range(num)]
    images.save_png(out, images.grid(torch.cat(samples), columns=num if len(classes) > 1 else None))
    show({**describe_gan(gan.generator, gan.discriminator), "samples": str(out)}, as_json)


def calibrate(
    gan: Gan = None,
    num_steps: NumSteps = None,
    num: Annotated[int | None, typer.Option(help="Samples of the GAN to project, 20 or more; default: 32.")] = None,
    device: Device = None,
) -> None:
    """Project some of a GAN's own samples: from then on trust is known. The same command goes on where it stopped."""
    import sys

    from toolkit.gan.model import CALIBRATION_PICTURES

    num = CALIBRATION_PICTURES if num is None else num
    model = load_gan(gan, device)
    steps = 1 if model.encoder else model.projection_steps if num_steps is None else num_steps
    print(f"calibrate: {num} samples, {model.step_cost().words(num * steps)}", file=sys.stderr)
    errors = model.calibrate(num_steps, num=num, progress=True)
    pixel, perceptual = errors.median(0).values.tolist()
    print(f"{len(errors)} pictures; median errors: pixel {pixel:.3g}, perceptual {perceptual:.3g}")


def calibrate_autoshot(
    file: Annotated[Path, typer.Argument(help="What autoshot wrote before networks judged their trust; is replaced.")],
    gan: Annotated[str | None, typer.Option(help="The GAN it was distilled from; default: bundled.")] = None,
    num: Annotated[int, typer.Option(help="Pictures for the GAN to draw.")] = 1000,
    folder: Annotated[
        Path | None, typer.Option(help="Pictures it should know, framed as the GAN's, instead of drawn ones.")
    ] = None,
    fit: Fit = None,
    half: Annotated[bool, typer.Option(help="Write float16, half the bytes.")] = False,
    device: Device = None,
) -> None:
    """Teach an auto-shot network how parts usually lie, to tell its trust; and add the GAN's framer and terms."""
    import torch

    from toolkit.autoshot import AutoShotSegmenter
    from toolkit.autoshot.layout import learn_layout
    from toolkit.pictures.folders import pictures_in
    from toolkit.pictures.images import as_float, load_image, to_uint8

    check_count("calibrate-autoshot", "num", num)
    model = load_gan(gan, device)
    fit = fit_of("calibrate-autoshot", fit, folder, model)
    auto = AutoShotSegmenter.load(file, model.device)
    if folder is None:
        drawn = [model.sample(seed, SAMPLES_AT_ONCE, 1.0).image for seed in range(-(-num // SAMPLES_AT_ONCE))]
        image = torch.cat(drawn)[:num]
    else:
        files = pictures_in(folder, deep=True).files
        some = files[:: max(1, len(files) // num)][:num]
        image = torch.cat([load_image(one, auto.resolution, fit) for one in some])
    pixels = torch.from_numpy(to_uint8(image)).permute(0, 3, 1, 2)  # as it learned from them
    auto.layout = learn_layout(auto.network, as_float(pixels, model.device))
    auto.fit = fit
    auto.framer, auto.licence = model.framer or auto.framer, model.metadata.get("licence", auto.licence)
    auto.save(file, torch.float16 if half else torch.float32)
    print(f"{file}: {len(pixels)} pictures" + (", with a framer" if auto.framer else ""))
