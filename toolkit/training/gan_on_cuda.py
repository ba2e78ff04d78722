"""The GAN trainer's steps on one CUDA device, as few launches as can be: see `toolkit.training.graphs`."""

import gc

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.training.augmentation import next_probability
from toolkit.training.batches import held
from toolkit.training.graphs import Draw, Judge, graphed
from toolkit.training.loop import LateMeans
from toolkit.training.plan import GROUP
from toolkit.training.precision import dtype_in_graphs

READ_EVERY = 16  # steps between two looks at a number: each waits until all that was launched is done


class GraphedSteps:
    """A job's steps, mixed into it, with random numbers that the GPU draws.

    Pictures and running means lie on the GPU, and real and drawn pictures are judged in one pass. While a resolution
    fades in, the same is done without graphs: its share is a number of Python's. The batch is a multiple of `GROUP`.
    A resumed run draws what an unbroken one would, but for the noise that the generator adds.
    """

    def __init__(self, *args):
        super().__init__(*args)
        self.pictures = held(self.pictures, self.device)
        self.rng = torch.Generator(self.device)
        self.means = LateMeans(self.means.keep)
        self.built_for = None

    def _choose_dtype(self):
        self.dtype = dtype_in_graphs(self.mixed_precision, self.device)

    def _fade(self):
        super()._fade()
        now = (self.generator, self.discriminator.fade < 1)
        if now != self.built_for:
            self._build_passes(fading=now[1])
            self.built_for = now

    def _build_passes(self, fading):
        g, d, n, side = self.generator, self.discriminator, self.plan.batch_size, self.generator.resolution
        self.draw, self.judge_drawn, self.judge_both = Draw(g.synthesis, self.dtype), Judge(d), Judge(d)
        d.requires_grad_(True)
        gc.collect()  # the graphs of a smaller resolution, and with them their memory
        torch.cuda.empty_cache()
        if fading:
            return
        on, like = {"device": self.device}, {"device": self.device, "dtype": self.dtype}
        self.draw = graphed(self.draw, torch.randn(n, g.num_ws, g.w_dim, **on, requires_grad=True))
        d.requires_grad_(False)  # the generator's step needs the gradient at the picture alone
        self.judge_drawn = graphed(self.judge_drawn, torch.randn(n, 3, side, side, **like, requires_grad=True))
        d.requires_grad_(True)
        self.judge_both = graphed(self.judge_both, torch.randn(2 * n, 3, side, side, **like))

    def _draw(self, ws):
        return self.draw(ws)

    def _verdicts(self, real, fake):
        return apart(self.judge_both(together(real.to(self.dtype), fake.to(self.dtype))))

    def _generate(self):
        drawn = self._fake()
        leaf = drawn.detach().requires_grad_()
        loss = F.softplus(-self.judge_drawn(self._seen(leaf).to(self.dtype))).mean()
        (gradient,) = torch.autograd.grad(loss, leaf)
        self.drawing.learn((drawn * gradient).sum())
        return loss.detach()

    def _note(self, loss_d, loss_g, sign):
        self.means.add(loss_d=loss_d, loss_g=loss_g, real_sign=sign)
        if self.steps % READ_EVERY == 0:
            sign = self.means.read()["real_sign"]
            self.changed = next_probability(self.changed, sign, READ_EVERY * self.batch)


def together(real: Tensor, fake: Tensor) -> Tensor:
    """Two batches as one, in an order that lets the discriminator compare real ones with real ones only.

    It compares pictures that lie a `GROUP`-th of the batch apart. Here both batches follow each other in every
    `GROUP`-th, so that a picture meets those that it meets in a batch of its own.

    Args:
        real, fake: (N, ...) each, N a multiple of `GROUP`.
    Returns:
        (2 N, ...).
    """
    parts = [batch.view(GROUP, len(batch) // GROUP, *batch.shape[1:]) for batch in (real, fake)]
    return torch.cat(parts, 1).flatten(0, 1)


def apart(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Verdicts (2 N, 1) on a batch of `together`'s -> on real and on drawn pictures, (GROUP, N / GROUP) each."""
    on_real, on_fake = logits.view(GROUP, -1).chunk(2, 1)
    return on_real, on_fake
