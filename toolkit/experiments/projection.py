"""Projections, the costliest step: independent of labels, so cached and shared by all experiments."""

import contextlib
import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from toolkit.errors import ToolkitError
from toolkit.experiments.sources import EVALUATION_SEED, world_named
from toolkit.fewshot import GAN, Sample
from toolkit.files import replace_when_done
from toolkit.projection import projector

CACHE = Path("out/cache")
CHUNK = 10  # pictures projected and cached together; requests for multiples of it share the cache
VERSION = 2  # increment when a change of the code alters latents


def projected(
    gan: GAN,
    world: str,
    first_seed: int,
    num: int,
    num_steps: int | None = None,
    cache: str | Path | None = None,
    progress: bool = False,
) -> tuple[Sample, Tensor]:
    """Portraits of a world projected into a GAN, with their labels.

    Args:
        first_seed, num: which portraits; the range must not cross `EVALUATION_SEED`.
        num_steps, cache, progress: as `project` takes them.
    Returns:
        `Sample` of num pictures, and their label_map (num, R, R) in the world's own classes.
    Raises:
        ToolkitError: the range crosses from training into evaluation seeds.
    """
    if first_seed < EVALUATION_SEED < first_seed + num:
        raise ToolkitError(
            "projected",
            f"seeds on one side of {EVALUATION_SEED}",
            f"{first_seed}..{first_seed + num - 1}",
            "Ask for fewer portraits",
        )
    image, label_map = world_named(world).render(num, gan.resolution, first_seed)
    return project(gan, image, num_steps, cache, progress), label_map


def project(
    gan: GAN,
    image: Tensor,
    num_steps: int | None = None,
    cache: str | Path | None = None,
    progress: bool = False,
    detail: Tensor | None = None,
) -> Sample:
    """Pictures projected into a GAN.

    Args:
        gan: a `fewshot.GAN`.
        image: (N, 3, R, R) in [-1, 1].
        num_steps: of projection; None for the GAN's default.
        cache: folder for the latents, keyed by pictures, GAN, encoder, steps and `VERSION`; None keeps nothing.
        progress: show a bar.
        detail: the `Sample`'s, which latents do not depend on.
    Returns:
        `Sample` of N pictures, without trust.
    """
    chunks = tqdm(image.split(CHUNK), desc="project portraits", unit=f"x{CHUNK}", disable=not progress)
    ws = torch.cat([_latents(gan, chunk, num_steps, cache) for chunk in chunks])
    synthesis = gan.generator.synthesis
    with torch.no_grad():
        reconstruction = torch.cat([synthesis(w, noise_mode="none").clamp(-1, 1) for w in ws.split(CHUNK)])
    noise = projector.no_noise(gan.generator, len(image))
    return Sample(image.to(gan.device), ws, noise, reconstruction, detail=detail)


def _latents(gan, image, num_steps, cache):
    num_steps = gan.projection_steps if num_steps is None else num_steps
    start = gan.encoder.hash[:8] if gan.encoder else "w_avg" if gan.class_index is None else f"w_avg{gan.class_index}"
    judge = "alone" if gan.discriminator is None else "judged"  # without its distance other latents are found
    pictures = hashlib.sha256(image.cpu().numpy().tobytes()).hexdigest()[:16]
    name = f"{gan.hash[:12]}-{start}-{pictures}-{num_steps}-{judge}-v{VERSION}.safetensors"
    file = None if cache is None else Path(cache) / name
    if file is not None:
        with contextlib.suppress(OSError, SafetensorError, KeyError):  # not there yet, or half a file
            return load_file(file)["ws"].to(gan.device)
    ws = gan.project(image, num_steps=num_steps, judge=False).ws
    if file is not None:
        with replace_when_done(file) as temporary:
            save_file({"ws": ws.cpu().contiguous()}, temporary)
    return ws
