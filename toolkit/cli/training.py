"""Networks of one's own: GANs and encoders, trained and put among the bundled weights."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from toolkit.cli.commands import Device, Fit, Gan, Precision, fit_of, load_gan
from toolkit.errors import ToolkitError
from toolkit.files import check_can_write, read_metadata

PICTURE_SIDE = 64  # of the pictures that a framer learns from: its windows are as small


def train_gan(
    out: Annotated[Path, typer.Option(help="Folder of this training; the same command goes on where it stopped.")],
    world: Annotated[str | None, typer.Option(help="Train on this world's pictures.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Train on a folder of pictures.")] = None,
    fit: Fit = None,
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
    mixed_precision: Precision = "auto",
    device: Device = None,
) -> None:
    """Train a GAN on pictures alone. No label is ever read."""
    from toolkit.training.gan import Plan, check, train
    from toolkit.training.processes import processes

    _check_one_of("train-gan", world, folder)
    fit = fit_of("train-gan", fit, folder)
    plan = Plan(
        resolution=resolution,
        start_resolution=start_resolution,
        grow_after=grow_after,
        fade=fade,
        num_pictures=num_pictures,
        batch_size=batch_size,
        channels=channels_of(resolution, channel_base),
        seed=seed,
    )
    check(plan, out, init_from=init_from, mixed_precision=mixed_precision)
    state = processes(device)
    with state.main_process_first():
        images = _pictures(folder, world, num_images, resolution, out, fit, state.device)
    print(train(images, out, plan, init_from=init_from, mixed_precision=mixed_precision, fit=fit))


def _check_one_of(call: str, world: str | None, folder: Path | None) -> None:
    if (world is None) == (folder is None):
        raise ToolkitError(call, "either --world or --folder", f"{world} and {folder}", "Give one of them")


def _pictures(
    folder: Path | None, world: str | None, num: int, resolution: int, out: Path, fit: str, device: Any = "cpu"
) -> Any:
    """Pictures to train on, kept in the folder of the training."""
    from toolkit import experiments
    from toolkit.pictures.cache import from_folder, from_world

    cache = out / f"pictures-{resolution}.npy"
    if folder is not None:
        return from_folder(folder, resolution, cache, fit=fit)
    return from_world(experiments.world_named(str(world)).render, num, resolution, cache, device)


def channels_of(resolution: int, base: int) -> tuple[tuple[int, int], ...]:
    """Channels at 4, 8, ..., resolution pixels: pairs (r, min(base / r, 256))."""
    return tuple((4 << i, min(base // (4 << i), 256)) for i in range(resolution.bit_length() - 2))


def train_encoder(
    out: Annotated[Path, typer.Option(help="Folder of this training; the same command goes on where it stopped.")],
    gan: Gan = None,
    world: Annotated[str | None, typer.Option(help="Also learn from this world's pictures, unlabelled.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Also learn from a folder of pictures.")] = None,
    fit: Fit = None,
    num_images: Annotated[int, typer.Option(help="Different pictures to render.")] = 20_000,
    num_pictures: Annotated[int, typer.Option(help="Pictures the encoder sees, in all.")] = 100_000,
    batch_size: int = 16,
    seed: int = 0,
    init_from: Annotated[Path | None, typer.Option(help="An encoder of this GAN to start from.")] = None,
    mixed_precision: Precision = "auto",
    device: Device = None,
) -> None:
    """Train an encoder for any GAN on what it draws itself, and put it where the GAN's file is.

    Projection then starts from its guess, and trust is known."""
    from toolkit.experiments.sources import World
    from toolkit.gan.files import zoo
    from toolkit.gan.loading import JUDGED_BY, encoder_path, install_encoder
    from toolkit.pictures.images import as_float
    from toolkit.training.encoder import EncoderPlan, check
    from toolkit.training.encoder import train_encoder as train

    if world is not None and folder is not None:
        raise ToolkitError("train-encoder", "--world or --folder or neither", "both", "Give one of them")
    plan = EncoderPlan(num_pictures, batch_size, seed)
    model, images = load_gan(gan or (None if world is None else World(world).gan), device), None
    fit = fit_of("train-encoder", fit, folder, model)
    check(model.generator, plan, out, init_from=init_from, mixed_precision=mixed_precision)
    check_can_write(out / "encoder.safetensors")
    bundled = model.path.parent == zoo.folder().resolve()
    if not bundled:
        check_can_write(encoder_path(model.path))
    known = None
    if folder is not None or world is not None:
        images = _pictures(folder, world, num_images, model.resolution, out, fit)
        if not bundled and (num_known := min(JUDGED_BY, len(images) // 10)):  # trust is judged by unseen ones
            images, known = images[num_known:], as_float(images[:num_known])
    judge = model.discriminator
    file = train(
        model.generator, judge, out, plan, pictures=images, init_from=init_from, mixed_precision=mixed_precision
    )
    if bundled:
        print(f"{file}: bundle-encoder puts it beside its GAN")
        return
    print(f"{install_encoder(model, file, known)}: load_gan finds it beside its GAN")


def train_framer(
    out: Annotated[Path, typer.Option(help="Folder of this training; the same command goes on where it stopped.")],
    gan: Annotated[str | None, typer.Option(help="Learn from what this GAN draws; default: bundled.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Learn from a folder of framed pictures instead.")] = None,
    fit: Fit = None,
    backgrounds: Annotated[
        Path | None, typer.Option(help="A folder of pictures without the object; default: drawn backgrounds.")
    ] = None,
    num_images: Annotated[int, typer.Option(help="Different pictures for the GAN to draw.")] = 2048,
    num_windows: Annotated[int, typer.Option(help="Windows the framer looks at, in all.")] = 120_000,
    batch_size: int = 64,
    seed: int = 0,
    device: Device = None,
) -> None:
    """Train a small network that finds in any picture what a GAN draws. No label is ever read."""
    from toolkit.pictures.cache import from_folder
    from toolkit.training.framer import FramerPlan, check, drawn
    from toolkit.training.framer import train_framer as train

    if gan is not None and folder is not None:
        raise ToolkitError("train-framer", "--gan or --folder or neither", "both", "Give one of them")
    fit = fit_of("train-framer", fit, folder)
    plan = FramerPlan(num_windows, batch_size, seed)
    pictures: Any
    if folder is not None:
        key, metadata = str(folder.resolve()), {"folder": folder.resolve().name}
        check(key, plan, out)
        check_can_write(out / "framer.safetensors")
        pictures = from_folder(folder, PICTURE_SIDE, out / f"pictures-{PICTURE_SIDE}.npy", fit=fit)
    else:
        model = load_gan(gan, device)
        key, metadata = model.hash, {"gan": model.metadata.get("name"), "gan_hash": model.hash}
        check(key, plan, out)
        check_can_write(out / "framer.safetensors")
        pictures = drawn(model.generator, num_images, seed)
    others = None
    if backgrounds is not None:
        others = from_folder(backgrounds, PICTURE_SIDE, out / "backgrounds" / f"pictures-{PICTURE_SIDE}.npy")
    print(train(pictures, key, out, plan, others=others, fit=fit, metadata=metadata, device=device))


def bundle(
    checkpoint: Annotated[Path, typer.Argument(help="A gan.safetensors made by train-gan.")],
    name: Annotated[str, typer.Argument(help="What to call it, e.g. portraits-64.")],
    licence: Annotated[str, typer.Option(help="The terms of its weights, as gan-info says them.")] = "MIT",
    imagenet_features: Annotated[
        bool, typer.Option("--imagenet-features", help="Its segmenters see pictures through ImageNet's features, too.")
    ] = False,
    discriminator_apart: Annotated[
        bool,
        typer.Option(
            "--discriminator-apart",
            help="Its discriminator goes into a file of its own, for train-gan --init-from; projection then compares "
            "what ImageNet's features see.",
        ),
    ] = False,
) -> None:
    """Store a trained GAN in weights/, in float16, under a name; what belongs to a former one is put aside."""
    import torch

    from toolkit.gan.files import checkpoints, zoo

    if Path(name).name != name or name in zoo.REGISTRY or name.startswith("."):
        raise ToolkitError("bundle", "a name that is no path, nor a published GAN's", repr(name), "Choose another name")
    generator, discriminator = checkpoints.load_networks(checkpoint, call="bundle")
    path = zoo.folder() / f"{name}.safetensors"
    # In float16 it is another GAN by its hash; what was made with this one still belongs to it.
    metadata = {**generator.metadata, "name": name, "licence": licence, "made_from": generator.hash}
    if imagenet_features:
        metadata["imagenet_features"] = True
    if discriminator_apart and discriminator is None:
        raise ToolkitError("bundle", "a GAN with a discriminator", f"{checkpoint} without", "Take train-gan's own file")
    kept = None if discriminator_apart else discriminator
    checkpoints.save_gan(path, generator, kept, metadata, torch.float16)
    own = checkpoints.load_generator(path).hash
    if discriminator_apart and discriminator is not None:
        about = {"gan": name, "gan_hash": own, "licence": licence}
        apart = path.with_name(f"{name}-discriminator.safetensors")
        checkpoints.save_discriminator(apart, discriminator, about, torch.float16)
    kinds = {"encoder": "encoder", "framer": "framer", "shots": "shot", "discriminator": "discriminator"}
    for kind, format in kinds.items():  # those of another GAN are refused
        former = path.with_name(f"{name}-{kind}.safetensors")
        about = read_metadata(former, format, "bundle") if former.exists() else {}
        if {one.get("gan_hash") for one in (about, *about.get("shots", []))} - {None, own}:
            aside = former.rename(f"{former}.former")
            print(f"{aside}: of the GAN that was called {name} before", file=sys.stderr)
    print(path)


def bundle_encoder(
    checkpoint: Annotated[Path, typer.Argument(help="An encoder.safetensors made by train-encoder.")],
    gan: Gan = None,
    world: Annotated[str, typer.Option(help="The world that trust is calibrated on.")] = "portraits",
    folder: Annotated[Path | None, typer.Option(help="Pictures to calibrate trust on instead.")] = None,
    fit: Fit = None,
    num: Annotated[int, typer.Option(help="How many of them.")] = 2000,
    device: Device = None,
) -> None:
    """Store an encoder beside its GAN in weights/, in float16, with the errors that trust is judged by."""
    import torch

    from toolkit import experiments
    from toolkit.experiments.sources import World
    from toolkit.gan.encoder import load_encoder, save_encoder
    from toolkit.gan.files import zoo
    from toolkit.pictures.cache import from_folder
    from toolkit.pictures.images import as_float

    model = load_gan(gan or (World(world).gan if folder is None else None), device)
    fit = fit_of("bundle-encoder", fit, folder, model)
    model.encoder = load_encoder(checkpoint, model.device)
    if (of := model.encoder.metadata.get("gan_hash")) not in (model.hash, model.metadata.get("made_from")):
        want, got = f"an encoder of GAN {model.hash[:12]}", f"one of GAN {str(of)[:12]}"
        raise ToolkitError("bundle-encoder", want, got, "Name its GAN with --gan")
    if folder is None:
        image, _ = experiments.world_named(world).render(num, model.resolution, experiments.CALIBRATION_SEED)
    else:
        cache = checkpoint.with_name(f"calibration-{model.resolution}.npy")
        image = as_float(from_folder(folder, model.resolution, cache, fit=fit)[:num])
    calibration = model.measure(image.to(model.device), 0, progress=True)
    path = zoo.folder() / f"{model.metadata['name']}-encoder.safetensors"
    facts = {**model.encoder.metadata, "gan_hash": model.hash, "licence": model.metadata.get("licence", "MIT")}
    save_encoder(path, model.encoder, facts, calibration, torch.float16)
    print(path)


def bundle_framer(
    checkpoint: Annotated[Path, typer.Argument(help="A framer.safetensors made by train-framer.")],
    gan: Gan = None,
    folder: Annotated[
        Path | None, typer.Option(help="Framed pictures that it never saw, to learn from how far it is off.")
    ] = None,
    fit: Fit = None,
    backgrounds: Annotated[
        Path | None, typer.Option(help="A folder of pictures without the object, to paste these on; default: drawn.")
    ] = None,
) -> None:
    """Store a framer beside its GAN, in float16: in weights/, or where the GAN's own file lies."""
    import torch

    from toolkit.pictures.cache import from_folder
    from toolkit.projection.framing import load_framer, save_framer
    from toolkit.training.framer import calibrate

    model, framer = load_gan(gan), load_framer(checkpoint)
    if framer.metadata.get("gan_hash") not in (None, model.hash):
        want, got = f"a framer of GAN {model.hash[:12]}", f"one of GAN {framer.metadata['gan_hash'][:12]}"
        raise ToolkitError("bundle-framer", want, got, "Name its GAN with --gan")
    if backgrounds is not None and folder is None:
        raise ToolkitError("bundle-framer", "--folder with --backgrounds", "no --folder", "Give one, or leave both out")
    fit = fit_of("bundle-framer", fit, folder, model)
    path = Path(str(model.path))
    path = path.with_name(f"{path.stem}-framer.safetensors")
    about = {"gan": model.metadata.get("name"), "gan_hash": model.hash, "licence": model.metadata.get("licence", "MIT")}
    if folder is not None:
        cache = checkpoint.parent / "calibration"
        pictures = from_folder(folder, PICTURE_SIDE, cache / f"pictures-{PICTURE_SIDE}.npy", fit=fit)
        others = None
        if backgrounds is not None:
            others = from_folder(backgrounds, PICTURE_SIDE, cache / "backgrounds" / f"pictures-{PICTURE_SIDE}.npy")
        about["off"] = calibrate(framer, pictures, others, fit=fit)
    save_framer(path, framer, about, torch.float16)
    print(path)


