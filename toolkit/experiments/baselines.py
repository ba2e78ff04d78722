"""Baselines without a GAN: U-Nets, with few or many labels, and the mean label map."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.autoshot.augmentation import augment
from toolkit.autoshot.distillation import VIEWS, soft_cross_entropy
from toolkit.autoshot.segmenter import AutoShotSegmenter
from toolkit.autoshot.unet import untrained
from toolkit.pictures import labels

WIDTH, BATCH_SIZE = 16, 8  # of the U-Net; the auto-shot network is as wide
# From scratch chosen on training seeds: at auto-shot's 1e-3, with weight decay, no small part is learned in so few
# steps. From ImageNet's features it is auto-shot's.
LEARNING_RATES = {"scratch": 5e-3, "imagenet": 1e-3}
NUM_STEPS = (500, 1000)  # with few and with many labels
MANY = 100  # labels


def fit_unet(
    image: Tensor,
    label_map: Tensor,
    classes: Sequence[str],
    seed: int = 0,
    num_steps: int | None = None,
    start: str = "scratch",
) -> Callable[[Tensor], Tensor]:
    """Train a U-Net on labelled pictures, with auto-shot's augmentation.

    Args:
        image: (N, 3, R, R) in [-1, 1].
        label_map: (N, R, R) int64 over classes; 255 = unlabelled.
        classes: names, background first.
        seed: of weights, order and views.
        num_steps: of 8 views each; None for `NUM_STEPS`.
        start: as of `UNetPlan`.
    Returns:
        function, image (M, 3, R, R) -> label_map (M, R, R).
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = untrained(start, len(classes), WIDTH, image.shape[-1])
    num_steps = num_steps or NUM_STEPS[len(image) > MANY]
    rates = {part: LEARNING_RATES[start] * rate for part, rate in net.rates().items()}
    optimizer = torch.optim.Adam([{"params": part.parameters(), "lr": rate} for part, rate in rates.items()])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    rng = torch.Generator().manual_seed(seed)
    for _ in range(num_steps):
        pick = torch.randint(len(image), (BATCH_SIZE,), generator=rng)
        known = label_map[pick] != labels.IGNORE_INDEX
        soft = one_hot(label_map[pick], len(classes))
        # Unlabelled pixels are zero in all classes, so where interpolation mixes them in, the sum is below 1.
        view, soft, inside = augment(image[pick], soft, rng, **VIEWS[start])
        known = inside & (soft.sum(1) > 0.999) if not known.all() else inside
        loss = soft_cross_entropy(net(view), soft, known)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    segmenter = AutoShotSegmenter(net, classes, image.shape[-1])
    return lambda pictures: segmenter.predict(pictures).argmax(1)


def fit_mean_map(label_map: Tensor, num_classes: int) -> Callable[[Tensor], Tensor]:
    """The mean label map: each pixel gets the most frequent label there, whatever the picture.

    Args:
        label_map: (N, R, R) int64; 255 = unlabelled, which is ignored.
        num_classes: parts + background.
    Returns:
        function, image (M, 3, R, R) -> label_map (M, R, R).
    """
    mean = one_hot(label_map, num_classes).mean(0).argmax(0)
    return lambda pictures: mean.expand(len(pictures), -1, -1)


def one_hot(label_map: Tensor, num_classes: int) -> Tensor:
    """label_map (N, R, R) -> (N, K, R, R) float, zero where unlabelled."""
    known = label_map != labels.IGNORE_INDEX
    one_hot = F.one_hot(label_map.where(known, 0), num_classes) * known[..., None]
    return one_hot.permute(0, 3, 1, 2).float()
