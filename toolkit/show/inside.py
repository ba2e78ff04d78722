"""Visualise a generator's activations: they separate parts that nobody has labelled."""

import matplotlib
import torch
from torch import Tensor

from toolkit.errors import ShapeError, describe

__all__ = ["heat", "likeness", "principal_colours"]

HEAT = "magma"


def principal_colours(features: Tensor) -> Tensor:
    """Features as colours: pixels whose features are alike get like colours, in all pictures.

    Args:
        features: (N, C, H, W) float, C >= 3, e.g. one layer's activations or dense hypercolumns.
    Returns:
        (N, 3, H, W) in [-1, 1]: the three strongest principal components over all pixels of all
        pictures, each channel standardised first; clipped at two standard deviations.
    Raises:
        ShapeError: not such features.
    """
    _check(features, "principal_colours")
    pixels = _standardised(features)
    axes = torch.linalg.eigh(pixels.T @ pixels / len(pixels)).eigenvectors[:, -3:].flip(1)
    # The sign of an eigenvector is arbitrary: make its largest entry positive.
    axes = axes * axes.gather(0, axes.abs().argmax(0, keepdim=True)).sign()
    components = pixels @ axes
    components = (components / (2 * components.std(0, correction=0)).clamp(min=1e-8)).clamp(-1, 1)
    return _pictures(components, features)


def likeness(features: Tensor, x: int, y: int, picture: int = 0) -> Tensor:
    """Cosine similarity of every pixel of all pictures to one of them.

    Args:
        features: as `principal_colours` takes them.
        x, y: the pixel, from the left and from the top.
        picture: which picture it is in.
    Returns:
        (N, H, W) in [-1, 1]: the cosine between features, each channel standardised first; 1 at the
        pixel itself.
    Raises:
        ShapeError: not such features, or no such pixel.
    """
    _check(features, "likeness")
    num, _, height, width = features.shape
    if not (0 <= picture < num and 0 <= y < height and 0 <= x < width):
        raise ShapeError(
            "likeness",
            f"a pixel within {num} pictures of {width}x{height}",
            f"({x}, {y}) of picture {picture}",
            "Count from 0",
        )
    pixels = torch.nn.functional.normalize(_standardised(features), dim=1)
    return _pictures(pixels @ pixels[(picture * height + y) * width + x][:, None], features)[:, 0]


def heat(values: Tensor) -> Tensor:
    """Values as heat maps, dark for 0 and below, bright for 1 and above.

    Args:
        values: (N, H, W) float.
    Returns:
        (N, 3, H, W) in [-1, 1].
    """
    colours = matplotlib.colormaps[HEAT](values.clamp(0, 1).cpu().numpy())[..., :3]
    return torch.from_numpy(colours).permute(0, 3, 1, 2).float() * 2 - 1


def _check(features, call):
    if features.dim() != 4 or features.shape[1] < 3:
        raise ShapeError(
            call,
            "features (N, C, H, W) with C >= 3",
            describe(features),
            "Pass a layer's activations, or hypercolumns.dense()",
        )


def _standardised(features):
    """(N * H * W, C), each column of mean 0 and standard deviation 1."""
    pixels = features.permute(0, 2, 3, 1).flatten(0, 2)
    return (pixels - pixels.mean(0)) / pixels.std(0, correction=0).clamp(min=1e-8)


def _pictures(pixels, features):
    num, _, height, width = features.shape
    return pixels.unflatten(0, (num, height, width)).permute(0, 3, 1, 2)
