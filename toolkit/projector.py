"""Projection: the latent whose synthesis best matches a picture, found by optimisation."""

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from toolkit.errors import ShapeError, ToolkitError, describe

LEARNING_RATE = 0.1
RAMP_UP, RAMP_DOWN = 0.05, 0.30  # shares of the steps over which the learning rate rises and falls
PERCEPTUAL_WEIGHT = 0.5  # of the discriminator's features against the mean squared pixel error
LATENT_WEIGHT = 3e-2  # pull towards w_avg, in standard deviations of w
NOISE_WEIGHT = 1e5  # of noise's autocorrelation, as in StyleGAN2's own projector
START_JITTER = 0.05  # of the exploration noise on the latent, in standard deviations of w


class Projection(NamedTuple):
    """Per picture the best latent found, the noise that went with it, and what they synthesise."""

    ws: Tensor  # (N, num_ws, w_dim)
    noise: dict  # layer name -> (N, 1, h, h)
    image: Tensor  # (N, 3, R, R) in [-1, 1]
    loss: Tensor  # (N,) the best iterate's distance


def project(
    generator, image, *, discriminator=None, space="w+", noise=False, num_steps=200, batch_size=20, seed=0,
    progress=False,
):  # fmt: skip
    """Find the latents whose synthesis best matches some pictures.

    Every picture keeps its own best iterate; pictures do not influence one another.

    Args:
        generator: a `Generator`; its parameters are left alone.
        image: (N, 3, R, R) float in [-1, 1]; R = generator.resolution.
        discriminator: the GAN's own, for a perceptual distance; None compares pixels only.
        space: "w" (one row, broadcast) or "w+" (a row per layer).
        noise: optimise the noise maps too, kept free of picture content by regularisation; if not, they
            are zero: a given picture has no reason to share the generator's own.
        num_steps: optimiser steps, >= 1.
        batch_size: pictures optimised at once.
        seed: of the statistics of w and the exploration noise.
        progress: show a bar.
    Returns:
        `Projection`, detached, on image's device.
    Raises:
        ShapeError: image does not match the generator.
        ToolkitError: space or num_steps not as above.
    Source: Karras et al. 2020, sec. 5 (arXiv:1912.04958); differs: W+ as well as W, the perceptual
        distance is the discriminator's, and the best iterate is returned instead of the last.
    """
    size = generator.resolution
    if image.dim() != 4 or image.shape[1:] != (3, size, size) or not image.is_floating_point():
        raise ShapeError("project", f"image (N, 3, {size}, {size}) float in [-1, 1]", describe(image),
                         "Load it with images.load_image(path, resolution)")  # fmt: skip
    if space not in ("w", "w+") or num_steps < 1:
        raise ToolkitError("project", 'space "w" or "w+" and num_steps >= 1',
                           f"space {space!r}, num_steps {num_steps}", "Use one of these")  # fmt: skip
    rng = torch.Generator(image.device).manual_seed(seed)
    w_avg, w_std = _statistics(generator, rng)
    parts = []
    with tqdm(total=len(image) * num_steps, desc="project", unit="step", disable=not progress) as bar:
        for batch in image.split(batch_size):
            search = _Search(generator, discriminator, batch, w_avg, w_std, space, noise, rng)
            for step in range(num_steps):
                search.step(step / num_steps)
                bar.update(len(batch))
            parts.append(search.best)
    noises = {name: torch.cat([p.noise[name] for p in parts]) for name in parts[0].noise}
    ws, images, losses = (torch.cat([getattr(p, f) for p in parts]) for f in ("ws", "image", "loss"))
    return Projection(ws, noises, images, losses)


def no_noise(generator, num):
    """Noise maps of zeros for `num` pictures: dict, layer name -> (N, 1, h, h)."""
    layers = generator.synthesis.layers()
    return {name: layer.noise_const.new_zeros(num, 1, *layer.noise_const.shape) for name, layer in layers.items()}


