"""Widgets for notebooks: draw labels on pictures, frame photographs, and explore a GAN.

The JavaScript of `Labeller` and `Framing` is in labeller/ and framing/ beside this file; nothing is downloaded.
"""

import io
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import torch

from toolkit.errors import LabelError, ShapeError, ToolkitError, describe
from toolkit.fewshot import GAN, Sample, Segmenter, Shot, save_shots
from toolkit.parts.drawings import load_drawings, save_drawings, shots_of
from toolkit.pictures.images import FITS, Align, Frame, frame_of, load_image, to_pil
from toolkit.pictures.labels import IGNORE_INDEX, as_label_map, check_classes, keep, palette_of
from toolkit.pictures.uploads import open_rgb
from toolkit.show import framing, labeller, plots

__all__ = ["Framing", "Labeller", "explore"]

try:
    import anywidget
    import ipywidgets
    import traitlets
except ImportError as error:
    raise ToolkitError(
        "toolkit.show.widgets",
        "ipywidgets and anywidget",
        f"no {error.name}",
        "Run pip install 'one-shot-parts[notebook]'",
    ) from error

TOOLS = ("brush", "eraser", "lasso", "bucket", "hand")


class Labeller(anywidget.AnyWidget):
    """Draw the parts of pictures with a brush, a lasso or a polygon, and by filling enclosed areas.

    `label_maps` holds what is drawn and may be set, e.g. to a prediction that is then corrected; do
    not change it in place. `index`, `label`, `tool`, `brush_size` (odd), `opacity` and `overlay` are
    the state of the page. Any of them can be observed: `labeller.observe(function, "label_maps")` calls
    after each stroke.

    Args:
        images: a `Sample`, (N, 3, H, W) in [-1, 1], or whatever `images.load_image` takes, or a list
            of that; all of one size.
        classes: names, background first, at most 255; label i means classes[i].
        label_maps: what to start from, as the attribute; None starts unlabelled.
        gan: the `GAN` the sample came from, for the shots.
        save_to: a shot file that is rewritten with all drawings after each stroke. Where it exists, it is
            loaded first: what was drawn by hand takes precedence over label_maps.
    Raises:
        ShapeError, LabelError, ImageError: pictures, classes or labels that are not as above.
        ToolkitError: save_to without a `Sample`, or naming a file of other pictures or classes.
    """

    _esm = labeller.script("widget")
    _css = labeller.style()

    label_maps = traitlets.Any(help="(N, H, W) int64; 255 = unlabelled")
    index = traitlets.Int(0, min=0, help="the picture shown").tag(sync=True)
    label = traitlets.Int(1, min=0, help="the class being drawn").tag(sync=True)
    tool = traitlets.Enum(TOOLS, "brush").tag(sync=True)
    brush_size = traitlets.Int(5, min=1, max=99, help="diameter in pixels, odd").tag(sync=True)
    opacity = traitlets.Float(0.6, min=0, max=1).tag(sync=True)
    overlay = traitlets.Bool(True, help="whether labels show").tag(sync=True)

    _pictures = traitlets.List().tag(sync=True)
    _size = traitlets.Tuple().tag(sync=True)
    _classes = traitlets.List().tag(sync=True)
    # Counts the times Python set label_maps. The page gets the labels with it: when it changes, and
    # whenever a page connects anew. A stroke does not change it, so strokes are not sent back.
    _labels = traitlets.Int(0).tag(sync=True, to_json=lambda revision, self: self._to_page(revision))

    def __init__(
        self,
        images: Any,
        classes: Sequence[str],
        *,
        label_maps: Any = None,
        gan: GAN | None = None,
        save_to: str | PathLike | None = None,
    ) -> None:
        self._sample = images if isinstance(images, Sample) else None
        self._gan = gan
        pictures = _load(images)
        self.classes = check_classes(classes, "Labeller")
        self.palette = palette_of(self.classes)
        self._shape = (len(pictures), *pictures.shape[2:])
        self._save_to = None if save_to is None else Path(save_to)
        self._drawing = self._predicting = False
        self._predicted = torch.zeros(len(pictures), dtype=torch.bool)  # and not corrected since
        super().__init__(
            label_maps=self._start(label_maps),
            label=min(1, len(self.classes) - 1),
            brush_size=max(1, pictures.shape[-1] // 32 * 2 - 1),
            _pictures=[_png(to_pil(picture)) for picture in pictures],
            _size=self._shape[1:],
            _classes=[{"name": n, "color": c} for n, c in zip(self.classes, self.palette.tolist())],
        )
        self.on_msg(self._draw)

    def shots(self) -> list[Shot]:
        """The pictures with at least two classes labelled, ready for `fit`; not those that `predict` alone labelled.

        Returns:
            list of `Shot`.
        Raises:
            ToolkitError: the pictures came without latents.
        """
        return shots_of(self._sample_for("shots"), self._meant(), self.classes, self._gan)

    def _meant(self) -> torch.Tensor:
        """The label maps, without what was predicted alone."""
        return torch.where(self._predicted[:, None, None], IGNORE_INDEX, self.label_maps)

    def predict(self, segmenter: Segmenter) -> None:
        """Put what a segmenter finds on the pictures that nobody has drawn on, to be corrected; those drawn on stay.

        A predicted picture becomes a shot once it is corrected. Teach and predict again, and the others follow:
        `segmenter = fit(gan, labeller.shots(), start=segmenter); labeller.predict(segmenter)`.

        Args:
            segmenter: a `Segmenter`; its classes are found by name, and of others the pixels stay unlabelled.
        Raises:
            ToolkitError: the pictures came without latents.
        """
        found = segmenter.predict(self._sample_for("predict")).argmax(1).cpu()
        free = ~self._by_hand
        self._predicting = True
        try:
            mine = keep(found, segmenter.classes, self.classes)
            self.label_maps = torch.where(free[:, None, None], mine, self.label_maps)
        finally:
            self._predicting = False
        self._predicted = free

    def save(self, path: str | PathLike) -> None:
        """Write `shots` to one file, whole or not at all; `fewshot.load_shots` reads it.

        Raises:
            ToolkitError: the pictures came without latents, or none has two classes labelled.
        """
        shots = self.shots()
        if not shots:
            raise LabelError("Labeller.save", "a picture with at least two classes labelled", "none", "Draw them first")
        save_shots(path, shots)

    def _start(self, label_maps):
        """Initial label maps: those drawn by hand, else those passed, else those in save_to, else unlabelled."""
        start, self._by_hand = torch.full(self._shape, IGNORE_INDEX), torch.zeros(self._shape[0], dtype=torch.bool)
        if self._save_to is not None:
            sample = self._sample_for("save_to")
            if self._save_to.exists():
                start, self._by_hand = load_drawings(self._save_to, sample, self.classes, "Labeller")
        if label_maps is None:
            return start
        return torch.where(self._by_hand[:, None, None], start, self._checked(label_maps))

    def _sample_for(self, call: str) -> Sample:
        if self._sample is None:
            raise ToolkitError(
                f"Labeller.{call}",
                "pictures with latents",
                "pictures alone",
                "Pass the Labeller a Sample, from gan.sample or gan.project",
            )
        return self._sample

    @traitlets.validate("label_maps")
    def _check(self, proposal):
        return self._checked(proposal["value"])

    def _checked(self, value):
        """The caller's labels, checked and copied: (N, H, W) int64."""
        value = as_label_map(value, "Labeller.label_maps")
        if tuple(value.shape) not in (self._shape, self._shape[self._shape[0] == 1 :]):
            raise ShapeError(
                "Labeller.label_maps",
                f"integers {self._shape}",
                describe(value),
                "Set one label map a picture, of the picture's size",
            )
        value = value.reshape(self._shape).to("cpu", copy=True)
        wrong = value[(value != IGNORE_INDEX) & ((value < 0) | (value >= len(self.classes)))]
        if len(wrong):
            raise LabelError(
                "Labeller.label_maps",
                f"labels 0..{len(self.classes) - 1}, or {IGNORE_INDEX}",
                f"value {wrong[0]}",
                "Name every class, background first",
            )
        return value

    @traitlets.observe("label_maps")
    def _changed(self, change):
        if not self._drawing:
            self._labels += 1
        if change["old"] is not None and not self._predicting:
            changed = (change["old"] != self.label_maps).any(2).any(1)
            self._by_hand |= changed
            self._predicted &= ~changed
        # Erased drawings are saved too; no file is made only where nothing was ever drawn.
        if self._predicting or self._save_to is None:
            return
        if self._by_hand.any() or (self.label_maps != IGNORE_INDEX).any():
            save_drawings(self._save_to, self._sample, self._meant(), self._by_hand, self.classes, self._gan)

    def _to_page(self, revision):
        return {"revision": revision, "data": self.label_maps.to(torch.uint8).numpy().tobytes()}

    def _draw(self, _, stroke, buffers):
        """A stroke from the page: new labels for a box of one picture."""
        if stroke["revision"] != self._labels:
            return  # drawn on labels that have been replaced since; the page has dropped it too
        left, top, right, bottom = stroke["box"]
        label_maps = self.label_maps.clone()
        box = label_maps[stroke["index"], top:bottom, left:right]
        box[:] = torch.from_numpy(np.frombuffer(buffers[0], np.uint8).astype(np.int64)).view_as(box)
        self._drawing = True
        try:
            self.label_maps = label_maps
        finally:
            self._drawing = False


class Framing(anywidget.AnyWidget):
    """The square that a network sees of a photograph, drawn over it: move, size and turn it by mouse, touch or keys.

    `frame` is the `images.Frame` as it stands, for any `align=`, and can be set or observed:
    `gan.project(photo, align=framing.frame)`.

    Args:
        source: a path, bytes, a binary file, a PIL image or a NumPy array, see `uploads.open_rgb`.
        gan: a `GAN` whose framer finds where to start; without a framer, or where it finds nothing, and with None,
            that is the centred square, or the whole picture's where the GAN's `fit` is "pad".
        align: where to start instead, as `images.frame_image` takes it.
    Raises:
        ImageError: not a picture, or an align that does not fit it.
    """

    _esm = framing.script("widget")
    _css = framing.style()

    frame = traitlets.Any(help="`images.Frame`").tag(
        sync=True,
        to_json=lambda frame, self: frame and framing.numbers(frame),
        from_json=lambda sent, self: Frame.around((sent[0], sent[1]), sent[2], sent[3], tuple(self._size)),
    )
    _picture = traitlets.Unicode().tag(sync=True)
    _size = traitlets.List().tag(sync=True)
    _name = traitlets.Unicode().tag(sync=True)

    def __init__(self, source: Any, gan: GAN | None = None, *, align: Align | str | None = None) -> None:
        picture = open_rgb(source, "Framing")
        if align is None:
            found = gan.find(picture) if gan is not None and gan.framer is not None else []
            align = found[0].frame if found else FITS["crop" if gan is None else gan.fit]
        frame = frame_of(picture, align, "Framing")
        shown = framing.state(picture, frame)
        name = Path(source).name if isinstance(source, (str, PathLike)) else ""
        super().__init__(frame=frame, _picture=shown["picture"], _size=shown["size"], _name=name)

    @traitlets.validate("frame")
    def _check(self, proposal):
        frame = proposal["value"]
        if not isinstance(frame, Frame):
            raise ToolkitError("Framing.frame", "a Frame", describe(frame), "Make one with Frame.around")
        return frame.checked("Framing.frame")


def explore(gan: GAN, segmenter: Segmenter | None = None) -> ipywidgets.VBox:
    """Sliders for seed and truncation, and the picture they make, live.

    Args:
        gan: a `GAN`.
        segmenter: a `Segmenter` fitted on it, to see the parts too; None shows the picture alone.
    Returns:
        ipywidgets.VBox, to be shown as a cell's result.
    """
    seed = ipywidgets.IntSlider(0, 0, 999, description="seed")
    truncation = ipywidgets.FloatSlider(0.7, min=0, max=1, step=0.05, description="truncation")
    figure = ipywidgets.Image(format="png", layout={"align_self": "flex-start", "max_width": "100%"})

    def show(_=None):
        sample = gan.sample(seed.value, truncation_psi=truncation.value)
        columns = {"picture": sample.image}
        if segmenter is not None:
            result = segmenter.segment(sample)
            columns |= {"parts": [result.label_map], "overlay": [result.overlay()]}
        classes, palette = (segmenter.classes, segmenter.palette) if segmenter is not None else (None, None)
        figure.value = _png(plots.comparison(columns, palette, classes))

    for slider in (seed, truncation):
        slider.observe(show, "value")
    show()
    return ipywidgets.VBox([ipywidgets.HBox([seed, truncation]), figure])


def _load(images):
    """(N, 3, H, W) from all that `Labeller` takes."""
    if isinstance(images, Sample):
        return images.image
    pictures = [load_image(s) for s in (images if isinstance(images, (list, tuple)) else [images])]
    sizes = {tuple(picture.shape[2:]) for picture in pictures}
    if len(sizes) != 1:
        raise ShapeError(
            "Labeller",
            "pictures of one size",
            f"{len(pictures)} of sizes {sorted(sizes)}",
            "Resize them, e.g. with load_image(source, resolution)",
        )
    return torch.cat(pictures)


def _png(picture):
    file = io.BytesIO()
    picture.save(file, "PNG")
    return file.getvalue()
