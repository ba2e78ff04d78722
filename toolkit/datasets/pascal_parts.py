"""PASCAL-Parts: part masks for the objects of PASCAL VOC 2010, in MATLAB files."""

import re
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np
from torch import Tensor

from toolkit.datasets.reading import check_layout, cut, split_by_name, stack
from toolkit.errors import ImageError, ToolkitError
from toolkit.pictures.labels import IGNORE_INDEX
from toolkit.pictures.uploads import open_rgb

SMALLEST = 50  # pixels, of the longer side of an object's box: the parts of smaller ones are not visible
# Class -> regular expression for the annotation's part names; None: the object's pixels in no annotated part.
CLASSES: dict[str, dict[str, str | None]] = {
    "car": {
        "background": "",
        "body": None,
        "plate": "[fb]liplate",
        "light": "headlight",
        "wheel": "wheel",
        "window": "window",
    },
    "horse": {
        "background": "",
        "head": "head|[lr]ear|[lr]eye|muzzle|[lr]nostril",
        "neck+torso": "neck|torso",
        "legs": "[lr][fb][ul]leg|[lr][fb]ho",
        "tail": "tail",
    },
}


class PascalParts:
    """Cars or horses of PASCAL-Parts: `Annotations_Part/NAME.mat` and `JPEGImages/NAME.jpg`.

    Each object is cut out by the square around its box; those smaller than 50 pixels are left out. One
    photograph in five, chosen by its name, is for scoring. Neck and torso of horses are one class, as in
    the paper's table 5; a car's body is its pixels in no other part.

    Args:
        folder: that contains both folders; `JPEGImages` may also lie in `VOCdevkit/VOC2010` or `VOC2010` in it.
        kind: "car" or "horse".
    Raises:
        ToolkitError: a folder is missing, scipy is not installed, or an unknown kind.
    Source: Chen et al. 2014, Detect What You Can (arXiv:1406.2031).
    """

    PICTURES, ANNOTATIONS = "JPEGImages", "Annotations_Part"
    SOURCE = (
        "Get trainval.tar.gz (Annotations_Part) from the PASCAL-Parts page, roozbehm.info/pascal-parts, and "
        "JPEGImages from PASCAL VOC 2010, host.robots.ox.ac.uk/pascal/VOC/voc2010, into one folder"
    )

    def __init__(self, folder: str | PathLike, kind: str) -> None:
        if kind not in CLASSES:
            raise ToolkitError("PascalParts", f"kind {' or '.join(CLASSES)}", repr(kind), "Choose one of these")
        self.folder, self.kind, self.name = Path(folder), kind, f"PASCAL-Parts {kind}"
        self.classes = tuple(CLASSES[kind])
        homes = [self.folder / home for home in ("", "VOC2010", "VOCdevkit/VOC2010")]
        self._home = next((home for home in homes if (home / self.PICTURES).is_dir()), self.folder)
        check_layout("PascalParts", self.folder, {self.ANNOTATIONS: "part masks"}, self.SOURCE)
        check_layout("PascalParts", self._home, {self.PICTURES: "photographs"}, self.SOURCE)
        self._boxes = {}  # id -> box of the object
        for name in self._names():
            for i, thing in enumerate(self._objects(name)):
                box = _square(thing.mask)
                if box is not None:
                    self._boxes[f"{name}-{i}"] = box
        if not self._boxes:
            raise ToolkitError(
                "PascalParts", f"a {kind} of at least {SMALLEST} pixels in {self.folder}", "none", self.SOURCE
            )
        self._parts = {"train": [], "test": []}
        by_photograph = {p: set(ids) for p, ids in split_by_name({i.rpartition("-")[0] for i in self._boxes}).items()}
        for part, photographs in by_photograph.items():
            self._parts[part] = [i for i in self._boxes if i.rpartition("-")[0] in photographs]

    def split(self, part: str) -> list[str]:
        """Ids "PHOTOGRAPH-NUMBER" of the objects of "train" or "test": list of str."""
        return list(self._parts[part])

    def read(self, ids: Iterable[str], resolution: int) -> tuple[Tensor, Tensor]:
        """Objects, cut out, and their label maps.

        Args:
            ids: some of `split`'s.
            resolution: R.
        Returns:
            image (N, 3, R, R) in [-1, 1]; label_map (N, R, R) int64 over `classes`, 255 = unlabelled:
            outside the photograph, and the object's pixels in no part (cars have none: they are body).
        Raises:
            ImageError: a file that cannot be read, or a photograph of another size than its annotation.
        """
        return stack([self._read(name, resolution) for name in ids], "PascalParts.read")

    def _read(self, name, resolution):
        photograph, _, number = name.rpartition("-")
        thing = self._objects(photograph)[int(number)]
        names = CLASSES[self.kind]
        rest = next((i for i, part in enumerate(names.values()) if part is None), IGNORE_INDEX)
        label_map = np.where(np.asarray(thing.mask) > 0, rest, 0).astype(np.uint8)
        for part in np.atleast_1d(thing.parts):
            for i, pattern in enumerate(names.values()):
                if pattern and re.fullmatch(f"({pattern})(_\\d+)?", str(part.part_name)):
                    label_map[np.asarray(part.mask) > 0] = i
        picture = open_rgb(self._home / self.PICTURES / f"{photograph}.jpg", "PascalParts.read")
        if label_map.shape != picture.size[::-1]:  # boxes are in the annotation's pixels
            raise ImageError(
                "PascalParts.read",
                f"{photograph}.jpg of {label_map.shape[1]}x{label_map.shape[0]} pixels, as it was annotated",
                f"{picture.width}x{picture.height}",
                self.SOURCE,
            )
        return cut(picture, label_map, self._boxes[name], len(names), resolution)

    def _names(self):
        """Photographs that may show the object: from PASCAL VOC's own list where it is there."""
        names = sorted(file.stem for file in (self.folder / self.ANNOTATIONS).glob("*.mat"))
        listed = self._home / "ImageSets" / "Main" / f"{self.kind}_trainval.txt"
        if not listed.is_file():
            return names
        lines = (line.split() for line in listed.read_text("utf-8").splitlines())
        shown = {line[0] for line in lines if len(line) == 2 and line[1] != "-1"}
        return [name for name in names if name in shown]

    def _objects(self, name):
        """The objects of this kind in a photograph's annotation, in file order."""
        try:
            from scipy.io import loadmat
        except ModuleNotFoundError as error:
            raise ToolkitError(
                "PascalParts", "scipy, which reads its .mat files", "no scipy", "Install one-shot-parts[data]"
            ) from error
        file = self.folder / self.ANNOTATIONS / f"{name}.mat"
        try:
            things = loadmat(file, squeeze_me=True, struct_as_record=False)["anno"].objects
            return [thing for thing in np.atleast_1d(things) if getattr(thing, "class") == self.kind]
        except Exception as error:  # scipy raises many kinds for a damaged file
            raise ImageError(
                "PascalParts", "a PASCAL-Parts annotation", f"{file} ({type(error).__name__}: {error})", self.SOURCE
            ) from error


def _square(mask):
    """The square (left, top, right, bottom) around an object, or None for a small one."""
    rows, columns = (np.flatnonzero(np.asarray(mask).any(axis)) for axis in (1, 0))
    if not len(rows):
        return None
    left, top, right, bottom = int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1
    side = max(right - left, bottom - top)
    if side < SMALLEST:
        return None
    left, top = left - (side - (right - left)) // 2, top - (side - (bottom - top)) // 2
    return left, top, left + side, top + side
