"""Networks that turn an image into part logits, without a GAN: U-Nets.

To start from a seed, build inside `torch.random.fork_rng()` after `torch.manual_seed(seed)`.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch import Tensor

from toolkit.errors import ShapeError, describe
from toolkit.projection.imagenet import CHANNELS, ImageNetFeatures

UNET_DEPTH = 4  # halvings of the image
# Of a U-Net that starts from ImageNet's features, as times the learning rate: at theirs what is new would take too
# long, and at its own they would be lost.
NEW, FEATURES = 2.0, 0.5
FINE = 128  # pixels a side from which logits of every second one are enough, and take less time


class UNet(nn.Module):
    """Image -> part logits, without a GAN: double convolutions, skips, bilinear upsampling.

    Args:
        num_classes: K, background included.
        width: channels at full resolution; deeper levels have 2, 4, 8 and 8 times as many.
        in_channels: 3 for images.
    Source: Ronneberger et al. 2015 (arXiv:1505.04597); differs: padded, BatchNorm, bilinear.
    """

    start = "scratch"

    def __init__(self, num_classes: int, width: int = 64, in_channels: int = 3) -> None:
        super().__init__()
        self.width = width
        widths = [width * times for times in (1, 2, 4, 8, 8)]
        self.down = nn.ModuleList(map(_double_conv, [in_channels, *widths], widths))
        self.up = nn.ModuleList(_double_conv(below + skip, skip) for below, skip in zip(widths[:0:-1], widths[-2::-1]))
        self.classify = nn.Conv2d(width, num_classes, 1)
        self.to(memory_format=torch.channels_last)

    @classmethod
    def fitting(cls, weights: dict[str, Tensor], num_classes: int) -> UNet:
        """An untrained network that these weights fit, if they are of so many classes."""
        return cls(num_classes, weights["classify.weight"].shape[1])

    def rates(self) -> dict[nn.Module, float]:
        """Its parts, and at how many times the learning rate each learns."""
        return {self: 1.0}

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel.

        Args:
            image: (N, 3, H, W) float in [-1, 1], any size; the edges are repeated until H and W are
                multiples of 16, and the logits cut back.
        Returns:
            (N, K, H, W).
        Raises:
            ShapeError: another number of dimensions or channels.
        """
        return _rise(self.up, self._encode(image), self.classify)[:, :, : image.shape[2], : image.shape[3]]

    def bottleneck(self, image: Tensor) -> Tensor:
        """Features of a whole picture, for Fréchet distances.

        Args:
            image: as in `forward`.
        Returns:
            (N, 8 * width): the deepest features, averaged over the picture.
        Raises:
            ShapeError: as in `forward`.
        """
        return self._encode(image)[-1].mean((2, 3))

    def _encode(self, image):
        image = _padded(image, 2**UNET_DEPTH, self.down[0][0].in_channels)
        features = [self.down[0](image)]
        for block in self.down[1:]:
            features.append(block(F.max_pool2d(features[-1], 2)))
        return features


class ImageNetUNet(nn.Module):
    """Image -> part logits, as `UNet`; what goes down are ImageNet's features, trained on from there.

    Their finest layer has half the image's resolution. For small pictures two convolutions of the image itself join it;
    for others the logits are enlarged.

    Args:
        num_classes: K, background included.
        width: channels at full resolution; deeper levels have 2, 3, 4 and 6 times as many.
        whole: whether there is a level of full resolution.
    Source: Ronneberger et al. 2015 (arXiv:1505.04597) over Tan and Le 2019 (arXiv:1905.11946).
    """

    start = "imagenet"

    def __init__(self, num_classes: int, width: int = 16, whole: bool = True) -> None:
        super().__init__()
        self.width = width
        self.features = ImageNetFeatures().requires_grad_(True)
        self.stem = _double_conv(3, width) if whole else None
        skips = [*CHANNELS[-2::-1], width] if whole else list(CHANNELS[-2::-1])
        widths = [width * times for times in (6, 4, 3, 2, 1)[: len(skips)]]
        self.up = nn.ModuleList(map(_double_conv, map(sum, zip((CHANNELS[-1], *widths), skips)), widths))
        self.classify = nn.Conv2d(widths[-1], num_classes, 1)
        self.to(memory_format=torch.channels_last)

    @classmethod
    def fitting(cls, weights: dict[str, Tensor], num_classes: int) -> ImageNetUNet:
        """An untrained network that these weights fit, if they are of so many classes."""
        whole, channels = "stem.0.weight" in weights, weights["classify.weight"].shape[1]
        return cls(num_classes, channels if whole else channels // 2, whole)

    def rates(self) -> dict[nn.Module, float]:
        """Its parts, and at how many times the learning rate each learns."""
        new = [part for part in (self.stem, self.up, self.classify) if part is not None]
        return {nn.ModuleList(new): NEW, self.features: FEATURES}

    def forward(self, image: Tensor) -> Tensor:
        """Logits of every pixel.

        Args, Returns: as of `UNet`; H and W are padded to multiples of 32.
        Raises:
            ShapeError: another number of dimensions or channels.
        """
        padded = _padded(image, 2 ** len(CHANNELS), 3)
        features = self.features(padded)
        if self.stem is not None:
            logits = _rise(self.up, [self.stem(padded), *features], self.classify)
        else:
            logits = _twice(_rise(self.up, features, self.classify))
        return logits[:, :, : image.shape[2], : image.shape[3]]


STARTS: dict[str, Any] = {net.start: net for net in (UNet, ImageNetUNet)}  # by what their weights begin with


def untrained(start: str, num_classes: int, width: int, resolution: int) -> UNet | ImageNetUNet:
    """A network to train.

    Args:
        start: a key of `STARTS`.
        num_classes, width: as of the networks.
        resolution: of the pictures.
    Raises:
        KeyError: another start.
    """
    if start == ImageNetUNet.start:
        return ImageNetUNet(num_classes, width, whole=resolution < FINE)
    return STARTS[start](num_classes, width)


def _padded(image, step, channels):
    """The image with its edges repeated until height and width are multiples of `step`, channels last."""
    if image.ndim != 4 or image.shape[1] != channels:
        raise ShapeError("UNet", f"(N, {channels}, H, W)", describe(image), "Change its layout")
    image = F.pad(image, (0, -image.shape[3] % step, 0, -image.shape[2] % step), mode="replicate")
    return image.contiguous(memory_format=torch.channels_last)


def _rise(up, skips, classify):
    """From the coarsest of some features (finest first) to logits of the finest."""
    *skips, x = skips
    for block, skip in zip(up, reversed(skips), strict=True):
        x = block(torch.cat([skip, _twice(x)], 1))
    return classify(x)


def _twice(x):
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


def _double_conv(in_channels, out_channels):
    layers = []
    for before in (in_channels, out_channels):
        conv = nn.Conv2d(before, out_channels, 3, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)
