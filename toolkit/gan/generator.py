"""The generator: mapping and synthesis, in plain PyTorch on any device.

Source: Karras et al. 2020 (arXiv:1912.04958), with its three architectures. Computes the same values in
another order: the modulated convolution scales its input by the style, applies one convolution shared
by the whole batch, and scales its output by the demodulation; for a single picture both scales are
multiplied into the weights. Gains are multiplied into small tensors, because on a CPU every pass over
the activations takes about as long as a convolution.
"""

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toolkit.errors import ShapeError, describe
from toolkit.gan.layers import (
    LRELU_GAIN,
    RESNET_GAIN,
    SLOPE,
    Conv,
    FullyConnected,
    Mapping,
    blur,
    check_architecture,
    check_table,
    low_passed,
    normal,
    upsample,
)

NUM_W = 4096  # latents behind `Generator.w_statistics`
ONE_BY_ONE_FROM = 256  # pixels; from there on a batch saves less than passes over its activations cost


class SynthesisConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; doubles the resolution if `up`."""

    noise_const: Tensor

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        *,
        up: bool,
        conv_clamp: float | None,
        gain: float = 1.0,
    ) -> None:
        super().__init__()
        self.resolution, self.up = resolution, up
        self.conv_clamp = conv_clamp and conv_clamp * gain
        self.gain = LRELU_GAIN * gain
        self.affine = FullyConnected(w_dim, in_channels, bias=1.0)
        self.weight = nn.Parameter(normal(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", normal(resolution, resolution))

    def forward(self, x: Tensor, w: Tensor, noise: Tensor | None) -> Tensor:
        """x (N, C, h, w), latent w (N, w_dim), noise (N or 1, 1, H, W) or None -> (N, C', H, W)."""
        if len(x) == 1 and not torch.is_grad_enabled():
            return self._of_one(x, w, noise)
        style = self.affine(w)
        demodulation = (style.square() @ self.weight.square().sum((2, 3)).T + 1e-8).rsqrt()
        x = x * style.to(x.dtype)[:, :, None, None]
        weight = self.weight.to(x.dtype)
        if self.up and x.is_cuda:
            x = F.conv_transpose2d(x, low_passed(weight.transpose(0, 1), gain=4), stride=2, padding=2)
        elif self.up:
            x = blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), pad=1, gain=4)
        else:
            x = F.conv2d(x, weight, padding=1)
        # The leaky ReLU passes a positive gain through, so its gain goes into these small factors.
        scale = (demodulation * self.gain).to(x.dtype)[:, :, None, None]
        shift = (self.bias * self.gain)[None, :, None, None]
        if noise is not None and noise.shape[0] == 1:  # the same for all: one picture's worth of work
            shift = shift + noise * (self.noise_strength * self.gain)
            noise = None
        # addcmul gives its result the layout of its first argument.
        shift = shift.to(x.dtype).contiguous(memory_format=torch.channels_last)
        x = torch.addcmul(shift, x, scale)
        if noise is not None:
            x = x + (noise * (self.noise_strength * self.gain)).to(x.dtype)
        x = F.leaky_relu(x, SLOPE, inplace=True)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)

    def _of_one(self, x, w, noise):
        """`forward` for one picture without gradients: all factors go into the weights, all else happens in place."""
        weight = self.weight * self.affine(w)[0, :, None, None]
        weight = weight * ((weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).rsqrt() * self.gain)
        weight, bias = weight.to(x.dtype), (self.bias * self.gain).to(x.dtype)
        if self.up:
            x = blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), pad=1, gain=4, bias=bias)
        else:
            x = F.conv2d(x, weight, bias, padding=1)
        if noise is not None:
            x.add_((noise * (self.noise_strength * self.gain)).to(x.dtype))
        x = F.leaky_relu_(x, SLOPE)
        return x if self.conv_clamp is None else x.clamp_(-self.conv_clamp, self.conv_clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, without demodulation; always returns float32."""

    def __init__(self, in_channels: int, w_dim: int, img_channels: int, *, conv_clamp: float | None) -> None:
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias=1.0)
        self.weight = nn.Parameter(normal(img_channels, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(img_channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        """x (N, C, r, r), w (N, w_dim) -> colours (N, img_channels, r, r) float32."""
        style, weight = self.affine(w)[:, :, None, None] / math.sqrt(self.weight.shape[1]), self.weight
        if len(x) == 1:
            weight = weight * style  # cheaper than a pass over x
        else:
            x = x * style.to(x.dtype)
        x = F.conv2d(x, weight.to(x.dtype)).float()
        x = x + self.bias[None, :, None, None]
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class SynthesisBlock(nn.Module):
    """One resolution: (constant or up-convolution), convolution; by architecture, colours or a residual branch."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        w_dim: int,
        resolution: int,
        img_channels: int,
        architecture: str,
        *,
        is_last: bool,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        self.is_first = resolution == 4
        residual = architecture == "resnet" and not self.is_first
        if self.is_first:
            self.const = nn.Parameter(normal(out_channels, 4, 4))
        else:
            self.conv0 = SynthesisConv(in_channels, out_channels, w_dim, resolution, up=True, conv_clamp=conv_clamp)
        self.conv1 = SynthesisConv(
            out_channels,
            out_channels,
            w_dim,
            resolution,
            up=False,
            conv_clamp=conv_clamp,
            gain=RESNET_GAIN if residual else 1.0,
        )
        colours = architecture == "skip" or is_last
        self.torgb = ToRGB(out_channels, w_dim, img_channels, conv_clamp=conv_clamp) if colours else None
        self.skip = (
            Conv(in_channels, out_channels, 1, activate=False, bias=False, gain=RESNET_GAIN) if residual else None
        )

    def convs(self) -> dict[str, SynthesisConv]:
        """The convolutions in order, by name."""
        return {"conv1": self.conv1} if self.is_first else {"conv0": self.conv0, "conv1": self.conv1}


class Synthesis(nn.Module):
    """ws (N, num_ws, w_dim) -> image (N, img_channels, R, R).

    Small pictures are synthesised as one batch, large ones, unless gradients are wanted, one by one.
    """

    b4: SynthesisBlock
    fade: Tensor

    def __init__(
        self,
        resolution: int,
        w_dim: int,
        channels: dict[int, int],
        conv_clamp: float | None,
        architecture: str,
        img_channels: int,
    ) -> None:
        super().__init__()
        check_architecture("Generator", architecture)
        self.resolutions = check_table("Generator", resolution, channels)
        self.architecture, self.img_channels, self.conv_clamp = architecture, img_channels, conv_clamp
        self.w_dim, self.num_ws = w_dim, 2 * len(self.resolutions)
        for r in self.resolutions:
            block = SynthesisBlock(
                channels.get(r // 2, 0),
                channels[r],
                w_dim,
                r,
                img_channels,
                architecture,
                is_last=r == resolution,
                conv_clamp=conv_clamp,
            )
            self.add_module(f"b{r}", block)
        # Below 1 only while training fades the newest resolution in. No file has it, so it is never on device "meta".
        self.register_buffer("fade", torch.ones((), device="cpu"), persistent=False)

    def layers(self) -> dict[str, SynthesisConv]:
        """Every convolution by its activation's name, in synthesis order: "b4.conv1", "b8.conv0", ..."""
        blocks = ((r, getattr(self, f"b{r}")) for r in self.resolutions)
        return {f"b{r}.{name}": conv for r, block in blocks for name, conv in block.convs().items()}

    def forward(
        self,
        ws: Tensor,
        noise_mode: str = "const",
        noise: dict[str, Tensor] | None = None,
        rng: torch.Generator | None = None,
        return_activations: bool = False,
        dtype: torch.dtype = torch.float32,
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """Synthesise the pictures of some latents.

        Args:
            ws: (N, num_ws, w_dim), a row per layer; equal rows are W, free rows W+.
            noise_mode: "const" (the stored noise), "random" (fresh, from `rng`) or "none".
            noise: activation name -> (N or 1, 1, r, r), used for that layer whatever the mode.
            rng: torch.Generator on ws's device for "random"; None for torch's own.
            return_activations: also return what every convolution puts out.
            dtype: of the activations; torch.bfloat16 is faster and good to three digits.
        Returns:
            image (N, img_channels, R, R) float32, in about [-1, 1] and not clamped; with
            `return_activations` also a dict name -> (N, C, r, r) in synthesis order.
        Raises:
            ShapeError: ws, noise_mode or noise do not fit this generator.
        """
        noise = noise or {}
        self._check(ws, noise_mode, noise)
        ws = ws.to(self.b4.const.dtype)  # float64 of NumPy's, float16 of a small file
        noise = {name: value.to(ws.dtype) for name, value in noise.items()}
        if len(ws) == 1 or torch.is_grad_enabled() or self.resolutions[-1] < ONE_BY_ONE_FROM:
            image, activations = self._draw(ws, noise_mode, noise, rng, dtype, return_activations)
        else:
            noise = {name: self._noise(name, conv, noise, noise_mode, rng, ws) for name, conv in self.layers().items()}
            parts = []
            for i in range(len(ws)):
                own = {name: n if len(n) == 1 else n[i : i + 1] for name, n in noise.items() if n is not None}
                parts.append(self._draw(ws[i : i + 1], "none", own, None, dtype, return_activations))
            image = torch.cat([part for part, _ in parts])
            activations = {name: torch.cat([kept[name] for _, kept in parts]) for name in parts[0][1]}
        return (image, activations) if return_activations else image

    def _draw(self, ws, noise_mode, noise, rng, dtype, keep):
        """image, and activations by name if `keep` (a large picture's take half a gigabyte)."""
        activations, x, image, row = {}, None, None, 0
        for r in self.resolutions:
            block = getattr(self, f"b{r}")
            if block.is_first:
                x = block.const.to(dtype).expand(len(ws), -1, -1, -1)
                x = x.contiguous(memory_format=torch.channels_last)
            branch = None if block.skip is None else upsample(block.skip(x))
            for name, conv in block.convs().items():
                key = f"b{r}.{name}"
                x = conv(x, ws[:, row], self._noise(key, conv, noise, noise_mode, rng, ws))
                if keep:
                    activations[key] = x
                row += 1
            x = x if branch is None else branch + x
            image = None if image is None else upsample(image)
            if block.torgb is not None:
                rgb = block.torgb(x, ws[:, row])  # this row also feeds the next block's conv0
                image = rgb if image is None else image + (rgb * self.fade if r == self.resolutions[-1] else rgb)
        return image, activations

    def _noise(self, key, conv, given, mode, rng, ws):
        if key in given:
            return given[key]
        if mode == "const":
            return conv.noise_const[None, None]
        if mode == "random":
            shape = (len(ws), 1, conv.resolution, conv.resolution)
            return torch.randn(shape, generator=rng, device=ws.device)
        return None

    def _check(self, ws, noise_mode, noise):
        if not ws.is_floating_point() or ws.dim() != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ShapeError(
                "synthesis", f"ws (N, {self.num_ws}, {self.w_dim})", describe(ws), "Take it from generator.mapping"
            )
        if noise_mode not in ("const", "random", "none"):
            raise ShapeError(
                "synthesis", 'noise_mode "const", "random" or "none"', repr(noise_mode), "Choose one of the three"
            )
        layers = self.layers() if noise else {}
        for key, value in noise.items():
            if key not in layers:
                raise ShapeError("synthesis", f"noise for {', '.join(layers)}", repr(key), "Name a layer")
            side = layers[key].resolution
            if value.dim() != 4 or value.shape[0] not in (1, len(ws)) or value.shape[1:] != (1, side, side):
                raise ShapeError(
                    "synthesis",
                    f"noise {key} (1 or {len(ws)}, 1, {side}, {side})",
                    describe(value),
                    "Match the layer's resolution",
                )


class Generator(nn.Module):
    """mapping and synthesis: `generator.synthesis(generator.mapping(z))`.

    Args:
        resolution: of the pictures, a power of two >= 8.
        z_dim, w_dim: latent sizes.
        channels: resolution -> channels, for 4, 8, ..., resolution.
        num_mapping_layers: depth of the mapping network, >= 1.
        conv_clamp: clamp activations to this magnitude; None for no clamp.
        architecture: "skip" (colours summed over resolutions), "resnet" (residual blocks) or "orig".
        img_channels: 3, or 1 for grayscale.
        mapping: further options of `Mapping`: c_dim (classes), embed_dim, hidden_dim, lr.
    Raises:
        ShapeError: the resolution is no power of two, or the table lacks one.
        ToolkitError: no such architecture.
    """

    # Set by `load_generator`.
    hash: str  # sha256 of the parameters
    metadata: dict[str, Any]  # what the file says of them

    def __init__(
        self,
        resolution: int,
        z_dim: int,
        w_dim: int,
        channels: dict[int, int],
        num_mapping_layers: int,
        conv_clamp: float | None = None,
        architecture: str = "skip",
        img_channels: int = 3,
        **mapping: Any,
    ) -> None:
        super().__init__()
        self.synthesis = Synthesis(resolution, w_dim, channels, conv_clamp, architecture, img_channels)
        self.resolution, self.z_dim, self.w_dim = resolution, z_dim, w_dim
        self.num_ws, self.img_channels = self.synthesis.num_ws, img_channels
        self.channels = {r: channels[r] for r in self.synthesis.resolutions}
        self.mapping = Mapping(z_dim, w_dim, self.num_ws, num_mapping_layers, **mapping)
        self.c_dim = self.mapping.c_dim
        self._w_statistics: dict[int, tuple[Tensor, Tensor]] = {}

    @torch.no_grad()
    def w_statistics(self) -> tuple[Tensor, Tensor]:
        """Mean (w_dim,) and standard deviation (a scalar) of w over random z: computed once a class, then kept.

        The deviation is the root mean square distance from the mean. Meant for a network that no longer trains.
        """
        index, like = self.mapping.class_index, self.mapping.w_avg
        if index not in self._w_statistics:
            # On the CPU, so that the same latents are drawn whatever the device.
            z = torch.randn(NUM_W, self.z_dim, generator=torch.Generator().manual_seed(0))
            w = torch.cat([self.mapping(part.to(like.device, like.dtype))[:, 0] for part in z.split(256)])
            self._w_statistics[index] = w.mean(0), (w - w.mean(0)).square().sum(1).mean().sqrt()
        return self._w_statistics[index]

    def forward(
        self,
        z: Tensor,
        class_label: Tensor | None = None,
        truncation_psi: float = 1.0,
        truncation_cutoff: int | None = None,
        **options: Any,
    ) -> Tensor | tuple[Tensor, dict[str, Tensor]]:
        """z (N, z_dim) -> image; `options` are those of `Synthesis.forward`."""
        return self.synthesis(self.mapping(z, class_label, truncation_psi, truncation_cutoff), **options)
