"""Shots: pictures with a person's labels, and the files that keep them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from os import PathLike

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from toolkit.errors import CheckpointError, LabelError, ShapeError, describe
from toolkit.files import load_tensors, save_tensors
from toolkit.parts.sample import AnyGAN, Sample, from_tensors, to_tensors
from toolkit.pictures import labels, shown
from toolkit.pictures.images import grid, to_pil


class Shot:
    """One picture, the latent that makes it, and a person's labels: all that `fit` needs.

    Args:
        sample: a `Sample` of one picture.
        label_map: (H, W) or (1, H, W) integers, the picture's size, as `labels.as_label_map` takes them; 255 =
            unlabelled.
        classes: names, background first; label i means classes[i].
        gan: the `GAN` it came from, or its hash; None leaves that unchecked.
    Raises:
        LabelError, ShapeError: labels that nothing can be learned from.
    """

    def __init__(
        self,
        sample: Sample,
        label_map: Tensor | np.ndarray | Image.Image,
        classes: Sequence[str],
        gan: AnyGAN | str | None = None,
    ) -> None:
        label_map = labels.as_label_map(label_map, "Shot")
        label_map = label_map[None] if label_map.dim() == 2 else label_map
        self.classes = labels.check_classes(classes, "Shot")
        size = tuple(sample.image.shape[2:])
        if len(sample) != 1:
            raise ShapeError("Shot", "a sample of one picture", f"{len(sample)} pictures", "Take one, sample[0]")
        if tuple(label_map.shape) != (1, *size):  # before its values, which are beside the point then
            got = f"one of another size: {describe(label_map)}"
            raise ShapeError("Shot", f"a label map of the picture's size {size}", got, "Label the picture at its size")
        labels.check_label_map(label_map, len(self.classes), "Shot")
        self.sample, self.label_map = sample, label_map
        self.gan_hash = getattr(gan, "hash", gan)

    def __repr__(self) -> str:
        labelled = float((self.label_map != labels.IGNORE_INDEX).float().mean())
        size = "x".join(map(str, self.label_map.shape[1:]))
        return f"<Shot of {size} pixels, {labelled:.0%} labelled: {', '.join(self.classes)}>"

    def _repr_png_(self) -> bytes:
        """For notebooks: the picture, and the labels over it."""
        picture, palette = self.sample.image.clamp(-1, 1), labels.palette_of(self.classes)
        tinted = labels.overlay(picture, self.label_map, palette)
        return shown.png(grid([to_pil(picture), tinted], columns=2))

    def save(self, path: str | PathLike) -> None:
        """Write everything to one safetensors file, whole or not at all."""
        save_shots(path, [self])

    @classmethod
    def load(cls, path: str | PathLike) -> Shot:
        """Read a file written by `save`.

        Raises:
            CheckpointError: it is not one.
        """
        shots = _load_shots(path, "Shot.load")
        if len(shots) != 1:
            raise CheckpointError("Shot.load", "a file of one shot", f"{len(shots)} shots", "Use load_shots")
        return shots[0]


def save_shots(path: str | PathLike, shots: Iterable[Shot]) -> None:
    """Write several shots to one safetensors file, whole or not at all; for one shot, as `Shot.save` does."""
    save_tensors(path, *pack_shots(shots))


def load_shots(path: str | PathLike) -> list[Shot]:
    """Read a file written by `save_shots` or `Shot.save`, or kept by a `Labeller`: a list of `Shot`.

    Raises:
        CheckpointError: it is not one. LabelError: all that a `Labeller` has kept is drawings of one class.
    """
    return _load_shots(path, "load_shots")


def _load_shots(path: str | PathLike, call: str) -> list[Shot]:
    tensors, meta = load_tensors(path, "shot", call)
    shots = unpack_shots(tensors, meta, path, call)
    if not shots and "drawings" in meta:
        raise LabelError(
            call,
            "a picture with at least two classes labelled",
            f"none in {path}",
            "Label some background as well as a part",
        )
    return shots


def pack_shots(shots: Iterable[Shot]) -> tuple[dict[str, Tensor], dict]:
    """Shots as saved to a file: dict, name -> tensor; and the metadata."""
    tensors, about = {}, []
    for i, shot in enumerate(shots):
        own = {**to_tensors(shot.sample), "label_map": shot.label_map.to(torch.uint8)}
        tensors |= {f"{i}.{name}": t for name, t in own.items()}
        about.append({"classes": shot.classes, "gan_hash": shot.gan_hash})
    return tensors, {"format": "shot", "shots": about}


def unpack_shots(tensors: dict[str, Tensor], metadata: dict, path: str | PathLike, call: str) -> list[Shot]:
    """Inverse of `pack_shots`; other tensors are ignored.

    Args:
        path: the file they come from, and call: the public call, to name in errors.
    Raises:
        CheckpointError: a part is missing.
    """
    shots = []
    try:
        for i, about in enumerate(metadata["shots"]):
            own = {name.removeprefix(f"{i}."): t for name, t in tensors.items() if name.startswith(f"{i}.")}
            shots.append(Shot(from_tensors(own), own["label_map"].long(), about["classes"], about["gan_hash"]))
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(call, "a whole shot file", f"{path} without {error}", "Save it again") from error
    return shots
