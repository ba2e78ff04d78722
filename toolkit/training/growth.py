"""Networks that grow: the next resolution fades in over what is there.

Source: Karras et al. 2018 (arXiv:1710.10196).
"""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toolkit.gan.layers import Conv
from toolkit.gan.stylegan2 import Discriminator, Generator

NUM_W = 10_000  # latents that w_avg is the mean of


class GrowingDiscriminator(Discriminator):
    """A discriminator whose finest block is still fading in.

    `stem` is the colour layer of the next coarser resolution, as it was before growth; `fade` goes
    from 0 (only the stem counts) to 1 (a plain `Discriminator`).
    """

    def __init__(self, resolution: int, channels: dict[int, int]) -> None:
        super().__init__(resolution, channels)
        self.stem: Conv | None = None
        self.fade = 1.0

    def add_stem(self) -> None:
        """Add the coarser resolution's colour layer, untrained."""
        self.stem = Conv(self.img_channels, self.channels[self.resolution // 2], 1)

    def features(self, image: Tensor) -> list[Tensor]:
        """As `Discriminator.features`, with the stem's share blended into the first block's output."""
        if self.stem is None or self.fade >= 1:
            return super().features(image)
        features, x = [], image.contiguous(memory_format=torch.channels_last)
        for i, block in enumerate(self.blocks()):
            old = self.stem(F.avg_pool2d(x, 2)) if i == 0 else None
            x = block(x)
            x = x if old is None else old.lerp(x, self.fade)
            features.append(x)
        return features


def grow(
    generator: Generator, discriminator: GrowingDiscriminator, channels: dict[int, int]
) -> tuple[Generator, GrowingDiscriminator]:
    """Both networks at twice the resolution, computing at fade 0 what they computed before.

    Args:
        generator, discriminator: a `Generator` and a `GrowingDiscriminator`.
        channels: dict that has the new resolution as well.
    Returns:
        generator, discriminator: new ones; the old ones' parameters are shared by copy.
    """
    size, m = 2 * generator.resolution, generator.mapping
    bigger = Generator(size, generator.z_dim, generator.w_dim, channels, m.num_layers)
    _load(bigger, generator.state_dict())
    judge = GrowingDiscriminator(size, channels)
    judge.stem = copy.deepcopy(discriminator.blocks()[0].fromrgb)
    _load(judge, {k: v for k, v in discriminator.state_dict().items() if "stem." not in k and ".fromrgb." not in k})
    return bigger, judge


def _load(module: nn.Module, state: dict[str, Tensor]) -> None:
    own = module.state_dict()
    module.load_state_dict({k: v for k, v in state.items() if k in own and own[k].shape == v.shape}, strict=False)


@torch.no_grad()
def finished(generator: Generator, discriminator: GrowingDiscriminator) -> tuple[Generator, Discriminator]:
    """Copies to write to a file: plain networks, at whatever stage of growth.

    Returns:
        generator: its w_avg is its own mapping's, and the newest colour layer is multiplied by the fade.
        discriminator: without the stem.
    """
    judge = Discriminator(discriminator.resolution, discriminator.channels)
    _load(judge, discriminator.state_dict())
    generator = copy.deepcopy(generator)
    z = torch.randn(NUM_W, generator.z_dim, generator=torch.Generator().manual_seed(0))
    generator.mapping.w_avg.copy_(generator.mapping(z.to(generator.mapping.w_avg.device))[:, 0].mean(0))
    newest = getattr(generator.synthesis, f"b{generator.resolution}").torgb
    newest.weight.mul_(generator.synthesis.fade)
    newest.bias.mul_(generator.synthesis.fade)
    generator.synthesis.fade.fill_(1.0)
    return generator, judge
