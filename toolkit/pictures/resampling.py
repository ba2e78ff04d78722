"""Label maps at another size: labels cannot be averaged, so each new pixel takes the one that covers most of it."""

import numpy as np

TIE = 1e-7  # of a pixel: shares that differ by less are equal but for rounding


def majority(label_map: np.ndarray, rows: np.ndarray, columns: np.ndarray, unlabelled: int = 255) -> np.ndarray:
    """Resample a label map by exact area.

    In a tie a part wins over background, a part with fewer pixels over one with more, and any label over
    none: else parts would shrink, the small ones most.

    Args:
        label_map: (H, W) integers in 0..255; 0 is background.
        rows: (h + 1,) floats, rising: where the new rows begin and end, in label_map's rows. They may reach
            beyond 0..H, where all is unlabelled.
        columns: (w + 1,), the same across.
        unlabelled: the value of unlabelled pixels.
    Returns:
        (h, w) uint8: the label that covers most of each new pixel.
    """
    counts = np.bincount(label_map.ravel(), minlength=unlabelled + 1)
    parts = [value for value in np.argsort(counts, kind="stable") if counts[value] and value not in (0, unlabelled)]
    shape = (len(rows) - 1, len(columns) - 1)
    found, most = np.zeros(shape, np.uint8), np.full(shape, -np.inf)
    for value in [*parts, 0, unlabelled]:
        share = _sums(_sums(label_map == value, columns).T, rows).T
        if value == unlabelled:
            share += np.outer(np.diff(rows), np.diff(columns))
            share -= np.outer(*(np.diff(e.clip(0, n)) for e, n in zip((rows, columns), label_map.shape, strict=True)))
        more = share > most + TIE
        found[more], most[more] = value, share[more]
    return found


def edges(start: float, end: float, number: int, scale: float = 1.0) -> np.ndarray:
    """The edges of `number` equal pixels from start to end, times scale: (number + 1,) floats."""
    return (start + np.arange(number + 1) * ((end - start) / number)) * scale


def _sums(values, edges):
    """Sums of values (M, L) between edges (l + 1,), each column counting by how much of it lies there: (M, l)."""
    edges = edges.clip(0, values.shape[1])
    whole = edges.astype(int)
    # Along contiguous rows, which is six times as fast as down the columns.
    total = np.ascontiguousarray(values).cumsum(1, dtype=np.int32 if values.dtype == bool else float)
    before = total[:, whole - 1] * (whole > 0)
    return np.diff(before + (edges - whole) * values[:, whole.clip(max=values.shape[1] - 1)])
