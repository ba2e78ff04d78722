"""One segmented picture and its export formats."""

import math
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from toolkit.parts.rle import coco_annotations
from toolkit.pictures import labels, shown
from toolkit.pictures.images import Frame

FINE_PIXELS = 1 << 20  # of a label map whose boundaries are smooth; larger uploads take the nearest label


@dataclass(repr=False)
class Result:
    """One segmented picture.

    image: (3, h, w) in [-1, 1], what was segmented; label_map: (h, w) int64; classes: names, background
    first; palette: (K, 3) uint8.
    Where they apply, else None: reconstruction (3, h, w) in [-1, 1], the GAN's projection of image; psnr:
    decibels between the two; trust: 0 to 1, how likely the GAN could have made such a picture; frame:
    where in the upload image lies; full_image: the upload itself, upright, a PIL image in RGB; logits: (K, h, w), the
    scores behind label_map, by which boundaries are drawn as finely as the upload is.
    """

    image: Tensor
    label_map: Tensor
    classes: tuple[str, ...]
    palette: np.ndarray
    reconstruction: Tensor | None = None
    psnr: float | None = None
    trust: float | None = None
    frame: Frame | None = None
    full_image: Image.Image | None = None
    logits: Tensor | None = None

    def __post_init__(self) -> None:
        self.classes = labels.check_classes(self.classes, "Result")

    def __repr__(self) -> str:
        height, width = self._widest().shape
        found = [name for name, area in list(self.areas().items())[1:] if area]
        about = "" if self.psnr is None else f"; reconstruction {self.psnr:.1f} dB"
        if self.reconstruction is not None:
            about += f", trust {'unknown' if self.trust is None else f'{self.trust:.2f}'}"
        return f"<Result of {width}x{height} pixels: {', '.join(found) or 'background alone'}{about}>"

    def _repr_png_(self) -> bytes:
        """For notebooks: the picture with its parts tinted."""
        return shown.png(self.overlay())

    @property
    def full_label_map(self) -> Tensor | None:
        """(H, W) int64 in the upload's own pixels, 255 outside the frame; None without a frame."""
        return None if self.frame is None else self.frame.restore(self._fine())

    def _fine(self):
        """The label map at about the size that it has in the upload, of up to `FINE_PIXELS`."""
        if self.logits is None or not torch.equal(self.logits.argmax(0), self.label_map):  # or it was corrected
            return self.label_map
        left, top, right, bottom = self.frame.box
        shrink = min(1.0, (FINE_PIXELS / ((right - left) * (bottom - top))) ** 0.5)
        size = [math.ceil(shrink * length) for length in (bottom - top, right - left)]
        if size[0] <= self.label_map.shape[0] or size[1] <= self.label_map.shape[1]:
            return self.label_map
        # Scores, not labels, are interpolated: that places edges between the network's pixels.
        return F.interpolate(self.logits[None], size=size, mode="bilinear", align_corners=False)[0].argmax(0)

    def overlay(self, alpha: float = 0.5) -> Image.Image:
        """The picture with its parts tinted: the whole upload where available, else image.

        Args:
            alpha: strength of the tint, 0 to 1.
        Returns:
            PIL image, RGB.
        """
        if self.frame is not None and self.full_image is not None:
            return labels.overlay(self.full_image, self._widest(), self.palette, alpha)
        return labels.overlay(self.image[None], self.label_map, self.palette, alpha)

    def save_png(self, path: str | PathLike) -> None:
        """Write the label map, in the upload's own pixels if known, as an indexed PNG with its palette."""
        labels.save_label_png(path, self._widest(), self.palette)

    def areas(self) -> dict[str, int]:
        """dict, class name -> pixels of the label map that `save_png` writes."""
        counts = torch.bincount(self._widest().flatten(), minlength=labels.IGNORE_INDEX + 1).tolist()
        return dict(zip(self.classes, counts, strict=False))

    def as_dict(self) -> dict[str, Any]:
        """JSON-serialisable dict: size, classes, areas, palette, and psnr, trust, box and angle (degrees by which the
        box is turned, clockwise) where they apply."""
        height, width = self._widest().shape
        return {
            "size": [width, height],
            "classes": list(self.classes),
            "areas": self.areas(),
            "palette": [f"#{bytes(color).hex()}" for color in self.palette],
            "psnr": self.psnr if self.psnr is None or math.isfinite(self.psnr) else None,  # JSON has no infinity
            "trust": self.trust,
            "box": None if self.frame is None else list(self.frame.box),
            "angle": None if self.frame is None else self.frame.angle,
        }

    def coco(self) -> list[dict[str, Any]]:
        """The parts as COCO annotations with run-length masks, those without a pixel left out.

        Returns:
            list of dicts: category_id (the label), category (its name), segmentation (RLE), area, bbox
            (x, y, width, height), iscrowd 0. Background is left out.
        Raises:
            ToolkitError: pycocotools is not installed.
        """
        return coco_annotations(self._widest().numpy(), self.classes)

    def _widest(self):
        """uint8, on the CPU: the label map in the upload's pixels where there is a frame, else in image's."""
        return (self.label_map if self.frame is None else self.full_label_map).to("cpu", torch.uint8)
