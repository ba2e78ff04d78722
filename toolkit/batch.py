"""Project, segment or learn from whole folders of photographs.

One that fails is reported and skipped. Before the work its time and memory are said, measured by a step of it.
"""

import contextlib
import hashlib
import json
import os
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate.utils import reduce
from PIL import Image
from tqdm import tqdm

from toolkit import fewshot
from toolkit.datasets import OwnFolder
from toolkit.errors import ToolkitError, WriteError
from toolkit.files import check_can_write, replace_when_done
from toolkit.parts.coco import stream_coco
from toolkit.parts.label_studio import stream_label_studio
from toolkit.pictures import images, labels
from toolkit.pictures.folders import pictures_in
from toolkit.pictures.uploads import SUFFIXES, open_rgb
from toolkit.projection.trust import LOW
from toolkit.training.processes import processes

__all__ = ["announce", "find", "gather", "how_good", "project_files", "segment_files", "segment_latents", "shots_from"]

ENDING = ".latent.safetensors"  # the longest ending of a result's name
GROUP, GROUP_PIXELS = 16, 1 << 23  # pictures, and pixels of them, held at once
SLOW = 5.0  # seconds
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
    gan: fewshot.GAN,
    paths: Iterable[str | PathLike],
    out: str | PathLike,
    *,
    num_steps: int | None = None,
    progress: bool = True,
    **options: Any,
) -> int:
    """Project pictures; of each write its reconstruction, the two side by side, and the latents.

    Args:
        gan: a `GAN`.
        paths: as `find` takes them.
        out: folder for NAME.reconstruction.png, NAME.side-by-side.png and NAME.latent.safetensors.
        num_steps: of projection; None for the GAN's default.
        progress: say what it will take, then show a bar.
        options: of `GAN.project`.
    Returns:
        number of pictures that failed; each is reported on stderr.
    Raises:
        ToolkitError: no picture at all. WriteError: a folder that cannot be written, or a full disk; what was done
        is there.
    """

    def one(file, target):
        sample = gan.project(file, num_steps=num_steps, progress=progress and _slow(gan, num_steps), **options)
        images.save_png(f"{target}.reconstruction.png", sample.reconstruction.clamp(-1, 1))
        images.save_png(f"{target}.side-by-side.png", images.grid(torch.cat([sample.image, sample.reconstruction]), 2))
        fewshot.save_sample(f"{target}.latent.safetensors", sample, gan)
        return how_good(float(sample.psnr[0]), None if sample.trust is None else float(sample.trust[0]))

    files = _found(paths, out)
    if progress:
        announce("project", gan, len(files), num_steps)
    return _each("project", one, files, out, progress)


