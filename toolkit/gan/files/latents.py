"""Latents (w or w+) saved by other programs as .npy, .npz, .pt or pickle, read without running their code."""

from __future__ import annotations

import math
import zipfile
from collections import deque
from collections.abc import Callable
from io import BufferedIOBase
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from toolkit.errors import CheckpointError
from toolkit.gan.files import arrays, pickles, wrappings
from toolkit.gan.files.arrays import Array, Lazy
from toolkit.gan.files.checkpoints import FAULTS, one_line
from toolkit.gan.files.pickles import Refused

# Names in use: NVIDIA's projector w, rosinality's latent, e4e's and pSp's latents, StyleGAN1's dlatents.
NAMES = ("w", "ws", "w_plus", "wplus", "latent", "latents", "dlatent", "dlatents", "projected_w", "codes")
PICTURE = "img"  # rosinality's projector stores, by picture name, a dict of the picture and its latent
MAX_BYTES = 1 << 30
MAX_DEPTH, MAX_THINGS = 4, 100_000  # of nested dictionaries and lists; of their items in all
SHOWN = 4
NPY = b"\x93NUMPY"


class _Named(NamedTuple):
    """An array of a file: its name, its shape, how to read it, and whether it is the latent of a single picture."""

    name: str
    shape: tuple
    read: Callable[[], Tensor]
    of_one: bool = False


def read_latents(path: str | PathLike, call: str) -> Tensor:
    """Read the latents in a file.

    Args:
        path: .npy, .npz, .safetensors, or a file of torch.save or pickle with tensors or arrays, alone or in
            dictionaries and lists.
        call: the public call to name in errors.
    Returns:
        float32 of one to three dimensions, as stored; `GAN.from_latents` interprets the shape.
    Raises:
        CheckpointError: no such file, damaged, or no unambiguous array of latents in it.
    """
    try:
        with open(path, "rb") as file:
            return _chosen(_arrays(file))
    except Refused as error:
        raise CheckpointError(call, one_line(error.expected), f"{one_line(error.got)} in {path}", error.fix) from error
    except OSError as error:
        raise CheckpointError(call, "a file of latents", f"{path} ({error.strerror})", "Check the path") from error
    except (*FAULTS, zipfile.BadZipFile, EOFError) as error:
        what = f"{path} ({type(error).__name__}: {one_line(error)})"
        raise CheckpointError(call, "a whole file of latents", what, "Save them again") from error


def _arrays(file: BufferedIOBase) -> list[_Named]:
    """The arrays of a file: torch's are read later; NumPy's at once, as such files hold little but latents."""
    span = pickles.Source(file).span()
    head = span.part(0, min(span.size, 64)).read()
    file.seek(0)
    if head.startswith(NPY):
        return [_npy("", file, span.size)]
    if head[8:9] == b"{":
        return _walk(arrays.read_safetensors(span)[0])
    if head.startswith(arrays.LEGACY_START):
        return _walk(arrays.read_legacy(span, wrappings.ALLOWED))
    if head[:2] == b"PK":
        with zipfile.ZipFile(file) as archive:
            entries = [info for info in archive.infolist() if info.filename.endswith(".npy")]
            if sum(info.file_size for info in entries) > MAX_BYTES:
                raise Refused(f"arrays of at most {MAX_BYTES >> 20} MB", "more", "Save the latents alone")
            found = [_npy(info.filename[:-4], archive.open(info), info.file_size) for info in entries]
        return found or _walk(arrays.read_zip(span, wrappings.ALLOWED))
    if head[:1] == b"\x80":
        return _walk(pickles.load(span, wrappings.ALLOWED)[0])
    raise Refused("latents in .npy, .npz, .pt or .safetensors", "another kind of file", "Check the path")


def _npy(name: str, file: Any, size: int) -> _Named:
    """An array in NumPy's own format, after checking its header against the file's size."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = header(file)
    if dtype.kind not in "fiub":  # arrays of objects are stored as pickles
        raise Refused("an array of numbers", f"one of {dtype}", "Save the latents alone")
    if file.tell() + math.prod(shape) * dtype.itemsize != size:
        raise Refused(f"the numbers of an array {shape}", f"{size} bytes", "Save them again")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    return _Named(name, shape, lambda: torch.from_numpy(array.astype(dtype.newbyteorder("="))))


def _walk(data: object) -> list[_Named]:
    """The arrays in nested dictionaries and lists; MAX_THINGS bounds the work, since items may refer to each other."""
    found, things = [], 0
    waiting: deque[tuple[str, Any, int, bool]] = deque([("", data, 0, False)])
    while waiting:
        name, value, depth, of_one = waiting.popleft()
        value = value.lazy() if isinstance(value, Array) else value
        if isinstance(value, Lazy):
            found.append(_Named(name, value.shape, value.read, of_one))
        elif depth < MAX_DEPTH and type(value) in (dict, list, tuple):
            things += len(value)
            if things > MAX_THINGS:
                raise Refused(f"at most {MAX_THINGS} things beside the latents", "more", "Save the latents alone")
            picture = type(value) is not dict or PICTURE in value
            inner = value.items() if type(value) is dict else ((name, one) for one in value)
            waiting.extend((str(key), one, depth + 1, picture) for key, one in inner)
    return found


def _chosen(found: list[_Named]) -> Tensor:
    """The latents among the arrays of a file: its only array, else those with a name in `NAMES`."""
    found = [one for one in found if 1 <= len(one.shape) <= 3 and 0 not in one.shape]
    named = found if len(found) == 1 else [one for one in found if one.name.lower() in NAMES]
    named = named or (found if len({(one.name, one.shape) for one in found}) == 1 else [])  # a list of equal shapes
    alike = len({(one.name, one.shape, one.of_one) for one in named}) == 1
    if not alike or (len(named) > 1 and not named[0].of_one):
        names = ", ".join(f"{one.name[:60]!r} {one.shape}" for one in found[:SHOWN]) or "none"
        raise Refused("one array of latents, e.g. called w", f"{names}", "Save the latents alone")
    if sum(math.prod(one.shape) for one in named) * 8 > MAX_BYTES:
        raise Refused(f"latents of at most {MAX_BYTES >> 20} MB", "more")
    tensors = [one.read() for one in named]
    if not tensors[0].is_floating_point():
        raise Refused("latents in floats", f"{tensors[0].dtype}".removeprefix("torch."), "Save the latents themselves")
    if not named[0].of_one:
        return tensors[0].float()
    return (torch.cat(tensors) if tensors[0].dim() == 3 else torch.stack(tensors)).float()
