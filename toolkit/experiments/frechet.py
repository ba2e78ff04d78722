"""Fréchet distance between a GAN's samples and photographs not used in training."""

import tempfile
from pathlib import Path

import numpy as np
from torch import Tensor

from toolkit import metrics
from toolkit.errors import ImageError
from toolkit.fewshot import GAN
from toolkit.files import check_can_write
from toolkit.pictures import images
from toolkit.pictures.cache import from_folder
from toolkit.pictures.images import as_float
from toolkit.projection.imagenet import imagenet_features


def frechet_to_folder(
    gan: GAN,
    folder: str | Path,
    *,
    num: int = 2000,
    seed: int = 0,
    fit: str | None = None,
    out: str | Path | None = None,
    progress: bool = False,
) -> dict:
    """Fréchet distance between a GAN's samples and photographs, and between photographs alone.

    Args:
        gan: its untruncated samples are measured.
        folder: photographs not used in training, framed as the GAN's; two disjoint sets of `num` are drawn.
        num: photographs in each set, and samples; at most half of the photographs in the folder.
        seed: of the sets and the samples.
        fit: how photographs become square, "crop" or "pad"; None for as those that the GAN learned from did.
        out: PNG to write: 64 photographs left, 64 uncurated samples at truncation 0.7 right; None writes none.
        progress: show a bar while reading.
    Returns:
        dict: frechet (photographs to samples), frechet_photographs (photographs to others: the floor),
        pictures_seen (by the discriminator, if the file says so), num. Distances grow as num falls: compare
        only those of equal num.
    Raises:
        ImageError: fewer than four photographs. ToolkitError: the ImageNet weights are not installed.
    Source: Heusel et al. 2017 (arXiv:1706.08500); differs: EfficientNet-Lite0 features instead of Inception's.
    """
    if out is not None:
        check_can_write(out)
    network = imagenet_features(gan.device)
    with tempfile.TemporaryDirectory() as temporary:
        fit = gan.fit if fit is None else fit
        pictures = from_folder(folder, gan.resolution, Path(temporary) / "pictures.npy", progress, fit)
        num = min(num, len(pictures) // 2)
        if num < 2:
            raise ImageError("gan-quality", "at least 4 photographs", f"{len(pictures)} in {folder}", "Add some")
        order = np.random.default_rng(seed).permutation(len(pictures))
        photographs, others = (as_float(pictures[np.sort(order[i : i + num])]) for i in (0, num))
    samples = gan.sample(seed, num, truncation_psi=1.0).image
    measured = [moments(network.embed(image.to(gan.device))) for image in (photographs, others, samples)]
    if out is not None:
        sheets = [photographs[:64], gan.sample(seed, 64, truncation_psi=0.7).image]
        images.save_png(out, images.grid([images.grid(sheet, columns=8) for sheet in sheets], columns=2, gap=24))
    return {
        "gan": gan.metadata.get("name"),
        "pictures_seen": gan.metadata.get("pictures_seen"),
        "num": num,
        "seed": seed,
        "frechet": round(metrics.frechet_distance(*measured[0], *measured[2]), 3),
        "frechet_photographs": round(metrics.frechet_distance(*measured[0], *measured[1]), 3),
    }


def moments(vectors: Tensor) -> tuple[Tensor, Tensor]:
    """Mean (D,) and covariance (D, D) of vectors (N, D), in float64: what `metrics.frechet_distance` takes."""
    vectors = vectors.double()
    return vectors.mean(0), vectors.T.cov()
