"""The `GAN` class: sampling, projection of pictures to latents, and hypercolumns."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from toolkit.errors import CheckpointError, ShapeError, ToolkitError, WriteError, as_floats, describe
from toolkit.files import replace_when_done
from toolkit.gan.encoder import Encoder, load_encoder
from toolkit.gan.files import zoo
from toolkit.gan.files.checkpoints import load_networks
from toolkit.gan.files.latents import read_latents
from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.parts import hypercolumns
from toolkit.parts.sample import Sample, is_sample, load_sample
from toolkit.pictures import images
from toolkit.projection import projector, trust
from toolkit.stepwise import finish

PROJECTION_STEPS = 50
STEPS_WITHOUT_ENCODER = 200  # w_avg is a worse start than an encoder's guess
CALIBRATION_PICTURES = 64  # the GAN's own samples, where its encoder's file has no calibration


class GAN:
    """A generator, with its discriminator and encoder if there are any. Make one with `load_gan`."""

    def __init__(
        self, generator: Generator, discriminator: Discriminator | None = None, encoder: Encoder | None = None
    ) -> None:
        self.generator, self.discriminator, self.encoder = generator, discriminator, encoder
        self.resolution, self.metadata, self.hash = generator.resolution, generator.metadata, generator.hash
        self.path: Path | None = None  # of the file it was loaded from
        self._calibrations = {} if encoder is None or encoder.calibration is None else {0: encoder.calibration}

    @property
    def device(self) -> torch.device:
        """Where the generator's parameters are."""
        return self.generator.mapping.w_avg.device

    @property
    def class_index(self) -> int | None:
        """The default class of a conditional GAN; else None."""
        return self.generator.mapping.class_index if self.generator.c_dim else None

    @property
    def projection_steps(self) -> int:
        """Default number of optimiser steps: few from an encoder's guess, more from w_avg."""
        return STEPS_WITHOUT_ENCODER if self.encoder is None else PROJECTION_STEPS

    @torch.no_grad()
    def sample(
        self, seed: int = 0, num: int = 1, truncation_psi: float = 0.7, class_index: int | None = None
    ) -> Sample:
        """Generate pictures.

        Args:
            seed: of z; the same seed gives the same pictures.
            num: how many, >= 1.
            truncation_psi: 1 for no truncation, towards 0 for the GAN's average picture.
            class_index: of a conditional GAN; None for its default class.
        Returns:
            `Sample` of num pictures; those of a grayscale GAN have three equal channels.
        Raises:
            ToolkitError: no pictures, or the GAN has no such class.
        """
        if num < 1:
            raise ToolkitError("GAN.sample", "num >= 1", num, "Ask for at least one picture")
        mapping = self.generator.mapping
        index = mapping.class_index if class_index is None else self._class(class_index, "GAN.sample")
        label = F.one_hot(torch.tensor([index] * num), mapping.c_dim).to(self.device) if mapping.c_dim else None
        z = torch.randn(num, self.generator.z_dim, generator=torch.Generator().manual_seed(seed))
        return self._drawn(mapping(z.to(self.device), label, truncation_psi))

    def _drawn(self, ws: Tensor) -> Sample:
        image = torch.cat([self.generator.synthesis(w).clamp(-1, 1) for w in ws.split(16)])
        return Sample(image.expand(-1, 3, -1, -1), ws)

    @torch.no_grad()
    def from_latents(self, source: Tensor | np.ndarray | Sequence | str | PathLike) -> Sample:
        """Draw the pictures of given latents, e.g. from NVIDIA's projector or e4e.

        Args:
            source: w (D,) or (N, D), or w+ (N, 1, D) or (N, num_ws, D), of any float type; or the path of a file
                of these: .npy, .npz, .pt, .safetensors, or what `save_sample` wrote.
        Returns:
            `Sample` of N pictures, with the noise if `save_sample` stored it.
        Raises:
            ShapeError: latents of another shape, or not finite. CheckpointError: a file without latents, or of
                another GAN.
        """
        if isinstance(source, (str, PathLike)):
            if is_sample(source):
                return load_sample(source, self)
            latents = read_latents(source, "GAN.from_latents")
        else:
            latents = as_floats(source, "GAN.from_latents")
        num_ws, w_dim = self.generator.num_ws, self.generator.w_dim
        rows = latents[None] if latents.dim() == 1 else latents
        rows = rows[:, None] if rows.dim() == 2 else rows
        if rows.dim() != 3 or not len(rows) or rows.shape[1] not in (1, num_ws) or rows.shape[2] != w_dim:
            raise ShapeError(
                "GAN.from_latents",
                f"w (N, {w_dim}), or w+ (N, 1 or {num_ws}, {w_dim})",
                describe(latents),
                "Load the GAN they were found with",
            )
        if not bool(torch.isfinite(rows).all()):
            raise ShapeError("GAN.from_latents", "finite numbers", "some that are nan or infinite", "Find them again")
        if latents.dim() == 2 and len(latents) == num_ws > 1:
            warnings.warn(
                f"latents ({num_ws}, {w_dim}) are taken for {num_ws} pictures; if they are the rows of one picture's "
                "w+, pass them as latents[None]",
                stacklevel=3,
            )
        return self._drawn(rows.expand(-1, num_ws, -1).contiguous().to(self.device))

    def use_class(self, class_index: int) -> None:
        """Set the default class of a conditional GAN.

        Raises:
            ToolkitError: the GAN has no such class.
        """
        index = self._class(class_index, "GAN.use_class")
        for network in (self.generator, self.discriminator):
            if network is not None and network.mapping is not None:
                network.mapping.class_index = index
        if self.encoder is None:
            self._calibrations.clear()  # projection starts from the class's own average

    def _class(self, index, call):
        if index not in range(self.generator.c_dim):
            raise ToolkitError(
                call,
                f"class_index below {self.generator.c_dim}" if self.generator.c_dim else "no class_index",
                index,
                "See how many classes it has with gan-info",
            )
        return index

    def project(self, source: Any, *, progress: bool = False, **options: Any) -> Sample:
        """Find the latents that reproduce given pictures.

        Args:
            source, options: as `projecting` takes them.
            progress: show a bar.
        Returns:
            `Sample`; its `psnr` measures the reconstruction, its `trust` whether the parts can be believed.
        """
        return finish(self.projecting(source, **options), "project", progress)

    def projecting(
        self,
        source: Any,
        *,
        num_steps: int | None = None,
        align: Callable[[Image.Image], images.Box] = images.centre_box,
        every: int = 5,
        judge: bool = True,
        **options: Any,
    ) -> Iterator[tuple[int, int, Sample]]:
        """Project step by step, as a Python generator of intermediate results; closing it stops the work.

        Args:
            source: whatever `images.frame_image` takes, or a list of such, or (N, 3, R, R) in [-1, 1].
            num_steps: optimiser steps, >= 0; None for `projection_steps`.
            align: as `images.frame_image` takes it.
            every: steps between two results.
            judge: compute trust at the end, and warn when it is low. Without a stored calibration, the GAN
                first projects some of its own samples for that, once.
            options: of `projector.projecting`.
        Yields:
            (done, total, `Sample`): picture-steps so far and in all; the last `Sample` is the result
            and the only one with trust.
        """
        num_steps = self.projection_steps if num_steps is None else num_steps
        sources = source if isinstance(source, (list, tuple)) else [source]
        framed = [images.frame_image(s, self.resolution, align) for s in sources]
        image = torch.cat([picture for picture, _ in framed]).to(self.device)
        frames = [frame for picture, frame in framed for _ in picture]
        networks = {"encoder": self.encoder, "discriminator": self.discriminator, **options}
        steps = projector.projecting(self.generator, image, num_steps=num_steps, every=every, **networks)
        for done, total, found in steps:
            sample = Sample(image, found.ws, found.noise, found.image, frames=frames)
            if done == total and judge:
                sample.trust = self._trust(found, num_steps, options)
            yield done, total, sample

    def _trust(self, found, num_steps, options):
        if {"encoder", "discriminator", "lpips", "space", "noise"} & options.keys():
            return None  # errors not comparable to the calibration's
        errors = found.errors if self.encoder is None else found.first_errors
        value = trust.trust(errors, self.calibration(num_steps))
        low = int((value < trust.LOW).sum())
        if low:
            which = "this picture is" if len(value) == 1 else f"{low} of {len(value)} pictures are"
            warnings.warn(
                f"{which} unlike anything {self.metadata.get('name', 'this GAN')} makes (trust below "
                f"{trust.LOW}): do not believe the parts. Use an auto-shot network, which needs no "
                "projection, or another GAN.",
                stacklevel=4,
            )
        return value

    def calibration(self, num_steps: int) -> Tensor:
        """Errors (M, 2) of in-domain pictures, for `trust`: of the encoder's guess, else after `num_steps`.

        Stored in the encoder's file; else measured once on the GAN's own samples, and cached.
        """
        steps = num_steps if self.encoder is None else 0
        if steps not in self._calibrations:
            guess = f"w_avg-{self.generator.mapping.class_index}" if self.encoder is None else self.encoder.hash[:8]
            # The perceptual error uses the discriminator, so errors without one are not comparable.
            judge = "alone" if self.discriminator is None else "judged"
            path = zoo.cache_folder() / f"calibration-{self.hash[:16]}-{guess}-{steps}-{judge}.safetensors"
            try:
                errors = load_file(path)["errors"]
            except (OSError, SafetensorError, KeyError):  # not there yet, or damaged
                errors = self.measure(self.sample(0, CALIBRATION_PICTURES, 1.0).image, steps, progress=True)
                _keep(path, errors)
            self._calibrations[steps] = errors.to(self.device)
        return self._calibrations[steps]

    def measure(self, image: Tensor, num_steps: int, progress: bool = False) -> Tensor:
        """Errors (N, 2) of pictures (N, 3, R, R) after `num_steps` of projection: pixel, perceptual."""
        networks = {"encoder": self.encoder, "discriminator": self.discriminator}
        return projector.project(self.generator, image, num_steps=num_steps, progress=progress, **networks).errors

    def hypercolumns(
        self, sample: Sample, noise_mode: str = "const", rng: torch.Generator | None = None
    ) -> hypercolumns.Hypercolumns:
        """The generator's activations at each pixel of a sample: lazy `Hypercolumns`, detached."""
        noise = sample.noise if noise_mode == "const" and sample.noise else None
        return hypercolumns.from_generator(self.generator, sample.ws, noise_mode, noise, rng=rng)[1]

    @cached_property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and std of every hypercolumn channel, (C,) each, over generated pictures."""
        return self.hypercolumns(self.sample(seed=0, num=128, truncation_psi=1.0)).mean_std()


def _keep(path: Path, errors: Tensor) -> None:
    """Write errors to the cache; one that cannot be written is a warning, not an error."""
    try:
        with replace_when_done(path) as temporary:
            save_file({"errors": errors.cpu().contiguous()}, temporary)
    except WriteError as error:
        warnings.warn(f"{error} Or set TOOLKIT_CACHE; until then it is worked out anew each time.", stacklevel=4)


def load_gan(
    name: str | PathLike = zoo.DEFAULT, device: str | torch.device = "cpu", class_index: int | None = None
) -> GAN:
    """Load a GAN by name, or from a file; its encoder too, where `NAME-encoder.safetensors` lies beside it.

    Args:
        name: a bundled or published name (see `zoo`), or the path of a weights file: NVIDIA's .pkl,
            rosinality's .pt, or .safetensors.
        device: where to put it.
        class_index: default class of a conditional GAN; None for the first.
    Returns:
        `GAN`; its discriminator is None where the file has none.
    Raises:
        ToolkitError: unknown name, no network, no such class. CheckpointError: not a readable GAN, or an
        encoder of another GAN.
    """
    path = zoo.weights_path(name)
    generator, discriminator = load_networks(path, device, call="load_gan")
    generator.metadata.setdefault("name", str(name))
    beside = path.with_name(f"{path.stem}-encoder.safetensors")
    encoder = load_encoder(beside, device) if beside.is_file() else None
    if encoder is not None and encoder.metadata["gan_hash"] != generator.hash:
        raise CheckpointError(
            "load_gan",
            f"an encoder of GAN {generator.hash[:12]}",
            f"one of GAN {encoder.metadata['gan_hash'][:12]} at {beside}",
            "Train it again, or move it away",
        )
    gan = GAN(generator, discriminator, encoder)
    gan.path = path.resolve()
    if class_index is not None:
        gan.use_class(class_index)
    return gan


def find_gan(
    gan_hash: str,
    name: str,
    path: str | None,
    beside: str | PathLike,
    device: str | torch.device = "cpu",
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