@torch.no_grad()
def _statistics(generator, rng, num=4096):
    z = torch.randn(num, generator.z_dim, generator=rng, device=rng.device)
    w = generator.mapping(z)[:, 0]
    return w.mean(0), (w - w.mean(0)).square().sum(1).mean().sqrt()


class _Search:
    """One batch of pictures being projected."""

    def __init__(self, generator, discriminator, image, w_avg, w_std, space, noise, rng):
        self.generator, self.image, self.rng = generator, image, rng
        self.w_avg, self.w_std = w_avg, w_std
        self.features = None if discriminator is None else discriminator.features
        rows = 1 if space == "w" else generator.num_ws
        self.latent = w_avg.repeat(len(image), rows, 1).requires_grad_()
        self.noise = no_noise(generator, len(image))
        if noise:
            self.noise = {
                name: torch.randn(n.shape, generator=rng, device=rng.device) for name, n in self.noise.items()
            }
        self.learned = [n.requires_grad_() for n in self.noise.values()] if noise else []
        self.optimizer = torch.optim.Adam([self.latent, *self.learned], betas=(0.9, 0.999))
        with torch.no_grad():
            self.target = [] if self.features is None else _unit(self.features(image))
        self.best = Projection(self._ws().detach().clone(), {}, image, image.new_full((len(image),), math.inf))

    def _ws(self):
        return self.latent.expand(-1, self.generator.num_ws, -1)

    def step(self, t):
        """One optimiser step at time t in [0, 1)."""
        for group in self.optimizer.param_groups:
            group["lr"] = LEARNING_RATE * _ramp(t)
        jitter = START_JITTER * self.w_std * max(0.0, 1 - t / 0.5) ** 2
        wander = torch.randn(self.latent.shape, generator=self.rng, device=self.rng.device) * jitter
        ws = (self.latent + wander).expand(-1, self.generator.num_ws, -1)
        image = self.generator.synthesis(ws, noise=self.noise)
        distance = (image - self.image).square().mean((1, 2, 3))
        if self.features is not None:
            found = _unit(self.features(image))
            distance = distance + PERCEPTUAL_WEIGHT * sum(
                (a - b).square().sum(1).mean((1, 2)) for a, b in zip(found, self.target, strict=True)
            )
        self._keep(distance.detach(), ws.detach(), image.detach())
        pull = ((self.latent - self.w_avg) / self.w_std).square().sum(2).mean(1)
        loss = (distance + LATENT_WEIGHT * pull).sum()
        if self.learned:
            loss = loss + NOISE_WEIGHT * _autocorrelation(self.noise)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        with torch.no_grad():
            for n in self.learned:
                n.sub_(n.mean((2, 3), keepdim=True)).mul_(n.square().mean((2, 3), keepdim=True).rsqrt())

    def _keep(self, distance, ws, image):
        better = distance < self.best.loss

        def choose(new, old):
            return torch.where(better.view(-1, *[1] * (new.dim() - 1)), new, old)

        noise = {k: choose(n.detach(), self.best.noise.get(k, n.detach())) for k, n in self.noise.items()}
        self.best = Projection(
            choose(ws, self.best.ws), noise, choose(image, self.best.image), choose(distance, self.best.loss)
        )


def _ramp(t):
    """The learning rate's factor at time t: up, flat, and down along a cosine."""
    down = min(1.0, (1 - t) / RAMP_DOWN)
    return (0.5 - 0.5 * math.cos(math.pi * down)) * min(1.0, (t + 1e-3) / RAMP_UP)


def _unit(features):
    """Each pixel's features at unit length, so that no block of the network outweighs another."""
    return [F.normalize(f, dim=1) for f in features]


def _autocorrelation(noise):
    """Sum over maps and scales of the squared correlation of noise with itself, shifted by one."""
    total = 0.0
    for n in noise.values():
        while n.shape[-1] >= 8:
            total = total + sum((n * n.roll(1, axis)).mean((1, 2, 3)).square().sum() for axis in (2, 3))
            n = F.avg_pool2d(n, 2) * 2
    return total
