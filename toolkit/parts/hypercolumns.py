"""Generator activations as one feature vector a pixel, without ever building those vectors.

The paper's F = U(a_1) + ... + U(a_n) (concatenated) has 5056 channels a pixel, 5.3 GB a picture.
A segmenter's first layer is a 1x1 convolution, which commutes with upsampling:
conv(F) = sum of U(conv_i(a_i)). So mix every layer at its own resolution, then upsample the few
mixed channels.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.errors import ShapeError, ToolkitError, describe


class Hypercolumns:
    """The paper's F for N pictures, stored as the activations it is made of.

    Layers finer than F are area-pooled here, once. Layers of one resolution are kept side by side
    in a single channels-last tensor, so that one matrix product mixes them all.

    Args:
        activations: dict, layer name -> (N, C_i, H_i, W_i) float, H_i = W_i; F has this order.
        resolution: side R of F in pixels, >= 1.
    Raises:
        ShapeError: no layers, or activations that are not square, or not of the same N pictures.
    Source: Tritrong et al. 2021, sec. 3.1 (arXiv:2103.04379).
    """

    def __init__(self, activations: dict[str, Tensor], resolution: int) -> None:
        _check_activations(activations, resolution)
        self.resolution = resolution
        self.channels = {name: a.shape[1] for name, a in activations.items()}
        pooled = {name: _pool(a, resolution) for name, a in activations.items()}
        self._names = {}  # side of a level -> the layers in it, in the order of its channels
        for name, a in pooled.items():
            self._names.setdefault(a.shape[-1], []).append(name)
        self._levels = {
            side: torch.cat([pooled[n] for n in names], 1).contiguous(memory_format=torch.channels_last)
            for side, names in sorted(self._names.items())
        }

    @property
    def num_channels(self) -> int:
        """C, the sum of the layers' channels."""
        return sum(self.channels.values())

    @property
    def num_images(self) -> int:
        """N, the number of pictures."""
        return next(iter(self._levels.values())).shape[0]

    @property
    def activations(self) -> dict[str, Tensor]:
        """dict, layer name -> (N, C_i, h, h) with h = min(H_i, R): views, in the order of F."""
        found = {}
        for side, names in self._names.items():
            found.update(zip(names, self._levels[side].split([self.channels[n] for n in names], 1)))
        return {name: found[name] for name in self.channels}

    def dense(self) -> Tensor:
        """Build the paper's F, for display and for tests; `mix` never needs it.

        Returns:
            (N, C, R, R), layers in the order they were given.
        """
        return torch.cat([_upsample(a, self.resolution) for a in self.activations.values()], 1)

    def mix(self, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The 1x1 convolution of F, equal to `conv2d(dense(), weight[:, :, None, None], bias)`.

        Args:
            weight: (K, C) float.
            bias: (K,) float, or None.
        Returns:
            (N, K, R, R) in channels-last memory; differentiable in weight, bias and activations.
        Raises:
            ShapeError: weight does not have C columns.
        """
        if weight.ndim != 2 or weight.shape[1] != self.num_channels:
            raise ShapeError(
                "Hypercolumns.mix",
                f"weight (K, {self.num_channels})",
                describe(weight),
                "Build the network for the same layers",
            )
        columns = dict(zip(self.channels, weight.split(list(self.channels.values()), 1)))
        total: Any = None  # a Tensor from the coarsest level on
        for side, level in self._levels.items():
            own = torch.cat([columns[name] for name in self._names[side]], 1)
            # The bias joins the coarsest level, where it costs least: upsampling keeps constants.
            mixed = F.linear(level.permute(0, 2, 3, 1), own, bias if total is None else None)
            mixed = _upsample(mixed.permute(0, 3, 1, 2), self.resolution)
            total = mixed if total is None else total.add_(mixed)
        return total

    def mean_std(self) -> tuple[Tensor, Tensor]:
        """Per-channel statistics of the activations, each layer at its own resolution.

        Upsampling keeps the mean except at the border and shrinks the std a little, so these
        approximate those of F without building it.

        Returns:
            mean, std: (C,) each, in the order of F; std is the biased one.
        """
        moments = [torch.var_mean(a, (0, 2, 3), correction=0) for a in self.activations.values()]
        return torch.cat([mean for _, mean in moments]), torch.cat([var for var, _ in moments]).sqrt()

    def select(self, names: Iterable[str]) -> Hypercolumns:
        """The hypercolumns of some layers only, in the order of `names`.

        Raises:
            ToolkitError: a name is not one of the layers, or there is none.
        """
        names = list(names)
        if not names or not set(names) <= set(self.channels):
            raise ToolkitError(
                "Hypercolumns.select",
                f"names among {list(self.channels)}",
                names,
                "Name at least one layer this generator has",
            )
        activations = self.activations
        return Hypercolumns({name: activations[name] for name in names}, self.resolution)

    def __getitem__(self, index: int | slice | list[int] | Tensor) -> Hypercolumns:
        """The hypercolumns of some pictures: an int (N stays, as 1), a slice, a list or a tensor."""
        if isinstance(index, int):
            index = [range(self.num_images)[index]]
        return self._map(lambda level: level[index])

    def __len__(self) -> int:
        return self.num_images

    def to(self, device: str | torch.device) -> Hypercolumns:
        """The same hypercolumns on another device."""
        return self._map(lambda level: level.to(device))

    def flip(self) -> Hypercolumns:
        """The hypercolumns of the mirrored pictures: columns of pixels in reverse order."""
        return self._map(lambda level: level.flip(3))

    def _map(self, function):
        mapped = copy.copy(self)
        mapped._levels = {side: function(level) for side, level in self._levels.items()}
        return mapped


def cat(hypercolumns: Iterable[Hypercolumns]) -> Hypercolumns:
    """Join the pictures of several hypercolumns.

    Args:
        hypercolumns: non-empty list of Hypercolumns with the same layers and resolution.
    Returns:
        Hypercolumns of all their pictures, in order.
    Raises:
        ShapeError: layers or resolutions differ, or there is nothing to join.
    """
    hypercolumns = list(hypercolumns)
    kinds = {(h.resolution, tuple(h.channels.items()), tuple(h._levels)) for h in hypercolumns}
    if len(kinds) != 1:
        raise ShapeError(
            "hypercolumns.cat",
            "hypercolumns with the same layers and resolution",
            f"{len(hypercolumns)} of {len(kinds)} kinds",
            "Make them with one generator",
        )
    joined = copy.copy(hypercolumns[0])
    joined._levels = {side: torch.cat([h._levels[side] for h in hypercolumns]) for side in joined._levels}
    return joined


@torch.no_grad()
def from_generator(
    generator: Any,
    ws: Tensor,
    noise_mode: str = "const",
    noise: dict[str, Tensor] | None = None,
    rng: torch.Generator | None = None,
    layers: Iterable[str] | None = None,
    resolution: int | None = None,
) -> tuple[Tensor, Hypercolumns]:
    """Synthesise pictures and keep their hypercolumns.

    Args:
        generator: has `.synthesis(ws, noise_mode=, noise=, rng=, return_activations=True)` and `.resolution`.
        ws: (N, num_ws, w_dim).
        noise_mode, noise, rng: as `synthesis` takes them.
        layers: names of the layers to keep, in order; None keeps all.
        resolution: side of the hypercolumns; None means the generator's own.
    Returns:
        image (N, 3, H, W) in [-1, 1], and its Hypercolumns; both detached.
    Raises:
        ToolkitError: a name in `layers` is not one of the generator's layers.
    """
    image, activations = generator.synthesis(ws, noise_mode=noise_mode, noise=noise, rng=rng, return_activations=True)
    columns = Hypercolumns(activations, resolution or generator.resolution)
    return image, columns if layers is None else columns.select(layers)


def _check_activations(activations, resolution):
    shapes = {name: tuple(a.shape) for name, a in activations.items()}
    square = all(len(s) == 4 and s[2] == s[3] for s in shapes.values())
    if not square or len({s[0] for s in shapes.values()}) != 1:
        raise ShapeError(
            "Hypercolumns",
            "layers (N, C, H, H) of the same N pictures",
            shapes,
            "Pass the activations of one synthesis",
        )
    if resolution < 1:
        raise ShapeError("Hypercolumns", "resolution >= 1", resolution, "Ask for at least one pixel")


def _pool(activation, resolution):
    if activation.shape[-1] <= resolution:
        return activation
    return F.interpolate(activation, size=(resolution, resolution), mode="area")


def _upsample(activation, resolution):
    if activation.shape[-1] == resolution:
        return activation
    return F.interpolate(activation, size=(resolution, resolution), mode="bilinear", align_corners=False)
