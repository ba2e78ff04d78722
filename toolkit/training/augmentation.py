"""What keeps a discriminator from learning its pictures by heart: it sees them, and drawn ones, changed at random.

Each change comes with a probability that follows how sure the discriminator is of real pictures, so that nothing is
changed before it overfits. Drawn pictures do not learn the changes, because a share of pictures is always left alone.
Source: Karras et al. 2020 (arXiv:2006.06676), moves and colours; differs: edges are mirrored by the sampling itself.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

TARGET = 0.6  # mean sign of the verdicts on real pictures above which a discriminator overfits
PICTURES = 100_000  # over which the probability may rise from 0 to 1
HIGHEST = 0.8  # above it drawn pictures would learn the changes
SHIFT, SCALE, STRETCH, TURN = 0.125, 0.2, 0.2, math.pi / 12  # of a side; powers of 2, deviations; radians at most
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5, 1.0  # deviations; the latter two of powers of 2


def next_probability(probability: float, real_sign: float, num: int) -> float:
    """What follows a probability of changes after `num` more pictures.

    Args:
        probability: so far, 0 to `HIGHEST`.
        real_sign: mean sign of the last verdicts on real pictures, -1 to 1.
        num: pictures since the last call.
    """
    step = num / PICTURES
    return min(HIGHEST, max(0.0, probability + (step if real_sign > TARGET else -step)))


def augment(image: Tensor, probability: float, rng: torch.Generator) -> Tensor:
    """Pictures changed at random, differentiably: moved, scaled, stretched, turned and recoloured.

    Args:
        image: (N, 3, R, R).
        probability: of each change, for each picture by itself, 0 to 1; at 0 nothing is drawn from `rng`.
        rng: on the CPU or on image's device; the numbers are drawn where it is.
    Returns:
        (N, 3, R, R), edges mirrored.
    """
    if not probability:
        return image
    where = F.affine_grid(_moves(len(image), probability, rng).to(image), list(image.shape), align_corners=False)
    moved = F.grid_sample(image, where, padding_mode="reflection", align_corners=False)
    matrix, shift = (part.to(image) for part in _colours(len(image), probability, rng))
    return torch.einsum("nij,njhw->nihw", matrix, moved) + shift[:, :, None, None]


def _moves(n, probability, rng):
    """(n, 2, 3): where to look in the picture."""

    def some(values, neutral=0.0):
        return _some(values, neutral, probability, rng)

    scale = some(2 ** (SCALE * _normal(n, rng)), 1.0)
    stretch = some(2 ** (STRETCH * _normal(n, rng)), 1.0)
    angle = some(TURN * _spread(n, rng))
    shift = some(2 * SHIFT * _spread(2 * n, rng).view(n, 2))  # a side is 2 long here
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)
    sizes = torch.stack([scale * stretch, scale / stretch], 1)
    return torch.cat([turn * sizes[:, :, None], shift[:, :, None]], 2)


def _colours(n, probability, rng):
    """(n, 3, 3) and (n, 3): what a colour becomes."""

    def some(values, neutral=0.0):
        return _some(values, neutral, probability, rng)

    brightness = some(BRIGHTNESS * _normal(n, rng))
    contrast = some(2 ** (CONTRAST * _normal(n, rng)), 1.0)
    saturation = some(2 ** (SATURATION * _normal(n, rng)), 1.0)
    luma = torch.full((3,), 3**-0.5, device=rng.device)  # the grey axis
    grey = luma[:, None] * luma
    along = contrast[:, None, None] * (grey + saturation[:, None, None] * (torch.eye(3, device=rng.device) - grey))
    return along, brightness[:, None].expand(n, 3)


def _some(values, neutral, probability, rng):
    """Each picture's value with the probability, else what changes nothing."""
    kept = (torch.rand(len(values), generator=rng, device=rng.device) < probability).view(-1, *[1] * (values.dim() - 1))
    return torch.where(kept, values, torch.full_like(values, neutral))


def _normal(n, rng):
    return torch.randn(n, generator=rng, device=rng.device)


def _spread(n, rng):
    """Uniform in [-1, 1]."""
    return 2 * torch.rand(n, generator=rng, device=rng.device) - 1
