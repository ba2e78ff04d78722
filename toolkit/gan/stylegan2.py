"""StyleGAN2: mapping, synthesis and discriminator, in plain PyTorch on any device.

Source: Karras et al. 2020 (arXiv:1912.04958), with the skip generator and the resnet discriminator.
Parameter names are those of the published files, so that their tensors load unchanged. Differs in
how, not in what, is computed: the modulated convolution scales its input by the style, applies one
convolution shared by the whole batch, and scales its output by the demodulation. Gains are folded
into small tensors, because on a CPU every pass over the activations costs as much as arithmetic.
"""

import math

import torch
import torch.nn.functional as F
from torch import nn

from toolkit.errors import ShapeError, describe

SLOPE = 0.2  # of every leaky ReLU
LRELU_GAIN = math.sqrt(2)  # brings a leaky ReLU's output back to unit variance
RESNET_GAIN = math.sqrt(0.5)  # keeps the sum of two branches at unit variance
MAPPING_LR = 0.01


def fir(channels, gain, like):
    """The paper's low-pass filter outer([1, 3, 3, 1]) / 64 as depthwise weights (channels, 1, 4, 4)."""
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0], dtype=like.dtype, device=like.device)
    return (torch.outer(taps, taps) * (gain / 64)).expand(channels, 1, 4, 4).contiguous()


def blur(x, pad, gain=1.0):
    """Low-pass x (N, C, H, W), zero-padded by `pad` on each side."""
    return F.conv2d(x, fir(x.shape[1], gain, x), padding=pad, groups=x.shape[1])


def upsample(image):
    """Double the side of image (N, C, H, W), low-passed; zeros beyond its edge."""
    # Zero-insertion followed by this filter is bilinear interpolation except at the border, where
    # interpolation repeats the edge: hence the ring of zeros, cut off again.
    ring = F.pad(image, (1, 1, 1, 1))
    return F.interpolate(ring, scale_factor=2, mode="bilinear")[:, :, 2:-2, 2:-2]


def num_blocks(resolution):
    """How many resolutions a network of this size has, 4 pixels included."""
    return int(math.log2(resolution)) - 1


def check_table(call, resolution, channels):
    """Return the resolutions 4, 8, ..., resolution, or raise ShapeError when the table lacks one."""
    if resolution < 8 or resolution & (resolution - 1):
        raise ShapeError(call, "resolution a power of two, at least 8", resolution, "Round it to one")
    resolutions = [4 << i for i in range(num_blocks(resolution))]
    missing = [r for r in resolutions if r not in channels]
    if missing:
        raise ShapeError(call, f"channels for {resolutions}", channels, f"Add channels for {missing}")
    return resolutions


class FullyConnected(nn.Module):
    """y = activation(x W^T + b), W stored at unit variance and scaled here (equalised learning rate)."""

    def __init__(self, in_features, out_features, *, activate=False, lr=1.0, bias=0.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_features, in_features) / lr)
        self.bias = nn.Parameter(torch.full((out_features,), bias / lr))
        self.activate, self.lr = activate, lr
        self.weight_gain = lr / math.sqrt(in_features)

    def forward(self, x):
        gain = LRELU_GAIN if self.activate else 1.0
        x = F.linear(x, self.weight * (self.weight_gain * gain), self.bias * (self.lr * gain))
        return F.leaky_relu(x, SLOPE) if self.activate else x


class Mapping(nn.Module):
    """z (N, z_dim) -> ws (N, num_ws, w_dim)."""

    def __init__(self, z_dim, w_dim, num_ws, num_layers):
        super().__init__()
        self.z_dim, self.num_ws, self.num_layers = z_dim, num_ws, num_layers
        for i in range(num_layers):
            layer = FullyConnected(z_dim if i == 0 else w_dim, w_dim, activate=True, lr=MAPPING_LR)
            self.add_module(f"fc{i}", layer)
        self.register_buffer("w_avg", torch.zeros(w_dim))

    def forward(self, z, truncation_psi=1.0, truncation_cutoff=None):
        """Map z to one latent, repeated for every layer.

        Args:
            z: (N, z_dim) float, normally distributed.
            truncation_psi: 1 leaves w alone, 0 gives w_avg, in between trades variety for looks.
            truncation_cutoff: truncate only the first so many rows; None for all.
        Returns:
            ws (N, num_ws, w_dim).
        Raises:
            ShapeError: z is not (N, z_dim).
        """
        if z.dim() != 2 or z.shape[1] != self.z_dim:
            raise ShapeError("mapping", f"z (N, {self.z_dim})", describe(z), "Draw it with torch.randn")
        w = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        for i in range(self.num_layers):
            w = getattr(self, f"fc{i}")(w)
        ws = w[:, None].repeat(1, self.num_ws, 1)
        if truncation_psi != 1.0:
            near = self.w_avg.lerp(ws[:, :truncation_cutoff], truncation_psi)
            ws = torch.cat([near, ws[:, near.shape[1]:]], dim=1)
        return ws


