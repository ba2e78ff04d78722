"""A segmenter of the small GAN, what it labels, and a network beside it."""

import pytest
import torch
from small_autoshot import CLASSES

from toolkit import autoshot, fewshot
from toolkit.autoshot.segmenter import AutoShotSegmenter
from toolkit.autoshot.unet import UNet


@pytest.fixture(scope="module")
def segmenter(tiny_gan):
    """Three classes by brightness, learned from one generated picture."""
    sample = tiny_gan.sample(seed=1)
    brightness = sample.image.mean(1)
    label_map = torch.bucketize(brightness, brightness.quantile(torch.tensor([0.4, 0.7])))
    shot = fewshot.Shot(sample, label_map, CLASSES, tiny_gan)
    return fewshot.fit(tiny_gan, [shot], network="linear", num_steps=60)


@pytest.fixture(scope="module")
def segmenter_file(segmenter, tmp_path_factory):
    path = tmp_path_factory.mktemp("segmenter") / "few.safetensors"
    segmenter.save(path)
    return path


@pytest.fixture(scope="module")
def pairs(segmenter):
    return autoshot.synthesize(segmenter, 100)


@pytest.fixture
def unet():
    torch.manual_seed(0)
    network = UNet(3, width=2)
    network(torch.randn(8, 3, 32, 32))  # so that batch norm has statistics
    return AutoShotSegmenter(network, CLASSES, 32)
