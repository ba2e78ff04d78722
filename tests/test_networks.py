import pytest
import torch
import torch.nn as nn
import torch.nn.functional as F

from toolkit.autoshot.unet import UNet
from toolkit.errors import ShapeError, ToolkitError
from toolkit.parts import networks
from toolkit.parts.hypercolumns import Hypercolumns
from toolkit.parts.networks import CNN, Mix, build, mix_of

NAMES = ["cnn-l", "cnn-m", "cnn-s", "mlp", "linear"]
SHAPES = {"a": (6, 4), "b": (5, 8), "c": (3, 16)}  # name -> channels, side


@pytest.fixture
def columns():
    rng = torch.Generator().manual_seed(0)
    draw = {n: 3 * torch.randn(2, c, s, s, generator=rng) + 1 for n, (c, s) in SHAPES.items()}
    return Hypercolumns(draw, 16)


def test_mix_is_the_convolution_of_standardised_F(columns):
    mix = Mix(columns.channels, 4)
    mean, std = columns.mean_std()
    mix.standardise(mean, std)
    standard = (columns.dense() - mean[:, None, None]) / std[:, None, None]
    expected = F.conv2d(standard, mix.weight[:, :, None, None], mix.bias)
    torch.testing.assert_close(mix(columns), expected, rtol=1e-4, atol=1e-5)


def test_a_channel_that_never_changes_is_only_centred(columns):
    mix = Mix(columns.channels, 4)
    mix.standardise(torch.zeros(14), torch.zeros(14))
    assert torch.equal(mix.std, torch.ones(14))


@pytest.mark.parametrize("name", NAMES)
def test_every_network_is_its_dense_form_and_learns(columns, name):
    torch.manual_seed(0)
    network = build(name, columns.channels, 5)
    mix_of(network).standardise(*columns.mean_std())
    logits = network(columns)
    assert logits.shape == (2, 5, 16, 16)

    class Built:  # the published way: F, then a 1x1 convolution
        channels = columns.channels

        @staticmethod
        def mix(weight, bias):
            return F.conv2d(columns.dense(), weight[:, :, None, None], bias)

    torch.testing.assert_close(logits, network(Built), rtol=1e-4, atol=1e-4)
    target = torch.randint(5, (2, 16, 16))
    F.cross_entropy(logits, target).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize(
    "size, dilations",
    [
        ("l", [2, 4, 8, 1, 2, 4, 8]),
        ("m", [2, 4, 1, 2, 4]),
        ("s", [2, 1, 2]),
    ],
)
def test_cnn_has_the_published_layers(size, dilations):
    network = CNN({"a": 7}, 5, size)
    assert [conv.dilation[0] for conv in network.convs] == dilations
    assert [conv.out_channels for conv in network.convs] == [64] * (len(dilations) - 1) + [32]
    assert network.mix.weight.shape == (128, 7) and network.convs[0].in_channels == 128
    assert network.classify.weight.shape == (5, 32, 3, 3)
    assert networks.SLOPE == 0.01


def test_mlp_sees_one_pixel_only():
    activations = torch.zeros(1, 4, 8, 8)
    network = build("mlp", {"a": 4}, 3)
    before = network(Hypercolumns({"a": activations.clone()}, 8))
    activations[0, :, 2, 5] = 9
    changed = (network(Hypercolumns({"a": activations}, 8)) != before).any(1)[0]
    assert changed.nonzero().tolist() == [[2, 5]]


@pytest.mark.parametrize("at_once", [1, 256, 300, 1 << 20])
def test_labelling_a_few_at_a_time_is_labelling_all(columns, at_once, monkeypatch):
    monkeypatch.setattr(networks, "PIXELS_AT_ONCE", at_once)
    network = build("mlp", columns.channels, 5)
    sizes = []
    network.register_forward_pre_hook(lambda _, x: sizes.append(len(x[0])))
    assert torch.allclose(networks.label(network, columns), network(columns), atol=1e-6)
    assert sizes[:-1] == ([2] if at_once >= 512 else [1, 1])


