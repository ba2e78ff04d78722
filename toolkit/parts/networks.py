"""Networks that turn hypercolumns into part logits.

All of them start with `Mix`, so none of them builds the hypercolumns. To start from a
seed, build inside `torch.random.fork_rng()` after `torch.manual_seed(seed)`.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from toolkit.errors import ShapeError, ToolkitError, describe
from toolkit.parts import motions
from toolkit.parts.hypercolumns import Hypercolumns

SLOPE = 0.01  # of the leaky ReLUs, as published
MIX_CHANNELS = 128
DILATION_CYCLES = {"s": (1, 2), "m": (1, 2, 4), "l": (1, 2, 4, 8)}
PIXELS_AT_ONCE = 1 << 12  # labelled at once on a CPU, but at least one picture


class Mix(nn.Module):
    """Standardise every channel of F, then a 1x1 convolution, all folded into one `mix`.

    Args:
        channels: dict, layer name -> number of channels, as `Hypercolumns.channels`.
        out_channels: K.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, channels: Mapping[str, int], out_channels: int) -> None:
        super().__init__()
        self.channels = dict(channels)
        num_channels = sum(self.channels.values())
        bound = num_channels**-0.5  # nn.Conv2d's own initialisation
        self.weight = nn.Parameter(torch.empty(out_channels, num_channels).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(out_channels).uniform_(-bound, bound))
        self.register_buffer("mean", torch.zeros(num_channels))
        self.register_buffer("std", torch.ones(num_channels))
        self.shown: Tensor | None = None

    def standardise(self, mean: Tensor, std: Tensor) -> None:
        """Set the statistics to standardise with, e.g. from `Hypercolumns.mean_std()`.

        A channel that never changes (std 0) is only centred.

        Args:
            mean, std: (C,) float; std >= 0.
        Raises:
            ShapeError: another number of channels.
        """
        for name, value in (("mean", mean), ("std", std)):
            if value.shape != self.mean.shape:
                raise ShapeError(
                    "Mix.standardise",
                    f"{name} ({len(self.mean)},)",
                    describe(value),
                    "Take the statistics of the same layers",
                )
        self.mean.copy_(mean)
        self.std.copy_(torch.where(std > 0, std, torch.ones_like(std)))

    def hide(self, share: float, rng: torch.Generator | None = None, layers: Collection[str] = ()) -> None:
        """Replace random channels of F by their mean until the next call: channel dropout.

        A few of thousands of channels may separate the parts of one picture by chance, e.g. by its lighting;
        dropout makes the network use all of them.

        Args:
            share: of the channels, drawn independently, 0 <= share < 1; 0 keeps all.
            rng: torch.Generator on the weight's device.
            layers: names of those all of whose channels are hidden too; none where share is 0.
        Source: Srivastava et al. 2014, JMLR 15; differs: whole channels, for all pixels alike.
        """
        self.shown = None
        if share:
            kept = torch.rand(self.mean.shape, generator=rng, device=self.mean.device) >= share
            parts = kept.split(list(self.channels.values()))
            seen = [part & (name not in layers) for name, part in zip(self.channels, parts, strict=True)]
            self.shown = torch.cat(seen) / (1 - share)

    def forward(self, hypercolumns: Hypercolumns) -> Tensor:
        """Hypercolumns of N pictures -> (N, K, R, R).

        Raises:
            ShapeError: the hypercolumns have other layers than the network was built for.
        """
        if list(hypercolumns.channels.items()) != list(self.channels.items()):
            raise ShapeError(
                "Mix",
                f"hypercolumns with layers {self.channels}",
                hypercolumns.channels,
                "Use the generator and layers the network was built for",
            )
        weight = self.weight / self.std
        if self.shown is not None:
            weight = weight * self.shown
        return hypercolumns.mix(weight, self.bias - weight @ self.mean)


