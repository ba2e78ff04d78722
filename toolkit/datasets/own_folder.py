"""Your own data set: a folder of pictures, and for each a PNG with the class of each pixel."""

import unicodedata
import warnings
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

from torch import Tensor

from toolkit.datasets.class_names import read_class_names, read_names
from toolkit.datasets.reading import MOST_NAMED, check_layout, cut, only, some, split_by_name, stack
from toolkit.errors import LabelError, ToolkitError
from toolkit.pictures.images import FITS, check_fit
from toolkit.pictures.labels import IGNORE_INDEX, load_label_png
from toolkit.pictures.masks import colors_of
from toolkit.pictures.uploads import SUFFIXES, decode, open_rgb


class OwnFolder:
    """`images/NAME.jpg` (or PNG, WebP, GIF), `masks/NAME.png`, and `classes.txt`, a name a line, background first.

    Folders below `images` and `masks` are read too, and NAME may be "some/folder/NAME". Hidden files and other
    kinds of files are ignored. A mask's values are classes, 255 = unlabelled; if `classes.txt` gives colours
    (`leaf #00AA00`), the mask's colours are. A mask may have another resolution than its picture, but must show the
    same area. For scoring are the pictures that `test.txt` names, one a line, and without such a file one in five,
    chosen by its name.

    Args:
        folder: that contains these.
        fit: how pictures become square: "crop" to the centred square, or "pad" by repeating their edges, where nothing
            is labelled.
    Raises:
        ToolkitError: a folder or file is missing, a mask has no picture or two, or is no PNG; a name in
            `test.txt` that has none; another fit.
        LabelError: a wrong `classes.txt`, see `read_class_names`.
    Warns:
        UserWarning: pictures without a mask, which are left out.
    """

    PICTURES, MASKS, CLASSES, TEST = "images", "masks", "classes.txt", "test.txt"
    SOURCE = (
        "Your own pictures go into images/, PNG masks of the same names into masks/, and the names of their values "
        "into classes.txt, one a line, background first"
    )

    def __init__(self, folder: str | PathLike, fit: str = "crop") -> None:
        self.folder, self.fit = Path(folder), check_fit(fit, "OwnFolder")
        layout = {self.PICTURES: "pictures", self.MASKS: "PNG masks", self.CLASSES: "a class a line"}
        check_layout("OwnFolder", self.folder, layout, self.SOURCE)
        self.name = self.folder.resolve().name
        self.classes, self._palette = read_class_names(self.folder / self.CLASSES, "OwnFolder")
        pictures = _by_name(self.folder / self.PICTURES)
        masks = _masks(self.folder / self.MASKS)
        alone = sorted(masks.keys() - pictures.keys())
        if alone or not masks:
            want, got = f"a picture in {self.PICTURES}/ for each mask", f"none for {some(alone)}"
            raise ToolkitError("OwnFolder", want, got if alone else "no masks", self.SOURCE)
        for name, mask in masks.items():
            only("OwnFolder", f"one picture for mask {mask.name}", pictures[name])
        bare = sorted(pictures.keys() - masks.keys())
        if bare:
            few = f"{len(bare)} of {len(pictures)} pictures of {self.name} have no mask and are left out: {some(bare)}"
            warnings.warn(few, stacklevel=2)
        self._files = {name: (pictures[name][0], mask) for name, mask in masks.items()}
        self._parts = self._split()
        self._colors = {}  # value -> its colour in the indexed masks read so far, and the first mask with it

    def _split(self):
        """Names by part, "train" and "test"."""
        if not (self.folder / self.TEST).is_file():
            return split_by_name(self._files)
        lines = read_names(self.folder / self.TEST, "OwnFolder")
        test = {unicodedata.normalize("NFC", name) for name in lines}  # as the files' names are taken
        if unknown := sorted(test - self._files.keys()):
            want = f"names of pictures with masks in {self.folder / self.TEST}, without suffix"
            raise ToolkitError("OwnFolder", want, some(unknown), "Mend these lines, or delete the file")
        return {"train": sorted(self._files.keys() - test), "test": sorted(test)}

    def split(self, part: str) -> list[str]:
        """Names of the pictures of "train" or "test" that have a mask: list of str."""
        return list(self._parts[part])

    def read(self, ids: Iterable[str], resolution: int) -> tuple[Tensor, Tensor]:
        """Pictures and their label maps.

        Args:
            ids: names, some of `split`'s, at least one.
            resolution: R.
        Returns:
            image (N, 3, R, R) in [-1, 1]; label_map (N, R, R) int64 over `classes`, 255 = unlabelled.
        Raises:
            LabelError: a mask of another aspect ratio than its picture, or with a value or colour that is no class; or
                indexed masks with different colours for one value.
            ImageError: a file that cannot be read.
        """
        return stack([self._read(name, resolution) for name in ids], "OwnFolder.read")

    def _read(self, name, resolution):
        file, mask = self._files[name]
        picture = open_rgb(file, "OwnFolder.read")
        label_map = load_label_png(mask, self._palette)[0].numpy()
        _check_shape(picture, label_map, mask.name)
        if self._palette is None:
            self._check_colors(mask)
        wrong = set(label_map[label_map >= len(self.classes)].tolist()) - {IGNORE_INDEX}
        if wrong:
            want = f"values 0..{len(self.classes) - 1} or {IGNORE_INDEX} in mask {mask.name}"
            got, fix = ", ".join(map(str, sorted(wrong)[:MOST_NAMED])), f"Name it in {self.CLASSES}, background first"
            if len(wrong) > MOST_NAMED:
                got, fix = f"{got} and {len(wrong) - MOST_NAMED} others", "Save class numbers, without soft edges"
            raise LabelError("OwnFolder.read", want, got, fix)
        return cut(picture, label_map, FITS[self.fit](picture), len(self.classes), resolution)

    def _check_colors(self, mask):
        """Refuse indexed masks whose palettes disagree: some programs sort each mask's palette on its own."""
        for index, color in colors_of(decode(mask, "OwnFolder.read")).items():
            known, name = self._colors.setdefault(index, (color, mask.name))
            if known != color:
                raise LabelError(
                    "OwnFolder.read",
                    f"one colour for value {index} in all indexed masks",
                    f"{known} in {name} and {color} in {mask.name}",
                    f"Save class numbers in grey, or say the colours in {self.CLASSES}: leaf #00AA00",
                )