def test_hidden_channels_count_for_nothing_and_the_rest_for_more(columns):
    mix = Mix(columns.channels, 4)
    mix.standardise(*columns.mean_std())
    whole = mix(columns)
    mix.hide(0.5, torch.Generator().manual_seed(0))
    shown = mix.shown > 0
    assert 0 < shown.sum() < len(shown) and torch.equal(mix.shown[shown], torch.full((int(shown.sum()),), 2.0))
    (mix(columns) * torch.randn(2, 4, 16, 16)).sum().backward()
    assert torch.equal(mix.weight.grad.abs().sum(0) > 0, shown)
    reference = Mix(columns.channels, 4)
    reference.load_state_dict(mix.state_dict())
    reference.weight.data *= mix.shown
    assert torch.allclose(mix(columns), reference(columns))
    first, *others = columns.channels.items()
    mix.hide(0.5, torch.Generator().manual_seed(0), [first[0]])
    assert not mix.shown[: first[1]].any() and others
    assert torch.equal(mix.shown[first[1] :] > 0, shown[first[1] :])
    mix.hide(0)
    assert torch.equal(mix(columns), whole)


def test_networks_refuse_what_they_were_not_built_for(columns):
    with pytest.raises(ToolkitError, match="one of cnn-l, cnn-m, cnn-s, mlp, linear; got 'unet'"):
        build("unet", columns.channels, 5)
    with pytest.raises(ShapeError, match=r"Mix: expected hypercolumns with layers \{'a': 6\}; got"):
        build("linear", {"a": 6}, 5)(columns)
    with pytest.raises(ShapeError, match=r"Mix.standardise: expected std \(14,\); got Tensor \(3,\)"):
        Mix(columns.channels, 4).standardise(torch.zeros(14), torch.ones(3))


def test_unet_gives_every_pixel_logits_and_uses_every_weight():
    network = UNet(5, width=2)
    logits = network(torch.randn(2, 3, 32, 48))
    assert logits.shape == (2, 5, 32, 48)
    (logits * torch.randn_like(logits)).sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


@pytest.mark.parametrize("height, width", [(1, 1), (8, 8), (17, 40)])
def test_unet_repeats_the_edges_of_odd_pictures(height, width):
    network, picture = UNet(5, width=2).eval(), torch.randn(2, 3, height, width)
    padded = F.pad(picture, (0, -width % 16, 0, -height % 16), mode="replicate")
    assert torch.equal(network(picture), network(padded)[:, :, :height, :width])


def test_unet_logits_are_its_output_layers_own():
    network = UNet(3, width=2).eval()
    nn.init.zeros_(network.classify.weight)
    network.classify.bias.data = torch.tensor([1.0, 2.0, 3.0])
    assert torch.equal(network(torch.randn(1, 3, 16, 16))[0, :, 7, 9], torch.tensor([1.0, 2.0, 3.0]))


def test_unet_skips_carry_detail_the_bottleneck_cannot():
    network = UNet(2, width=2).eval()
    seen = torch.zeros(1, 3, 64, 64, requires_grad=True)
    network.up[-1].register_forward_pre_hook(lambda _, x: (torch.cat([x[0][:, :2], 0 * x[0][:, 2:]], 1),))
    network(seen + torch.randn(1, 3, 64, 64))[0, 0, 30, 30].backward()
    assert 0 < seen.grad.abs().sum((0, 1)).count_nonzero() <= 9 * 9  # four 3x3s: a 9x9 neighbourhood


def test_bottleneck_is_one_vector_a_picture():
    network = UNet(5, width=2).eval()
    features = network.bottleneck(torch.randn(3, 3, 32, 32))
    assert features.shape == (3, 16) and not torch.equal(features[0], features[1])


@pytest.mark.parametrize("shape", [(1, 1, 32, 32), (3, 32, 32)])
def test_unet_refuses_other_images(shape):
    with pytest.raises(ShapeError, match=r"UNet: expected \(N, 3, H, W\); got"):
        UNet(5, width=2)(torch.zeros(shape))
