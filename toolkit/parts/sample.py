"""Pictures with the latents that make them: what a GAN draws or finds, what a person labels, a network reads."""

from __future__ import annotations

from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Protocol, cast

import torch
from torch import Tensor

from toolkit import metrics
from toolkit.errors import CheckpointError, as_floats
from toolkit.files import load_tensors, read_metadata, save_tensors
from toolkit.parts.hypercolumns import Hypercolumns
from toolkit.pictures.images import Frame


@dataclass
class Sample:
    """N pictures and the latents that (nearly) make them.

    image: (N, 3, R, R) in [-1, 1], what a person labels; ws: (N, num_ws, w_dim);
    noise: layer name -> (N, 1, h, h); empty for the generator's own, as in pictures it made up;
    reconstruction: (N, 3, R, R), what ws synthesises: image itself when it was generated.
    Floats of other widths become float32.
    Of projected pictures also trust: (N,), 0 to 1, see `trust`; and frames: N `images.Frame`s, where
    in the uploads the pictures lie. Else None.
    """

    image: Tensor
    ws: Tensor
    noise: dict[str, Tensor] = field(default_factory=dict)
    reconstruction: Tensor = cast(Tensor, None)  # None, in the call alone, stands for image
    trust: Tensor | None = None
    frames: list[Frame] | None = None

    def __post_init__(self) -> None:
        self.image, self.ws = as_floats(self.image, "Sample"), as_floats(self.ws, "Sample")
        if self.reconstruction is None:
            self.reconstruction = self.image

    def __len__(self) -> int:
        return len(self.image)

    def __getitem__(self, index: int | slice) -> Sample:
        """Some of the pictures: an int (N becomes 1) or a slice."""
        index = slice(index, index + 1 or None) if isinstance(index, int) else index
        noise = {name: n[index] for name, n in self.noise.items()}
        trust = None if self.trust is None else self.trust[index]
        frames = None if self.frames is None else self.frames[index]
        return Sample(self.image[index], self.ws[index], noise, self.reconstruction[index], trust, frames)

    @property
    def psnr(self) -> Tensor:
        """(N,) decibels between picture and reconstruction; infinite for generated pictures."""
        return metrics.psnr(self.image, self.reconstruction)


class AnyGAN(Protocol):
    """What the parts ask of a `GAN`, which stands above them."""

    generator: Any  # `Generator`
    resolution: int
    hash: str
    metadata: dict

    @property
    def device(self) -> torch.device: ...

    @property
    def statistics(self) -> tuple[Tensor, Tensor]: ...

    def hypercolumns(
        self, sample: Sample, noise_mode: str = "const", rng: torch.Generator | None = None
    ) -> Hypercolumns: ...


def to_tensors(sample: Sample) -> dict[str, Tensor]:
    """What a file keeps of a sample: dict, name -> tensor; all but frames, and trust where there is none."""
    tensors = {"image": sample.image, "reconstruction": sample.reconstruction, "ws": sample.ws}
    tensors |= {f"noise.{name}": n for name, n in sample.noise.items()}
    return tensors if sample.trust is None else {**tensors, "trust": sample.trust}


def from_tensors(tensors: dict[str, Tensor]) -> Sample:
    """The sample of which `to_tensors` made these; other names among them do no harm.

    Raises:
        KeyError: one is missing.
    """
    noise = {name.removeprefix("noise."): n for name, n in tensors.items() if name.startswith("noise.")}
    return Sample(tensors["image"], tensors["ws"], noise, tensors["reconstruction"], tensors.get("trust"))


def save_sample(path: str | PathLike, sample: Sample, gan: AnyGAN) -> None:
    """Write pictures, their latents and what those make to one safetensors file, whole or not at all.

    Args:
        path: the file; its folder is created.
        sample: a `Sample`, as `GAN.project` gives it.
        gan: the `GAN` whose latents they are.
    """
    save_tensors(path, to_tensors(sample), {"format": "sample", "gan": gan.metadata.get("name"), "gan_hash": gan.hash})


def is_sample(path: str | PathLike) -> bool:
    """Whether a file is one that `save_sample` wrote, as far as its head says."""
    try:
        return bool(read_metadata(path, "sample", "load_sample"))
    except CheckpointError:
        return False


def load_sample(path: str | PathLike, gan: AnyGAN) -> Sample:
    """Read a file written by `save_sample`, to label or to segment what is in it.

    Args:
        path: the file.
        gan: the `GAN` whose latents they are.
    Returns:
        `Sample`, without frames.
    Raises:
        CheckpointError: not such a file, or latents of another GAN.
    """
    tensors, meta = load_tensors(path, "sample", "load_sample")
    if meta.get("gan_hash") != gan.hash:
        raise CheckpointError(
            "load_sample",
            f"latents of GAN {gan.hash[:12]}",
            f"those of {str(meta.get('gan_hash'))[:12]}",
            "Load the GAN they were made with, or project the picture again",
        )
    try:
        return from_tensors({name: tensor.to(gan.device) for name, tensor in tensors.items()})
    except KeyError as error:
        raise CheckpointError(
            "load_sample", "a whole sample file", f"{path} without {error}", "Save it again"
        ) from error
