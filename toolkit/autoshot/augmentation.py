"""Random augmentation of pictures together with their soft labels, on any device."""

from collections.abc import Sequence
from typing import Any

import kornia
import torch
from torch import Tensor

SCALE = (0.5, 2.0)  # drawn log-uniformly: halving is as likely as doubling
ROTATION, SHIFT = 10.0, 0.5  # at most, either way: degrees, and share of the side
JITTER: dict[str, Any] = {"brightness": 0.2, "contrast": 0.2, "saturation": 0.2, "hue": 0.05}


def draw(
    num: int,
    size: Sequence[int],
    rng: torch.Generator,
    *,
    flip: float = 0.5,
    scale: tuple[float, float] = SCALE,
    rotation: float = ROTATION,
    shift: float = SHIFT,
) -> Tensor:
    """Draw random affine transforms.

    Args:
        num: pictures.
        size: (H, W).
        rng: torch.Generator on the CPU.
        flip: share of the pictures to mirror.
        scale: (minimum, maximum).
        rotation: at most, in degrees, either way.
        shift: at most, as a share of height and width, either way.
    Returns:
        (num, 3, 3): homogeneous matrices that map a picture's pixels (x, y) to its view's.
    """
    height, width = size

    def between(low, high, columns=1):
        return torch.rand(num, columns, generator=rng) * (high - low) + low

    factor = between(*torch.tensor(scale).log()).exp().expand(-1, 2)
    centre = torch.tensor([(width - 1) / 2, (height - 1) / 2]).expand(num, 2)
    moved = between(-shift, shift, 2) * torch.tensor([width, height])
    angle = between(-rotation, rotation)[:, 0]
    matrix = kornia.geometry.get_affine_matrix2d(moved, centre, factor, angle)
    mirror = torch.eye(3).repeat(num, 1, 1)
    mirrored = torch.rand(num, generator=rng) < flip
    mirror[mirrored, 0, 0], mirror[mirrored, 0, 2] = -1.0, width - 1.0
    return matrix @ mirror


def warp(values: Tensor, matrix: Tensor, mode: str = "bilinear", padding_mode: str = "zeros") -> Tensor:
    """Apply affine transforms to pictures, or to label maps of their size.

    Args:
        values: (N, C, H, W) float.
        matrix: (N, 3, 3), as `draw` makes them.
        mode: "bilinear", or "nearest" for labels.
        padding_mode: how to fill pixels from outside: "zeros", or "border" to repeat the edge.
    Returns:
        (N, C, H, W).
    """
    matrix = matrix[:, :2].to(values)
    height, width = values.shape[2:]
    return kornia.geometry.warp_affine(values, matrix, (height, width), mode, padding_mode, align_corners=True)


def augment(
    image: Tensor, soft: Tensor, rng: torch.Generator, color_jitter: bool = False, **views: Any
) -> tuple[Tensor, Tensor, Tensor]:
    """A random view of every picture, its soft labels moved with it.

    Args:
        image: (N, 3, H, W) float in [-1, 1].
        soft: (N, K, H, W) float, probabilities.
        rng: torch.Generator on the CPU; the same state gives the same views.
        color_jitter: also change brightness, contrast, saturation and hue a little.
        views: options of `draw`.
    Returns:
        image, soft: the views; beyond the picture's edge the edge is repeated.
        known: (N, H, W) bool, False at pixels from outside the picture, which have no labels.
    Source: Tritrong et al. 2021, sec. 4.4 (arXiv:2103.04379): flip 0.5, scale 0.5 to 2, rotation ±10°,
        shift up to 50%.
    """
    matrix = draw(len(image), image.shape[2:], rng, **views)
    if color_jitter:
        with torch.random.fork_rng([image.device] if image.is_cuda else []):
            torch.manual_seed(int(torch.randint(2**31, (), generator=rng)))
            image = kornia.augmentation.ColorJiggle(**JITTER)(image / 2 + 0.5) * 2 - 1
    image = warp(image, matrix, padding_mode="border")
    moved = warp(torch.cat([soft, torch.ones_like(soft[:, :1])], 1), matrix)
    return image, moved[:, :-1], moved[:, -1] > 0.999  # pixels at the edge are interpolated with the outside
