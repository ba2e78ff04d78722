"""What is painted on the canvas."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor

from toolkit.pictures import labels, sketch


@dataclass(frozen=True)
class Drawing:
    """A drawing as the browser sends it.

    layer: (S, S, 4) uint8, RGBA, what the brush left; None where it left nothing. fill: what is unpainted is
    background, not unlabelled.
    """

    layer: np.ndarray | None = None
    fill: bool = True

    def strokes(self, palette: np.ndarray, resolution: int) -> Tensor | None:
        """The strokes as a label map (1, R, R), what is unpainted as unlabelled; None where nothing is painted."""
        if self.layer is None:
            return None
        label_map = sketch.decode(self.layer, palette, resolution)
        return None if (label_map == labels.IGNORE_INDEX).all() else label_map

    def label_map(self, palette: np.ndarray, resolution: int) -> Tensor | None:
        """The label map: `strokes`, with `fill` the rest as background; None where nothing is painted."""
        strokes = self.strokes(palette, resolution)
        if strokes is None or not self.fill:
            return strokes
        return strokes.masked_fill(strokes == labels.IGNORE_INDEX, 0)
