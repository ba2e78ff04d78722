"""CelebAMask-HQ: 30,000 faces with a mask file for each part."""

from pathlib import Path

import numpy as np
import torch

from toolkit.datasets.reading import check_layout, cut
from toolkit.errors import ToolkitError
from toolkit.pictures.labels import PORTRAIT_CLASSES
from toolkit.pictures.uploads import decode

# In the publisher's order: a later part covers an earlier one. What the ten classes lack (glasses, hats,
# earrings, necklaces) leaves what it covers as it is.
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
PER_FOLDER = 2000  # pictures whose masks share a folder


class CelebAMask:
    """CelebAMask-HQ in ten classes: `CelebA-HQ-img/N.jpg`, `CelebAMask-HQ-mask-anno/0..14/NNNNN_part.png`.

    Pictures 0 to 27,999 are for learning, the last 2,000 for scoring.

    Args:
        folder: where it was unpacked.
    Raises:
        ToolkitError: a part of it is missing: which, and where to get it.
    Source: Lee et al. 2020, MaskGAN (arXiv:1907.11922).
    """

    PICTURES, MASKS = "CelebA-HQ-img", "CelebAMask-HQ-mask-anno"
    SOURCE = "CelebAMask-HQ.zip comes from its authors' page, github.com/switchablenorms/CelebAMask-HQ; unpack it"
    name, classes = "CelebAMask-HQ", PORTRAIT_CLASSES

    def __init__(self, folder):
        self.folder = Path(folder)
        check_layout("CelebAMask", self.folder, {self.PICTURES: "photographs", self.MASKS: "part masks"}, self.SOURCE)
        numbers = sorted(int(p.stem) for p in (self.folder / self.PICTURES).glob("*.jpg") if p.stem.isdigit())
        if not numbers:
            raise ToolkitError("CelebAMask", f"photographs N.jpg in {self.folder / self.PICTURES}", "none", self.SOURCE)
        self._parts = {"train": [n for n in numbers if n < FIRST_TEST], "test": [n for n in numbers if n >= FIRST_TEST]}

    def split(self, part):
        """Numbers of the pictures of "train" or "test": list of int."""
        return list(self._parts[part])

    def read(self, ids, resolution):
        """Pictures and their label maps.

        Args:
            ids: numbers, some of `split`'s.
            resolution: R.
        Returns:
            image (N, 3, R, R) in [-1, 1]; label_map (N, R, R) int64 over `classes`. A part without a file is absent.
        Raises:
            ToolkitError: a picture without any mask. ImageError: a file that cannot be read.
        """
        pairs = [self._read(number, resolution) for number in ids]
        return tuple(torch.cat(part) for part in zip(*pairs, strict=True))

    def _read(self, number, resolution):
        masks = self.folder / self.MASKS / str(number // PER_FOLDER)
        label_map = None
        for part, name in PARTS.items():
            file = masks / f"{number:05d}_{part}.png"
            if file.is_file():
                mask = np.asarray(decode(file, "CelebAMask.read").convert("L")) > 127
                label_map = np.zeros(mask.shape, np.uint8) if label_map is None else label_map
                label_map[mask] = PORTRAIT_CLASSES.index(name)
        if label_map is None:
            raise ToolkitError("CelebAMask.read", f"masks {number:05d}_*.png in {masks}", "none", self.SOURCE)
        height, width = label_map.shape
        # Masks are half as large as the photographs, and both show the same.
        picture = decode(self.folder / self.PICTURES / f"{number}.jpg", "CelebAMask.read").convert("RGB")
        return cut(picture.resize((width, height)), label_map, (0, 0, width, height), len(PORTRAIT_CLASSES), resolution)
