"""CelebAMask-HQ: 30,000 faces with a mask file for each part."""

from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np
from torch import Tensor

from toolkit.datasets.reading import check_layout, cut, only, stack
from toolkit.errors import ImageError, ToolkitError
from toolkit.pictures.labels import PORTRAIT_CLASSES
from toolkit.pictures.uploads import SUFFIXES, decode, open_rgb

# In the publisher's order: a later part covers an earlier one. Parts outside the ten classes (glasses, hats,
# earrings, necklaces) are ignored: what they cover keeps its label.
PARTS = {
    "skin": "face",
    "nose": "nose",
    "l_eye": "eyes",
    "r_eye": "eyes",
    "l_brow": "eyebrows",
    "r_brow": "eyebrows",
    "l_ear": "ears",
    "r_ear": "ears",
    "mouth": "mouth",
    "u_lip": "mouth",
    "l_lip": "mouth",
    "hair": "hair",
    "neck": "neck",
    "cloth": "clothes",
}
FIRST_TEST = 28_000  # pictures from this number on are for scoring
MIDDLE = 127  # grey threshold: lighter pixels are the part
PER_FOLDER = 2000  # pictures whose masks share a folder


class CelebAMask:
    """CelebAMask-HQ in ten classes: `CelebA-HQ-img/N.jpg`, `CelebAMask-HQ-mask-anno/0..14/NNNNN_part.png`.

    Pictures 0 to 27,999 are for learning, the last 2,000 for scoring.

    Args:
        folder: where it was unpacked.
    Raises:
        ToolkitError: a folder is missing (the error says where to get it), or two photographs have one number.
    Source: Lee et al. 2020, MaskGAN (arXiv:1907.11922).
    """

    PICTURES, MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"
    SOURCE = "CelebAMask-HQ.zip comes from its authors' page, github.com/switchablenorms/CelebAMask-HQ; unpack it"
    name, classes = "CelebAMask-HQ", PORTRAIT_CLASSES

    def __init__(self, folder: str | PathLike) -> None:
        self.folder = Path(folder)
        check_layout("CelebAMask", self.folder, {self.PICTURES: "photographs", self.MASKS: "part masks"}, self.SOURCE)
        self._pictures = self._by_number()
        if not self._pictures:
            raise ToolkitError("CelebAMask", f"photographs N.jpg in {self.folder / self.PICTURES}", "none", self.SOURCE)
        numbers = sorted(self._pictures)
        self._parts = {"train": [n for n in numbers if n < FIRST_TEST], "test": [n for n in numbers if n >= FIRST_TEST]}

    def split(self, part: str) -> list[int]:
        """Numbers of the pictures of "train" or "test": list of int."""
        return list(self._parts[part])

    def read(self, ids: Iterable[int], resolution: int) -> tuple[Tensor, Tensor]:
        """Pictures and their label maps.

        Args:
            ids: numbers, some of `split`'s.
            resolution: R.
        Returns:
            image (N, 3, R, R) in [-1, 1]; label_map (N, R, R) int64 over `classes`. A part without a file is absent.
        Raises:
            ToolkitError: a picture without any mask. ImageError: a file that cannot be read, masks of several
                sizes, or one that is not black and white.
        """
        return stack([self._read(number, resolution) for number in ids], "CelebAMask.read")

    def _read(self, number, resolution):
        masks = self.folder / self.MASKS / str(number // PER_FOLDER)
        files = [file for file in masks.glob(f"{number:05d}_*") if file.suffix.lower() in SUFFIXES]
        if not files:
            raise ToolkitError("CelebAMask.read", f"masks {number:05d}_*.png in {masks}", "none", self.SOURCE)
        of_part = {file.stem.partition("_")[2]: _mask(file) for file in files}
        shapes = {mask.shape for mask in of_part.values()}
        if len(shapes) > 1:
            got = " and ".join(f"{width}x{height}" for height, width in sorted(shapes))
            raise ImageError("CelebAMask.read", f"masks of one size for picture {number}", got, self.SOURCE)
        label_map = np.zeros(shapes.pop(), np.uint8)
        for part, name in PARTS.items():
            if part in of_part:
                label_map[of_part[part]] = PORTRAIT_CLASSES.index(name)
        # Masks have half the photographs' resolution, and the same framing.
        picture = open_rgb(self._pictures[number], "CelebAMask.read")
        return cut(picture, label_map, (0, 0, *picture.size), len(PORTRAIT_CLASSES), resolution)

    def _by_number(self):
        """Photographs: dict, number -> file."""
        found = {}
        for file in sorted((self.folder / self.PICTURES).iterdir()):
            if file.suffix.lower() in SUFFIXES and file.stem.isdecimal():
                found.setdefault(int(file.stem), []).append(file)
        return {number: only("CelebAMask", f"one photograph {number}", files) for number, files in found.items()}


def _mask(file):
    """A part's mask: (H, W) bool."""
    grey = np.asarray(decode(file, "CelebAMask.read").convert("L"))
    if 0 < grey.max() <= MIDDLE:  # the part would be empty
        want = f"black 0 and white 255 in {file.name}"
        raise ImageError("CelebAMask.read", want, f"values up to {grey.max()}", "Multiply them by 255")
    return grey > MIDDLE
