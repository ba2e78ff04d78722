import contextlib
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit.errors import ToolkitError
from toolkit.parts.coco import save_coco, to_coco
from toolkit.parts.result import Result
from toolkit.pictures import labels
from toolkit.pictures.images import Frame

FACE, CAR = ("background", "eyes", "mouth"), ("background", "wheel", "eyes")


def result(label_map, classes=FACE, **more):
    label_map = torch.tensor(label_map)
    return Result(torch.zeros(3, *label_map.shape), label_map, classes, labels.default_palette(len(classes)), **more)


def upload():
    """Of 6x4 pixels; the network saw the middle 4x4, two pixels to one."""
    return result(
        [[0, 1], [2, 2]], frame=Frame((1.0, 0.0, 5.0, 4.0), (6, 4)), full_image=Image.new("RGB", (6, 4), "white")
    )


def opened(path):
    """The file as the format's own reader indexes it."""
    COCO = pytest.importorskip("pycocotools.coco").COCO
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(path))


def test_cocos_own_reader_finds_the_pictures_and_their_parts(tmp_path):
    results = [upload(), result([[0, 0, 0], [1, 0, 0]]), result([[0, 0]])]
    save_coco(tmp_path / "coco.json", results, ["photo.jpg", "b.png", "nothing.png"])
    coco = opened(tmp_path / "coco.json")
    assert {"info", "licenses"} <= set(coco.dataset)
    pictures = [(p["file_name"], p["width"], p["height"]) for p in coco.loadImgs(coco.getImgIds())]
    assert pictures == [("photo.jpg", 6, 4), ("b.png", 3, 2), ("nothing.png", 2, 1)]
    assert [c["name"] for c in coco.loadCats(coco.getCatIds())] == ["eyes", "mouth"]
    assert [len(coco.getAnnIds(imgIds=[i])) for i in coco.getImgIds()] == [2, 1, 0]
    for image_id, one in zip(coco.getImgIds(), results):
        label_map = (one.label_map if one.frame is None else one.full_label_map).numpy()
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[image_id])):
            assert annotation["image_id"] == image_id and annotation["category_id"] in coco.getCatIds()
            np.testing.assert_array_equal(coco.annToMask(annotation), label_map == annotation["category_id"])
    with contextlib.redirect_stdout(io.StringIO()):  # what detectors are judged by insists on info
        assert coco.loadRes([{k: v for k, v in a.items() if k != "id"} | {"score": 1} for a in coco.anns.values()])


def test_one_category_for_a_name_whatever_its_label():
    found = to_coco([result([[1, 2]]), result([[1, 2]], CAR)], ["face.png", "car.png"])
    names = {category["id"]: category["name"] for category in found["categories"]}
    parts = [(a["image_id"], names[a["category_id"]], a["bbox"][0]) for a in found["annotations"]]
    assert parts == [(1, "eyes", 0), (1, "mouth", 1), (2, "wheel", 0), (2, "eyes", 1)]
    assert len(names) == len(set(names.values())) == 3


@settings(deadline=None, max_examples=50)
@given(st.lists(st.sampled_from(["a.png", "a-2.png", "a-2-2.png", "a", "b.jpg"]), min_size=1, max_size=8))
def test_two_pictures_never_share_a_name(names):
    found = [picture["file_name"] for picture in to_coco([result([[0, 1]])] * len(names), names)["images"]]
    assert len(set(found)) == len(found)
    assert all(new == old for i, (new, old) in enumerate(zip(found, names)) if old not in [*names[:i], *found[:i]])


@pytest.mark.parametrize("results, names", [([], []), ([result([[0, 1]])], []), ([result([[0, 1]])], ["a", "b"])])
def test_every_picture_is_named(results, names):
    with pytest.raises(ToolkitError, match="to_coco: expected results and a file name for each; got"):
        to_coco(results, names)