def _by_name(folder):
    """Pictures below a folder, hidden ones left out: dict, path without its suffix -> list of files."""
    found = {}
    for file in sorted(folder.rglob("*")):
        path = file.relative_to(folder)
        hidden = any(part.startswith((".", "__MACOSX")) for part in path.parts)
        if file.suffix.lower() in SUFFIXES and not hidden and file.is_file():
            # NFC: macOS, also in zip files it makes, writes an accented letter as two code points.
            name = unicodedata.normalize("NFC", path.with_suffix("").as_posix())
            found.setdefault(name, []).append(file)
    return found


def _masks(folder):
    """PNGs below a folder: dict, name -> file. Other files of the same name, e.g. previews, are ignored."""
    masks = {}
    for name, files in _by_name(folder).items():
        pngs = [file for file in files if file.suffix.lower() == ".png"]
        if not pngs:
            raise ToolkitError("OwnFolder", "PNG masks", some(files), "Save it as PNG; a JPEG smears labels")
        masks[name] = only("OwnFolder", f"one mask {name}", pngs)
    return masks


def _check_shape(picture, label_map, name):
    (height, width), (wide, high) = label_map.shape, picture.size
    # Exactly one equal side cannot come from resizing; else allow for rounding to whole pixels.
    other = (width == wide) != (height == high) or abs(width * high - height * wide) > max(wide, high)
    if other:
        turned = (height, width) == (wide, high)
        raise LabelError(
            "OwnFolder.read",
            f"mask {name} of {wide}x{high} pixels, or of that shape",
            f"{width}x{height}",
            "Turn it upright, as the picture is shown" if turned else "Draw it on the whole picture, at its own size",
        )
