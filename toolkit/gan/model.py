"""The `GAN` class: sampling, projection of pictures to latents, and hypercolumns."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.errors import ShapeError, ToolkitError, as_floats, check_count, describe
from toolkit.gan import features
from toolkit.gan.calibration import Calibrator
from toolkit.gan.encoder import AnyEncoder
from toolkit.gan.files.latents import read_latents
from toolkit.gan.placing import located, place
from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.parts import hypercolumns
from toolkit.parts.hypercolumns import Hypercolumns
from toolkit.parts.sample import Sample, is_sample, load_sample
from toolkit.pictures import images
from toolkit.pictures.uploads import open_rgb
from toolkit.projection import cost, projector, trust
from toolkit.projection.framing import Framer
from toolkit.projection.imagenet import detail_at
from toolkit.stepwise import finish

PROJECTION_STEPS = 50
STEPS_WITHOUT_ENCODER = 200  # w_avg is a worse start than an encoder's guess
CALIBRATION_PICTURES = 32  # of the GAN's own samples, see `calibrating`


class Found(NamedTuple):
    """Something that a GAN draws, found in a picture: where, how sure the framer is of it (0 to 1), and its trust,
    None of a GAN without an encoder."""

    frame: images.Frame
    score: float
    trust: float | None


class GAN:
    """A generator, with its discriminator, encoder and framer if there are any. Make one with `loading.load_gan`."""

    def __init__(
        self,
        generator: Generator,
        discriminator: Discriminator | None = None,
        encoder: AnyEncoder | None = None,
        framer: Framer | None = None,
    ) -> None:
        self.generator, self.discriminator, self.encoder, self.framer = generator, discriminator, encoder, framer
        self.resolution, self.metadata, self.hash = generator.resolution, generator.metadata, generator.hash
        # Whether its hypercolumns also hold what ImageNet's features see in the picture.
        self.imagenet = bool(self.metadata.get("imagenet_features", False))
        # How the pictures that it learned from became square: "crop" or "pad"; where "centre" looks in others.
        self.fit = images.check_fit(self.metadata.get("fit", "crop"), "load_gan")
        self.path: Path | None = None  # of the file it was loaded from
        self._calibrations: dict[int, Tensor] = {}  # number of steps -> errors
        self._costs: dict[int, cost.Cost] = {}  # pictures at once -> cost of a step
        self._projection_steps: int | None = None

    def __repr__(self) -> str:
        parts = [name for name in ("encoder", "discriminator") if getattr(self, name) is not None]
        classes = [f"{self.generator.c_dim} classes"] if self.generator.c_dim else []
        about = ", ".join([f"{self.resolution} pixels", *classes, *parts, str(self.device), f"hash {self.hash[:12]}"])
        return f"<GAN {self.metadata.get('name', 'without a name')}: {about}>"

    @property
    def device(self) -> torch.device:
        """Where the generator's parameters are."""
        return self.generator.mapping.w_avg.device

    @property
    def detail_resolution(self) -> int:
        """Pixels a side in which its hypercolumns see photographs: more than its own where ImageNet's features join."""
        return detail_at(self.resolution) if self.imagenet else self.resolution

    @property
    def class_index(self) -> int | None:
        """The default class of a conditional GAN; else None."""
        return self.generator.mapping.class_index if self.generator.c_dim else None

    @property
    def projection_steps(self) -> int:
        """Default number of optimiser steps, to read and to set: few from an encoder's guess, more from w_avg."""
        if self._projection_steps is not None:
            return self._projection_steps
        return STEPS_WITHOUT_ENCODER if self.encoder is None else PROJECTION_STEPS

    @projection_steps.setter
    def projection_steps(self, num_steps: int | None) -> None:
        if num_steps is not None:
            check_count("GAN.projection_steps", "num_steps", num_steps, 0)
        self._projection_steps = num_steps

    def step_cost(self, num: int = 1) -> cost.Cost:
        """What one optimiser step of projection takes here, measured by two of them, once; see `Cost.words`.

        Args:
            num: pictures projected at once, >= 1.
        Returns:
            `Cost`: seconds of one step of one picture, memory in all, and the device.
        """
        check_count("GAN.step_cost", "num", num)
        num = min(num, projector.at_once(self.resolution))
        if num not in self._costs:
            image = torch.zeros(num, 3, self.resolution, self.resolution, device=self.device)
            self._costs[num] = cost.measure(self.generator, image, **self._calibrator.networks)
        return self._costs[num]

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
        index = None if class_index is None else self._class(class_index, "GAN.sample")
        return self._drawn(self._latents(seed, num, truncation_psi, index))

    def _latents(self, seed: int, num: int, truncation_psi: float, class_index: int | None = None) -> Tensor:
        mapping = self.generator.mapping
        index = mapping.class_index if class_index is None else class_index
        label = F.one_hot(torch.tensor([index] * num), mapping.c_dim).to(self.device) if mapping.c_dim else None
        z = torch.randn(num, self.generator.z_dim, generator=torch.Generator().manual_seed(seed))
        return mapping(z.to(self.device), label, truncation_psi)

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

    def find(self, source: Any) -> list[Found]:
        """Find in a picture what this GAN draws, at any place, size and tilt.

        Args:
            source: what `images.load_image` takes, but no tensor.
        Returns:
            list of `Found`, the surest first, for a smooth background can be redrawn better than a face; empty where
            nothing was found.
        Raises:
            ToolkitError: the GAN has no framer. ImageError: not a picture.
        """
        picture, placed = located(self, source, "find")
        usual = None if self.encoder is None else self.calibration(0)
        if usual is None or not placed:  # without an encoder's first guess trust costs a projection
            return [Found(frame, score, None) for frame, score in placed]
        image = torch.cat([images.frame_image(picture, self.resolution, frame)[0] for frame, _ in placed])
        value = trust.trust(self.measure(image.to(self.device), 0), usual).tolist()
        return [Found(one.frame, one.score, worth) for one, worth in zip(placed, value, strict=True)]

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
        align: images.Align | str | list[images.Align | str] = "centre",
        all: bool = False,
        every: int = 5,
        judge: bool = True,
        **options: Any,
    ) -> Iterator[tuple[int, int, Sample]]:
        """Project step by step, as a Python generator of intermediate results; closing it stops the work.

        Args:
            source: whatever `images.frame_image` takes, or a list of such, or (N, 3, R, R) in [-1, 1].
            num_steps: optimiser steps, >= 0; None for `projection_steps`.
            align: as `images.frame_image` takes it, or a list of such, one for each picture; or "auto": found by the
                GAN's framer, see `find`. "centre" is as the GAN's own pictures became square, its `fit`: where they
                were padded, the whole picture with its edges repeated.
            all: of "auto", everything that is found in a picture, the surest first, not that one alone.
            every: steps between two results.
            judge: where there is a calibration, compute trust at the end, and warn when it is low. Without one
                trust is None, unknown: see `calibrate`.
            options: of `projector.projecting`.
        Yields:
            (done, total, `Sample`): picture-steps so far and in all, the first after one step; the last `Sample`
            is the result and the only one with trust.
        Raises:
            ImageError: as `images.frame_image`, or nothing was found. ToolkitError: no framer.
        """
        num_steps = self.projection_steps if num_steps is None else num_steps
        framed = [self._framed(one.source, one.align) for one in place(self, source, align, all)]
        image = torch.cat([picture for picture, _, _ in framed]).to(self.device)
        frames = [frame for picture, frame, _ in framed for _ in picture]
        detail = None
        if any(finer is not None for _, _, finer in framed):
            side = [self.detail_resolution] * 2
            both = [F.interpolate(picture, size=side, mode="bilinear") if f is None else f for picture, _, f in framed]
            detail = torch.cat(both).to(self.device)
        networks = self._calibrator.networks | options
        steps = projector.projecting(self.generator, image, num_steps=num_steps, every=every, **networks)
        for done, total, found in steps:
            sample = Sample(image, found.ws, found.noise, found.image, frames=frames, detail=detail)
            if done == total and judge:
                sample.trust = self._trust(sample.image, found, num_steps, options)
            yield done, total, sample

    def _framed(self, source, align):
        """What is projected, its frame, and its detail: None where nothing looks at it, or sees no more there."""
        if isinstance(source, Tensor):
            return *images.frame_image(source, self.resolution, align), None
        picture, side = open_rgb(source, "frame_image"), self.detail_resolution  # opened once: it may be a stream
        image, frame = images.frame_image(picture, self.resolution, align)
        return image, frame, images.frame_image(picture, side, frame)[0] if side > self.resolution else None

    def _trust(self, image, found, num_steps, options):
        if {"encoder", "discriminator", "lpips", "space", "noise"} & options.keys():
            return None  # errors not comparable to the calibration's
        usual = self.calibration(num_steps)
        if usual is None:
            return None
        errors = found.errors if self.encoder is None else self._calibrator.first_errors(image, found)
        value = trust.trust(errors, usual)
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

    def calibration(self, num_steps: int) -> Tensor | None:
        """Errors (M, 2) of in-domain pictures, for `trust`: of the encoder's guess, else after `num_steps`.

        Stored in the encoder's file, or measured by `calibrate`; None where neither is so, or of as many steps.
        """
        if self.encoder is not None and self.encoder.calibration is not None:
            return self.encoder.calibration
        steps = num_steps if self.encoder is None else 0
        if steps not in self._calibrations:
            errors = self._calibrator.kept(steps)
            if len(errors) < trust.LEAST:
                return None
            self._calibrations[steps] = errors
        return self._calibrations[steps]

    def calibrate(
        self, num_steps: int | None = None, *, num: int = CALIBRATION_PICTURES, progress: bool = False
    ) -> Tensor:
        """Project some of the GAN's own samples, so that trust can be told from then on.

        Args:
            num_steps, num: as `calibrating` takes them.
            progress: show a bar.
        Returns:
            errors (M, 2): pixel, perceptual.
        """
        return finish(self.calibrating(num_steps, num=num), "calibrate", progress)

    def calibrating(
        self, num_steps: int | None = None, *, num: int = CALIBRATION_PICTURES
    ) -> Iterator[tuple[int, int, Tensor]]:
        """Calibrate step by step; what was measured is kept, and the same call goes on where it stopped.

        Args:
            num_steps: of the projections that will be judged; None for `projection_steps`. With an encoder its guess
                alone is judged, which takes no step.
            num: samples, >= `trust.LEAST`.
        Yields:
            (done, total, errors (M, 2)): picture-steps so far and in all, and what is known. Nothing is measured
            where the encoder's file has a calibration.
        Raises:
            ToolkitError: too few samples.
        """
        check_count("GAN.calibrate", "num", num, trust.LEAST)
        steps = self.projection_steps if num_steps is None else num_steps
        if self.encoder is not None:
            steps = 0
            if self.encoder.calibration is not None:
                yield 1, 1, self.encoder.calibration
                return
        for done, total, errors in self._calibrator.measuring(steps, num, lambda seed: self.sample(seed, 1, 1.0).image):
            if done == total:
                self._calibrations[steps] = errors
            yield done, total, errors

    def measure(self, image: Tensor, num_steps: int, progress: bool = False) -> Tensor:
        """Errors (N, 2) of pictures (N, 3, R, R) after `num_steps` of projection: pixel, perceptual."""
        return self._calibrator.errors(image, num_steps, progress)

    @property
    def _calibrator(self) -> Calibrator:
        return Calibrator(self.generator, self.encoder, self.discriminator, self.imagenet)

    def hypercolumns(
        self, sample: Sample, noise_mode: str = "const", rng: torch.Generator | None = None
    ) -> Hypercolumns:
        """The generator's activations at each pixel of a sample: lazy `Hypercolumns`, detached.

        Of a GAN with `imagenet`, also what ImageNet's features see there: in the sample's picture, in all the detail
        that it has, not in what its latents draw.
        """
        noise = sample.noise if noise_mode == "const" and sample.noise else None
        if noise is not None:
            noise = {name: n.to(self.device) for name, n in noise.items()}
        ws = sample.ws.to(self.device)  # of a file, it is on the CPU
        columns = hypercolumns.from_generator(self.generator, ws, noise_mode, noise, rng=rng)[1]
        picture = sample.image if sample.detail is None else sample.detail
        return features.joined(self.generator, self.imagenet, columns, picture.to(self.device))

    def drawn(
        self, ws: Tensor, noise_mode: str = "const", rng: torch.Generator | None = None
    ) -> tuple[Tensor, Hypercolumns]:
        """Pictures that latents draw, and their hypercolumns, by one synthesis.

        Args:
            ws: (N, num_ws, w_dim).
            noise_mode, rng: as the generator's synthesis takes them.
        Returns:
            image (N, C, R, R), C = 1 of a grayscale GAN, may stray beyond [-1, 1]; and its `Hypercolumns`.
        """
        image, columns = hypercolumns.from_generator(self.generator, ws, noise_mode, rng=rng)
        shown = image.clamp(-1, 1).expand(-1, 3, -1, -1)
        return image, features.joined(self.generator, self.imagenet, columns, shown)

    @property
    def channels(self) -> dict[str, int]:
        """The layers of its hypercolumns, in order, and how many channels each has."""
        return features.channels(self.generator, self.imagenet)

    @cached_property
    def statistics(self) -> tuple[Tensor, Tensor]:
        """Mean and std of every hypercolumn channel, (C,) each, over generated pictures."""
        num = features.num_pictures(self.resolution)
        return features.statistics(self.generator, self.imagenet, self._latents(0, num, 1.0))