def segment_files(
    segmenter: Any,
    paths: Iterable[str | PathLike],
    out: str | PathLike,
    *,
    num_steps: int | None = None,
    align: str | None = None,
    progress: bool = True,
) -> int:
    """Segment pictures; of each write the parts, the picture overlaid with them, and their areas.

    Pictures are read, segmented and written a few at a time. The same call goes on where it stopped: a picture whose
    results this segmenter wrote already, and that has not changed since, is left alone. With several processes (see
    `training.processes`), also on several machines that share the folders, each takes its share.

    Args:
        segmenter: anything with segment(picture) -> `Result`.
        paths: as `find` takes them.
        out: folder for NAME.parts.png (indexed, with its palette), NAME.overlay.png and NAME.json, all at
            the photograph's own resolution.
        num_steps: of projection; None for the GAN's default. Only of a few-shot segmenter.
        align: "auto", "centre" or "none", as the segmenter takes it; None for its own way.
        progress: say what it will take, then show a bar, with pictures a second and the time left.
    Returns:
        number of pictures that failed, in all processes; each is reported on stderr.
    Raises:
        ToolkitError: no picture at all, or steps for a network that projects nothing. WriteError: a folder that
        cannot be written, or a full disk; what was done is there.
    """
    gan = segmenter.gan if isinstance(segmenter, fewshot.Segmenter) else None
    if gan is None and num_steps is not None:
        raise ToolkitError("segment", "no num_steps for a network that projects nothing", num_steps, "Leave it out")
    options: dict[str, Any] = (
        {} if gan is None else {"num_steps": num_steps, "progress": progress and _slow(gan, num_steps)}
    )
    options |= {} if align is None else {"align": align}
    found, state, out, key = _found(paths, out), processes(), Path(out), _key(segmenter, align, num_steps)
    own = found[state.process_index :: state.num_processes]
    missing = [(file, name) for file, name in own if not _done(file, out / f"{name}.json", key)]
    if gan is not None and missing and progress and state.is_main_process:
        announce("segment", gan, len(missing), num_steps)
    done, failed = len(own) - len(missing), 0
    what = "segment" if state.num_processes == 1 else f"segment {state.process_index + 1} of {state.num_processes}"
    with tqdm(total=len(own), initial=done, desc=what, unit="picture", disable=not progress) as bar:
        for group in _groups(missing):
            for file, name, result in _segmented(segmenter, group, options):
                try:
                    if isinstance(result, Exception):
                        raise result
                    with _stops("segment", file, done, len(own)):
                        _write(result, file, out / name, key)
                    done += 1
                    if gan is not None and progress:
                        tqdm.write(f"{file}: {how_good(result.psnr, result.trust)}", file=sys.stderr)
                except WriteError:  # the next would fail too
                    raise
                except Exception as error:  # one bad picture must not stop the others
                    failed += 1
                    _report(file, "segment", error)
                bar.update()
    if state.num_processes > 1:
        failed = int(reduce(torch.tensor(float(failed), device=state.device), "sum"))
    if failed and state.is_main_process:
        print(f"segment: {failed} of {len(found)} pictures failed.", file=sys.stderr)
    return failed


def gather(
    segmenter: Any,
    paths: Iterable[str | PathLike],
    out: str | PathLike,
    *,
    num_steps: int | None = None,
    align: str | None = None,
    coco: str | PathLike | None = None,
    label_studio: str | PathLike | None = None,
    masks: str | PathLike | None = None,
) -> int:
    """Put together what `segment_files` wrote, for other tools; one picture in memory at a time.

    Args:
        segmenter, paths, out, num_steps, align: of that call; pictures it has not done are left out.
        coco: one COCO file to write.
        label_studio: one file for Label Studio's import; its pictures are named by their paths.
        masks: a folder for masks/NAME.png, the class of each pixel as a grey PNG, and classes.txt.
    Returns:
        number of pictures.
    Raises:
        ToolkitError: COCO without pycocotools.
    """
    out, key = Path(out), _key(segmenter, align, num_steps)
    found = [(f, name) for f, name in find(list(paths)) if _done(f, out / f"{name}.json", key)]

    def label_map(name: str) -> np.ndarray:
        return labels.load_label_png(out / f"{name}.parts.png")[0].numpy().astype(np.uint8)

    if coco is not None:
        stream_coco(coco, ((file.name, label_map(name)) for file, name in found), segmenter.classes)
    if label_studio is not None:
        stream_label_studio(label_studio, ((str(f), label_map(name)) for f, name in found), segmenter.classes)
    if masks is not None:
        with replace_when_done(Path(masks) / "classes.txt") as temporary:
            Path(temporary).write_text("".join(f"{name}\n" for name in segmenter.classes), "utf-8")
        for _, name in found:
            images.save_png(Path(masks) / "masks" / f"{name}.png", Image.fromarray(label_map(name)))
    return len(found)


