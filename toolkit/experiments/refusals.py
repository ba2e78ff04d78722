"""Does a segmenter know what it does not know? The share of each folder's pictures that it has low trust in."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tqdm import tqdm

from toolkit.errors import ToolkitError
from toolkit.pictures.folders import pictures_in
from toolkit.pictures.images import FITS, check_fit
from toolkit.projection.trust import LOW


def refusals(
    segmenter: Any, folders: Sequence[str | Path], *, fit: str | None = None, num: int = 200, progress: bool = False
) -> dict[str, Any]:
    """Segment some pictures of each folder, and count those with low trust.

    Args:
        segmenter: one with segment(file) -> `Result`, of either kind.
        folders: each of one kind of pictures; searched with their sub-folders.
        fit: how they become square, "crop" or "pad"; None for the segmenter's own way.
        num: of each folder, evenly spread over the sorted files.
        progress: show a bar.
    Returns:
        dict, folder's name -> {"pictures": number, "low trust": percent}.
    Raises:
        ToolkitError: another fit, a folder without pictures, or a segmenter that tells no trust.
    """
    options = {} if fit is None else {"align": FITS[check_fit(fit, "refusals")]}
    found: dict[str, dict[str, float]] = {}
    for folder in map(Path, folders):
        files = pictures_in(folder, deep=True).files
        files = files[:: max(1, len(files) // num)][:num]
        if not files:
            raise ToolkitError("refusals", "a folder with pictures", folder, "Check the path")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # of low trust, which is counted
            bar = tqdm(files, desc=folder.name, unit="picture", disable=not progress)
            trusts = [segmenter.segment(file, **options).trust for file in bar]
        if None in trusts:
            fix = "Run calibrate, or calibrate-autoshot, first"
            raise ToolkitError("refusals", "a segmenter that tells its trust", "none", fix)
        low = sum(trust < LOW for trust in trusts)
        found[folder.name] = {"pictures": len(files), "low trust": round(100 * low / len(files), 1)}
    return found
