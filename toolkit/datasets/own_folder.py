"""A folder of your own: pictures, and for each an indexed PNG whose values are classes."""

from pathlib import Path

import torch

from toolkit.datasets.reading import check_layout, cut, split_by_name
from toolkit.errors import LabelError, ToolkitError
from toolkit.pictures.images import centre_box
from toolkit.pictures.labels import IGNORE_INDEX, load_label_png
from toolkit.pictures.uploads import open_rgb


class OwnFolder:
    """`images/NAME.jpg` (or PNG, WebP), `masks/NAME.png`, and `classes.txt`, a name a line, background first.

    One picture in five, chosen by its name, is for scoring. Pictures are cut to their centred square.

    Args:
        folder: that holds these.
    Raises:
        ToolkitError: a part of it is missing, or a mask has no picture.
    """

    PICTURES, MASKS, CLASSES = "images", "masks", "classes.txt"
    SOURCE = (
        "Your own pictures go into images/, indexed PNG masks of the same names into masks/, and the names of "
        "their values into classes.txt, one a line, background first"
    )

    def __init__(self, folder):
        self.folder = Path(folder)
        layout = {self.PICTURES: "pictures", self.MASKS: "indexed PNGs", self.CLASSES: "a class a line"}
        check_layout("OwnFolder", self.folder, layout, self.SOURCE)
        self.name = self.folder.resolve().name
        lines = (self.folder / self.CLASSES).read_text("utf-8").splitlines()
        self.classes = tuple(line.strip() for line in lines if line.strip())
        if len(self.classes) < 2:
            raise ToolkitError(
                "OwnFolder", f"at least two names in {self.folder / self.CLASSES}", len(self.classes), self.SOURCE
            )
        self._pictures = {file.stem: file for file in sorted((self.folder / self.PICTURES).iterdir()) if file.is_file()}
        masks = {file.stem for file in (self.folder / self.MASKS).glob("*.png")}
        alone = sorted(masks - self._pictures.keys())
        if alone or not masks:
            raise ToolkitError(
                "OwnFolder",
                f"a picture in {self.PICTURES}/ for each mask",
                f"none for {', '.join(alone[:3])}" if alone else "no masks",
                self.SOURCE,
            )
        self._parts = split_by_name(masks)

    def split(self, part):
        """Names of the pictures of "train" or "test" that have a mask: list of str."""
        return list(self._parts[part])

    def read(self, ids, resolution):
        """Pictures and their label maps.

        Args:
            ids: names, some of `split`'s.
            resolution: R.
        Returns:
            image (N, 3, R, R) in [-1, 1]; label_map (N, R, R) int64 over `classes`, 255 = unlabelled.
        Raises:
            LabelError: a mask of another size than its picture, or with a value that is no class.
            ImageError: a file that cannot be read.
        """
        pairs = [self._read(name, resolution) for name in ids]
        return tuple(torch.cat(part) for part in zip(*pairs, strict=True))

    def _read(self, name, resolution):
        picture = open_rgb(self._pictures[name], "OwnFolder.read")
        label_map = load_label_png(self.folder / self.MASKS / f"{name}.png")[0].numpy()
        if label_map.shape != picture.size[::-1]:
            want = f"mask {name}.png of {picture.width}x{picture.height} pixels"
            raise LabelError(
                "OwnFolder.read",
                want,
                f"{label_map.shape[1]}x{label_map.shape[0]}",
                "Draw it at the picture's own size",
            )
        wrong = set(label_map[label_map >= len(self.classes)].tolist()) - {IGNORE_INDEX}
        if wrong:
            raise LabelError(
                "OwnFolder.read",
                f"values 0..{len(self.classes) - 1} or 255 in mask {name}.png",
                min(wrong),
                f"Name it in {self.CLASSES}",
            )
        return cut(picture, label_map, tuple(int(edge) for edge in centre_box(picture)), len(self.classes), resolution)
