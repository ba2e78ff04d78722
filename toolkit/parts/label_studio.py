"""Segmented pictures as tasks of Label Studio, their parts as brush strokes to correct."""

import json
from collections.abc import Iterable, Sequence
from os import PathLike
from typing import Any

import numpy as np

from toolkit.files import replace_when_done
from toolkit.parts.rle import brush_rle

FROM, TO = "tag", "image"  # of Label Studio's own template for brushes


def task(file_name: str, label_map: np.ndarray, classes: Sequence[str]) -> dict[str, Any]:
    """One picture as a task with a prediction, JSON-serialisable.

    Args:
        file_name: where Label Studio finds the picture: a URL, or as its local storage names it.
        label_map: (H, W) integers.
        classes: names, background first, which is left out.
    Source: https://labelstud.io/guide/predictions
    """
    height, width = label_map.shape
    result = []
    for i, name in enumerate(classes[1:], start=1):
        if (mask := label_map == i).any():
            result.append(
                {
                    "id": f"part-{i}",
                    "type": "brushlabels",
                    "from_name": FROM,
                    "to_name": TO,
                    "original_width": width,
                    "original_height": height,
                    "image_rotation": 0,
                    "value": {"format": "rle", "rle": brush_rle(mask), "brushlabels": [name]},
                }
            )
    return {"data": {"image": file_name}, "predictions": [{"model_version": "one-shot-parts", "result": result}]}


def stream_label_studio(
    path: str | PathLike, pictures: Iterable[tuple[str, np.ndarray]], classes: Sequence[str]
) -> int:
    """Write any number of segmented pictures as one file for Label Studio's import, one in memory at a time.

    Args:
        path: the .json file; its folder is created.
        pictures: (file name, label map (H, W)) of each.
        classes: of all, background first.
    Returns:
        number of pictures.
    """
    num = 0
    with replace_when_done(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write("[")
        for num, (file_name, label_map) in enumerate(pictures, start=1):
            file.write((",\n" if num > 1 else "\n") + json.dumps(task(file_name, label_map, classes)))
        file.write("]\n")
    return num