class SynthesisConv(nn.Module):
    """Modulated 3x3 convolution, noise, bias, leaky ReLU; doubles the resolution if `up`."""

    def __init__(self, in_channels, out_channels, w_dim, resolution, *, up, conv_clamp):
        super().__init__()
        self.resolution, self.up, self.conv_clamp = resolution, up, conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out_channels))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(resolution, resolution))

    def forward(self, x, w, noise):
        """x (N, C, h, w), latent w (N, w_dim), noise (N or 1, 1, H, W) or None -> (N, C', H, W)."""
        style = self.affine(w)
        demodulation = (style.square() @ self.weight.square().sum((2, 3)).T + 1e-8).rsqrt()
        x = x * style.to(x.dtype)[:, :, None, None]
        weight = self.weight.to(x.dtype)
        if self.up:
            x = blur(F.conv_transpose2d(x, weight.transpose(0, 1), stride=2), pad=1, gain=4)
        else:
            x = F.conv2d(x, weight, padding=1)
        # The leaky ReLU passes a positive gain through, so its gain goes into these small factors.
        scale = (demodulation * LRELU_GAIN).to(x.dtype)[:, :, None, None]
        shift = (self.bias * LRELU_GAIN)[None, :, None, None]
        if noise is not None and noise.shape[0] == 1:  # the same for all: one picture's worth of work
            shift = shift + noise * (self.noise_strength * LRELU_GAIN)
            noise = None
        # addcmul gives its result the layout of its first argument.
        shift = shift.to(x.dtype).contiguous(memory_format=torch.channels_last)
        x = torch.addcmul(shift, x, scale)
        if noise is not None:
            x = x + (noise * (self.noise_strength * LRELU_GAIN)).to(x.dtype)
        x = F.leaky_relu(x, SLOPE, inplace=True)
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class ToRGB(nn.Module):
    """Modulated 1x1 convolution to colours, without demodulation; always returns float32."""

    def __init__(self, in_channels, w_dim, *, conv_clamp):
        super().__init__()
        self.conv_clamp = conv_clamp
        self.affine = FullyConnected(w_dim, in_channels, bias=1.0)
        self.weight = nn.Parameter(torch.randn(3, in_channels, 1, 1))
        self.bias = nn.Parameter(torch.zeros(3))

    def forward(self, x, w):
        style = self.affine(w) / math.sqrt(self.weight.shape[1])
        x = F.conv2d(x * style.to(x.dtype)[:, :, None, None], self.weight.to(x.dtype)).float()
        x = x + self.bias[None, :, None, None]
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class SynthesisBlock(nn.Module):
    """One resolution: (constant or up-convolution), convolution, colours."""

    def __init__(self, in_channels, out_channels, w_dim, resolution, *, conv_clamp):
        super().__init__()
        self.is_first = resolution == 4
        if self.is_first:
            self.const = nn.Parameter(torch.randn(out_channels, 4, 4))
        else:
            self.conv0 = SynthesisConv(in_channels, out_channels, w_dim, resolution, up=True,
                                       conv_clamp=conv_clamp)
        self.conv1 = SynthesisConv(out_channels, out_channels, w_dim, resolution, up=False,
                                   conv_clamp=conv_clamp)
        self.torgb = ToRGB(out_channels, w_dim, conv_clamp=conv_clamp)

    def convs(self):
        """The convolutions in order, by name."""
        return {"conv1": self.conv1} if self.is_first else {"conv0": self.conv0, "conv1": self.conv1}


