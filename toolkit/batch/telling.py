"""What a batch says on stderr: what it will take, how good each picture became, and what went wrong."""

import contextlib
import sys
import warnings
from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any

from tqdm import tqdm

from toolkit import fewshot
from toolkit.errors import ToolkitError, WriteError

SLOW = 5.0  # seconds


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


def slow(gan: fewshot.GAN, num_steps: int | None) -> bool:
    """Whether a picture takes so long that its steps deserve a bar."""
    return gan.step_cost().seconds * (gan.projection_steps if num_steps is None else num_steps) > SLOW


def only(trust: Any) -> float | None:
    """A number of one picture, (1,), or None."""
    return None if trust is None else float(trust)


def each(
    what: str,
    one: Callable[[Path, Path], str | None],
    files: list[tuple[Path, str]],
    out: str | PathLike,
    progress: bool,
) -> int:
    """Call one(file, output path without suffix) for every picture, and say what it returns; returns the number of
    failures."""
    failed = 0
    # The bar and the messages share stderr: tqdm.write keeps them apart.
    for done, (file, name) in enumerate(tqdm(files, desc=what, unit="picture", disable=not progress)):
        with remarks(file):
            try:
                with stops(what, file, done - failed, len(files)):
                    said = one(file, Path(out) / name)
                if said and progress:
                    tqdm.write(f"{file}: {said}", file=sys.stderr)
            except WriteError:
                raise
            except Exception as error:  # one bad picture must not stop the others
                failed += 1
                report(file, what, error)
    if failed:
        print(f"{what}: {failed} of {len(files)} pictures failed.", file=sys.stderr)
    return failed


def report(file: Path, what: str, error: Exception) -> None:
    """Say of a picture what went wrong, in one line."""
    first = str(error).split("\n")[0]
    said = str(error) if isinstance(error, ToolkitError) else f"{what} failed ({type(error).__name__}: {first})."
    tqdm.write(f"{file}: {said}", file=sys.stderr)


@contextlib.contextmanager
def stops(what: str, file: Path, done: int, total: int) -> Iterator[None]:
    """Say where it stopped if a file cannot be written: the next could not either."""
    try:
        yield
    except WriteError:
        tqdm.write(f"{what}: stopped at {file}; {done} of {total} done.", file=sys.stderr)
        raise


@contextlib.contextmanager
def remarks(name: str | Path) -> Iterator[None]:
    """Warnings about a picture, told in a line each, under its name."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        yield
    for remark in caught:
        tqdm.write(f"{name}: {remark.message}", file=sys.stderr)
