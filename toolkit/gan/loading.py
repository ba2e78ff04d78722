"""GANs from their files: by name or path, found again by what was made with them, and given an encoder."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

import torch
from torch import Tensor

from toolkit.devices import check_device
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.gan.encoder import load_encoder, save_encoder
from toolkit.gan.files import zoo
from toolkit.gan.files.checkpoints import load_networks
from toolkit.gan.model import GAN
from toolkit.projection.framing import load_framer

JUDGED_BY = 256  # pictures at most: a trained encoder's errors at these are what trust is judged by


def load_gan(
    name: str | PathLike = zoo.DEFAULT, device: str | torch.device | None = None, class_index: int | None = None
) -> GAN:
    """Load a GAN by name, or from a file; its encoder and framer too, where `NAME-encoder.safetensors` and
    `NAME-framer.safetensors` lie beside it.

    Args:
        name: a bundled or published name (see `zoo`), or the path of a weights file: NVIDIA's .pkl,
            rosinality's .pt, or .safetensors.
        device: where to put it; None for CUDA where there is some, else MPS, else the CPU.
        class_index: default class of a conditional GAN; None for the first.
    Returns:
        `GAN`; its discriminator is None where the file has none.
    Raises:
        ToolkitError: unknown name, no network, no such class. CheckpointError: not a readable GAN, or an
        encoder or framer of another GAN.
    """
    device = check_device(device, "load_gan")
    path = zoo.weights_path(name)
    generator, discriminator = load_networks(path, device, call="load_gan")
    generator.metadata.setdefault("name", str(name))
    beside = encoder_path(path)
    encoder = load_encoder(beside, device) if beside.is_file() else None
    if encoder is not None and encoder.metadata["gan_hash"] != generator.hash:
        raise CheckpointError(
            "load_gan",
            f"an encoder of GAN {generator.hash[:12]}",
            f"one of GAN {encoder.metadata['gan_hash'][:12]} at {beside}",
            "Move it away; train-encoder makes one for this GAN",
        )
    beside = path.with_name(f"{path.stem}-framer.safetensors")
    framer = load_framer(beside, device) if beside.is_file() else None
    if framer is not None and framer.metadata.get("gan_hash") not in (None, generator.hash):  # one of a folder has none
        raise CheckpointError(
            "load_gan",
            f"a framer of GAN {generator.hash[:12]}",
            f"one of GAN {framer.metadata['gan_hash'][:12]} at {beside}",
            "Move it away; train-framer makes one for this GAN",
        )
    gan = GAN(generator, discriminator, encoder, framer)
    gan.path = path.resolve()
    if class_index is not None:
        gan.use_class(class_index)
    return gan


def find_gan(
    gan_hash: str,
    name: str,
    path: str | None,
    beside: str | PathLike,
    device: str | torch.device | None = None,
    class_index: int | None = None,
) -> GAN:
    """Load the GAN that a file was made with: by its path, from that file's folder, or by its name.

    Args:
        gan_hash: its hash; files of another GAN are skipped.
        name: as `load_gan` takes it: a GAN's name, or the path as it was typed.
        path: where its file was; None if unknown.
        beside: the file that was made with it; the GAN may have been moved into the same folder.
        device, class_index: as `load_gan` takes them.
    Raises:
        CheckpointError: not found in any of these places. ToolkitError: as `load_gan`, where a name has to be fetched.
    """
    folder, places = Path(beside).resolve().parent, [Path(path)] if path else []
    files = [place.name for place in (*places, Path(name))]
    places += [folder / name, *(folder / file for file in files), zoo.cache_folder() / "gans" / f"{name}.safetensors"]
    places += [Path(name)] if not zoo.is_name(name) else []
    others = []
    for place in dict.fromkeys(os.path.abspath(place) for place in places):
        if os.path.isfile(place):
            try:
                gan = load_gan(place, device, class_index)
            except CheckpointError:  # damaged, or another kind of file of that name
                continue
            if gan.hash == gan_hash:
                return gan
            others.append(place)
    if zoo.is_name(name):
        gan = load_gan(name, device, class_index)
        if gan.hash == gan_hash:
            return gan
        others.append(name)
    got = f"another one at {', '.join(others)}" if others else f"none at {path or name}, nor in {folder}"
    fix = "Load it yourself and pass it as gan, or name its file with --gan"
    raise CheckpointError("load_segmenter", f"GAN {gan_hash[:12]} ({name})", got, fix)


def encoder_path(gan_path: str | PathLike) -> Path:
    """Where `load_gan` looks for the encoder of a GAN's file: beside it."""
    path = Path(gan_path)
    return path.with_name(f"{path.stem}-encoder.safetensors")


def install_encoder(gan: GAN, checkpoint: str | PathLike, pictures: Tensor | None = None) -> Path:
    """Put a trained encoder where `load_gan` looks for it, with the errors that trust is judged by; use it from now on.

    Args:
        gan: the `GAN` it was trained for, loaded from a file.
        checkpoint: what `train_encoder` wrote.
        pictures: (N, 3, R, R) in [-1, 1] that the GAN knows, of which the first 256 are looked at; None for its own
            samples.
    Returns:
        Path of the file.
    Raises:
        ToolkitError: a GAN without a file, or a bundled one, whose encoder `bundle-encoder` replaces.
        CheckpointError: no encoder, or one of another GAN. WriteError: the folder cannot be written.
    """
    if gan.path is None or gan.path.parent == zoo.folder().resolve():
        got = "one that was not loaded from a file" if gan.path is None else f"the bundled {gan.path.stem}"
        raise ToolkitError("install_encoder", "a GAN of your own", got, "Use bundle-encoder for bundled ones")
    encoder = load_encoder(Path(checkpoint), gan.device)
    if encoder.metadata.get("gan_hash") != gan.hash:
        got = f"one of GAN {str(encoder.metadata.get('gan_hash'))[:12]}"
        raise CheckpointError("install_encoder", f"an encoder of GAN {gan.hash[:12]}", got, "Train one for this GAN")
    gan.encoder = encoder
    image = gan.sample(0, JUDGED_BY // 4, 1.0).image if pictures is None else pictures[:JUDGED_BY].to(gan.device)
    encoder.calibration = gan.measure(image, 0)
    path = encoder_path(gan.path)
    save_encoder(path, encoder, encoder.metadata, encoder.calibration)
    return path
