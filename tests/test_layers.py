"""A convolution and the low-pass filter beside it as one: the same numbers, in two ways."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.gan.generator import SynthesisConv
from toolkit.gan.layers import Conv, blur, low_passed

NUMBERS = st.integers(1, 4)
SIDES = st.integers(2, 9)


def normal(*shape, seed=0):
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS, SIDES, SIDES, st.sampled_from([1, 3, 5]), st.floats(0.25, 4))
def test_one_convolution_blurs_and_convolves(num, channels, out, height, width, kernel, gain):
    x, weight = normal(num, channels, 2 * height, 2 * width), normal(out, channels, kernel, kernel, seed=1)
    pad = (kernel + 1) // 2
    two = F.conv2d(blur(x, pad, gain), weight, stride=2)
    assert two.shape[2:] == (height, width)
    assert torch.allclose(F.conv2d(x, low_passed(weight, gain), stride=2, padding=pad), two, atol=1e-10)


@settings(max_examples=40, deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS, SIDES, SIDES, st.floats(0.25, 4))
def test_one_transposed_convolution_spreads_and_blurs(num, channels, out, height, width, gain):
    x, weight = normal(num, channels, height, width), normal(channels, out, 3, 3, seed=1)
    two = blur(F.conv_transpose2d(x, weight, stride=2), 1, gain)
    assert two.shape[2:] == (2 * height, 2 * width)
    one = F.conv_transpose2d(x, low_passed(weight, gain), stride=2, padding=2)
    assert torch.allclose(one, two, atol=1e-10)


def both_ways(monkeypatch, layer, *inputs):
    """Output and gradients of all parameters, as a CPU and as a GPU computes them."""
    results = []
    for on_gpu in (False, True):
        monkeypatch.setattr(torch.Tensor, "is_cuda", on_gpu)
        out = layer(*inputs)
        parameters = [p for p in layer.parameters() if p.requires_grad]
        grads = torch.autograd.grad(out.square().sum(), parameters, allow_unused=True)
        monkeypatch.undo()
        results.append([out, *(g for g in grads if g is not None)])
    return results


@pytest.mark.parametrize("kernel, options", [(3, {"gain": 0.5}), (1, {"activate": False, "bias": False})])
def test_a_halving_convolution_is_the_same_on_a_gpu(monkeypatch, kernel, options):
    layer = Conv(3, 5, kernel, down=True, **options).double()
    slow, fast = both_ways(monkeypatch, layer, normal(2, 3, 8, 8))
    assert slow[0].shape == (2, 5, 4, 4) and len(slow) == len(fast)
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(slow, fast, strict=True))


@pytest.mark.parametrize("noise", [None, normal(2, 1, 8, 8, seed=3)])
def test_a_doubling_convolution_is_the_same_on_a_gpu(monkeypatch, noise):
    layer = SynthesisConv(3, 5, 6, 8, up=True, conv_clamp=None).double()
    torch.nn.init.constant_(layer.noise_strength, 0.3)
    slow, fast = both_ways(monkeypatch, layer, normal(2, 3, 4, 4), normal(2, 6, seed=2), noise)
    assert slow[0].shape == (2, 5, 8, 8) and len(slow) == len(fast) > 3
    assert all(torch.allclose(a, b, atol=1e-10) for a, b in zip(slow, fast, strict=True))


@pytest.mark.parametrize("on_gpu", [False, True])
def test_which_way_is_taken(monkeypatch, on_gpu):
    """Else the tests above compare one way with itself."""
    calls = []
    for module in ("toolkit.gan.layers", "toolkit.gan.generator"):
        monkeypatch.setattr(f"{module}.low_passed", lambda *args, **kw: calls.append(1) or low_passed(*args, **kw))
    monkeypatch.setattr(torch.Tensor, "is_cuda", on_gpu)
    Conv(3, 5, 3, down=True)(torch.randn(2, 3, 8, 8))
    SynthesisConv(3, 5, 6, 8, up=True, conv_clamp=None)(torch.randn(2, 3, 4, 4), torch.randn(2, 6), None)
    assert len(calls) == 2 * on_gpu
