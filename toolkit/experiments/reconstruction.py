"""How near a GAN comes to pictures of several kinds, and whether its trust tells the kinds apart."""

import warnings
from collections.abc import Sequence
from pathlib import Path

import torch
from tqdm import tqdm

from toolkit.errors import ToolkitError
from toolkit.fewshot import GAN
from toolkit.pictures.folders import pictures_in
from toolkit.pictures.images import FITS, check_fit
from toolkit.projection.trust import LOW

AT_ONCE = 20  # pictures projected together


def reconstruction(
    gan: GAN,
    folders: Sequence[str | Path],
    *,
    fit: str | None = None,
    num: int = 200,
    num_steps: int | None = None,
    progress: bool = False,
) -> dict[str, dict[str, float]]:
    """Project some pictures of each folder, by the encoder's guess alone and by optimisation from there.

    Args:
        gan: with an encoder, or calibrated.
        folders: each of one kind of pictures, searched with their sub-folders.
        fit: how they become square, "crop" or "pad"; None for as the GAN's own pictures did.
        num: of each folder, evenly spread over the sorted files.
        num_steps: of optimisation, >= 0; None for the GAN's default. Trust needs none where there is an encoder.
        progress: show a bar.
    Returns:
        dict, folder's name -> {"pictures": number, "guess": mean dB of the encoder's guess, where there is an encoder,
        "projected": mean dB after the steps, "low trust": percent}.
    Raises:
        ToolkitError: another fit, a folder without pictures, or a GAN that tells no trust.
    """
    align = FITS[check_fit(gan.fit if fit is None else fit, "reconstruction")]
    found: dict[str, dict[str, float]] = {}
    for folder in map(Path, folders):
        files = pictures_in(folder, deep=True).files
        files = files[:: max(1, len(files) // num)][:num]
        if not files:
            raise ToolkitError("reconstruction", "a folder with pictures", folder, "Check the path")
        guess, projected, trust = [], [], []
        parts = [files[i : i + AT_ONCE] for i in range(0, len(files), AT_ONCE)]
        for part in tqdm(parts, desc=folder.name, unit=f"x{AT_ONCE}", disable=not progress):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of low trust, which is counted
                sample = gan.project(part, num_steps=num_steps, align=align)
            if sample.trust is None:
                raise ToolkitError("reconstruction", "a GAN that tells its trust", "none", "Run calibrate first")
            trust.append(sample.trust)
            projected.append(sample.psnr)
            if gan.encoder is not None:
                guess.append(gan.project(sample.image, num_steps=0, judge=False).psnr)
        found[folder.name] = {
            "pictures": len(files),
            **({"guess": _mean(guess)} if guess else {}),
            "projected": _mean(projected),
            "low trust": round(100 * float((torch.cat(trust) < LOW).float().mean()), 1),
        }
    return found


def _mean(parts):
    return round(float(torch.cat(parts).mean()), 2)
