"""Windows to train a framer on: framed pictures moved, scaled and turned over other backgrounds, among decoys."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.pictures.margins import margins
from toolkit.projection.framing import CANONICAL, TURN, WINDOW, placed, places, pyramid, view

SMALLEST, LARGEST = 0.25, 1.5  # sides of the object, in the window's
FAR = 0.35  # how far its centre may be from the window's, in sides of the window, in x and in y
NEAR, NEAR_TURN, NEAR_ZOOM = 0.07, 20.0, 0.22  # deviations, the last in octaves: of windows that look closely
ABSENT = 0.3  # share of windows without the object
CLOSE = 0.7  # share of the others that look closely
DECOYS = 0.6  # share of backgrounds with something pasted on
WHOLE = 0.15  # share of objects that fill the window, their edges repeated
OCTAVES = 5  # of clutter


class Scene(NamedTuple):
    """image (N, 3, 64, 64) in [-1, 1]; target (N, 5) as a `Framer` answers, with 1 or 0 for the logit."""

    image: Tensor
    target: Tensor


def draw(objects: Tensor, backgrounds: Tensor, rng: torch.Generator, fit: str = "crop") -> Scene:
    """Draw a window for each object.

    Args:
        objects: (N, 3, R, R) in [-1, 1], framed as the GAN's.
        backgrounds: (N, 3, 64, 64) in [-1, 1], as `backgrounds` makes them.
        rng: on the CPU.
        fit: how the objects were made square; "pad" leaves out the edges that were repeated.
    Returns:
        `Scene`.
    """
    num = len(objects)
    # Mirrored, too: a framer looks at what it found in the mirror as well.
    levels = pyramid(torch.where(torch.rand(num, 1, 1, 1, generator=rng) < 0.5, objects, objects.flip(3)))
    image = torch.where(torch.rand(num, 1, 1, 1, generator=rng) < 0.5, backgrounds, backgrounds.flip(3))
    absent = torch.rand(num, generator=rng) < ABSENT
    target = _targets(num, rng)
    # The window lies in the object's picture as the object lies in the window, seen the other way round.
    window = torch.tensor([[0.5, 0.5, 1.0, 0.0]]).expand(num, 4)
    frame = placed(window, target)
    back = _inverse(frame) * torch.tensor([objects.shape[3], objects.shape[3], objects.shape[3], 1.0])
    mask = _mask(places(back) / objects.shape[3], _margins(objects, fit), rng)
    mask = torch.where(torch.rand(num, 1, 1, generator=rng) < WHOLE, 1.0, mask) * ~absent[:, None, None]
    seen = _relit(view(levels, back), rng)
    image = torch.lerp(image, seen, mask[:, None])
    target[:, 0] = (~absent).float()
    return Scene(_camera(image, rng).clamp(-1, 1), target)


def _targets(num, rng):
    far = torch.rand(num, 4, generator=rng)
    place = (far[:, :2] * 2 - 1) * FAR
    octave = math.log2(SMALLEST) + far[:, 2] * math.log2(LARGEST / SMALLEST)
    turn = far[:, 3] * 2 - 1
    near = torch.randn(num, 4, generator=rng)
    close = torch.rand(num, generator=rng) < CLOSE
    place = torch.where(close[:, None], near[:, :2] * NEAR, place)
    octave = torch.where(close, near[:, 2] * NEAR_ZOOM - math.log2(CANONICAL), octave)
    turn = torch.where(close, near[:, 3] * (NEAR_TURN / TURN), turn)
    return torch.stack([torch.ones(num), place[:, 0], place[:, 1], octave, turn], 1)


def _inverse(frames):
    """Where the unit square lies, seen from frames (N, 4) in it."""
    angle = frames[:, 3] * (math.pi / 180)
    cos, sin = angle.cos() / frames[:, 2], angle.sin() / frames[:, 2]
    x, y = (0.5 - frames[:, :2]).unbind(1)
    centre = torch.stack([x * cos + y * sin, y * cos - x * sin], 1) + 0.5
    return torch.cat([centre, 1 / frames[:, 2:3], -frames[:, 3:4]], 1)


def _margins(image, fit):
    return margins(image) if fit == "pad" else torch.zeros(len(image), 2)


def _mask(where, margin, rng):
    """How much of the object shows (N, 64, 64) at `where` (N, 64, 64, 2) in it, 0 to 1.

    A paste must not be known by its edges, for no photograph has them: some are cut closer, round or soft, and the
    margins (N, 2) of repeated edges do not show at all.
    """
    num = len(where)
    edge = torch.rand(num, 4, generator=rng) ** 2 * 0.28 * (torch.rand(num, 1, generator=rng) < 0.6)
    edge = margin.repeat(1, 2) + edge * (1 - 2 * margin.repeat(1, 2))
    soft = torch.rand(num, 1, 1, generator=rng) ** 2 * 0.2 + 0.01
    x, y = where.unbind(3)
    left, top, right, bottom = edge[:, :, None, None].unbind(1)
    square = torch.minimum(torch.minimum(x - left, 1 - right - x), torch.minimum(y - top, 1 - bottom - y))
    # As round as what there is: an ellipse between the margins.
    half = 0.5 - margin[:, :, None, None]
    round_ = 0.5 - (((x - 0.5) / half[:, 0]).square() + ((y - 0.5) / half[:, 1]).square()).sqrt() / 2
    round_ = round_ - torch.maximum(left - margin[:, :1, None], right - margin[:, :1, None]) / 2
    inside = torch.where(torch.rand(num, 1, 1, generator=rng) < 0.3, round_, square)
    return (inside / soft).clamp(0, 1)


def backgrounds(objects: Tensor, others: Tensor, rng: torch.Generator, fit: str = "crop") -> Tensor:
    """Windows without the object: of other pictures, of its own pictures' corners, of clutter, and with decoys.

    Args:
        objects: (N, 3, R, R) in [-1, 1], framed as the GAN's.
        others: (N, 3, S, S) in [-1, 1], pictures of anything else.
        rng: on the CPU.
        fit: as of `draw`.
    Returns:
        (N, 3, 64, 64) in [-1, 1].
    """
    num, side = len(objects), others.shape[3]
    # Corners of framed pictures, and anything of the others, at any turn.
    corner = torch.randint(0, 2, (num, 2), generator=rng).float()
    small = torch.rand(num, 1, generator=rng) * 0.25 + 0.1
    corners = torch.cat([(corner - 0.5) * (1 - small) + 0.5, small, torch.zeros(num, 1)], 1)
    size = objects.shape[3]
    cornered = view(pyramid(objects.roll(1, 0)), corners * torch.tensor([size, size, size, 1.0]))
    anywhere = torch.rand(num, 2, generator=rng)
    zoom = torch.rand(num, 1, generator=rng) * 0.9 + 0.2
    turned = torch.randn(num, 1, generator=rng) * 10
    other = view(pyramid(others), torch.cat([anywhere * side, zoom * side, turned], 1))
    kind = torch.rand(num, 1, 1, 1, generator=rng)
    image = torch.where(kind < 0.6, other, torch.where(kind < 0.75, cornered, clutter(num, rng)))
    for _ in range(2):
        image = _decoys(image, objects, rng, fit)
    return image


def _decoys(image, objects, rng, fit):
    """Something pasted that is not the object: another background, or the object on its side or on its head, or
    with its quarters exchanged."""
    num, size = len(image), objects.shape[3]
    order = torch.randperm(num, generator=rng)
    quarter = size // 2
    wrong = objects[order].roll((quarter, quarter), (2, 3))
    wrong = torch.where(torch.rand(num, 1, 1, 1, generator=rng) < 0.5, wrong, objects[order].flip(2))
    aside = objects[order].transpose(2, 3).flip(3)
    wrong = torch.where(torch.rand(num, 1, 1, 1, generator=rng) < 0.3, aside, wrong)
    plain = F.interpolate(image[order], size=(size, size), mode="bilinear", align_corners=False)
    pasted = torch.where(torch.rand(num, 1, 1, 1, generator=rng) < 0.4, wrong, plain)
    target = _targets(num, rng)
    target[:, 1:3] *= 2
    frame = placed(torch.tensor([[0.5, 0.5, 1.0, 0.0]]).expand(num, 4), target)
    back = _inverse(frame) * torch.tensor([size, size, size, 1.0])
    mask = _mask(places(back) / size, _margins(pasted, fit), rng) * (torch.rand(num, 1, 1, generator=rng) < DECOYS)
    return torch.lerp(image, view(pyramid(pasted), back), mask[:, None])


def clutter(num: int, rng: torch.Generator, size: int = WINDOW) -> Tensor:
    """Pictures of nothing: coloured noise of several octaves, and flat shapes with edges.

    Returns:
        (num, 3, size, size) in [-1, 1].
    """
    image = torch.rand(num, 3, 1, 1, generator=rng) * 2 - 1
    rough = torch.rand(num, 1, 1, 1, generator=rng)
    for octave in range(OCTAVES):
        noise = torch.randn(num, 3, 2 << octave, 2 << octave, generator=rng)
        noise = 0.3 * noise + 0.7 * noise.mean(1, keepdim=True)
        finer = F.interpolate(noise, size=(size, size), mode="bilinear", align_corners=False)
        image = image + finer * rough**octave * 0.6
    unit = (torch.arange(size) + 0.5) / size
    for _ in range(4):
        centre, half = torch.rand(num, 2, 1, 1, generator=rng), torch.rand(num, 2, 1, 1, generator=rng) ** 2 * 0.5
        x, y = (unit[None, None] - centre[:, 0]) / half[:, 0], (unit[None, :, None] - centre[:, 1]) / half[:, 1]
        turn = torch.rand(num, 1, 1, generator=rng) * math.pi
        x, y = x * turn.cos() - y * turn.sin(), x * turn.sin() + y * turn.cos()
        square = torch.rand(num, 1, 1, generator=rng) < 0.5
        inside = torch.where(square, torch.maximum(x.abs(), y.abs()), (x.square() + y.square()).sqrt()) < 1
        color = torch.rand(num, 3, 1, 1, generator=rng) * 2 - 1
        image = torch.where(inside[:, None] & (torch.rand(num, 1, 1, 1, generator=rng) < 0.6), color, image)
    return image.clamp(-1, 1)


def _relit(image, rng):
    """Brighter or darker, with more or less contrast than the picture it is pasted on."""
    num = len(image)
    gain = (torch.randn(num, 1, 1, 1, generator=rng) * 0.15).exp()
    return image * gain + torch.randn(num, 3, 1, 1, generator=rng) * 0.06


def _camera(image, rng):
    """Some windows blurred, all with a little noise."""
    num = len(image)
    soft = torch.rand(num, generator=rng) < 0.2
    image[soft] = F.avg_pool2d(F.pad(image[soft], (1, 1, 1, 1), mode="replicate"), 3, 1)
    grain = torch.randn(image.shape[1:], generator=rng)  # one for all, moved: drawing it costs most
    grain = torch.stack(
        [grain.roll((y, x), (1, 2)) for y, x in torch.randint(WINDOW, (num, 2), generator=rng).tolist()]
    )
    return image + grain * torch.rand(num, 1, 1, 1, generator=rng) * 0.06
