"""Training pictures of a GAN as one uint8 array on disk, without labels.

The file is a .npy whose array is followed by a JSON record of its source: the two stay together, and another folder
or world is noticed even if the shape is the same.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor
from tqdm import tqdm

from toolkit.errors import ImageError, ToolkitError
from toolkit.files import replace_when_done
from toolkit.pictures.folders import pictures_in
from toolkit.pictures.images import check_fit, load_image, to_uint8
from toolkit.pictures.uploads import READ, open_rgb

LAST_TRAINING_SEED = 600_000  # later seeds belong to parsers and shots, those from 1,000,000 to tests
WORLD_CHUNK = 256  # pictures rendered at once
MEASURED = 100  # pictures of a folder
YOUNG = 2.0  # seconds within which two changes of a file may have the same time stamp


def from_world(
    render: Callable[..., tuple[Tensor, Any]],
    num: int,
    resolution: int,
    path: str | PathLike,
    device: Any = "cpu",
    progress: bool = True,
) -> np.ndarray:
    """Render pictures once and cache them; their labels are discarded.

    Args:
        render: a world's `render(num, resolution, seed, device) -> (image, label_map)`.
        num: pictures, of seeds 0 to num - 1.
        resolution: side in pixels.
        path: the .npy file to make, or to reuse when the same code made it.
        device: where to render.
        progress: show a bar.
    Returns:
        (num, 3, R, R) uint8, memory-mapped.
    Raises:
        ToolkitError: more pictures than there are training seeds.
        WriteError: the file cannot be written, or the disk is full.
    """
    if not 1 <= num <= LAST_TRAINING_SEED:
        raise ToolkitError("from_world", f"1 to {LAST_TRAINING_SEED} pictures", num, "Later seeds are for tests")
    source = {"world": f"{render.__module__}.{render.__qualname__}", "code": _code_beside(render)}
    if _kept_source(path, (num, 3, resolution, resolution)) == source:
        return np.load(path, mmap_mode="r")

    def batches() -> Iterator[Tensor]:
        for seed in range(0, num, WORLD_CHUNK):
            yield render(min(WORLD_CHUNK, num - seed), resolution, seed, device)[0]

    return _collect(batches(), num, resolution, path, source, progress)


def usual_side(folder: str | PathLike, fit: str = "crop") -> int:
    """Pixels a side that most pictures of a folder have once they are square: the median of the first `MEASURED`.

    Args:
        folder, fit: as `from_folder` takes them.
    Returns:
        0 where none of these can be read.
    Raises:
        ImageError: the folder cannot be listed. ToolkitError: another fit.
    """
    shorter = {"crop": min, "pad": max}[check_fit(fit, "usual_side")]
    sides = []
    for file in pictures_in(folder, deep=True).files[:MEASURED]:
        with suppress(ImageError):  # `from_folder` tells of it
            sides.append(shorter(open_rgb(file, "usual_side").size))
    return sorted(sides)[len(sides) // 2] if sides else 0


def from_folder(
    folder: str | PathLike, resolution: int, path: str | PathLike, progress: bool = True, fit: str = "crop"
) -> np.ndarray:
    """Read every picture below a folder, made square and resized.

    Pictures that cannot be read are left out, each with a line on stderr; other files too, counted in one line.

    Args:
        folder: searched with its sub-folders for all formats of `uploads`, except the folder of `path`.
        resolution, progress: as in `from_world`.
        path: the .npy file to make, or to reuse when these files made it with this fit: compared by names, sizes
            and times, and where times differ by content.
        fit: "crop" or "pad", as `images.load_image` takes it.
    Returns:
        (N, 3, R, R) uint8, memory-mapped.
    Raises:
        ImageError: no pictures there, or none that can be read. ToolkitError: another fit.
        WriteError: the file cannot be written, or the disk is full.
    """
    folder, path, fit = Path(folder), Path(path), check_fit(fit, "from_folder")
    found = pictures_in(folder, deep=True, but=path.parent)
    if remark := found.remark(folder):
        print(remark, file=sys.stderr)
    if not found.files:
        raise ImageError("from_folder", f"a folder with pictures ({READ})", folder, "Check the path")
    source = _Files(folder, found.files, fit)
    if source.made(_kept_source(path, (None, 3, resolution, resolution))):
        if source.renewed:
            _note(path, source.to_json())
        return np.load(path, mmap_mode="r")
    return _collect(source.read(resolution), len(found.files), resolution, path, source, progress)


class _Files:
    """The files of a folder, and what identifies them: names, sizes and times first, then hashes; and how they are
    made square."""

    def __init__(self, folder: Path, files: list[Path], fit: str) -> None:
        self.folder, self.files, self.fit, self.noted_at = folder.resolve(), files, fit, time.time()
        self.names = [file.relative_to(folder).as_posix() for file in files]
        self.stats = [self._stat(file) for file in files]
        self.hashes: list[str] = []
        self.renewed = False  # whether hashes were needed to see that nothing changed

    @staticmethod
    def _stat(file: Path) -> list[int]:
        try:
            found = file.stat()
        except OSError:
            return [0, 0, 0]
        return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]

    def made(self, kept: dict | None) -> bool:
        """Whether a cache was made from these files, by its record of them."""
        if kept is None or kept.get("names") != self.names or [s[0] for s in kept["stats"]] != self.sizes:
            return False
        if kept.get("fit", "crop") != self.fit:  # those of before there was a choice were cropped
            return False
        moved = kept["folder"] != str(self.folder)
        sure_until = (kept["noted_at"] - YOUNG) * 1e9  # a file changed later may have changed again without a new time
        for i, stat in enumerate(self.stats):
            if moved or stat != kept["stats"][i] or max(stat[1:]) > sure_until:
                if _hash(_bytes(self.files[i])) != kept["hashes"][i]:
                    return False
                self.renewed = True
        self.hashes = kept["hashes"]
        return True

    @property
    def sizes(self) -> list[int]:
        return [stat[0] for stat in self.stats]

    def read(self, resolution: int) -> Iterator[Tensor | None]:
        """The pictures one by one; None, and a line on stderr, for one that cannot be read."""
        for file in self.files:
            data = _bytes(file)
            self.hashes.append(_hash(data))
            try:
                # A file that cannot be opened is opened once more, for the system's error message.
                yield load_image(file if data is None else data, resolution, self.fit)
            except ImageError as error:
                tqdm.write(f"{file}: {error}", file=sys.stderr)
                yield None

    def to_json(self) -> dict:
        """The record that `made` compares with."""
        about = {"folder": str(self.folder), "fit": self.fit, "noted_at": self.noted_at, "names": self.names}
        return {**about, "stats": self.stats, "hashes": self.hashes}


def _collect(
    batches: Iterable[Tensor | None], num: int, resolution: int, path: str | PathLike, source: Any, progress: bool
) -> np.ndarray:
    """Write (N, 3, R, R) uint8, N the pictures that are not None, and where they come from."""
    done = 0
    with replace_when_done(path) as temporary:
        # Not memory-mapped: on a full disk that kills the process without a message.
        with (
            open(temporary, "wb") as file,
            tqdm(total=num, desc="pictures", unit="picture", disable=not progress) as bar,
        ):
            _write_header(file, num, resolution)
            for image in batches:
                if image is not None:
                    file.write(to_uint8(image).transpose(0, 3, 1, 2).tobytes())
                    done += len(image)
                bar.update(1 if image is None else len(image))
            if not done:
                raise ImageError("from_folder", "pictures that can be read", f"none of {num}", "Check the folder")
            file.write(json.dumps(source if isinstance(source, dict) else source.to_json()).encode())
            file.seek(0)
            _write_header(file, done, resolution)
    if done < num:
        print(f"pictures: {num - done} of {num} could not be read and are left out.", file=sys.stderr)
    return np.load(path, mmap_mode="r")


def _write_header(file: Any, num: int, resolution: int) -> None:
    """NumPy pads the header, so that it can be rewritten with another num."""
    about = {"descr": "|u1", "fortran_order": False, "shape": (num, 3, resolution, resolution)}
    np.lib.format.write_array_header_1_0(file, about)


def _kept_source(path: str | PathLike, shape: tuple) -> dict | None:
    """A file's record of its source; None where it is missing, damaged, or of another shape (None: any)."""
    try:
        kept = np.load(path, mmap_mode="r")
        if kept.dtype != np.uint8 or any(want not in (None, got) for want, got in zip(shape, kept.shape, strict=True)):
            return None
        with open(path, "rb") as file:
            file.seek(kept.offset + kept.nbytes)
            source = json.loads(file.read())
        return source if isinstance(source, dict) else None
    except (OSError, ValueError):
        return None


def _note(path: Path, source: dict) -> None:
    """Update a file's record of its source; where that cannot be written, the old one stays valid."""
    kept = np.load(path, mmap_mode="r")
    try:
        with open(path, "r+b") as file:
            file.seek(kept.offset + kept.nbytes)
            file.write(json.dumps(source).encode())
            file.truncate()
    except OSError:
        pass


def _bytes(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None


def _hash(data: bytes | None) -> str:
    return "" if data is None else hashlib.sha256(data).hexdigest()


def _code_beside(function: Callable) -> str:
    """A hash of a function's module and of the modules beside it, which it may call."""
    file = getattr(sys.modules.get(function.__module__), "__file__", None)
    files = sorted(Path(file).parent.glob("*.py")) if file else []
    return _hash(b"".join(os.fsencode(f.name) + f.read_bytes() for f in files))
