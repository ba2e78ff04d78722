"""Our files opened by the tools they are for, where these are installed.

They are not among what `make test` installs: datumaro holds pandas below 3, and label-studio-converter, which no longer
changes, holds a parser of 2023. Neither touches torch; in an environment of one's own:
`pip install datumaro label-studio-converter`. What needs neither is in test_coco.py and test_rle.py, whose decoder is
written anew from the converter's.
"""

import json

import numpy as np
import pytest
from PIL import Image

from toolkit.parts.coco import stream_coco
from toolkit.parts.label_studio import stream_label_studio

CLASSES = ("background", "eyes", "mouth", "nose")


@pytest.fixture
def pictures():
    """(file name, label map) of two that are not square, one without a part."""
    found = np.random.default_rng(0).integers(0, 4, (30, 40), dtype=np.uint8)
    found[:10] = 0
    return [("a.png", found), ("b.png", np.full((20, 15), 2, np.uint8)), ("nothing.png", np.zeros((4, 5), np.uint8))]


def test_datumaro_finds_pictures_and_masks(pictures, tmp_path):
    datumaro = pytest.importorskip("datumaro")
    for name, label_map in pictures:
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.new("RGB", label_map.shape[::-1]).save(tmp_path / "images" / name)
    stream_coco(tmp_path / "annotations" / "instances_all.json", iter(pictures), CLASSES)
    dataset = datumaro.Dataset.import_from(str(tmp_path), "coco_instances")
    names = [label.name for label in dataset.categories()[datumaro.AnnotationType.label].items]
    items = {item.id: item for item in dataset}
    assert sorted(items) == ["a", "b", "nothing"] and set(CLASSES[1:]) <= set(names)
    for name, label_map in pictures:
        item = items[name.removesuffix(".png")]
        assert item.media.data.shape[:2] == label_map.shape
        masks = {names[one.label]: one.image for one in item.annotations if isinstance(one, datumaro.Mask)}
        assert set(masks) == {CLASSES[i] for i in np.unique(label_map) if i}
        for part, mask in masks.items():
            np.testing.assert_array_equal(mask, label_map == CLASSES.index(part))


def test_label_studio_decodes_brush_strokes(pictures, tmp_path):
    brush = pytest.importorskip("label_studio_converter.brush")
    stream_label_studio(tmp_path / "tasks.json", iter(pictures), CLASSES)
    tasks = json.loads((tmp_path / "tasks.json").read_text())
    for (name, label_map), task in zip(pictures, tasks, strict=True):
        assert task["data"]["image"] == name
        results = task["predictions"][0]["result"]
        assert [one["value"]["brushlabels"] for one in results] == [[CLASSES[i]] for i in np.unique(label_map) if i]
        for one in results:
            pixels = brush.decode_rle(one["value"]["rle"]).reshape(*label_map.shape, 4)
            part = CLASSES.index(one["value"]["brushlabels"][0])
            np.testing.assert_array_equal(pixels[..., 3], 255 * (label_map == part))
