"""Drawings on a canvas <-> label maps: what a brush of see-through colours painted, as classes."""

import numpy as np
import torch
from torch import Tensor

from toolkit.errors import ShapeError, describe
from toolkit.pictures.labels import IGNORE_INDEX

BRUSH_ALPHA = 0.5  # strokes are see-through: the face stays visible below them
MIN_SHARE = 0.25  # of a pixel's cell that must be painted, so that a thin line is not lost


def decode(drawing: np.ndarray, palette: np.ndarray, resolution: int) -> Tensor:
    """Read a drawing as a label map: each pixel takes the class that most of its cell is painted in.

    Args:
        drawing: (S, S, 4) uint8, RGBA, NumPy; S a multiple of resolution. Colours are snapped to the nearest
            of the palette, and what is fainter than half the brush (an antialiased edge) is not painted.
        palette: (K, 3) uint8.
        resolution: pixels a side of the label map, >= 1.
    Returns:
        label_map (1, R, R) int64; 255 where less than a quarter of the cell is painted.
    Raises:
        ShapeError: not such a drawing.
    """
    shape = getattr(drawing, "shape", ())
    size = shape[0] if shape else 0
    if shape != (size, size, 4) or not size or size % resolution or drawing.dtype != np.uint8:
        raise ShapeError(
            "decode",
            f"a drawing (S, S, 4) uint8, S a multiple of {resolution}",
            describe(drawing),
            "Draw on a canvas of that size",
        )
    painted = drawing[..., 3] >= 255 * BRUSH_ALPHA / 2
    distance = drawing[..., None, :3].astype(np.int32) - palette.astype(np.int32)
    nearest = np.square(distance).sum(-1).argmin(-1)
    cell = size // resolution
    votes = np.stack([(painted & (nearest == i)) for i in range(len(palette))])
    votes = votes.reshape(len(palette), resolution, cell, resolution, cell).sum((2, 4))
    # Of equal votes a part wins over background and a small part over a large one, as in `resampling.majority`.
    order = np.append(1 + np.argsort(votes[1:].sum((1, 2)), kind="stable"), 0)
    winners = order[votes[order].argmax(0)]
    label_map = np.where(votes.sum(0) >= MIN_SHARE * cell * cell, winners, IGNORE_INDEX)
    return torch.from_numpy(label_map.astype(np.int64))[None]


def encode(label_map: Tensor, palette: np.ndarray, size: int) -> np.ndarray:
    """Draw a label map as a brush would have: the inverse of `decode`.

    Args:
        label_map: (1, R, R) integers in 0..K-1, or 255, which stays unpainted.
        palette: (K, 3) uint8.
        size: pixels a side of the drawing, a multiple of R.
    Returns:
        drawing (size, size, 4) uint8, RGBA, NumPy.
    Raises:
        ShapeError: size is not such a multiple.
    """
    resolution = label_map.shape[-1]
    if label_map.shape != (1, resolution, resolution) or size % resolution:
        raise ShapeError(
            "encode",
            f"label_map (1, R, R), R a divisor of {size}",
            describe(label_map),
            "Draw it at a multiple of its size",
        )
    indices = label_map[0].cpu().numpy()
    painted = indices != IGNORE_INDEX
    drawing = np.zeros((resolution, resolution, 4), np.uint8)
    drawing[painted, :3] = palette[indices[painted]]
    drawing[painted, 3] = round(255 * BRUSH_ALPHA)
    return drawing.repeat(size // resolution, 0).repeat(size // resolution, 1)
