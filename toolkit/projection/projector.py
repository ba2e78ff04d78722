"""Projection: the latent whose synthesis best matches a picture, guessed by an encoder, then optimised."""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.errors import ShapeError, ToolkitError, describe
from toolkit.projection.perceptual import PERCEPTUAL_WEIGHT, Distance
from toolkit.stepwise import finish

LEARNING_RATE, LEARNING_RATE_FROM_GUESS = 0.1, 0.07  # an encoder's guess is near: larger steps would lose it
RAMP_UP, RAMP_DOWN = 0.05, 0.30  # shares of the steps over which the learning rate rises and falls
LATENT_WEIGHT = 3e-3  # pull towards w_avg or the encoder's guess, in variances of w
NOISE_WEIGHT = 1e5  # of noise's autocorrelation, as in StyleGAN2's own projector
START_JITTER = 0.05  # of the exploration noise on the latent, in standard deviations of w
MOST_AT_ONCE, PIXELS_AT_ONCE = 20, 1 << 18  # pictures, and their pixels
PATIENCE, PLATEAU = 30, 1e-3  # stop when so many steps improved the loss by less than this share


class Projection(NamedTuple):
    """Per picture the best latent found, the noise that went with it, and what they synthesise."""

    ws: Tensor  # (N, num_ws, w_dim)
    noise: dict[str, Tensor]  # layer name -> (N, 1, h, h)
    image: Tensor  # (N, 3, R, R) in [-1, 1]
    loss: Tensor  # (N,) the best iterate's distance, pixel + weighted perceptual
    errors: Tensor  # (N, 2) its parts: mean squared pixel error, perceptual distance
    first_errors: Tensor  # (N, 2) the same of the first iterate: the encoder's guess
    history: Tensor  # (N, steps) the distance of every iterate; nan after an early stop


def project(generator: Any, image: Tensor, *, progress: bool = False, **options: Any) -> Projection:
    """Find the latents whose synthesis best matches some pictures.

    Every picture keeps its own best iterate; pictures do not influence one another.

    Args:
        generator, image, options: as `projecting` takes them.
        progress: show a bar.
    Returns:
        `Projection`, detached, on image's device.
    Raises:
        ShapeError, ToolkitError: as `projecting`.
    """
    return finish(projecting(generator, image, **options), "project", progress)


def projecting(
    generator: Any,
    image: Tensor,
    *,
    encoder: Any = None,
    discriminator: Any = None,
    lpips: bool = False,
    space: str = "w+",
    noise: bool = False,
    num_steps: int = 50,
    every: int = 10,
    patience: int | None = PATIENCE,
    batch_size: int | None = None,
    start: Projection | None = None,
    seed: int = 0,
) -> Iterator[tuple[int, int, Projection]]:
    """Project pictures step by step: a generator, to show the pictures forming and to stop at will.

    Args:
        generator: a `Generator`; its parameters are left alone.
        image: (N, 3, R, R) float in [-1, 1]; R = generator.resolution.
        encoder: the GAN's `Encoder`, whose guess is where the search starts; None starts from w_avg.
        discriminator: the GAN's own, for a perceptual distance; None compares pixels only.
        lpips: measure the perceptual distance by the package lpips instead.
        space: "w" (one row, broadcast) or "w+" (a row per layer).
        noise: optimise the noise maps too, kept free of picture content by regularisation; if not, they
            are zero: a given picture has no reason to share the generator's own.
        num_steps: optimiser steps, at most; 0 takes the start as it is. Fewer when the loss no longer falls.
        every: steps between two results; the first comes after one step, so that its time is known.
        patience: stop a batch that has not improved for so many steps; None never stops.
        batch_size: pictures optimised at once; None for `at_once`.
        start: a `Projection` of the same pictures to go on from; None begins anew.
        seed: of the noise maps and the exploration around w_avg.
    Yields:
        (done, total, `Projection` of all N pictures): picture-steps so far and in all, and the best
        so far, detached; pictures not begun yet are at their start. The last one is the result.
    Raises:
        ShapeError: image or start do not match the generator.
        ToolkitError: an option not as above, or lpips not installed.
    Source: Karras et al. 2020, sec. 5 (arXiv:1912.04958); differs: W+ as well as W, starts from an
        encoder (Zhu et al. 2020, arXiv:2004.00049), the perceptual distance is the discriminator's,
        and the best iterate is returned instead of the last.
    """
    batch_size = at_once(generator.resolution) if batch_size is None else batch_size
    _check(generator, image, space, num_steps, every, batch_size, start)
    rng = torch.Generator(image.device).manual_seed(seed)
    statistics = generator.w_statistics() if encoder is None else (encoder.w_avg, encoder.w_std)
    options = {"encoder": encoder, "discriminator": discriminator, "lpips": lpips, "space": space, "noise": noise}
    searches = []
    for i in range(0, len(image), batch_size):
        part = None if start is None else _slice(start, slice(i, i + batch_size))
        searches.append(_Search(generator, image[i : i + batch_size], statistics, rng, part, **options))
    done, total = 0, len(image) * num_steps
    for search in searches:
        for step in range(num_steps):
            search.step(step / num_steps)
            done += len(search.image)
            if patience is not None and search.plateau(patience):
                total -= len(search.image) * (num_steps - step - 1)
                break
            if (step == 0 or (step + 1) % every == 0) and done < total:
                yield done, total, _join(searches)
        search.finish()
    yield done, total, _join(searches)