def _groups(files: list[tuple[Path, str]]) -> Iterator[list[tuple[Path, str, Any]]]:
    """Opened pictures, a few at a time: at most `GROUP`, and a bounded number of pixels."""
    group: list[tuple[Path, str, Any]] = []
    pixels = 0
    for file, name in files:
        try:
            picture: Any = open_rgb(file, "segment")
            pixels += picture.width * picture.height
        except Exception as error:  # reported in its turn
            picture = error
        group.append((file, name, picture))
        if len(group) == GROUP or pixels >= GROUP_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def _segmented(segmenter, group, options):
    """(file, name, result or what went wrong) of opened pictures: all at once, or each alone where that fails."""
    good = [one for one in group if not isinstance(one[2], Exception)]
    results = {}
    # An auto-shot network's pictures share their batches; looking for frames costs more, and may find none.
    if len(good) > 1 and isinstance(segmenter, fewshot.AutoShotSegmenter) and options.get("align") != "auto":
        # Should it fail, each is done alone, to tell which it was.
        with contextlib.suppress(Exception), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of low trust: told below, with the picture's name
            pictures = [picture for _, _, picture in good]
            results = {name: r for (_, name, _), r in zip(good, segmenter.segment(pictures, **options), strict=True)}
    for file, name, picture in group:
        if isinstance(picture, Exception):
            yield file, name, picture
        elif name in results:
            result = results.pop(name)
            if result.trust is not None and result.trust < LOW:
                tqdm.write(f"{file}: trust {result.trust:.2f}: do not believe the parts.", file=sys.stderr)
            yield file, name, result
        else:
            with _remarks(file):
                try:
                    found = segmenter.segment(picture, **options)
                except Exception as error:  # one bad picture must not stop the others
                    found = error
            yield file, name, found


def _key(segmenter: Any, align: str | None = None, num_steps: int | None = None) -> str:
    """What the results of two runs must share to be the same."""
    digest = hashlib.sha256(f"{type(segmenter).__name__} {align} {num_steps}".encode())
    network, gan = getattr(segmenter, "network", None), getattr(segmenter, "gan", None)
    for name, value in sorted(network.state_dict().items()) if network is not None else ():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    digest.update(str(getattr(gan, "hash", "")).encode())
    return digest.hexdigest()[:16]


def _done(file: Path, about: Path, key: str) -> bool:
    """Whether the results of a picture are there, written by the same segmenter since the picture last changed."""
    try:
        found = json.loads(about.read_text("utf-8"))
        fresh = about.stat().st_mtime_ns >= file.stat().st_mtime_ns
        return fresh and (found["file"], found["made_by"]) == (str(file), key)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def shots_from(
    gan: fewshot.GAN, folder: str | PathLike, *, num_steps: int | None = None, progress: bool = True
) -> list[fewshot.Shot]:
    """Project one's own labelled photographs: all of them, those for scoring as well.

    Args:
        gan: a `GAN` of such things.
        folder: as `datasets.OwnFolder` takes it: pictures, masks and the names of the classes. They become square as
            the GAN's own pictures did.
        num_steps: of projection; None for the GAN's default.
        progress: say what it will take, then show a bar.
    Returns:
        list of `Shot`, in the order of their names.
    Raises:
        ToolkitError, LabelError, ImageError: as `OwnFolder`, or a picture with a single class; known before the work.
    """
    data = OwnFolder(folder, gan.fit)
    names = sorted(data.split("train") + data.split("test"))
    found = [data.read([name], gan.resolution) for name in names]
    for name, (_, label_map) in zip(names, found, strict=True):
        labels.check_label_map(label_map, len(data.classes), f"fit ({name})")
    if progress:
        announce("fit", gan, len(found), num_steps)
    shots = []
    for name, (image, label_map) in zip(names, found, strict=True):
        with _remarks(name):
            sample = gan.project(image, num_steps=num_steps, progress=progress and _slow(gan, num_steps))
        shots.append(fewshot.Shot(sample, label_map, data.classes, gan))
        if progress:
            tqdm.write(f"{name}: {how_good(float(sample.psnr), _only(sample.trust))}", file=sys.stderr)
    return shots


