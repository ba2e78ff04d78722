"""How different two pictures look: by their pixels, and by the features of a network trained on such pictures."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.errors import ToolkitError

PERCEPTUAL_WEIGHT = 0.5  # of the features against the mean squared pixel error


class Distance:
    """The distance of pictures to given ones: pixel + weighted perceptual, differentiable.

    Args:
        target: (N, 3, R, R) float in [-1, 1].
        discriminator: the GAN's own; its features compare what matters for this kind of object,
            and no download is needed. None compares pixels only.
        lpips: compare by the package LPIPS instead of the discriminator.
    Raises:
        ToolkitError: lpips is asked for and not installed.
    """

    def __init__(self, target: Tensor, discriminator: Any = None, lpips: bool = False) -> None:
        self.target = target
        self.lpips = _lpips(target.device) if lpips else None
        self.features = None if lpips or discriminator is None else discriminator.features
        with torch.no_grad():
            self.target_features = [] if self.features is None else unit(self.features(target))

    def __call__(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """image (N, 3, R, R) -> pixel (N,), the mean squared error, and perceptual (N,)."""
        pixel = (image - self.target).square().mean((1, 2, 3))
        if self.lpips is not None:
            return pixel, self.lpips(image, self.target).flatten()
        if self.features is None:
            return pixel, torch.zeros_like(pixel)
        return pixel, apart(unit(self.features(image)), self.target_features)


def apart(features: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """How far features at unit length are from others: squared, the mean over pixels, the sum over scales.

    Args:
        features, others: as many (N, C, h, w) each, C and the sides of their own; at least one.
    Returns:
        (N,).
    """
    first, *rest = [(a - b).square().sum(1).mean((1, 2)) for a, b in zip(features, others, strict=True)]
    return sum(rest, first)


def unit(features: Iterable[Tensor]) -> list[Tensor]:
    """Each pixel's features at unit length, so that no block of the network outweighs another."""
    return [F.normalize(f.float(), dim=1) for f in features]


def _lpips(device):
    try:
        import lpips
    except ImportError as error:
        raise ToolkitError(
            "project",
            "the package lpips for lpips=True",
            "it is not installed",
            "pip install lpips, or leave lpips out: the discriminator's features are then compared",
        ) from error
    return lpips.LPIPS(net="vgg", verbose=False).to(device).requires_grad_(False)