def train_autoencoder(
    out: Annotated[Path, typer.Option(help="Folder of this training; the same command goes on where it stopped.")],
    world: Annotated[str | None, typer.Option(help="Learn from this world's pictures.")] = None,
    folder: Annotated[Path | None, typer.Option(help="Learn from a folder of pictures.")] = None,
    fit: Fit = None,
    resolution: int = 64,
    num_images: Annotated[int, typer.Option(help="Different pictures to render.")] = 32_000,
    num_pictures: Annotated[int, typer.Option(help="Pictures seen, in all.")] = 100_000,
    judged_after: Annotated[int, typer.Option(help="Pictures after which judges of looks join.")] = 60_000,
    num_components: Annotated[int, typer.Option(help="Principal components the encoder reads.")] = 512,
    batch_size: int = 16,
    channel_base: Annotated[int, typer.Option(help="Channels at resolution r: min(base / r, 256).")] = 2048,
    seed: int = 0,
    device: Device = None,
) -> None:
    """Train a generator with its encoder to redraw pictures, then to please judges: a GAN in hours, without a GPU."""
    from toolkit.training.autoencoder import AutoencoderPlan, check
    from toolkit.training.autoencoder import train_autoencoder as train

    _check_one_of("train-autoencoder", world, folder)
    fit = fit_of("train-autoencoder", fit, folder)
    plan = AutoencoderPlan(
        resolution=resolution,
        num_pictures=num_pictures,
        judged_after=judged_after,
        batch_size=batch_size,
        num_components=num_components,
        channels=channels_of(resolution, channel_base),
        seed=seed,
    )
    place = check(plan, out, device)
    check_can_write(out / "gan.safetensors")
    pictures = _pictures(folder, world, num_images, resolution, out, fit)
    print(train(pictures, out, plan, fit=fit, device=place))
