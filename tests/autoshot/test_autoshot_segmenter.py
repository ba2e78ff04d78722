"""The network that needs no GAN, on pictures of any size, and its files."""

import json

import numpy as np
import pytest
import torch
from command_line import run
from PIL import Image
from small_autoshot import CLASSES, rng
from torch import nn

from toolkit import fewshot
from toolkit.autoshot.segmenter import AutoShotSegmenter
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.pictures import images


class ByBrightness(nn.Module):
    """Background where a picture is dark, class 1 where it is bright."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, image):
        brightness = image.mean(1, keepdim=True)
        return torch.cat([-brightness, brightness, torch.full_like(brightness, -9)], 1)


@pytest.mark.parametrize("size", [(1, 1), (17, 40), (64, 64), (300, 20)])
def test_any_size_of_picture_in_its_own_pixels(unet, size):
    picture = Image.effect_noise(size, 60)
    result = unet.segment(picture)
    assert result.label_map.shape == result.full_label_map.shape == size[::-1] == result.image.shape[1:]
    assert torch.equal(result.label_map, result.full_label_map) and result.full_image.size == size
    assert (result.psnr, result.trust, result.reconstruction) == (None, None, None)
    assert sum(result.areas().values()) == size[0] * size[1]


def test_a_large_upload_keeps_its_size_and_its_parts_their_place():
    auto = AutoShotSegmenter(ByBrightness(), CLASSES, 32)
    pixels = np.zeros((1000, 1500, 3), np.uint8)
    pixels[:, :500] = pixels[900:] = 255
    result = auto.segment(pixels)
    assert result.label_map.numel() <= 1 << 20 and result.full_label_map.shape == (1000, 1500)
    wrong = result.full_label_map != torch.from_numpy(pixels[..., 0] // 255)
    assert wrong.float().mean() < 0.01  # along the edges: the network saw 32 rows


def test_a_long_picture_is_seen_smaller(unet, monkeypatch):
    seen = []
    monkeypatch.setattr(AutoShotSegmenter, "predict", lambda self, x: seen.append(x) or torch.zeros(len(x), 3, 2, 2))
    unet.segment(Image.new("RGB", (4000, 2)))
    unet.segment(Image.new("RGB", (400, 200)))
    unet.segment(Image.new("RGB", (400, 200)), resolution=128)
    assert [tuple(x.shape[2:]) for x in seen] == [(1, 512), (32, 64), (128, 256)]


def test_predict_adds_nothing_where_nothing_is_missing(unet):
    picture = torch.rand(2, 3, 32, 48, generator=rng()) * 2 - 1
    assert torch.equal(unet.predict(picture), unet.network(picture))
    assert unet.predict(picture[:, :, :31, :33]).shape == (2, 3, 31, 33)


def test_a_list_is_its_pictures_one_by_one(unet, tmp_path):
    Image.effect_noise((50, 40), 60).save(tmp_path / "a.png")
    Image.effect_noise((40, 50), 60).save(tmp_path / "b.png")
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    sources = [a, b, Image.open(a), images.load_image(b)]
    together = unet.segment(sources)
    assert len(together) == 4 and isinstance(unet.segment(sources[:1]), list)
    for source, result in zip(sources, together):
        assert torch.equal(unet.segment(source).label_map, result.label_map)
    assert len(unet.segment(torch.zeros(3, 3, 20, 20))) == 3


@pytest.mark.parametrize("resolution", [0, 2.5, "64"])
def test_segment_refuses_other_resolutions(unet, resolution):
    with pytest.raises(ToolkitError, match="segment: expected resolution >= 1, an int"):
        unet.segment(Image.new("RGB", (8, 8)), resolution=resolution)


def test_save_and_load_keep_everything(unet, segmenter_file, tmp_path):
    unet.palette, unet.licence = unet.palette[::-1].copy(), "research use only"
    unet.save(tmp_path / "a.safetensors")
    again = fewshot.load_segmenter(tmp_path / "a.safetensors")
    picture = torch.rand(1, 3, 32, 32, generator=rng()) * 2 - 1
    assert torch.equal(again.predict(picture), unet.predict(picture))
    assert again.licence == "research use only" and again.about()["licence"] == again.licence
    assert again.classes == CLASSES and again.resolution == 32 and (again.palette == unet.palette).all()
    unet.save(tmp_path / "half.safetensors", torch.float16)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("a", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    torch.testing.assert_close(
        AutoShotSegmenter.load(tmp_path / "half.safetensors").predict(picture), unet.predict(picture), rtol=0, atol=2e-2
    )
    assert isinstance(fewshot.load_segmenter(segmenter_file), fewshot.Segmenter)


def test_files_that_are_no_auto_shot_network(unet, segmenter_file, tmp_path):
    (tmp_path / "text").write_text("text")
    for path in (tmp_path / "nowhere", tmp_path / "text", segmenter_file):
        with pytest.raises(CheckpointError, match="AutoShotSegmenter.load: expected an autoshot file; got"):
            AutoShotSegmenter.load(path)
    with pytest.raises(CheckpointError, match="load_segmenter: expected a segmenter or autoshot file; got"):
        fewshot.load_segmenter(tmp_path / "text")
    unet.network.classify = nn.Conv2d(2, 4, 1)
    unet.save(tmp_path / "torn")
    with pytest.raises(CheckpointError, match="AutoShotSegmenter.load: expected a whole auto-shot file; got"):
        AutoShotSegmenter.load(tmp_path / "torn")


def test_onnx_is_one_file_of_any_size_that_says_what_pytorch_says(unet, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    unet.save(tmp_path / "parts.safetensors")
    done = run("export", tmp_path / "parts.safetensors", "--onnx")
    assert done.returncode == 0 and "parts.onnx" in done.stdout, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.onnx", "parts.safetensors"]
    alone = tmp_path / "alone" / "parts.onnx"
    alone.parent.mkdir()
    (tmp_path / "parts.onnx").rename(alone)
    session = onnxruntime.InferenceSession(alone, providers=["CPUExecutionProvider"])
    about = {name: json.loads(value) for name, value in session.get_modelmeta().custom_metadata_map.items()}
    assert about["classes"] == list(CLASSES) and about["palette"] == unet.palette.tolist() and about["resolution"] == 32
    for shape in ((1, 3, 32, 32), (3, 3, 128, 128), (2, 3, 45, 77), (1, 3, 1, 200)):
        picture = torch.rand(shape, generator=rng()) * 2 - 1
        logits = session.run(["logits"], {"image": picture.numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(logits), unet.predict(picture), rtol=0, atol=1e-4)
