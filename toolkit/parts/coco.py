"""Segmented pictures as one COCO file."""

import json
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import PurePath
from typing import Any

import numpy as np

from toolkit.errors import ToolkitError
from toolkit.files import replace_when_done
from toolkit.parts.result import Result
from toolkit.parts.rle import coco_annotations

INFO = {"description": "Parts of pictures, found by one-shot-parts", "version": "1.0"}
HEAD: dict[str, Any] = {"info": INFO, "licenses": []}


def to_coco(results: Sequence[Result], file_names: Sequence[str]) -> dict[str, Any]:
    """The content of a COCO file of segmented pictures, JSON-serialisable.

    Args:
        results: one or more `Result`s.
        file_names: the picture file of each, e.g. "photo.jpg"; one that recurs gets a number.
    Returns:
        dict with info, licenses (none), images (id, file_name, width and height), categories (id and name)
        and annotations (id, image_id, category_id, and the fields of `Result.coco`). All ids count
        from 1. Where all results have the same classes, a category's id is its label.
    Raises:
        ToolkitError: not a file name for each result, or pycocotools is not installed.
    Source: https://cocodataset.org/#format-data
    """
    if not results or len(results) != len(file_names):
        raise ToolkitError(
            "to_coco",
            "results and a file name for each",
            f"{len(results)} results, {len(file_names)} names",
            "Name the file of every picture",
        )
    found = _Numbering()
    for result in results:
        found.name_parts(result.classes)
    pictures, annotations = [], []
    for result, file_name in zip(results, file_names, strict=True):
        picture, parts = found.number(file_name, result.as_dict()["size"], result.coco())
        pictures.append(picture)
        annotations += parts
    return {**HEAD, "images": pictures, "categories": found.categories(), "annotations": annotations}


def save_coco(path: str | PathLike, results: Sequence[Result], file_names: Sequence[str]) -> None:
    """Write segmented pictures as one COCO file, whole or not at all.

    Args:
        path: the .json file; its folder is created.
        results, file_names: as `to_coco` takes them.
    Raises:
        ToolkitError: as `to_coco`.
    """
    found = to_coco(results, file_names)
    with replace_when_done(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        json.dump(found, file)


def stream_coco(path: str | PathLike, pictures: Iterable[tuple[str, np.ndarray]], classes: Sequence[str]) -> int:
    """Write any number of segmented pictures as one COCO file, whole or not at all, one in memory at a time.

    Args:
        path: the .json file; its folder is created.
        pictures: (file name, label map (H, W)) of each.
        classes: of all, background first.
    Returns:
        number of pictures.
    Raises:
        ToolkitError: pycocotools is not installed.
    """
    found = _Numbering()
    found.name_parts(classes)
    entries = []
    with replace_when_done(path) as temporary, open(temporary, "w", encoding="utf-8") as file:
        file.write(json.dumps({**HEAD, "categories": found.categories()})[:-1] + ', "annotations": [')
        for file_name, label_map in pictures:
            height, width = label_map.shape
            picture, parts = found.number(file_name, (width, height), coco_annotations(label_map, classes))
            for part in parts:
                file.write((",\n" if part["id"] > 1 else "\n") + json.dumps(part))
            entries.append(json.dumps(picture))  # a hundred bytes each
        file.write('], "images": [\n' + ",\n".join(entries) + "]}\n")
    return len(entries)


class _Numbering:
    """The ids of pictures, categories and annotations."""

    def __init__(self) -> None:
        self.category_ids: dict[str, int] = {}
        self.file_names: set[str] = set()
        self.num_annotations = 0

    def name_parts(self, classes: Sequence[str]) -> None:
        for name in classes[1:]:
            self.category_ids.setdefault(name, len(self.category_ids) + 1)

    def categories(self) -> list[dict[str, Any]]:
        return [{"id": i, "name": name, "supercategory": ""} for name, i in self.category_ids.items()]

    def number(self, file_name: str, size: Sequence[int], parts: list[dict]) -> tuple[dict, list[dict]]:
        """The entries of the next picture and of its parts."""
        image_id = len(self.file_names) + 1
        picture = {"id": image_id, "file_name": self._different(file_name), "width": size[0], "height": size[1]}
        numbered = []
        for part in parts:
            self.num_annotations += 1
            ids = {"id": self.num_annotations, "image_id": image_id}
            numbered.append({**part, **ids, "category_id": self.category_ids[part["category"]]})
            del numbered[-1]["category"]
        return picture, numbered

    def _different(self, file_name: str) -> str:
        """The name, numbered if it was taken: COCO readers take equal names for one picture."""
        name, number = PurePath(file_name), 2
        candidate = name
        while str(candidate) in self.file_names:
            candidate, number = name.with_stem(f"{name.stem}-{number}"), number + 1
        self.file_names.add(str(candidate))
        return str(candidate)
