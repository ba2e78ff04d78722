import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.overrides import TorchFunctionMode

from toolkit.errors import ShapeError, ToolkitError
from toolkit.parts.hypercolumns import Hypercolumns, cat, from_generator

SHAPES = {"a": (3, 4), "b": (2, 8), "c": (4, 4), "d": (2, 16), "e": (1, 8)}  # name -> channels, side


def make(num=2, resolution=8, shapes=SHAPES, seed=0):
    rng = torch.Generator().manual_seed(seed)
    draw = {n: torch.randn(num, c, side, side, generator=rng) for n, (c, side) in shapes.items()}
    return Hypercolumns(draw, resolution), draw


def paper(activations, resolution):
    """F as the paper writes it, without our code."""
    size = (resolution, resolution)
    layers = [
        F.interpolate(a, size=size, mode="bilinear", align_corners=False)
        if a.shape[-1] < resolution
        else F.adaptive_avg_pool2d(a, size)
        for a in activations.values()
    ]
    return torch.cat(layers, 1)


def test_dense_is_the_papers_F_in_the_order_given():
    columns, activations = make()
    torch.testing.assert_close(columns.dense(), paper(activations, 8), rtol=0, atol=1e-6)
    assert (columns.num_channels, columns.num_images, len(columns)) == (12, 2, 2)
    assert list(columns.channels.items()) == [(name, c) for name, (c, _) in SHAPES.items()]


