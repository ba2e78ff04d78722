"""Baseline without a GAN: the same MLP on features of a network trained on ImageNet."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.autoshot.augmentation import augment
from toolkit.autoshot.distillation import soft_cross_entropy
from toolkit.experiments.baselines import one_hot
from toolkit.parts import fitting, networks
from toolkit.parts import views as shot_views
from toolkit.parts.hypercolumns import Hypercolumns
from toolkit.pictures import labels
from toolkit.projection.imagenet import layers_of

NETWORK = "mlp"


def fit_imagenet(
    image: Tensor, label_map: Tensor, classes: Sequence[str], seed: int = 0, num_steps: int | None = None
) -> Callable[[Tensor], Tensor]:
    """Fit the few-shot MLP on fixed ImageNet features instead of a GAN's.

    It trains on as many views of each picture as with a GAN, made by auto-shot's augmentation, as there are no
    latents to mix.

    Args:
        image: (N, 3, S, S) in [-1, 1], S a multiple of R.
        label_map: (N, R, R) int64 over classes; 255 = unlabelled.
        classes: names, background first.
        seed: of weights and views.
        num_steps: None for as many as on a GAN's features.
    Returns:
        function, image (M, 3, S, S) -> label_map (M, R, R).
    """
    rng, side = torch.Generator().manual_seed(seed), label_map.shape[-1]
    views = _views(image, label_map, len(classes), rng)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = networks.build(NETWORK, views[0][0].channels, len(classes))
    mix = networks.mix_of(net)
    mix.standardise(*views[0][0].mean_std())
    num_steps = num_steps or fitting.NUM_STEPS[NETWORK]
    optimizer = torch.optim.Adam(net.parameters(), fitting.LEARNING_RATE, weight_decay=fitting.WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    for step in range(num_steps):
        mix.hide(fitting.HIDDEN[NETWORK], rng)
        columns, soft, known = views[step % len(views)]
        loss = soft_cross_entropy(net(columns), soft, known)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
    mix.hide(0)
    net.eval().requires_grad_(False)
    return lambda pictures: torch.cat(
        [networks.label(net, columns_of(one, side)).argmax(1) for one in pictures.split(8)]
    )


def columns_of(image: Tensor, resolution: int) -> Hypercolumns:
    """Hypercolumns (N, 496, R, R) of pictures (N, 3, S, S) in [-1, 1], by `layers_of` alone."""
    return Hypercolumns(layers_of(image.cpu(), resolution), resolution)


def _views(image, label_map, num_classes, rng):
    """(hypercolumns, soft labels, known pixels) of the pictures as they are, and augmented."""
    soft, known = one_hot(label_map, num_classes), label_map != labels.IGNORE_INDEX
    side = label_map.shape[-1]
    times = image.shape[-1] // side
    views = [(columns_of(image, side), soft, known)]
    size = sum(a.numel() for a in views[0][0].activations.values())
    fine = soft.repeat_interleave(times, 2).repeat_interleave(times, 3)  # moved with the picture's own pixels
    for _ in range(1, max(1, min(shot_views.VIEWS, shot_views.MAX_ELEMENTS // size))):
        moved, their, inside = augment(image, fine, rng)
        their, share = F.avg_pool2d(their, times), F.avg_pool2d(inside.float(), times)
        views.append((columns_of(moved, side), their, (share > 0.999) & (their.sum(1) > 0.999)))
    return [view for view in views if view[2].any()]
