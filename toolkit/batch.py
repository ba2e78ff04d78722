"""Photographs by the folder: project or segment each, write what comes out, go on past a bad one."""

import json
import sys
import warnings
from pathlib import Path

import torch
from tqdm import tqdm

from toolkit import fewshot
from toolkit.errors import ToolkitError
from toolkit.files import replace_when_done
from toolkit.pictures import images

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif")


def find(paths):
    """The pictures among files and folders, in order.

    Args:
        paths: files, taken whatever they are called, and folders, whose own pictures (not those of the
            folders in them) are taken by their suffix.
    Returns:
        list of (path, name): name is the file's without its suffix, with a number where it recurs.
    Raises:
        ToolkitError: no picture at all.
    """
    files = [file for path in map(Path, paths) for file in (_pictures_in(path) if path.is_dir() else [path])]
    if not files:
        raise ToolkitError(
            "find",
            f"pictures ({', '.join(SUFFIXES)})",
            f"none in {', '.join(map(str, paths))}",
            "Give files, or a folder that holds some",
        )
    names = []
    for file in files:
        name, number = file.stem, 2
        while name in names:
            name, number = f"{file.stem}-{number}", number + 1
        names.append(name)
    return list(zip(files, names, strict=True))


def project_files(gan, paths, out, *, progress=True, **options):
    """Project pictures; of each write its reconstruction, the two side by side, and the latents.

    Args:
        gan: a `GAN`.
        paths: as `find` takes them.
        out: folder for NAME.reconstruction.png, NAME.side-by-side.png and NAME.latent.safetensors.
        progress: show a bar.
        options: of `GAN.project`.
    Returns:
        number of pictures that could not be read; each is reported on stderr.
    Raises:
        ToolkitError: no picture at all.
    """

    def one(file, target):
        sample = gan.project(file, **options)
        images.save_png(f"{target}.reconstruction.png", sample.reconstruction.clamp(-1, 1))
        images.save_png(f"{target}.side-by-side.png", images.grid(torch.cat([sample.image, sample.reconstruction]), 2))
        fewshot.save_sample(f"{target}.latent.safetensors", sample, gan)

    return _each("project", one, paths, out, progress)


def segment_files(segmenter, paths, out, *, progress=True):
    """Segment pictures; of each write the parts, the picture tinted with them, and what they measure.

    Args:
        segmenter: anything with segment(path) -> `Result`.
        paths: as `find` takes them.
        out: folder for NAME.parts.png (indexed, with its palette), NAME.overlay.png and NAME.json, all in
            the photograph's own pixels.
        progress: show a bar.
    Returns:
        number of pictures that could not be read; each is reported on stderr.
    Raises:
        ToolkitError: no picture at all.
    """

    def one(file, target):
        result = segmenter.segment(file)
        result.save_png(f"{target}.parts.png")
        images.save_png(f"{target}.overlay.png", result.overlay())
        with replace_when_done(f"{target}.json") as temporary:
            Path(temporary).write_text(json.dumps({"file": str(file), **result.as_dict()}, indent=2) + "\n", "utf-8")

    return _each("segment", one, paths, out, progress)


def _pictures_in(folder):
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)


def _each(what, one, paths, out, progress):
    """Do one(file, where to write without suffix) for every picture; the number of those it refused."""
    files, failed = find(paths), 0
    # The bar and the messages share stderr: tqdm.write keeps them apart.
    for file, name in tqdm(files, desc=what, unit="picture", disable=not progress):
        with warnings.catch_warnings(record=True) as remarks:
            warnings.simplefilter("always", UserWarning)
            try:
                one(file, Path(out) / name)
            except ToolkitError as error:
                failed += 1
                tqdm.write(f"{file}: {error}", file=sys.stderr)
        for remark in remarks:
            tqdm.write(f"{file}: {remark.message}", file=sys.stderr)
    if failed:
        print(f"{what}: {failed} of {len(files)} pictures failed.", file=sys.stderr)
    return failed
