import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit.errors import ShapeError, ToolkitError
from toolkit.parts.result import Result
from toolkit.pictures import labels
from toolkit.pictures.images import Frame, to_uint8

ROOT = Path(__file__).parent.parent
CLASSES = ("background", "left", "right", "absent")
PALETTE = labels.default_palette(4)
LABEL_MAP = torch.tensor([[0, 1], [2, 2]])


def bare(**more):
    return Result(torch.zeros(3, 2, 2), LABEL_MAP, CLASSES, PALETTE, **more)


def framed():
    """Of an upload of 6x4 pixels the network saw the middle 4x4, two pixels to one."""
    upload = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8))
    return bare(frame=Frame((1.0, 0.0, 5.0, 4.0), (6, 4)), full_image=upload, trust=0.25, psnr=20.0)


FULL = torch.tensor([[255, 0, 0, 1, 1, 255]] * 2 + [[255, 2, 2, 2, 2, 255]] * 2)


def test_labels_in_the_uploads_own_pixels():
    assert torch.equal(framed().full_label_map, FULL) and framed().full_label_map.dtype == torch.int64
    assert bare().full_label_map is None


def smooth(**more):
    """Two halves whose scores say that the boundary is a quarter of a pixel left of the middle; 8 pixels to one."""
    scores = torch.tensor([[1.0, -0.6], [-1.0, 0.6], [-9.0, -9.0], [-9.0, -9.0]])[:, None].expand(4, 2, 2).contiguous()
    frame = Frame((0.0, 0.0, 16.0, 16.0), (16, 16))
    label_map = torch.tensor([[0, 1], [0, 1]])
    return Result(torch.zeros(3, 2, 2), label_map, CLASSES, PALETTE, frame=frame, logits=scores, **more)


def test_boundaries_in_the_uploads_pixels_lie_where_the_scores_cross():
    # Between the centres, at 4 and 12, they cross at 4 + 8 * 1 / 1.6 = 9.
    expected = (torch.arange(16) >= 9).long().expand(16, 16)
    assert torch.equal(smooth().full_label_map, expected)
    assert smooth().areas()["left"] == 16 * 7
    corrected = smooth()
    corrected.label_map = torch.tensor([[0, 2], [0, 2]])  # by hand: the scores are no longer behind it
    assert torch.equal(corrected.full_label_map[0], torch.tensor([0] * 8 + [2] * 8))
    small = smooth()
    small.frame = Frame((0.0, 0.0, 2.0, 2.0), (2, 2))
    assert torch.equal(small.full_label_map, small.label_map)


def test_the_png_is_of_the_upload_where_there_is_one(tmp_path):
    for result, expected in ((bare(), LABEL_MAP), (framed(), FULL)):
        result.save_png(tmp_path / "parts.png")
        with Image.open(tmp_path / "parts.png") as written:
            assert written.mode == "P"
            np.testing.assert_array_equal(np.asarray(written), expected.numpy())
        assert torch.equal(labels.load_label_png(tmp_path / "parts.png")[0], expected)


def test_areas_count_every_class_and_nothing_outside():
    assert bare().areas() == {"background": 1, "left": 1, "right": 2, "absent": 0}
    assert framed().areas() == {"background": 4, "left": 4, "right": 8, "absent": 0}


@pytest.mark.parametrize("alpha", [0, 0.3, 1])
def test_the_overlay_tints_parts_only(alpha):
    result = framed()
    upload, shown = np.asarray(result.full_image, float), np.asarray(result.overlay(alpha), float)
    parts = (FULL == 1) | (FULL == 2)
    tint = PALETTE[FULL.clamp(max=3)].astype(float)
    np.testing.assert_array_equal(shown[~parts], upload[~parts])
    expected = upload * (1 - alpha) + tint * alpha
    assert abs(shown - expected)[parts].max() <= 1
    assert np.array_equal(np.asarray(result.full_image), upload)  # the upload itself is left alone


def test_the_overlay_of_a_tensor_is_its_own_size():
    shown = np.asarray(bare().overlay(1.0))
    assert shown.shape == (2, 2, 3) and tuple(shown[1, 0]) == tuple(PALETTE[2])
    assert tuple(shown[0, 0]) == tuple(to_uint8(torch.zeros(1, 3, 1, 1))[0, 0, 0])


@pytest.mark.parametrize("make", [bare, framed])
def test_alpha_is_checked(make):
    with pytest.raises(ShapeError, match=r"overlay: expected alpha in \[0, 1\]; got 2"):
        make().overlay(2)


def test_as_dict_is_strict_json():
    result = bare(psnr=float("inf"))
    found = json.loads(json.dumps(result.as_dict(), allow_nan=False))
    assert found["size"] == [2, 2] and found["psnr"] is None and found["trust"] is None and found["box"] is None
    found = framed().as_dict()
    assert found["size"] == [6, 4] and found["box"] == [1, 0, 5, 4] and found["trust"] == 0.25 and found["psnr"] == 20
    assert found["classes"] == list(CLASSES) and found["areas"]["right"] == 8 and found["palette"][0] == "#222228"


def test_coco_masks_decode_to_the_label_map():
    mask = pytest.importorskip("pycocotools.mask")
    annotations = framed().coco()
    assert [(a["category_id"], a["category"]) for a in annotations] == [(1, "left"), (2, "right")]
    for annotation in json.loads(json.dumps(annotations)):
        part = FULL.numpy() == annotation["category_id"]
        np.testing.assert_array_equal(mask.decode(annotation["segmentation"]).astype(bool), part)
        rows, columns = np.nonzero(part)
        corner, size = (columns.min(), rows.min()), (np.ptp(columns) + 1, np.ptp(rows) + 1)
        assert annotation["bbox"] == [*corner, *size] and annotation["area"] == part.sum()


def test_coco_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    with pytest.raises(ToolkitError, match=r'coco: expected the package pycocotools; .* pip install ".*\[coco\]"'):
        bare().coco()


def test_a_result_needs_no_gan():
    code = "import sys, toolkit.parts.result; print([m for m in sys.modules if 'fewshot' in m or 'toolkit.gan' in m])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stderr