@settings(max_examples=30, deadline=None)
@given(
    layers=st.lists(st.tuples(st.integers(1, 3), st.integers(1, 12)), min_size=1, max_size=5),
    resolution=st.integers(1, 12),
    num=st.integers(1, 3),
    outputs=st.integers(1, 4),
    biased=st.booleans(),
)
def test_mix_is_the_convolution_of_dense_with_the_same_gradients(layers, resolution, num, outputs, biased):
    shapes = {f"layer{i}": layer for i, layer in enumerate(layers)}
    _, activations = make(num, resolution, shapes)
    weight = torch.randn(outputs, sum(c for c, _ in layers), requires_grad=True)
    bias = torch.randn(outputs, requires_grad=True) if biased else None
    for a in activations.values():
        a.requires_grad_()
    inputs = [*activations.values(), weight] + ([bias] if biased else [])
    lazy = Hypercolumns(activations, resolution).mix(weight, bias)
    dense = F.conv2d(paper(activations, resolution), weight[:, :, None, None], bias)
    seen = torch.randn_like(dense)  # a loss that tells every pixel and output apart
    torch.testing.assert_close(lazy, dense, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(
        torch.autograd.grad((lazy * seen).sum(), inputs), torch.autograd.grad((dense * seen).sum(), inputs)
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


class LargestResult(TorchFunctionMode):
    """Remembers the most numbers any torch function returned."""

    numbers = 0

    def __torch_function__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self.numbers = max(self.numbers, result.numel())
        return result


def test_mix_never_builds_F():
    columns, _ = make(num=1, resolution=32, shapes={"a": (500, 4), "b": (300, 8)})
    with LargestResult() as largest:
        columns.mix(torch.randn(80, 800))
    assert largest.numbers == 80 * 32 * 32  # the mixed channels, a tenth of F


def test_layers_finer_than_the_output_are_pooled_once_and_dropped():
    columns, activations = make(resolution=4)
    assert {a.shape[-1] for a in columns.activations.values()} == {4}
    torch.testing.assert_close(columns.activations["d"], F.avg_pool2d(activations["d"], 4))


def test_index_slice_and_cat_work_on_pictures():
    columns, activations = make(num=5)
    dense = paper(activations, 8)
    for index in (slice(1, 4), [3, 0], torch.tensor([4, 4])):
        torch.testing.assert_close(columns[index].dense(), dense[index], rtol=0, atol=1e-6)
    torch.testing.assert_close(columns[-1].dense(), dense[-1:], rtol=0, atol=1e-6)
    joined = cat([columns[:2], columns[2], columns[3:]])
    assert torch.equal(joined.dense(), columns.dense())
    with pytest.raises(IndexError):
        columns[5]


def test_select_takes_layers_in_the_order_asked():
    columns, activations = make()
    picked = columns.select(["d", "a"])
    expected = paper({name: activations[name] for name in ("d", "a")}, 8)
    torch.testing.assert_close(picked.dense(), expected, rtol=0, atol=1e-6)


def test_flip_mirrors_F():
    columns, activations = make()
    torch.testing.assert_close(columns.flip().dense(), paper(activations, 8).flip(3), rtol=0, atol=1e-5)


def test_to_moves_every_layer_and_leaves_the_original():
    columns, _ = make()
    moved = columns.to("meta")
    assert {a.device.type for a in moved.activations.values()} == {"meta"}
    assert {a.device.type for a in columns.activations.values()} == {"cpu"}


def test_statistics_are_per_channel_over_pictures_and_pixels_in_the_order_of_F():
    columns, activations = make(num=3, resolution=16)
    mean, std = columns.mean_std()
    flat = [a.transpose(0, 1).flatten(1) for a in activations.values()]
    torch.testing.assert_close(mean, torch.cat([a.mean(1) for a in flat]), rtol=0, atol=1e-6)
    torch.testing.assert_close(std, torch.cat([a.std(1, correction=0) for a in flat]))


class StandInGenerator:
    resolution = 8

    def synthesis(self, ws, noise_mode, noise, rng, return_activations):
        assert return_activations
        self.asked = (noise_mode, noise, rng)
        return ws[:, :1], {"a": ws.repeat(1, 2, 1, 1), "b": ws[:, :, ::2, ::2]}


def test_from_generator_keeps_the_layers_asked_for_and_no_graph():
    generator, ws = StandInGenerator(), torch.randn(2, 3, 8, 8, requires_grad=True)
    image, columns = from_generator(generator, ws, noise_mode="random", noise=5, rng=6, layers=["b"])
    assert generator.asked == ("random", 5, 6)
    assert torch.equal(image, ws[:, :1]) and columns.resolution == 8
    assert columns.channels == {"b": 3} and not columns.dense().requires_grad
    _, every = from_generator(generator, ws, resolution=4)
    assert list(every.channels) == ["a", "b"] and every.dense().shape == (2, 9, 4, 4)


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda h: Hypercolumns({}, 8), ShapeError, r"Hypercolumns: expected layers \(N, C, H, H\)"),
        (lambda h: Hypercolumns({"a": torch.zeros(1, 2, 4, 8)}, 8), ShapeError, r"got \{'a': \(1, 2, 4, 8\)\}"),
        (
            lambda h: Hypercolumns({"a": torch.zeros(1, 2, 4, 4), "b": torch.zeros(2, 2, 4, 4)}, 8),
            ShapeError,
            "of the same N pictures",
        ),
        (lambda h: Hypercolumns({"a": torch.zeros(1, 2, 4, 4)}, 0), ShapeError, "resolution >= 1; got 0"),
        (lambda h: h.mix(torch.zeros(3, 7)), ShapeError, r"expected weight \(K, 12\); got Tensor \(3, 7\)"),
        (lambda h: h.select(["a", "z"]), ToolkitError, r"expected names among .*; got \['a', 'z'\]"),
        (lambda h: h.select([]), ToolkitError, r"got \[\]\. Name at least one layer"),
        (lambda h: cat([h, make(resolution=4)[0]]), ShapeError, "got 2 of 2 kinds"),
        (lambda h: cat([]), ShapeError, "got 0 of 0 kinds"),
    ],
)
def test_bad_input_is_refused_with_its_reason(call, error, message):
    with pytest.raises(error, match=message):
        call(make()[0])
