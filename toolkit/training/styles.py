"""Latents to learn from: of some pictures the finer layers take another w than the coarser ones."""

import torch
from torch import Tensor

from toolkit.gan.stylegan2 import Generator


def mixed_styles(generator: Generator, num: int, share: float, rng: torch.Generator, device: torch.device) -> Tensor:
    """Latents drawn at random, some of them mixed of two.

    Args:
        generator: its mapping draws them.
        num: how many.
        share: of the latents, whose rows from a random one on are another's.
        rng: on the CPU or on `device`; the numbers are drawn where it is.
        device: of the generator.
    Returns:
        ws (num, num_ws, w_dim), the first row never another's.
    Source: Karras et al. 2019 (arXiv:1812.04948), mixing regularisation.
    """
    at = {"generator": rng, "device": rng.device}
    z = torch.randn(2, num, generator.z_dim, **at).to(device)
    if z.is_cuda:  # one pass: its kernels take longer to launch than to run
        ws, other = generator.mapping(z.flatten(0, 1)).chunk(2)
    else:
        ws, other = generator.mapping(z[0]), generator.mapping(z[1])
    cut = torch.randint(1, generator.num_ws, (num, 1), **at)
    mixed = (torch.rand(num, 1, **at) < share) & (torch.arange(generator.num_ws, device=rng.device) >= cut)
    return torch.where(mixed.to(device)[..., None], other, ws)