class Synthesis(nn.Module):
    """ws (N, num_ws, w_dim) -> image (N, 3, R, R)."""

    def __init__(self, resolution, w_dim, channels, conv_clamp):
        super().__init__()
        self.resolutions = check_table("Generator", resolution, channels)
        self.w_dim, self.num_ws = w_dim, 2 * len(self.resolutions)
        for r in self.resolutions:
            block = SynthesisBlock(channels.get(r // 2), channels[r], w_dim, r, conv_clamp=conv_clamp)
            self.add_module(f"b{r}", block)
        # Below 1 only while training fades the newest resolution in.
        self.register_buffer("fade", torch.ones(()), persistent=False)

    def layers(self):
        """Every convolution by its activation's name, in synthesis order: "b4.conv1", "b8.conv0", ..."""
        blocks = ((r, getattr(self, f"b{r}")) for r in self.resolutions)
        return {f"b{r}.{name}": conv for r, block in blocks for name, conv in block.convs().items()}

    def forward(self, ws, noise_mode="const", noise=None, rng=None, return_activations=False,
                dtype=torch.float32):
        """Draw the picture of a latent.

        Args:
            ws: (N, num_ws, w_dim), a row per layer; equal rows are W, free rows W+.
            noise_mode: "const" (the stored noise), "random" (fresh, from `rng`) or "none".
            noise: activation name -> (N or 1, 1, r, r), used for that layer whatever the mode.
            rng: torch.Generator on ws's device for "random"; None for torch's own.
            return_activations: also return what every convolution puts out.
            dtype: of the activations; torch.bfloat16 is faster and good to three digits.
        Returns:
            image (N, 3, R, R) float32, in about [-1, 1] and not clamped; with
            `return_activations` also a dict name -> (N, C, r, r) in synthesis order.
        Raises:
            ShapeError: ws, noise_mode or noise do not fit this generator.
        """
        self._check(ws, noise_mode, noise or {})
        activations, x, image, row = {}, None, None, 0
        for r in self.resolutions:
            block = getattr(self, f"b{r}")
            if block.is_first:
                x = block.const.to(dtype).expand(len(ws), -1, -1, -1)
                x = x.contiguous(memory_format=torch.channels_last)
            for name, conv in block.convs().items():
                key = f"b{r}.{name}"
                x = conv(x, ws[:, row], self._noise(key, conv, noise or {}, noise_mode, rng, ws))
                activations[key] = x
                row += 1
            rgb = block.torgb(x, ws[:, row])  # this row also feeds the next block's conv0
            image = rgb if image is None else upsample(image) + (
                rgb * self.fade if r == self.resolutions[-1] else rgb)
        return (image, activations) if return_activations else image

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
        if ws.dim() != 3 or ws.shape[1:] != (self.num_ws, self.w_dim):
            raise ShapeError("synthesis", f"ws (N, {self.num_ws}, {self.w_dim})", describe(ws),
                             "Take it from generator.mapping")
        if noise_mode not in ("const", "random", "none"):
            raise ShapeError("synthesis", 'noise_mode "const", "random" or "none"', repr(noise_mode),
                             "Choose one of the three")
        layers = self.layers() if noise else {}
        for key, value in noise.items():
            if key not in layers:
                raise ShapeError("synthesis", f"noise for {', '.join(layers)}", repr(key), "Name a layer")
            side = layers[key].resolution
            if value.dim() != 4 or value.shape[0] not in (1, len(ws)) or value.shape[1:] != (1, side, side):
                raise ShapeError("synthesis", f"noise {key} (1 or {len(ws)}, 1, {side}, {side})",
                                 describe(value), "Match the layer's resolution")


class Generator(nn.Module):
    """The skip generator: `generator.synthesis(generator.mapping(z))`.

    Args:
        resolution: of the pictures, a power of two >= 8.
        z_dim, w_dim: latent sizes.
        channels: resolution -> channels, for 4, 8, ..., resolution.
        num_mapping_layers: depth of the mapping network, >= 1.
        conv_clamp: clamp activations to this magnitude; None for no clamp.
    Raises:
        ShapeError: the resolution is no power of two, or the table lacks one.
    """

    def __init__(self, resolution, z_dim, w_dim, channels, num_mapping_layers, conv_clamp=None):
        super().__init__()
        self.synthesis = Synthesis(resolution, w_dim, channels, conv_clamp)
        self.resolution, self.z_dim, self.w_dim = resolution, z_dim, w_dim
        self.num_ws = self.synthesis.num_ws
        self.channels = {r: channels[r] for r in self.synthesis.resolutions}
        self.mapping = Mapping(z_dim, w_dim, self.num_ws, num_mapping_layers)

    def forward(self, z, truncation_psi=1.0, truncation_cutoff=None, **options):
        """z (N, z_dim) -> image; `options` are those of `Synthesis.forward`."""
        return self.synthesis(self.mapping(z, truncation_psi, truncation_cutoff), **options)


class Conv(nn.Module):
    """Equalised convolution; the discriminator's. `gain` multiplies the output."""

    def __init__(self, in_channels, out_channels, kernel, *, activate=True, bias=True, down=False,
                 gain=1.0, conv_clamp=None):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(out_channels, in_channels, kernel, kernel))
        self.bias = nn.Parameter(torch.zeros(out_channels)) if bias else None
        self.activate, self.down, self.conv_clamp = activate, down, conv_clamp and conv_clamp * gain
        self.gain = gain * (LRELU_GAIN if activate else 1.0)
        self.weight_gain = self.gain / math.sqrt(in_channels * kernel**2)

    def forward(self, x):
        """x (N, C, h, w) -> (N, C', h, w), or half the side if `down`."""
        kernel = self.weight.shape[-1]
        weight = (self.weight * self.weight_gain).to(x.dtype)
        bias = None if self.bias is None else (self.bias * self.gain).to(x.dtype)
        if self.down:
            # Blur so far that a kernel without padding lands on every second pixel's neighbourhood.
            x = F.conv2d(blur(x, pad=(kernel + 1) // 2), weight, bias, stride=2)
        else:
            x = F.conv2d(x, weight, bias, padding=kernel // 2)
        x = F.leaky_relu(x, SLOPE, inplace=True) if self.activate else x
        return x if self.conv_clamp is None else x.clamp(-self.conv_clamp, self.conv_clamp)


class DiscriminatorBlock(nn.Module):
    """Residual block that halves the resolution; the first one also reads the colours."""

    def __init__(self, in_channels, out_channels, *, is_first, conv_clamp):
        super().__init__()
        self.fromrgb = Conv(3, in_channels, 1, conv_clamp=conv_clamp) if is_first else None
        self.conv0 = Conv(in_channels, in_channels, 3, conv_clamp=conv_clamp)
        self.conv1 = Conv(in_channels, out_channels, 3, down=True, gain=RESNET_GAIN, conv_clamp=conv_clamp)
        self.skip = Conv(in_channels, out_channels, 1, down=True, gain=RESNET_GAIN, activate=False, bias=False)

    def forward(self, x):
        if self.fromrgb is not None:
            x = self.fromrgb(x)
        return self.skip(x) + self.conv1(self.conv0(x))


class DiscriminatorEpilogue(nn.Module):
    """4x4 features -> logits, with the minibatch standard deviation as an extra channel."""

    def __init__(self, channels, *, mbstd_group_size, mbstd_num_channels, conv_clamp):
        super().__init__()
        self.group_size, self.num_channels = mbstd_group_size, mbstd_num_channels
        self.conv = Conv(channels + mbstd_num_channels, channels, 3, conv_clamp=conv_clamp)
        self.fc = FullyConnected(channels * 16, channels, activate=True)
        self.out = FullyConnected(channels, 1)

    def minibatch_stddev(self, x):
        """Append, per group of samples, the mean deviation across the group: it shows mode collapse."""
        n, c, h, w = x.shape
        group = min(self.group_size, n)
        if n % group:
            raise ShapeError("Discriminator", f"a batch divisible by {group}", n, "Change the batch size")
        y = x.reshape(group, n // group, self.num_channels, c // self.num_channels, h, w)
        y = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((2, 3, 4))
        y = y.repeat(group, 1)[:, :, None, None].expand(-1, -1, h, w)
        return torch.cat([x, y], dim=1)

    def forward(self, x):
        x = self.conv(self.minibatch_stddev(x.float()))
        return self.out(self.fc(x.flatten(1)))


class Discriminator(nn.Module):
    """The residual discriminator: image (N, 3, R, R) in [-1, 1] -> logits (N, 1), high for real.

    Its blocks run in the picture's dtype (float32 or bfloat16), the last layers always in float32.

    Args:
        resolution: of the pictures, a power of two >= 8.
        channels: resolution -> channels, for 4, 8, ..., resolution.
        mbstd_group_size: samples compared with each other; the batch must be a multiple, or smaller.
        mbstd_num_channels: channels the comparison adds.
        conv_clamp: clamp activations to this magnitude; None for no clamp.
    Raises:
        ShapeError: the resolution is no power of two, or the table lacks one.
    """

    def __init__(self, resolution, channels, mbstd_group_size=4, mbstd_num_channels=1, conv_clamp=None):
        super().__init__()
        self.resolution = resolution
        self.resolutions = check_table("Discriminator", resolution, channels)[::-1]
        self.channels = {r: channels[r] for r in self.resolutions}
        for r in self.resolutions[:-1]:
            block = DiscriminatorBlock(channels[r], channels[r // 2], is_first=r == resolution,
                                       conv_clamp=conv_clamp)
            self.add_module(f"b{r}", block)
        self.b4 = DiscriminatorEpilogue(channels[4], mbstd_group_size=mbstd_group_size,
                                        mbstd_num_channels=mbstd_num_channels, conv_clamp=conv_clamp)

    def blocks(self):
        """The residual blocks, finest first."""
        return [getattr(self, f"b{r}") for r in self.resolutions[:-1]]

    def features(self, image):
        """What each residual block puts out, finest first: a list of (N, C, r, r), r = R/2 ... 4.

        Args:
            image: (N, 3, R, R) float in [-1, 1]; any batch size.
        Raises:
            ShapeError: image does not match the resolution.
        """
        side = self.resolution
        if image.dim() != 4 or image.shape[1:] != (3, side, side) or not image.is_floating_point():
            raise ShapeError("Discriminator", f"image (N, 3, {side}, {side}) float in [-1, 1]",
                             describe(image), "Resize or convert it")
        features, x = [], image.contiguous(memory_format=torch.channels_last)
        for block in self.blocks():
            x = block(x)
            features.append(x)
        return features

    def forward(self, image):
        return self.b4(self.features(image)[-1])
