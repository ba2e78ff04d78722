"""What describes a GAN's pixels: its activations and, if its file says so, what ImageNet's features see there."""

from collections.abc import Iterable

import torch
from torch import Tensor

from toolkit.gan.generator import Generator
from toolkit.parts import hypercolumns
from toolkit.parts.hypercolumns import Hypercolumns
from toolkit.projection.imagenet import layer_channels, layers_of

STATISTICS_PICTURES, FEWEST_PICTURES, STATISTICS_PIXELS = 128, 16, 1 << 19  # see `num_pictures`
COARSE = 32  # pixels a side of the finest of the GAN's layers that are kept beside ImageNet's features
FEWEST_PIXELS = 64  # a side of hypercolumns, see `side_of`
SEEN_PICTURES = 32  # of them, that ImageNet's features look at: they look at more pixels


def channels(generator: Generator, imagenet: bool) -> dict[str, int]:
    """The layers of hypercolumns, in order, and how many channels each has; imagenet: whether its features join."""
    return _own(generator, imagenet) | (layer_channels(generator.resolution) if imagenet else {})


def side_of(generator: Generator, imagenet: bool) -> int:
    """Pixels a side of the hypercolumns: as many as the pictures have, but half of large ones where ImageNet's features
    join: the GAN's layers are coarser then, ImageNet's finest hardly finer, and a quarter of the pixels is left to fit.

    Args:
        generator: of pictures of R pixels.
        imagenet: whether its features join.
    Returns:
        1 to R.
    """
    side = generator.resolution
    return min(side, max(FEWEST_PIXELS, side // 2)) if imagenet else side


def joined(generator: Generator, imagenet: bool, columns: Hypercolumns, image: Tensor) -> Hypercolumns:
    """The layers of `channels`.

    Args:
        columns: all of the generator's.
        image: (N, 3, S, S) in [-1, 1], what ImageNet's features look at.
    """
    if not imagenet:
        return columns
    own = columns.select(_own(generator, imagenet)).activations
    return Hypercolumns(own | layers_of(image, generator.resolution), side_of(generator, imagenet))


def num_pictures(resolution: int) -> int:
    """How many pictures tell the statistics of channels: 128 small ones, or fewer large ones, as these have more pixels
    and each takes seconds and half a gigabyte."""
    return max(FEWEST_PICTURES, min(STATISTICS_PICTURES, STATISTICS_PIXELS // resolution**2))


@torch.no_grad()
def statistics(generator: Generator, imagenet: bool, ws: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and std of every channel, (C,) each, over the pictures that latents ws (N, num_ws, w_dim) draw."""
    layers, at_once = list(_own(generator, imagenet)), max(1, STATISTICS_PIXELS // generator.resolution**2)
    own = _moments(hypercolumns.from_generator(generator, part, layers=layers)[1] for part in ws.split(at_once))
    if not imagenet:
        return own
    images = (generator.synthesis(w[None]).clamp(-1, 1).expand(-1, 3, -1, -1) for w in ws[:SEEN_PICTURES])
    side = side_of(generator, imagenet)
    seen = _moments(Hypercolumns(layers_of(image, generator.resolution), side) for image in images)
    return torch.cat([own[0], seen[0]]), torch.cat([own[1], seen[1]])


def _own(generator, imagenet):
    """The generator's layers. The finest say what colour a pixel is: where ImageNet's features see that, parts are
    found better without."""
    layers, finest = generator.synthesis.layers(), min(COARSE, generator.resolution // 2)
    kept = [name for name in layers if not imagenet or _side(name) <= finest]
    return {name: layers[name].weight.shape[0] for name in kept}


def _side(layer):
    """Pixels a side of a layer by its name: "b64.conv0" has 64."""
    return int(layer.split(".")[0][1:])


def _moments(parts: Iterable[Hypercolumns]) -> tuple[Tensor, Tensor]:
    """Mean and std of every channel, (C,) each, over the pictures of all parts."""
    found = [(len(part), *part.mean_std()) for part in parts]
    nums, means, stds = (torch.stack(list(map(torch.as_tensor, kind))) for kind in zip(*found, strict=True))
    if len(nums) == 1:
        return means[0], stds[0]
    shares = (nums / nums.sum()).to(means)[:, None]
    mean = (shares * means).sum(0)
    return mean, (shares * (stds.square() + (means - mean).square())).sum(0).sqrt()
