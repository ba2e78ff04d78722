"""Find the pictures in folders, and count the files that are left out."""

import os
import re
from collections import Counter
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from toolkit.errors import ImageError
from toolkit.pictures.uploads import MISSING, SUFFIXES, suffixes_read

# Pictures that this toolkit writes, possibly to the folder it reads from.
RESULTS = re.compile(r"\.(overlay|parts|reconstruction|side-by-side)\.png$|^samples-\d+\.png$")
SHEETS = {"pairs.png": "encoder.safetensors"}  # a result of this toolkit only if the second file is beside it


class Found(NamedTuple):
    """The pictures of a folder, sorted, and how many other files there are of each kind."""

    files: list[Path]
    left_out: Counter[str]

    def remark(self, folder: str | PathLike) -> str:
        """One line that counts what was left out; empty when nothing was."""
        kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(self.left_out.items()))
        return f"{folder}: {len(self.files)} pictures; left out: {kinds}." if kinds else ""


def pictures_in(folder: str | PathLike, *, deep: bool = False, but: str | PathLike | None = None) -> Found:
    """The pictures of a folder by their suffix; hidden files and this toolkit's own results are left out.

    Args:
        folder: a folder.
        deep: also those of all folders in it.
        but: a folder whose files are left out, where it lies below this one.
    Raises:
        ImageError: the folder cannot be listed.
    """
    folder, readable = Path(folder), suffixes_read()
    files: list[Path] = []
    left_out: Counter[str] = Counter()
    but = None if but is None else Path(but).resolve()
    below = but is not None and folder.resolve() in but.parents
    for place, folders, names in os.walk(folder, onerror=_refuse):
        here = Path(place)
        if not deep and folders:
            left_out["folders"] += len(folders)
        folders[:] = [name for name in folders if deep and not name.startswith(".")]
        for name in names:
            kind = "in the folder written to" if below and but in (here / name).resolve().parents else None
            kind = kind or _other(here / name, readable)
            if kind is None:
                files.append(here / name)
            else:
                left_out[kind] += 1
    return Found(sorted(files), left_out)


def _other(file: Path, readable: set[str]) -> str | None:
    """Why a file is left out; None for a picture that is not."""
    suffix = file.suffix.lower()
    if file.name.startswith("."):
        return "hidden"
    if not file.is_file():
        return "broken links or devices"
    if RESULTS.search(file.name) or (file.name in SHEETS and (file.parent / SHEETS[file.name]).exists()):
        return "results of this toolkit"
    if suffix in readable:
        return None
    if not suffix or not suffix.isprintable():
        return "without suffix"
    return suffix + (f" ({MISSING[SUFFIXES[suffix]]})" if suffix in SUFFIXES else "")


def _refuse(error: OSError) -> None:
    raise ImageError("find", "a folder that can be read", f"{error.filename} ({error.strerror})", "Check its rights")