class CNN(nn.Module):
    """The published few-shot network: 1x1 to 128, dilated 3x3s, a 3x3 to the classes.

    Args:
        channels: dict, layer name -> number of channels.
        num_classes: K, background included.
        size: "l" as published (dilations 2,4,8,1,2,4,8); "m" and "s" stop the cycle at 4 and 2.
    Source: Tritrong et al. 2021 (arXiv:2103.04379), its published code; differs: "m" and "s" start
        with the same 1x1.
    """

    def __init__(self, channels: Mapping[str, int], num_classes: int, size: str = "l") -> None:
        super().__init__()
        dilations = (DILATION_CYCLES[size] * 2)[1:]  # the 1x1 replaces the first
        widths = [64] * (len(dilations) - 1) + [32]
        self.mix = Mix(channels, MIX_CHANNELS)
        self.convs = nn.ModuleList(
            nn.Conv2d(before, after, 3, padding=dilation, dilation=dilation)
            for before, after, dilation in zip([MIX_CHANNELS, *widths], widths, dilations)
        )
        self.classify = nn.Conv2d(32, num_classes, 3, padding=1)
        self.to(memory_format=torch.channels_last)  # what `mix` returns; 1.4 times faster on CPUs

    def forward(self, hypercolumns: Hypercolumns, grid: Tensor | None = None) -> Tensor:
        """Hypercolumns of N pictures -> logits (N, K, R, R).

        Args:
            grid: (N, R, R, 2), as `motions.draw` makes it, to move the pictures while fitting; or None.
        """
        x = self.mix(hypercolumns)
        # Moved here, where a picture has 128 channels: F has up to forty times as many.
        x = _leaky_relu(x if grid is None else motions.move(x, grid))
        for conv in self.convs:
            x = _leaky_relu(conv(x))
        return self.classify(x)


class MLP(nn.Module):
    """A multilayer perceptron applied to each pixel separately.

    Args:
        channels: dict, layer name -> number of channels.
        num_classes: K, background included.
        widths: hidden channels, the first being what F is mixed to.
    Source: Zhang et al. 2021, DatasetGAN (arXiv:2104.06490); differs: one network, no batch norm.
    """

    def __init__(self, channels: Mapping[str, int], num_classes: int, widths: Sequence[int] = (128, 64)) -> None:
        super().__init__()
        self.mix = Mix(channels, widths[0])
        self.layers = nn.ModuleList(
            nn.Conv2d(before, after, 1) for before, after in zip(widths, [*widths[1:], num_classes])
        )
        self.to(memory_format=torch.channels_last)

    def forward(self, hypercolumns: Hypercolumns) -> Tensor:
        """Hypercolumns of N pictures -> logits (N, K, R, R)."""
        x = self.mix(hypercolumns)
        for layer in self.layers:
            x = layer(_leaky_relu(x))
        return x


def build(name: str, channels: Mapping[str, int], num_classes: int) -> nn.Module:
    """The few-shot network of this name.

    Args:
        name: "cnn-l", "cnn-m", "cnn-s", "mlp" or "linear".
        channels: dict, layer name -> number of channels, as `Hypercolumns.channels`.
        num_classes: K, background included.
    Returns:
        nn.Module, called as `network(hypercolumns) -> logits (N, K, R, R)`; its `Mix` is
        `mix_of(network)`.
    Raises:
        ToolkitError: unknown name.
    """
    networks: dict[str, Callable[[], nn.Module]] = {
        **{f"cnn-{size}": partial(CNN, channels, num_classes, size) for size in "lms"},
        "mlp": partial(MLP, channels, num_classes),
        "linear": partial(Mix, channels, num_classes),
    }
    if name not in networks:
        raise ToolkitError(
            "networks.build", f"one of {', '.join(networks)}", repr(name), "Choose a network by one of these names"
        )
    return networks[name]()


def enlarged(logits: Tensor, side: int) -> Tensor:
    """Scores of hypercolumns that have fewer pixels than their pictures.

    Scores, not labels, are interpolated: that places edges between the network's pixels.

    Args:
        logits: (N, K, r, r), r <= side.
        side: pixels a side of the pictures.
    Returns:
        (N, K, side, side); differentiable.
    """
    if logits.shape[-1] == side:
        return logits
    return F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)


def label(network: nn.Module, hypercolumns: Hypercolumns) -> Tensor:
    """Part logits of many pictures; in small batches on a CPU, which is twice as fast.

    Activations dwarf input and output, so small batches stay in the cache.

    Args:
        network: as `build` makes it.
        hypercolumns: of N pictures.
    Returns:
        logits (N, K, R, R).
    """
    num, device = len(hypercolumns), mix_of(network).weight.device
    size = max(1, PIXELS_AT_ONCE // hypercolumns.resolution**2) if device.type == "cpu" else num
    return torch.cat([network(hypercolumns[i : i + size]) for i in range(0, num, size)])


def mix_of(network: Any) -> Mix:
    """The `Mix` a few-shot network starts with, e.g. to set its statistics."""
    return network if isinstance(network, Mix) else network.mix


def _leaky_relu(x):
    # In place: the input is a convolution's output, which its backward pass does not need.
    return F.leaky_relu_(x, SLOPE)
