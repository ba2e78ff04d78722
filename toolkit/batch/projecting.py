"""Project photographs of a folder, also labelled ones, to learn from."""

import sys
from collections.abc import Iterable
from os import PathLike
from typing import Any

import torch
from tqdm import tqdm

from toolkit import fewshot
from toolkit.batch.naming import to_write
from toolkit.batch.telling import announce, each, how_good, only, remarks, slow
from toolkit.datasets import OwnFolder
from toolkit.pictures import images, labels


def project_files(
    gan: fewshot.GAN,
    paths: Iterable[str | PathLike],
    out: str | PathLike,
    *,
    num_steps: int | None = None,
    progress: bool = True,
    **options: Any,
) -> int:
    """Project pictures; of each write its reconstruction, the two side by side, and the latents.

    Args:
        gan: a `GAN`.
        paths: as `find` takes them.
        out: folder for NAME.reconstruction.png, NAME.side-by-side.png and NAME.latent.safetensors.
        num_steps: of projection; None for the GAN's default.
        progress: say what it will take, then show a bar.
        options: of `GAN.project`.
    Returns:
        number of pictures that failed; each is reported on stderr.
    Raises:
        ToolkitError: no picture at all. WriteError: a folder that cannot be written, or a full disk; what was done
        is there.
    """

    def one(file, target):
        sample = gan.project(file, num_steps=num_steps, progress=progress and slow(gan, num_steps), **options)
        images.save_png(f"{target}.reconstruction.png", sample.reconstruction.clamp(-1, 1))
        images.save_png(f"{target}.side-by-side.png", images.grid(torch.cat([sample.image, sample.reconstruction]), 2))
        fewshot.save_sample(f"{target}.latent.safetensors", sample, gan)
        return how_good(float(sample.psnr[0]), None if sample.trust is None else float(sample.trust[0]))

    files = to_write(paths, out)
    if progress:
        announce("project", gan, len(files), num_steps)
    return each("project", one, files, out, progress)


def shots_from(
    gan: fewshot.GAN, folder: str | PathLike, *, num_steps: int | None = None, progress: bool = True
) -> list[fewshot.Shot]:
    """Project one's own labelled photographs: all of them, those for scoring as well.

    Args:
        gan: a `GAN` of such things.
        folder: as `datasets.OwnFolder` takes it: pictures, masks and the names of the classes. They become square as
            the GAN's own pictures did.
        num_steps: of projection; None for the GAN's default.
        progress: say what it will take, then show a bar.
    Returns:
        list of `Shot`, in the order of their names.
    Raises:
        ToolkitError, LabelError, ImageError: as `OwnFolder`, or a picture with a single class; known before the work.
    """
    data = OwnFolder(folder, gan.fit)
    names = sorted(data.split("train") + data.split("test"))
    found = [data.read([name], gan.resolution) for name in names]
    for name, (_, label_map) in zip(names, found, strict=True):
        labels.check_label_map(label_map, len(data.classes), f"fit ({name})")
    if progress:
        announce("fit", gan, len(found), num_steps)
    shots = []
    for name, (image, label_map) in zip(names, found, strict=True):
        with remarks(name):
            sample = gan.project(image, num_steps=num_steps, progress=progress and slow(gan, num_steps))
        if gan.detail_resolution > gan.resolution:  # a tensor has no more pixels than it has
            sample.detail, _ = data.read([name], gan.detail_resolution)
        shots.append(fewshot.Shot(sample, label_map, data.classes, gan))
        if progress:
            tqdm.write(f"{name}: {how_good(float(sample.psnr), only(sample.trust))}", file=sys.stderr)
    return shots
