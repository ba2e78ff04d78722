"""An auto-shot network's trust: by the layout of its parts."""

import json

import pytest
import torch
from PIL import Image

from toolkit.autoshot import AutoShotSegmenter
from toolkit.autoshot.layout import Layout, describe, learn_layout, trust
from toolkit.autoshot.unet import UNet
from toolkit.errors import ToolkitError
from toolkit.experiments import refusals
from toolkit.pictures.images import to_pil


class Colours(torch.nn.Module):
    """Labels a picture by its colours: red is 1, green is 2."""

    def forward(self, image):
        return torch.stack([torch.zeros_like(image[:, 0]), image[:, 0] * 9, image[:, 1] * 9], 1)


def flags(num, seed=0, upside_down=False):
    """Red over green in the middle, of slightly different sizes."""
    rng, image = torch.Generator().manual_seed(seed), torch.full((num, 3, 32, 32), -1.0)
    for one in image:
        half = int(torch.randint(6, 10, (), generator=rng))
        one[0, 16 - half : 16, 16 - half : 16 + half] = one[1, 16 : 16 + half, 16 - half : 16 + half] = 1
    return image.flip(2) if upside_down else image


def test_what_it_should_know_is_trusted_and_the_rest_is_not():
    layout = learn_layout(Colours(), flags(200))
    known = trust(layout, Colours()(flags(50, seed=1)))
    assert known.min() > 0.05 and known.shape == (50,)
    others = {
        "upside down": flags(20, upside_down=True),
        "noise": torch.rand(20, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1,
        "all of one part": torch.ones(5, 3, 32, 32) * torch.tensor([1.0, -1, -1])[:, None, None],
    }
    for name, image in others.items():
        assert trust(layout, Colours()(image)).mean() < 0.05, name


def test_trust_is_the_share_that_is_no_less_unusual():
    layout = learn_layout(Colours(), flags(100))
    assert len(layout.usual) == 100 and (layout.usual.diff() >= 0).all()
    only = Layout(layout.mean, layout.root, torch.tensor([0.0, 1e9, 1e9, 1e9]))
    assert trust(only, Colours()(flags(2))).tolist() == [0.75, 0.75]


def test_moments_by_hand():
    logits = torch.full((1, 2, 1, 2), -50.0)
    logits[0, 0, 0, 0] = logits[0, 1, 0, 1] = 50  # class 0 at the left, 1 at the right: x = -0.5 and 0.5
    moments = [0.5, 0.5, -0.25, 0.25, 0, 0, 0.125, 0.125, 0, 0]
    certain, upright, level = [0.5, 0.5], [1, 1], [0, 0]
    torch.testing.assert_close(describe(logits), torch.tensor([[*moments, *certain, *upright, *level]]))
    # As finely as one looks, the edge is as high as the picture; and where all is possible, nothing is certain.
    fine = logits.repeat_interleave(3, 2).repeat_interleave(3, 3)
    torch.testing.assert_close(describe(fine)[0, -6:], torch.tensor([0.5, 0.5, 1, 1, 0, 0]))
    assert describe(0 * logits)[0, -6:].tolist() == [0.25, 0.25, 0, 0, 0, 0]


def network():
    torch.manual_seed(0)
    unet = UNet(3, 4).eval()
    rng = torch.Generator().manual_seed(0)
    image = (torch.rand(40, 3, 1, 1, generator=rng) * 2 - 1).expand(40, 3, 16, 16).contiguous()  # moves change nothing
    return AutoShotSegmenter(unet, ["background", "a", "b"], 16, layout=learn_layout(unet, image)), image


def test_results_say_it_the_file_keeps_it_and_low_trust_warns(tmp_path):
    auto, image = network()
    auto.save(tmp_path / "a.safetensors", torch.float16)
    again = AutoShotSegmenter.load(tmp_path / "a.safetensors")
    assert all(torch.equal(a, b) for a, b in zip(again.layout, auto.layout, strict=True))
    earlier = Layout(auto.layout.mean[:15], auto.layout.root[:15, :15], auto.layout.usual)  # knew less of each class
    AutoShotSegmenter(auto.network, auto.classes, 16, layout=earlier).save(tmp_path / "b.safetensors")
    assert AutoShotSegmenter.load(tmp_path / "b.safetensors").layout is None
    result = auto.segment(to_pil(image[0]))
    assert result.as_dict()["trust"] == result.trust > 0
    auto.layout = Layout(auto.layout.mean, auto.layout.root, auto.layout.usual * 1e-6)
    with pytest.warns(UserWarning, match="this picture is unlike anything this network learned from"):
        assert auto.segment(to_pil(image[0])).trust == 0
    with pytest.warns(UserWarning, match="2 of 2 pictures are unlike anything"):
        auto.segment([Image.new("RGB", (16, 16))] * 2)


def test_onnx_says_it_too(tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    auto, _ = network()
    auto.export_onnx(tmp_path / "a.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map["low_trust"]) == 0.05
    for shape in ((1, 3, 16, 16), (3, 3, 20, 37)):
        image = torch.rand(shape, generator=torch.Generator().manual_seed(1)) * 2 - 1
        logits, found = session.run(["logits", "trust"], {"image": image.numpy()})
        expected = auto.predict(image)
        torch.testing.assert_close(torch.from_numpy(logits), expected, rtol=0, atol=1e-4)
        torch.testing.assert_close(torch.from_numpy(found), trust(auto.layout, expected), rtol=0, atol=0.05)


def test_refusals_are_counted_by_folder(tmp_path):
    auto, image = network()
    auto.layout = auto.layout._replace(usual=torch.full((10,), 1e12))
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for i in range(3):
            to_pil(image[i]).save(tmp_path / name / f"{i}.png")
    everything = refusals(auto, [tmp_path / "a", tmp_path / "b"], num=2)
    assert everything == {name: {"pictures": 2, "low trust": 0.0} for name in "ab"}
    auto.layout = auto.layout._replace(usual=torch.zeros(10))
    assert refusals(auto, [tmp_path / "a"])["a"] == {"pictures": 3, "low trust": 100.0}
    auto.layout = None
    with pytest.raises(ToolkitError, match="refusals: expected a segmenter that tells its trust; got none"):
        refusals(auto, [tmp_path / "a"])
