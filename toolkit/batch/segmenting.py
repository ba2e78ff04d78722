"""Segment folders of photographs, a few at a time, shared among processes; the same call goes on where it stopped."""

import contextlib
import hashlib
import json
import sys
import warnings
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import reduce
from tqdm import tqdm

from toolkit import fewshot
from toolkit.batch.naming import to_write
from toolkit.batch.telling import announce, each, how_good, remarks, report, slow, stops
from toolkit.errors import ToolkitError, WriteError
from toolkit.files import replace_when_done
from toolkit.pictures import images
from toolkit.pictures.uploads import open_rgb
from toolkit.projection.trust import LOW
from toolkit.training.processes import processes

GROUP, GROUP_PIXELS = 16, 1 << 23  # pictures, and pixels of them, held at once


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
        {} if gan is None else {"num_steps": num_steps, "progress": progress and slow(gan, num_steps)}
    )
    options |= {} if align is None else {"align": align}
    found, state, out, key = to_write(paths, out), processes(), Path(out), key_of(segmenter, align, num_steps)
    own = found[state.process_index :: state.num_processes]
    missing = [(file, name) for file, name in own if not is_done(file, out / f"{name}.json", key)]
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
                    with stops("segment", file, done, len(own)):
                        _write(result, file, out / name, key)
                    done += 1
                    if gan is not None and progress:
                        tqdm.write(f"{file}: {how_good(result.psnr, result.trust)}", file=sys.stderr)
                except WriteError:  # the next would fail too
                    raise
                except Exception as error:  # one bad picture must not stop the others
                    failed += 1
                    report(file, "segment", error)
                bar.update()
    if state.num_processes > 1:
        failed = int(reduce(torch.tensor(float(failed), device=state.device), "sum"))
    if failed and state.is_main_process:
        print(f"segment: {failed} of {len(found)} pictures failed.", file=sys.stderr)
    return failed


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

    key = key_of(segmenter)

    def one(file, target):
        results = segmenter.segment(segmenter.gan.from_latents(file))
        for i, result in enumerate(results if isinstance(results, list) else [results], start=1):
            _write(result, file, target if i == 1 else f"{target}-{i}", key)

    return each("segment", one, to_write(paths, out), out, progress)


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
            with remarks(file):
                try:
                    found = segmenter.segment(picture, **options)
                except Exception as error:  # one bad picture must not stop the others
                    found = error
            yield file, name, found


def key_of(segmenter: Any, align: str | None = None, num_steps: int | None = None) -> str:
    """What the results of two runs must share to be the same."""
    digest = hashlib.sha256(f"{type(segmenter).__name__} {align} {num_steps}".encode())
    network, gan = getattr(segmenter, "network", None), getattr(segmenter, "gan", None)
    for name, value in sorted(network.state_dict().items()) if network is not None else ():
        digest.update(name.encode() + value.cpu().contiguous().numpy().tobytes())
    digest.update(str(getattr(gan, "hash", "")).encode())
    return digest.hexdigest()[:16]


def is_done(file: Path, about: Path, key: str) -> bool:
    """Whether the results of a picture are there, written by the same segmenter since the picture last changed."""
    try:
        found = json.loads(about.read_text("utf-8"))
        fresh = about.stat().st_mtime_ns >= file.stat().st_mtime_ns
        return fresh and (found["file"], found["made_by"]) == (str(file), key)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _write(result: fewshot.Result, file: Path, target: str | Path, key: str) -> None:
    result.save_png(f"{target}.parts.png")
    images.save_png(f"{target}.overlay.png", result.overlay())
    about = {"file": str(file), "made_by": key, **result.as_dict()}
    with replace_when_done(f"{target}.json") as temporary:
        Path(temporary).write_text(json.dumps(about, indent=2) + "\n", "utf-8")
