"""Project or segment whole folders of photographs; one that fails is reported and skipped."""

import json
import os
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from toolkit import fewshot
from toolkit.errors import ToolkitError, WriteError
from toolkit.files import check_can_write, replace_when_done
from toolkit.pictures import images
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


def project_files(
    gan: fewshot.GAN, paths: Iterable[str | PathLike], out: str | PathLike, *, progress: bool = True, **options: Any
) -> int:
    """Project pictures; of each write its reconstruction, the two side by side, and the latents.

    Args:
        gan: a `GAN`.
        paths: as `find` takes them.
        out: folder for NAME.reconstruction.png, NAME.side-by-side.png and NAME.latent.safetensors.
        progress: show a bar.
        options: of `GAN.project`.
    Returns:
        number of pictures that failed; each is reported on stderr.
    Raises:
        ToolkitError: no picture at all. WriteError: a folder that cannot be written, or a full disk; what was done
        is there.
    """

    def one(file, target):
        sample = gan.project(file, **options)
        images.save_png(f"{target}.reconstruction.png", sample.reconstruction.clamp(-1, 1))
        images.save_png(f"{target}.side-by-side.png", images.grid(torch.cat([sample.image, sample.reconstruction]), 2))
        fewshot.save_sample(f"{target}.latent.safetensors", sample, gan)

    return _each("project", one, paths, out, progress)


def segment_files(
    segmenter: Any, paths: Iterable[str | PathLike], out: str | PathLike, *, progress: bool = True
) -> int:
    """Segment pictures; of each write the parts, the picture overlaid with them, and their areas.

    Args:
        segmenter: anything with segment(path) -> `Result`.
        paths: as `find` takes them.
        out: folder for NAME.parts.png (indexed, with its palette), NAME.overlay.png and NAME.json, all at
            the photograph's own resolution.
        progress: show a bar.
    Returns:
        number of pictures that failed; each is reported on stderr.
    Raises:
        ToolkitError: no picture at all. WriteError: a folder that cannot be written, or a full disk; what was done
        is there.
    """

    def one(file, target):
        _write(segmenter.segment(file), file, target)

    return _each("segment", one, paths, out, progress)


def segment_latents(
    segmenter: fewshot.Segmenter, paths: Iterable[str | PathLike], out: str | PathLike, *, progress: bool = True
) -> int:
    """Segment the pictures of latents that were found elsewhere; of each write what `segment_files` does.

    Args:
        segmenter: a few-shot one.
        paths: files as `GAN.from_latents` takes them.
        out: folder; the second picture of a file and those after it are called NAME-2 and so on.
        progress: show a bar.
    Returns:
        number of files that could not be read; each is reported on stderr.
    """

    def one(file, target):
        results = segmenter.segment(segmenter.gan.from_latents(file))
        for i, result in enumerate(results if isinstance(results, list) else [results], start=1):
            _write(result, file, target if i == 1 else f"{target}-{i}")

    return _each("segment", one, paths, out, progress)


def _write(result: fewshot.Result, file: Path, target: str | Path) -> None:
    result.save_png(f"{target}.parts.png")
    images.save_png(f"{target}.overlay.png", result.overlay())
    with replace_when_done(f"{target}.json") as temporary:
        Path(temporary).write_text(json.dumps({"file": str(file), **result.as_dict()}, indent=2) + "\n", "utf-8")


def _cut(name: str, length: int) -> str:
    """A name cut to at most `length` bytes."""
    while len(os.fsencode(name)) > length:
        name = name[:-1]
    return name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _each(
    what: str, one: Callable[[Path, Path], Any], paths: Iterable[str | PathLike], out: str | PathLike, progress: bool
) -> int:
    """Call one(file, output path without suffix) for every picture; returns the number of failures."""
    files, failed = find(list(paths)), 0
    check_can_write(Path(out) / f"{files[0][1]}{ENDING}")
    # The bar and the messages share stderr: tqdm.write keeps them apart.
    for done, (file, name) in enumerate(tqdm(files, desc=what, unit="picture", disable=not progress)):
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always", UserWarning)
            try:
                one(file, Path(out) / name)
            except WriteError:  # the next would fail too
                tqdm.write(f"{what}: stopped at {file}; {done - failed} of {len(files)} done.", file=sys.stderr)
                raise
            except ToolkitError as error:
                failed += 1
                tqdm.write(f"{file}: {error}", file=sys.stderr)
            except Exception as error:  # one bad picture must not stop the others
                failed += 1
                reason = str(error).split("\n")[0]
                tqdm.write(f"{file}: {what} failed ({type(error).__name__}: {reason}).", file=sys.stderr)
        for remark in remarks:
            tqdm.write(f"{file}: {remark.message}", file=sys.stderr)
    if failed:
        print(f"{what}: {failed} of {len(files)} pictures failed.", file=sys.stderr)
    return failed
