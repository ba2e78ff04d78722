"""Data sets of photographs with part labels, in their publishers' folder layouts.

A data set has `name`, `classes` (background first), `split("train" | "test") -> ids`, always the
same, and `read(ids, resolution) -> image (N, 3, R, R) in [-1, 1], label_map (N, R, R) int64`.
"""

from os import PathLike
from pathlib import Path

from toolkit.datasets.celebamask import CelebAMask
from toolkit.datasets.own_folder import OwnFolder
from toolkit.datasets.pascal_parts import PascalParts
from toolkit.errors import ToolkitError

__all__ = ["CelebAMask", "OwnFolder", "PascalParts", "open_dataset"]


def open_dataset(folder: str | PathLike, fit: str = "crop") -> CelebAMask | OwnFolder:
    """The data set that lies in a folder, recognised by its layout.

    Args:
        folder: of CelebAMask-HQ, or of your own pictures and masks. PASCAL-Parts needs an object's
            name: `PascalParts(folder, "car")`.
        fit: how your own pictures become square, as `OwnFolder` takes it; those of CelebAMask-HQ are.
    Returns:
        `CelebAMask` or `OwnFolder`.
    Raises:
        ToolkitError: neither, or an incomplete one.
    """
    folder = Path(folder)
    if (folder / CelebAMask.PICTURES).is_dir():
        return CelebAMask(folder)
    if (folder / OwnFolder.PICTURES).is_dir():
        return OwnFolder(folder, fit)
    want = f"a folder with {CelebAMask.PICTURES}/ (CelebAMask-HQ) or {OwnFolder.PICTURES}/ (your own)"
    raise ToolkitError("open_dataset", want, folder, f"{CelebAMask.SOURCE}. {OwnFolder.SOURCE}")
