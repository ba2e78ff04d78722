"""The discriminator: how real a picture looks, and the features it computes on the way.

Source: Karras et al. 2020 (arXiv:1912.04958), with its three architectures.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from toolkit.errors import ShapeError, describe
from toolkit.gan.layers import (
    RESNET_GAIN,
    Conv,
    FullyConnected,
    Mapping,
    check_architecture,
    check_table,
    downsample,
)


class DiscriminatorBlock(nn.Module):
    """Two convolutions that halve the resolution; "resnet" has a residual branch, "skip" reads RGB in every block."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        img_channels: int,
        architecture: str,
        *,
        is_first: bool,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        residual = architecture == "resnet"
        colours = is_first or architecture == "skip"
        self.fromrgb = Conv(img_channels, in_channels, 1, conv_clamp=conv_clamp) if colours else None
        self.conv0 = Conv(in_channels, in_channels, 3, conv_clamp=conv_clamp)
        self.conv1 = Conv(
            in_channels, out_channels, 3, down=True, gain=RESNET_GAIN if residual else 1.0, conv_clamp=conv_clamp
        )
        self.skip = (
            Conv(in_channels, out_channels, 1, down=True, gain=RESNET_GAIN, activate=False, bias=False)
            if residual
            else None
        )

    def forward(self, x: Tensor, image: Tensor | None = None) -> Tensor:
        """x (N, C, r, r), or the picture itself in the first block -> (N, C', r/2, r/2); image only for "skip"."""
        if self.fromrgb is not None:
            x = self.fromrgb(x) if image is None else x + self.fromrgb(image)
        y = self.conv1(self.conv0(x))
        return y if self.skip is None else self.skip(x) + y


