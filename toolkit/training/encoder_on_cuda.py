"""The encoder trainer's steps on one CUDA device, as few launches as can be: see `toolkit.training.graphs`."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from toolkit.training.batches import held
from toolkit.training.graphs import graphed
from toolkit.training.loop import LateMeans
from toolkit.training.precision import dtype_in_graphs


class GraphedSteps:
    """A job's steps, mixed into it, with random numbers that the GPU draws.

    Pictures lie there, and the running mean of the loss.
    """

    def __init__(self, *args):
        super().__init__(*args)
        if self.pictures is not None:
            self.pictures = held(self.pictures, self.device)
        self.rng, self.means = torch.Generator(self.device), LateMeans(self.means.keep)
        g, n, on = self.generator, self.plan.batch_size, {"device": self.device}
        image = torch.randn(n, 3, g.resolution, g.resolution, **on)
        latents = torch.randn(n - self._num_real(), g.num_ws, g.w_dim, **on)
        self.loss = graphed(Loss(self.encoder, self._compare), image, latents)

    def _choose_dtype(self, mixed_precision):
        self.dtype = dtype_in_graphs(mixed_precision, self.device)

    def _loss(self, rng):
        loss = self.loss(*self._batch(rng))
        return loss, {"loss": loss}

    def _note(self, parts):
        self.means.add(**parts)


class Loss(nn.Module):
    """image (N, 3, R, R), latents (M, num_ws, w_dim) -> the loss (), with gradients of the encoder alone.

    Args:
        encoder: whose parameters are learned.
        compare: image, latents -> the loss and its parts; the GAN's networks stay hidden behind it.
    """

    def __init__(
        self, encoder: nn.Module, compare: Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]
    ) -> None:
        super().__init__()
        self.encoder, self.compare = encoder, compare

    def forward(self, image: Tensor, latents: Tensor) -> Tensor:
        """Compare pictures with what the encoder makes of them."""
        return self.compare(image, latents)[0]
