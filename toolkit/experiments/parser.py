"""A parser trained on true labels, only to evaluate GANs and segmenters; it is not shipped."""

import torch
import torch.nn.functional as F
from torch import Tensor
from tqdm import tqdm

from toolkit.autoshot.unet import UNet
from toolkit.experiments.sources import Collection, World
from toolkit.pictures.labels import IGNORE_INDEX

BATCH_SIZE, LEARNING_RATE = 32, 2e-3


def train_parser(
    source: World | Collection, resolution: int, num_steps: int, seed: int, progress: bool = False
) -> UNet:
    """Train a U-Net on a source's labels.

    Args:
        source: `World` or `Collection`.
        resolution: of its pictures.
        num_steps: of 32 pictures each.
        seed: of weights and order.
    Returns:
        `UNet`, in eval mode.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = UNet(len(source.classes), width=16)
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    rng = torch.Generator().manual_seed(seed)
    image, label_map = source.for_parser(min(4000, num_steps * 8), resolution)
    for _ in tqdm(range(num_steps), desc="train parser", unit="step", disable=not progress):
        pick = torch.randint(len(image), (BATCH_SIZE,), generator=rng)
        x, y = image[pick], label_map[pick]
        if torch.rand((), generator=rng) < 0.5:
            x, y = x.flip(3), y.flip(2)
        loss = F.cross_entropy(net(x), y, ignore_index=IGNORE_INDEX)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


@torch.no_grad()
def parse(net: UNet, image: Tensor) -> tuple[Tensor, Tensor]:
    """Bottleneck features (N, D) and label_map (N, H, W) of many pictures."""
    image = image.cpu()
    features = torch.cat([net.bottleneck(x) for x in image.split(64)])
    return features, torch.cat([net(x).argmax(1) for x in image.split(64)])
