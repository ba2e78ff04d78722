"""What StyleGAN2's two networks share: filters, equalised layers, and the mapping from z to w.

Source: Karras et al. 2020 (arXiv:1912.04958).
"""

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toolkit.errors import ShapeError, ToolkitError, describe

SLOPE = 0.2  # of every leaky ReLU
LRELU_GAIN = math.sqrt(2)  # brings a leaky ReLU's output back to unit variance
RESNET_GAIN = math.sqrt(0.5)  # keeps the sum of two branches at unit variance
MAPPING_LR = 0.01
ARCHITECTURES = ("skip", "resnet", "orig")  # RGB at every resolution, residual blocks, or neither


def fir(channels: int, gain: float, like: Tensor) -> Tensor:
    """The paper's low-pass filter outer([1, 3, 3, 1]) / 64 as depthwise weights (channels, 1, 4, 4)."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=like.dtype, device=like.device)
    return (torch.outer(taps, taps) * (gain / 64)).expand(channels, 1, 4, 4).contiguous()


def low_passed(weight: Tensor, gain: float = 1.0) -> Tensor:
    """A convolution's weight (A, B, k, k) and the low-pass filter beside it as one weight (A, B, k + 3, k + 3).

    An accelerator multiplies faster than it reads and writes, and is slow at depthwise filters: there one larger
    convolution is faster than the two.

    Args:
        weight: k odd or even, of either order of channels: the filter is the same for all.
        gain: multiplies the filter.
    Returns:
        (A, B, k + 3, k + 3), differentiable in weight.
    """
    k = weight.shape[-1]
    spread = _spread(k, weight.device).to(weight.dtype) * gain
    return (weight.flatten(2) @ spread).view(*weight.shape[:2], k + 3, k + 3)


@lru_cache
def _spread(k: int, device: torch.device) -> Tensor:
    """(k^2, (k + 3)^2): where the filter takes each weight of a kernel."""
    with torch.inference_mode(False):
        one = torch.eye(k * k, device=device).view(k * k, 1, k, k)
        return F.conv2d(one, fir(1, 1.0, one), padding=3).flatten(1)


def is_fir(lazy: Any, gain: float) -> bool:
    """Whether a stored filter (`arrays.Lazy`) is this one."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    return lazy.shape == (4, 4) and torch.allclose(lazy.read().float(), torch.outer(taps, taps) * (gain / 64))


def blur(x: Tensor, pad: int, gain: float = 1.0, bias: Tensor | None = None) -> Tensor:
    """Low-pass x (N, C, H, W), zero-padded by `pad` on each side; then add bias (C,)."""
    return F.conv2d(x, fir(x.shape[1], gain, x), bias, padding=pad, groups=x.shape[1])


def upsample(image: Tensor) -> Tensor:
    """Double the side of image (N, C, H, W), low-passed; zeros beyond its edge."""
    # Zero-insertion followed by this filter is bilinear interpolation except at the border, where
    # interpolation repeats the edge: hence the ring of zeros, cut off again.
    ring = F.pad(image, (1, 1, 1, 1))
    return F.interpolate(ring, scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]


def downsample(image: Tensor) -> Tensor:
    """Halve the side of image (N, C, H, W), low-passed."""
    return F.conv2d(image, fir(image.shape[1], 1.0, image), padding=1, stride=2, groups=image.shape[1])


def check_architecture(call: str, architecture: str) -> None:
    """Raise ToolkitError unless it is "skip", "resnet" or "orig"."""
    if architecture not in ARCHITECTURES:
        raise ToolkitError(call, f"architecture one of {ARCHITECTURES}", repr(architecture), "Choose one of these")


def num_blocks(resolution: int) -> int:
    """How many resolutions a network of this size has, 4 pixels included."""
    return int(math.log2(resolution)) - 1


def check_table(call: str, resolution: int, channels: dict[int, int]) -> list[int]:
    """Return the resolutions 4, 8, ..., resolution, or raise ShapeError when the table lacks one."""
    if resolution < 8 or resolution & (resolution - 1):
        raise ShapeError(call, "resolution a power of two, at least 8", resolution, "Round it to one")
    resolutions = [4 << i for i in range(num_blocks(resolution))]
    missing = [r for r in resolutions if r not in channels]
    if missing:
        raise ShapeError(call, f"channels for {resolutions}", channels, f"Add channels for {missing}")
    return resolutions


def normal(*shape: int, std: float = 1.0) -> Tensor:
    """Normal numbers; on device "meta" there are none, and torch would load 70 MB of code to draw them."""
    drawn = torch.empty(shape)
    return drawn if drawn.is_meta else drawn.normal_().mul_(std)