def at_once(resolution: int) -> int:
    """How many pictures to optimise together: large ones would fill the memory, and gain nothing by company."""
    return max(1, min(MOST_AT_ONCE, PIXELS_AT_ONCE // resolution**2))


def no_noise(generator: Any, num: int) -> dict[str, Tensor]:
    """Noise maps of zeros for `num` pictures: dict, layer name -> (N, 1, h, h)."""
    layers = generator.synthesis.layers()
    return {name: layer.noise_const.new_zeros(num, 1, *layer.noise_const.shape) for name, layer in layers.items()}


def _check(generator, image, space, num_steps, every, batch_size, start):
    size = generator.resolution
    right = isinstance(image, Tensor) and image.dim() == 4 and image.is_floating_point() and len(image)
    if not right or image.shape[1:] != (3, size, size) or not image.isfinite().all():
        raise ShapeError(
            "project",
            f"image (N, 3, {size}, {size}) float in [-1, 1]",
            describe(image),
            "Load it with images.load_image(path, resolution)",
        )
    if space not in ("w", "w+") or num_steps < 0 or every < 1 or batch_size < 1:
        raise ToolkitError(
            "project",
            'space "w" or "w+", num_steps >= 0, every and batch_size >= 1',
            f"space {space!r}, num_steps {num_steps}, every {every}, batch_size {batch_size}",
            "Use one of these",
        )
    if start is not None and (start.ws.shape != (len(image), generator.num_ws, generator.w_dim)):
        raise ShapeError(
            "project",
            f"a start of {len(image)} pictures",
            describe(start.ws),
            "Go on from the projection of the same pictures",
        )


def _slice(projection, index):
    noise = {name: n[index] for name, n in projection.noise.items()}
    return Projection(noise=noise, **{f: getattr(projection, f)[index] for f in Projection._fields if f != "noise"})


def _join(searches):
    parts = [search.best() for search in searches]
    steps = max(p.history.shape[1] for p in parts)
    histories = [F.pad(p.history, (0, steps - p.history.shape[1]), value=math.nan) for p in parts]
    noise = {name: torch.cat([p.noise[name] for p in parts]) for name in parts[0].noise}
    joined = {f: torch.cat([getattr(p, f) for p in parts]) for f in ("ws", "image", "loss", "errors", "first_errors")}
    return Projection(noise=noise, history=torch.cat(histories), **joined)


class _Search:
    """One batch of pictures being projected."""

    def __init__(self, generator, image, statistics, rng, start, *, encoder, discriminator, lpips, space, noise):
        self.generator, self.image, self.rng = generator, image, rng
        self.distance = Distance(image, discriminator, lpips)
        w_avg, self.w_std = statistics
        rows = 1 if space == "w" else generator.num_ws
        with torch.no_grad():
            if encoder is not None:
                self.anchor = encoder(image)
                self.anchor = self.anchor if space == "w+" else self.anchor.mean(1, keepdim=True)
            else:
                self.anchor = w_avg.repeat(len(image), rows, 1)
        # From w_avg the search must explore; an encoder's guess or an earlier result is already near the optimum.
        self.jitter = START_JITTER if encoder is None and start is None else 0.0
        latent = self.anchor if start is None else start.ws[:, :rows]
        self.latent = latent.clone().requires_grad_()
        self.noise = no_noise(generator, len(image)) if start is None else start.noise
        if noise and start is None:
            self.noise = {n: torch.randn(x.shape, generator=rng, device=rng.device) for n, x in self.noise.items()}
        if noise:
            self.noise = {name: n.clone().requires_grad_() for name, n in self.noise.items()}
        self.learned = list(self.noise.values()) if noise else []
        self.learning_rate = LEARNING_RATE if encoder is None else LEARNING_RATE_FROM_GUESS
        self.optimizer = torch.optim.Adam([self.latent, *self.learned], betas=(0.9, 0.999))
        self.history, self.best_losses = [], []
        self.kept = None
        self.first_errors = None if start is None else start.first_errors

    def best(self):
        """The best iterate so far as a `Projection`; the start, when there was no step yet."""
        if self.kept is None:
            self.finish()
            self.history.clear()  # a look at the start, which the first step takes again
        return self.kept._replace(history=torch.stack(self.history or [self.kept.loss], 1))

    def step(self, t):
        """One optimiser step at time t in [0, 1)."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate * _ramp(t)
        latent = self.latent
        if self.jitter:
            size = self.jitter * self.w_std * max(0.0, 1 - t / 0.5) ** 2
            latent = latent + size * torch.randn(latent.shape, generator=self.rng, device=self.rng.device)
        loss = self._look(latent)
        pull = ((self.latent - self.anchor) / self.w_std).square().sum(2).mean(1)
        loss = (loss + LATENT_WEIGHT * pull).sum()
        if self.learned:
            loss = loss + NOISE_WEIGHT * _autocorrelation(self.noise)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for n in self.learned:
                n.sub_(n.mean((2, 3), keepdim=True)).mul_(n.square().mean((2, 3), keepdim=True).rsqrt())

    @torch.no_grad()
    def finish(self):
        """Evaluate the latent that the last step led to, too."""
        self._look(self.latent)

    def plateau(self, patience):
        """Whether the batch as a whole has stopped improving."""
        self.best_losses.append(float(self.kept.loss.mean()))
        if len(self.best_losses) <= patience:
            return False
        return self.best_losses[-1] > (1 - PLATEAU) * self.best_losses[-1 - patience]

    def _look(self, latent):
        """Synthesise, keep what is better than before, return the distance (N,)."""
        ws = latent.expand(-1, self.generator.num_ws, -1)
        image = self.generator.synthesis(ws, noise=self.noise).expand(-1, 3, -1, -1)  # a grayscale one has one channel
        pixel, perceptual = self.distance(image)
        loss = pixel + PERCEPTUAL_WEIGHT * perceptual
        errors = torch.stack([pixel, perceptual], 1).detach()
        self.first_errors = errors if self.first_errors is None else self.first_errors
        noise = {name: n.detach().clone() for name, n in self.noise.items()} if self.learned else self.noise
        self.history.append(loss.detach())
        new = Projection(
            ws.detach().clone(),
            noise,
            image.detach(),
            self.history[-1],
            errors,
            self.first_errors,
            self.history[-1][:, None],
        )
        if self.kept is not None:
            better = new.loss < self.kept.loss
            new = _choose(better, new, self.kept)
        self.kept = new
        return loss


def _choose(better, new, old):
    """Per picture `new` where better (N,), else `old`."""

    def choose(a, b):
        return torch.where(better.view(-1, *[1] * (a.dim() - 1)), a, b)

    noise = {name: n if n is old.noise[name] else choose(n, old.noise[name]) for name, n in new.noise.items()}
    return Projection(
        choose(new.ws, old.ws),
        noise,
        *(choose(getattr(new, f), getattr(old, f)) for f in ("image", "loss", "errors")),
        new.first_errors,
        new.history,
    )


def _ramp(t):
    """The learning rate's factor at time t: up, flat, and down along a cosine."""
    down = min(1.0, (1 - t) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, (t + 1e-3) / RAMP_UP)


def _autocorrelation(noise):
    """Sum over maps and scales of the squared correlation of noise with itself, shifted by one."""
    total = 0.0
    for n in noise.values():
        while n.shape[-1] >= 8:
            total = total + sum((n * n.roll(1, axis)).mean((1, 2, 3)).square().sum() for axis in (2, 3))
            n = F.avg_pool2d(n, 2) * 2
    return total
