"""Which pictures a batch has, and what their results are called."""

import os
import sys
import unicodedata
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from toolkit.errors import ToolkitError
from toolkit.files import check_can_write
from toolkit.pictures.folders import pictures_in
from toolkit.pictures.uploads import SUFFIXES

ENDING = ".latent.safetensors"  # the longest ending of a result's name
LONGEST_NAME = 255 - len(ENDING)  # bytes: file systems take 255


def find(paths: Iterable[str | PathLike]) -> list[tuple[Path, str]]:
    """The pictures among files and folders, in order; other files of a folder are counted on stderr.

    Args:
        paths: files, taken whatever they are called, and folders, whose own pictures (not those of the
            folders in them) are taken by their suffix.
    Returns:
        list of (path, name): name is the file's without its suffix, cut where results' names would be too
        long, with a number where it recurs, compared as case-insensitive file systems do.
    Raises:
        ToolkitError: no picture at all, or a folder that cannot be listed.
    """
    files, remarks = [], []
    for path in map(Path, paths):
        if path.is_dir():
            found = pictures_in(path)
            files += found.files
            remarks.append(found.remark(path))
        else:
            files.append(path)
    remarks = [remark for remark in remarks if remark]
    if not files:
        raise ToolkitError(
            "find",
            f"pictures ({', '.join(SUFFIXES)})",
            f"none in {', '.join(map(str, paths))}" + "".join(f" ({remark[:-1]})" for remark in remarks),
            "Give files, or a folder that holds some",
        )
    for remark in remarks:
        print(remark, file=sys.stderr)
    names, taken = [], set()
    for file in files:
        name, number = _cut(file.stem, LONGEST_NAME), 2
        while _folded(name) in taken:
            name, number = f"{_cut(file.stem, LONGEST_NAME - len(f'-{number}'))}-{number}", number + 1
        taken.add(_folded(name))
        names.append(name)
    return list(zip(files, names, strict=True))


def to_write(paths: Iterable[str | PathLike], out: str | PathLike) -> list[tuple[Path, str]]:
    """What `find` finds, once it is certain that results can be written to the folder `out`."""
    files = find(list(paths))
    check_can_write(Path(out) / f"{files[0][1]}{ENDING}")
    return files


def _cut(name: str, length: int) -> str:
    """A name cut to at most `length` bytes."""
    while len(os.fsencode(name)) > length:
        name = name[:-1]
    return name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