class FullyConnected(nn.Module):
    """y = activation(x W^T + b), W stored at unit variance and scaled here (equalised learning rate)."""

    def __init__(
        self, in_features: int, out_features: int, *, activate: bool = False, lr: float = 1.0, bias: float = 0.0
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(out_features, in_features, std=1 / lr))
        self.bias = nn.Parameter(torch.full((out_features,), bias / lr))
        self.activate, self.lr = activate, lr
        self.weight_gain = lr / math.sqrt(in_features)

    def forward(self, x: Tensor) -> Tensor:
        gain = LRELU_GAIN if self.activate else 1.0
        x = F.linear(x, self.weight * (self.weight_gain * gain), self.bias * (self.lr * gain))
        return F.leaky_relu(x, SLOPE) if self.activate else x


class Mapping(nn.Module):
    """z (N, z_dim) -> ws (N, num_ws, w_dim); of a conditional network, (z, class_label) -> ws.

    A discriminator's maps the label alone (z_dim 0) and to one row (num_ws None): (N, w_dim).
    `class_index` is the class used where a caller passes no label.
    """

    fc0: FullyConnected
    w_avg: Tensor

    def __init__(
        self,
        z_dim: int,
        w_dim: int,
        num_ws: int | None,
        num_layers: int,
        *,
        c_dim: int = 0,
        embed_dim: int | None = None,
        hidden_dim: int | None = None,
        lr: float = MAPPING_LR,
    ) -> None:
        super().__init__()
        self.z_dim, self.c_dim, self.num_ws, self.num_layers, self.lr = z_dim, c_dim, num_ws, num_layers, lr
        self.class_index = 0
        embed_dim = (embed_dim or w_dim) if c_dim else 0
        self.embed = FullyConnected(c_dim, embed_dim) if c_dim else None
        sizes = [z_dim + embed_dim, *[hidden_dim or w_dim] * (num_layers - 1), w_dim]
        for i in range(num_layers):
            self.add_module(f"fc{i}", FullyConnected(sizes[i], sizes[i + 1], activate=True, lr=lr))
        if num_ws is not None:
            self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(
        self,
        z: Tensor,
        class_label: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
    ) -> Tensor:
        """Map z to one latent, repeated for every layer.

        Args:
            z: (N, z_dim) float, normally distributed.
            class_label: (N, c_dim) float, one-hot or a mixture; None for `class_index`. Ignored without classes.
            truncation_psi: 1 leaves w alone, 0 gives w_avg, in between trades variety for looks.
            truncation_cutoff: truncate only the first so many rows; None for all.
        Returns:
            ws (N, num_ws, w_dim).
        Raises:
            ShapeError: z is not (N, z_dim), or class_label not (N, c_dim).
        """
        if not z.is_floating_point() or z.dim() != 2 or z.shape[1] != self.z_dim:
            raise ShapeError("mapping", f"z (N, {self.z_dim})", describe(z), "Draw it with torch.randn")
        w = _unit_square(z.to(self.fc0.weight.dtype))
        if self.embed is not None:
            w = torch.cat([w, _unit_square(self.embed(self._labels(class_label, w)))], dim=1)
        for i in range(self.num_layers):
            w = getattr(self, f"fc{i}")(w)
        if self.num_ws is None:
            return w
        ws = w[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi != 1.0:
            near = self.w_avg.lerp(ws[:, :truncation_cutoff], truncation_psi)
            ws = torch.cat([near, ws[:, near.shape[1] :]], dim=1)
        return ws

    def _labels(self, class_label, like):
        if class_label is None:
            index = torch.full((len(like),), self.class_index, device=like.device)
            return F.one_hot(index, self.c_dim).to(like.dtype)
        if class_label.shape != (len(like), self.c_dim):
            raise ShapeError(
                "mapping",
                f"class_label ({len(like)}, {self.c_dim})",
                describe(class_label),
                "Make it with torch.nn.functional.one_hot",
            )
        return class_label.to(like)


def _unit_square(x):
    """x (N, C) scaled to a mean square of 1."""
    return x * (x.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class Conv(nn.Module):
    """Equalised convolution without styles. `gain` multiplies the output."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: int,
        *,
        activate: bool = True,
        bias: bool = True,
        down: bool = False,
        gain: float = 1.0,
        conv_clamp: float | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(normal(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.activate, self.down, self.conv_clamp = activate, down, conv_clamp and conv_clamp * gain
        self.gain = gain * (LRELU_GAIN if activate else 1.0)
        self.weight_gain = self.gain / math.sqrt(in_channels * kernel**2)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, h, w) -> (N, C', h, w), or half the side if `down`."""
        kernel = self.weight.shape[-1]
        weight = (self.weight * self.weight_gain).to(x.dtype)
        bias = None if self.bias is None else (self.bias * self.gain).to(x.dtype)
        if self.down and x.is_cuda:
            x = F.conv2d(x, low_passed(weight), bias, stride=2, padding=(kernel + 1) // 2)
        elif self.down:
            # Blur so far that a kernel without padding lands on every second pixel's neighbourhood.
            x = F.conv2d(blur(x, pad=(kernel + 1) // 2), weight, bias, stride=2)
        else:
            x = F.conv2d(x, weight, bias, padding=kernel // 2)
        x = F.leaky_relu(x, SLOPE, inplace=True) if self.activate else x
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)