def announce(what: str, gan: fewshot.GAN, num: int, num_steps: int | None) -> None:
    """Say on stderr what it will take to project pictures one after the other, by a step that is measured now.

    Args:
        what: the job.
        gan, num_steps: as `shots_from` takes them; num: pictures.
    """
    steps = gan.projection_steps if num_steps is None else num_steps
    pictures = "1 picture" if num == 1 else f"{num} pictures"
    print(f"{what}: {pictures} of {steps} steps, {gan.step_cost().words(num * steps)}", file=sys.stderr)
    if gan.calibration(steps) is None:
        name = gan.path or gan.metadata.get("name")
        command = f"python -m toolkit calibrate --gan {name}" + ("" if gan.encoder else f" --num-steps {steps}")
        print(f"{what}: trust is unknown until this was run: {command}", file=sys.stderr)


def how_good(psnr: float | None, trust: float | None) -> str:
    """How near the GAN came to a picture, in words: "reconstruction 21.3 dB, trust unknown"."""
    known = "unknown" if trust is None else f"{trust:.2f}"
    return f"reconstruction {float('nan') if psnr is None else psnr:.1f} dB, trust {known}"


def _slow(gan, num_steps):
    """Whether a picture takes so long that its steps deserve a bar."""
    return gan.step_cost().seconds * (gan.projection_steps if num_steps is None else num_steps) > SLOW


def _only(trust):
    return None if trust is None else float(trust)


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

    key = _key(segmenter)

    def one(file, target):
        results = segmenter.segment(segmenter.gan.from_latents(file))
        for i, result in enumerate(results if isinstance(results, list) else [results], start=1):
            _write(result, file, target if i == 1 else f"{target}-{i}", key)

    return _each("segment", one, _found(paths, out), out, progress)


def _write(result: fewshot.Result, file: Path, target: str | Path, key: str) -> None:
    result.save_png(f"{target}.parts.png")
    images.save_png(f"{target}.overlay.png", result.overlay())
    about = {"file": str(file), "made_by": key, **result.as_dict()}
    with replace_when_done(f"{target}.json") as temporary:
        Path(temporary).write_text(json.dumps(about, indent=2) + "\n", "utf-8")


def _cut(name: str, length: int) -> str:
    """A name cut to at most `length` bytes."""
    while len(os.fsencode(name)) > length:
        name = name[:-1]
    return name


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _found(paths, out):
    """What `find` finds, once it is certain that results can be written."""
    files = find(list(paths))
    check_can_write(Path(out) / f"{files[0][1]}{ENDING}")
    return files


def _each(what: str, one: Callable[[Path, Path], str | None], files: list, out: str | PathLike, progress: bool) -> int:
    """Call one(file, output path without suffix) for every picture, and say what it returns; returns the number of
    failures."""
    failed = 0
    # The bar and the messages share stderr: tqdm.write keeps them apart.
    for done, (file, name) in enumerate(tqdm(files, desc=what, unit="picture", disable=not progress)):
        with _remarks(file):
            try:
                with _stops(what, file, done - failed, len(files)):
                    said = one(file, Path(out) / name)
                if said and progress:
                    tqdm.write(f"{file}: {said}", file=sys.stderr)
            except WriteError:
                raise
            except Exception as error:  # one bad picture must not stop the others
                failed += 1
                _report(file, what, error)
    if failed:
        print(f"{what}: {failed} of {len(files)} pictures failed.", file=sys.stderr)
    return failed


def _report(file, what, error):
    first = str(error).split("\n")[0]
    said = str(error) if isinstance(error, ToolkitError) else f"{what} failed ({type(error).__name__}: {first})."
    tqdm.write(f"{file}: {said}", file=sys.stderr)


@contextlib.contextmanager
def _stops(what, file, done, total):
    """Say where it stopped if a file cannot be written: the next could not either."""
    try:
        yield
    except WriteError:
        tqdm.write(f"{what}: stopped at {file}; {done} of {total} done.", file=sys.stderr)
        raise


@contextlib.contextmanager
def _remarks(name):
    """Warnings about a picture, told in a line each, under its name."""
    with warnings.catch_warnings(record=True) as remarks:
        warnings.simplefilter("always", UserWarning)
        yield
    for remark in remarks:
        tqdm.write(f"{name}: {remark.message}", file=sys.stderr)
