"""A generator whose latents were learned first: give it the mapping that draws such latents.

A mapping is a stack of leaky ReLUs. Where all that enters one is positive it is linear, so a stack can be set, in
closed form, to turn z into a normal distribution of any mean and covariance: lift z above zero, carry it through,
and turn it in the last layer, whose results must be lifted too.
"""

import torch
from torch import Tensor

from toolkit.gan.layers import LRELU_GAIN, FullyConnected, Mapping
from toolkit.gan.stylegan2 import Generator

DEVIATIONS = 6.0  # within which what is drawn stays positive


@torch.no_grad()
def draw_like(generator: Generator, codes: Tensor) -> Tensor:
    """Set a generator's mapping so that it draws w as some codes are distributed, up to second order.

    Every picture stays as it was: latents are shifted, and the layers that read them shift them back.

    Args:
        generator: changed in place; its mapping has at least two layers and z_dim = w_dim.
        codes: (N, w_dim), N > 1.
    Returns:
        shift (w_dim,): the picture that code c drew is drawn by c + shift from now on.
    """
    mean, covariance = codes.mean(0), codes.T.cov()
    deviation = covariance.diagonal().clamp_min(0).sqrt()
    shift = DEVIATIONS * deviation - mean
    _set(generator.mapping, root(covariance), DEVIATIONS * deviation)
    for module in generator.synthesis.modules():
        affine = getattr(module, "affine", None)
        if isinstance(affine, FullyConnected):
            affine.bias.sub_((affine.weight * affine.weight_gain) @ shift / affine.lr)
    generator.mapping.w_avg.copy_(mean + shift)
    return shift


def root(covariance: Tensor) -> Tensor:
    """The symmetric square root of a covariance (D, D): of all roots the one that turns least."""
    variance, axes = torch.linalg.eigh(covariance)
    return (axes * variance.clamp_min(0).sqrt()) @ axes.T


def _set(mapping: Mapping, matrix: Tensor, mean: Tensor) -> None:
    """w = matrix @ z + mean."""
    size, last = len(mean), mapping.num_layers - 1
    same, lift = torch.eye(size).to(mean), torch.full_like(mean, DEVIATIONS)
    for i in range(mapping.num_layers):
        weight, bias = same, torch.zeros_like(mean)
        if i == 0:
            bias = bias + lift
        if i == last:
            weight, bias = matrix, bias + mean - matrix @ lift
        _fill(getattr(mapping, f"fc{i}"), weight, bias)


def _fill(layer: FullyConnected, weight: Tensor, bias: Tensor) -> None:
    """A layer that answers weight @ x + bias where that is positive."""
    gain = LRELU_GAIN if layer.activate else 1.0
    layer.weight.copy_(weight / (layer.weight_gain * gain))
    layer.bias.copy_(bias / (layer.lr * gain))
