"""Segmented pictures as one COCO file."""

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import PurePath
from typing import Any

from toolkit.errors import ToolkitError
from toolkit.files import replace_when_done
from toolkit.parts.result import Result

INFO = {"description": "Parts of pictures, found by one-shot-parts", "version": "1.0"}


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
    names = dict.fromkeys(name for result in results for name in result.classes[1:])
    category_ids = {name: i for i, name in enumerate(names, start=1)}
    pictures, annotations = [], []
    for image_id, (result, file_name) in enumerate(zip(results, _different(file_names), strict=True), start=1):
        width, height = result.as_dict()["size"]
        pictures.append({"id": image_id, "file_name": file_name, "width": width, "height": height})
        for part in result.coco():
            ids = {"id": len(annotations) + 1, "image_id": image_id, "category_id": category_ids[part.pop("category")]}
            annotations.append({**part, **ids})
    categories = [{"id": i, "name": name, "supercategory": ""} for name, i in category_ids.items()]
    return {"info": INFO, "licenses": [], "images": pictures, "categories": categories, "annotations": annotations}


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


def _different(file_names: Sequence[str]) -> list[str]:
    """The names, repeated ones numbered: COCO readers take equal names for one picture."""
    found: list[str] = []
    for name in map(PurePath, file_names):
        candidate, number = name, 2
        while str(candidate) in found:
            candidate, number = name.with_stem(f"{name.stem}-{number}"), number + 1
        found.append(str(candidate))
    return found
