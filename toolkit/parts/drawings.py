"""A person's drawings, unfinished ones included, kept in a shot file beside the shots made from them."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from typing import NamedTuple

import torch
from torch import Tensor

from toolkit.errors import CheckpointError, LabelError
from toolkit.files import load_tensors, save_tensors
from toolkit.parts.sample import AnyGAN, Sample
from toolkit.parts.shots import Shot, pack_shots, unpack_shots
from toolkit.pictures.images import to_uint8
from toolkit.pictures.labels import IGNORE_INDEX, keep

SAME_LEVELS = 8  # of 255: the most by which a pixel of the same picture differs between machines


def shots_of(sample: Sample, label_maps: Tensor, classes: Sequence[str], gan: AnyGAN | str | None) -> list[Shot]:
    """The pictures with at least two classes labelled, ready for `fit`.

    Args:
        sample: of N pictures.
        label_maps: (N, H, W) integers; 255 = unlabelled.
        classes: names, background first.
        gan: as `Shot` takes it.
    """
    chosen = [i for i in range(len(sample)) if len(set(label_maps[i].unique().tolist()) - {IGNORE_INDEX}) > 1]
    return [Shot(sample[i], label_maps[i], classes, gan) for i in chosen]


def save_drawings(
    path: str | PathLike,
    sample: Sample,
    label_maps: Tensor,
    by_hand: Tensor,
    classes: Sequence[str],
    gan: AnyGAN | str | None,
) -> None:
    """Write drawings to a shot file, whole or not at all: `load_shots` reads its shots, `load_drawings` all.

    Args:
        path: the file; its folder is created.
        sample, label_maps, classes, gan: as `shots_of` takes them; one class or none labelled is a drawing too.
        by_hand: (N,) bool, the pictures that somebody drew on; empty label maps are kept of these alone.
    """
    tensors, metadata = pack_shots(shots_of(sample, label_maps, classes, gan))
    kept = ((label_maps != IGNORE_INDEX).any(2).any(1) | by_hand).nonzero()[:, 0]
    # Pictures, not latents, identify what was drawn on: projected latents differ between machines.
    tensors["drawings.image"] = torch.from_numpy(to_uint8(sample.image))[kept]
    tensors["drawings.label_maps"] = label_maps[kept].to(torch.uint8)
    about = {"classes": list(classes), "places": kept.tolist(), "by_hand": by_hand[kept].tolist()}
    save_tensors(path, tensors, {**metadata, "drawings": about})


def load_drawings(path: str | PathLike, sample: Sample, classes: Sequence[str], call: str) -> tuple[Tensor, Tensor]:
    """Find the drawings of these pictures in a shot file, their classes matched by name.

    Args:
        path: a file of `save_drawings` or `save_shots`.
        sample: N pictures, in any order, possibly with others among them.
        classes: names, background first; all that were drawn.
        call: the public call to name in errors.
    Returns:
        label_maps (N, H, W) int64, 255 = unlabelled; by_hand (N,) bool, the pictures that somebody drew on, even
        if all of it was erased.
    Raises:
        CheckpointError: not such a file.
        LabelError: it holds drawings of other pictures or classes, which would be lost.
    """
    now = torch.from_numpy(to_uint8(sample.image))
    label_maps, by_hand = torch.full(now.shape[:3], IGNORE_INDEX), torch.zeros(len(now), dtype=torch.bool)
    free = list(range(len(now)))
    for drawing in _read(path, call):
        # Among pictures that look the same, prefer the one nearest to the drawing's place.
        free.sort(key={place: abs(place - drawing.place) for place in free}.__getitem__)
        place = next((p for p in free if _same(now[p], drawing.image)), None)
        drawn = set(drawing.label_map.unique().tolist()) - {IGNORE_INDEX}
        missing = [name for label, name in enumerate(drawing.classes) if label in drawn and name not in classes]
        if missing or (place is None and drawn):
            got = f"others in {path}" + (f": {missing[0]!r}" if missing else "")
            raise LabelError(call, "save_to with shots of these pictures and classes", got, "Name another file")
        if place is not None:
            free.remove(place)
            label_maps[place] = keep(drawing.label_map[None], drawing.classes, tuple(classes))[0]
            by_hand[place] = drawing.by_hand
    return label_maps, by_hand


class _Drawing(NamedTuple):
    image: Tensor  # (H, W, 3) uint8
    label_map: Tensor  # (H, W) int64
    classes: tuple[str, ...]
    place: int  # index among the pictures it was drawn with
    by_hand: bool


def _read(path: str | PathLike, call: str) -> list[_Drawing]:
    tensors, metadata = load_tensors(path, "shot", call)
    if "drawings" not in metadata:  # a file of shots alone
        shots = unpack_shots(tensors, metadata, path, call)
        pictures = [torch.from_numpy(to_uint8(shot.sample.image))[0] for shot in shots]
        return [_Drawing(pictures[i], shot.label_map[0], shot.classes, i, True) for i, shot in enumerate(shots)]
    try:
        about, drawn = metadata["drawings"], tensors["drawings.label_maps"].long()
        rows = zip(tensors["drawings.image"], drawn, about["places"], about["by_hand"], strict=True)
        names = tuple(about["classes"])
        return [_Drawing(image, label_map, names, place, by_hand) for image, label_map, place, by_hand in rows]
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(call, "a whole shot file", f"{path} ({error})", "Name another file") from error


def _same(image: Tensor, other: Tensor) -> bool:
    return image.shape == other.shape and int((image.short() - other.short()).abs().max()) <= SAME_LEVELS
