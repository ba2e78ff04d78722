"""What a person sees who works in a REPL or a notebook: one line each, pictures, and the names that are there."""

import ast
import importlib
import io
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import toolkit
from toolkit import fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.autoshot.unet import UNet
from toolkit.errors import ShapeError
from toolkit.pictures import shown

CLASSES = ("background", "left", "right")


@pytest.fixture(scope="module")
def segmenter(tiny_gan, shot):
    return fewshot.fit(tiny_gan, [shot], network="linear", num_steps=2)


@pytest.fixture(scope="module")
def projected(tiny_gan):
    return tiny_gan.project(torch.zeros(2, 3, 16, 16), num_steps=1)


def test_a_sample_says_where_it_is_from(tiny_gan, projected):
    assert repr(tiny_gan.sample(num=2)) == "<Sample of 2 pictures of 16 pixels, generated>"
    assert repr(tiny_gan.sample(num=2)[1]) == "<Sample of 1 picture of 16 pixels, generated>"
    low, high = sorted(f"{psnr:.1f}" for psnr in projected.psnr.tolist())
    many = "<Sample of 2 pictures of 16 pixels, projected: reconstruction"
    assert repr(projected) in (f"{many} {low} to {high} dB, trust unknown>", f"{many} {low} dB, trust unknown>")
    projected.trust = torch.tensor([0.25, 0.5])
    assert repr(projected).endswith("trust 0.25 to 0.50>") and repr(projected[0]).endswith("trust 0.25>")
    projected.trust = None


def test_shot_segmenters_and_results_say_what_they_know(shot, segmenter, projected, tiny_gan):
    assert repr(shot) == "<Shot of 16x16 pixels, 100% labelled: background, left, right>"
    name = tiny_gan.metadata["name"]
    assert repr(segmenter) == f"<Segmenter linear of background, left, right; GAN {name}>"
    auto = AutoShotSegmenter(UNet(3, 4), CLASSES, 16)
    assert repr(auto) == "<AutoShotSegmenter of background, left, right; 16 pixels, cpu>"
    result = segmenter.segment(projected[0])
    result.label_map = torch.zeros(16, 16, dtype=torch.long)
    assert repr(result).startswith("<Result of 16x16 pixels: background alone; reconstruction ")
    assert repr(result).endswith(" dB, trust unknown>")
    result.label_map[0] = 2
    assert repr(result).startswith("<Result of 16x16 pixels: right; ")
    alone = auto.segment(Image.new("RGB", (30, 20)))
    assert repr(alone).startswith("<Result of 30x20 pixels: ") and "trust" not in repr(alone)


def test_a_notebook_shows_pictures_and_colours(shot, segmenter, projected, tiny_gan):
    for thing, wide in (
        (tiny_gan.sample(), False),
        (projected, False),
        (shot, True),
        (segmenter.segment(shot.sample), 0),
    ):
        with Image.open(io.BytesIO(thing._repr_png_())) as picture:
            assert 256 < max(picture.size) <= shown.SHOWN and (picture.width > picture.height) == bool(wide)
    text = segmenter._repr_html_()
    for name, color in zip(CLASSES, segmenter.palette, strict=True):
        assert f'background:#{bytes(color).hex()}"></span>{name}</span>' in text
    assert "<b>" not in shown.legend("x", ["<b>"], np.zeros((1, 3), np.uint8))
    assert Image.open(io.BytesIO(shown.png(Image.new("RGB", (4000, 10))))).size == (shown.SHOWN, 1)


def test_every_name_is_there_and_no_other():
    for name in toolkit.__all__:
        room = getattr(toolkit, name)
        assert name in dir(toolkit) and room is importlib.import_module(room.__name__)
        source = Path(room.__file__)
        own = {
            node.name
            for node in ast.parse(source.read_text("utf-8")).body
            if isinstance(node, ast.FunctionDef | ast.ClassDef)
        }
        assert {n for n in own if not n.startswith("_")} <= set(room.__all__), name  # none is forgotten
        missing = [n for n in room.__all__ if not hasattr(room, n)]
        assert missing == [] and room.__all__ == sorted(room.__all__), name
    with pytest.raises(AttributeError, match="module 'toolkit' has no attribute 'alchemy'"):
        toolkit.alchemy  # noqa: B018


@pytest.mark.parametrize("label_map", [np.zeros((32, 32), int), np.full((8, 16), 99), np.zeros((16, 16, 3), int)])
def test_a_label_map_of_another_size_is_called_that(tiny_gan, label_map):
    want = r"Shot: expected a label map of the picture's size \(16, 16\); got one of another size: Tensor .*at its size"
    with pytest.raises(ShapeError, match=want):
        fewshot.Shot(tiny_gan.sample(), label_map, CLASSES)
    with pytest.raises(ShapeError, match=r"Shot: expected a sample of one picture; got 2 pictures. Take one, "):
        fewshot.Shot(tiny_gan.sample(num=2), np.zeros((16, 16), int), CLASSES)
