"""What is painted on the canvas, as the server holds it."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from words import Sorry

from toolkit.pictures import labels


class Drawing:
    """A drawing that the browser sends stroke by stroke; each is taken once, however often it is sent.

    label_map: (1, R, R) int64, unlabelled where nothing is painted. fill: what is unpainted is background, not
    unlabelled. revision: counts the times the server has shown something else to draw on; strokes on what was there
    before are dropped, as the browser drops them too. received: how many strokes of this revision have come.
    """

    def __init__(self, label_map: Tensor, fill: bool = True) -> None:
        self.label_map, self.fill = label_map, fill
        self.revision = self.received = 0
        self._lock = threading.Lock()

    @property
    def strokes(self) -> Tensor | None:
        """What is painted, (1, R, R), the rest unlabelled; None where nothing is."""
        return None if (self.label_map == labels.IGNORE_INDEX).all() else self.label_map

    @property
    def meant(self) -> Tensor | None:
        """What is painted, with `fill` the rest as background; None where nothing is painted."""
        if self.strokes is None or not self.fill:
            return self.strokes
        return self.label_map.masked_fill(self.label_map == labels.IGNORE_INDEX, 0)

    def replace(self, label_map: Tensor) -> None:
        """Start anew from these labels (1, R, R)."""
        with self._lock:
            self.label_map, self.revision, self.received = label_map, self.revision + 1, 0

    def take(self, sent: dict[str, Any] | None, num_classes: int) -> None:
        """Take the strokes that have not come before.

        Args:
            sent: {"revision", "strokes": [{"number", "box": [left, top, right, bottom], "runs"}]}, numbered from 1.
            num_classes: labels from it on are refused.
        Raises:
            Sorry: not such a message.
        """
        with self._lock:
            try:
                if not sent or sent["revision"] != self.revision:
                    return
                for stroke in sent.get("strokes", ()):
                    if stroke["number"] == self.received + 1:
                        self._paint(stroke["box"], unpack(stroke["runs"]), num_classes)
                        self.received += 1
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise Sorry("The drawing did not arrive. Reload the page: it comes back.") from error

    def _paint(self, box: Sequence[int], values: Tensor, num_classes: int) -> None:
        left, top, right, bottom = box
        height, width = self.label_map.shape[1:]
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ValueError(f"box {box}")
        if ((values >= num_classes) & (values != labels.IGNORE_INDEX)).any():
            raise ValueError(f"labels up to {values.max()}")
        label_map = self.label_map.clone()  # shots hold the old one
        label_map[0, top:bottom, left:right] = values.view(bottom - top, right - left)
        self.label_map = label_map


def pack(label_map: Tensor) -> list[int]:
    """A label map, any shape, as [value, count, value, count, ...] along its rows."""
    values = label_map.flatten().numpy()
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    counts = np.diff(np.append(starts, len(values)))
    return np.stack([values[starts], counts], 1).flatten().tolist()


def unpack(runs: Sequence[int], most: int = 1 << 24) -> Tensor:
    """Inverse of `pack`: flat, int64.

    Raises:
        ValueError: not such runs, or more than `most` pixels.
    """
    pairs = np.asarray(runs, np.int64).reshape(-1, 2)
    if (pairs < 0).any() or (pairs[:, 1] > most).any() or pairs[:, 1].sum() > most:
        raise ValueError("runs of that length")
    return torch.from_numpy(pairs[:, 0].repeat(pairs[:, 1]))


def blank(resolution: int) -> Tensor:
    """A label map (1, R, R) with nothing on it."""
    return torch.full((1, resolution, resolution), labels.IGNORE_INDEX)