class DiscriminatorEpilogue(nn.Module):
    """4x4 features -> out_dim numbers, with the minibatch standard deviation as extra channels."""

    def __init__(
        self,
        channels: int,
        out_dim: int,
        img_channels: int,
        *,
        colours: bool,
        mbstd_group_size: int | None,
        mbstd_num_channels: int,
        conv_clamp: float | None,
    ) -> None:
        super().__init__()
        self.group_size, self.num_channels = mbstd_group_size, mbstd_num_channels
        self.fromrgb = Conv(img_channels, channels, 1) if colours else None
        self.conv = Conv(channels + mbstd_num_channels, channels, 3, conv_clamp=conv_clamp)
        self.fc = FullyConnected(channels * 16, channels, activate=True)
        self.out = FullyConnected(channels, out_dim)

    def minibatch_stddev(self, x: Tensor) -> Tensor:
        """Append, per group of samples, the mean deviation across the group: it shows mode collapse."""
        if not self.num_channels:
            return x
        n, c, h, w = x.shape
        group = n if self.group_size is None else min(self.group_size, n)
        if n % group:
            raise ShapeError("Discriminator", f"a batch divisible by {group}", n, "Change the batch size")
        y = x.reshape(group, n // group, self.num_channels, c // self.num_channels, h, w)
        y = (y.var(0, unbiased=False) + 1e-8).sqrt().mean((2, 3, 4))
        y = y.repeat(group, 1)[:, :, None, None].expand(-1, -1, h, w)
        return torch.cat([x, y], dim=1)

    def forward(self, x: Tensor, image: Tensor | None = None) -> Tensor:
        """x (N, C, 4, 4), image (N, img_channels, 4, 4) only for "skip" -> (N, out_dim)."""
        x = x.float()
        if self.fromrgb is not None and image is not None:
            x = x + self.fromrgb(image.float())
        x = self.conv(self.minibatch_stddev(x))
        return self.out(self.fc(x.flatten(1)))


class Discriminator(nn.Module):
    """image (N, img_channels, R, R) in [-1, 1] -> logits (N, 1), high for real.

    Its blocks run in the picture's dtype (float32 or bfloat16), the last layers always in float32.
    A grayscale one takes colour pictures too, and reads the mean of their channels.

    Args:
        resolution: of the pictures, a power of two >= 8.
        channels: resolution -> channels, for 4, 8, ..., resolution.
        mbstd_group_size: samples compared with each other; the batch must be a multiple, or smaller;
            None compares the whole batch.
        mbstd_num_channels: channels the comparison adds; 0 for none.
        conv_clamp: clamp activations to this magnitude; None for no clamp.
        architecture: "resnet", "skip" (the picture is read at every resolution) or "orig".
        img_channels: 3, or 1 for grayscale.
        c_dim: classes; 0 for none.
        cmap_dim: numbers compared with the label's own; only with classes; None for channels[4].
        num_mapping_layers: depth of the network that maps a label to these numbers.
        mapping: further options of `Mapping`: embed_dim, hidden_dim, lr.
    Raises:
        ShapeError: the resolution is no power of two, or the table lacks one.
        ToolkitError: no such architecture.
    """

    def __init__(
        self,
        resolution: int,
        channels: dict[int, int],
        mbstd_group_size: int | None = 4,
        mbstd_num_channels: int = 1,
        conv_clamp: float | None = None,
        architecture: str = "resnet",
        img_channels: int = 3,
        c_dim: int = 0,
        cmap_dim: int | None = None,
        num_mapping_layers: int = 8,
        **mapping: Any,
    ) -> None:
        super().__init__()
        check_architecture("Discriminator", architecture)
        self.resolution, self.architecture = resolution, architecture
        self.img_channels, self.conv_clamp, self.c_dim = img_channels, conv_clamp, c_dim
        self.resolutions = check_table("Discriminator", resolution, channels)[::-1]
        self.channels = {r: channels[r] for r in self.resolutions}
        for r in self.resolutions[:-1]:
            block = DiscriminatorBlock(
                channels[r],
                channels[r // 2],
                img_channels,
                architecture,
                is_first=r == resolution,
                conv_clamp=conv_clamp,
            )
            self.add_module(f"b{r}", block)
        cmap_dim = (cmap_dim or channels[4]) if c_dim else 1
        self.b4 = DiscriminatorEpilogue(
            channels[4],
            cmap_dim,
            img_channels,
            colours=architecture == "skip",
            mbstd_group_size=mbstd_group_size,
            mbstd_num_channels=mbstd_num_channels,
            conv_clamp=conv_clamp,
        )
        self.mapping = Mapping(0, cmap_dim, None, num_mapping_layers, c_dim=c_dim, **mapping) if c_dim else None

    def blocks(self) -> list[DiscriminatorBlock]:
        """The blocks, finest first."""
        return [getattr(self, f"b{r}") for r in self.resolutions[:-1]]

    def features(self, image: Tensor) -> list[Tensor]:
        """What each block puts out, finest first: a list of (N, C, r, r), r = R/2 ... 4.

        Args:
            image: (N, 3, R, R) float in [-1, 1]; any batch size.
        Raises:
            ShapeError: image does not match the resolution.
        """
        scales = self._scales(image)
        features, x = [], scales[0].contiguous(memory_format=torch.channels_last)
        for i, block in enumerate(self.blocks()):
            x = block(x, scales[i]) if i and len(scales) > 1 else block(x)
            features.append(x)
        return features

    def forward(self, image: Tensor, class_label: Tensor | None = None) -> Tensor:
        """Judge pictures.

        Args:
            image: (N, 3, R, R) float in [-1, 1].
            class_label: (N, c_dim) float, one-hot or a mixture; None for `mapping.class_index`. Ignored
                without classes.
        Returns:
            logits (N, 1).
        Raises:
            ShapeError: image or class_label do not match, or N is no multiple of the group.
        """
        x = self.features(image)[-1]
        x = self.b4(x, self._scales(image)[-1] if self.architecture == "skip" else None)
        if self.mapping is None:
            return x
        cmap = self.mapping(x.new_empty(len(x), 0), class_label)
        return (x * cmap).sum(1, keepdim=True) / math.sqrt(x.shape[1])

    def _scales(self, image):
        """The pictures the blocks read: one, or for "skip" one each, down to 4 pixels."""
        side, colours = self.resolution, self.img_channels
        right = image.dim() == 4 and image.shape[2:] == (side, side) and image.is_floating_point()
        if not right or not (image.shape[1] == colours or (image.shape[1], colours) == (3, 1)):
            raise ShapeError(
                "Discriminator",
                f"image (N, {colours}, {side}, {side}) float in [-1, 1]",
                describe(image),
                "Resize or convert it",
            )
        scales = [image if image.shape[1] == colours else image.mean(1, keepdim=True)]
        for _ in self.blocks() if self.architecture == "skip" else []:
            scales.append(downsample(scales[-1]))
        return scales
