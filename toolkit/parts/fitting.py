"""Fitting: a small network learns the labels of a few pictures."""

import copy
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from toolkit.errors import CheckpointError, LabelError, ShapeError, ToolkitError, describe
from toolkit.parts import motions, networks
from toolkit.parts.sample import AnyGAN
from toolkit.parts.shots import Shot
from toolkit.parts.views import views_of
from toolkit.pictures.labels import IGNORE_INDEX

DEFAULT_NETWORK = "mlp"
LEARNING_RATE = WEIGHT_DECAY = 1e-3  # the paper's
NUM_STEPS = {"cnn-l": 1000, "cnn-m": 1000, "cnn-s": 1000, "mlp": 400, "linear": 400}
# Pictures a step, where it is not all of them: ten shots cost a CNN as much in 1000 steps of two as in 200 of all, and
# teach it far more; small parts it does not learn in 200 steps at all.
AT_ONCE = {"cnn-l": 2, "cnn-m": 2, "cnn-s": 2}
# Share of F's channels dropped in each fitting step, see `networks.Mix.hide`. CNNs overfit to positions, not to
# single channels: dropping channels only made them slower.
HIDDEN = {"mlp": 0.7, "linear": 0.7}
# Share of these networks' steps that hide all of the GAN's channels: a photograph's projection may be wrong, and what
# ImageNet's features see must do alone.
ALONE = 0.3
AGAIN = 16  # times fewer steps do for a network that has learned most of it already
VIEWS_AGAIN = 4  # of each shot then


def fit_network(
    gan: AnyGAN,
    shots: Sequence[Shot],
    *,
    network: str = DEFAULT_NETWORK,
    num_steps: int | None = None,
    seed: int = 0,
    every: int = 10,
    start: nn.Module | None = None,
) -> Iterator[tuple[int, int, float, nn.Module]]:
    """Fit step by step; `fewshot.fitting` wraps it to yield segmenters.

    Args, Raises, Source: as `fewshot.fitting`; start: the network to go on from, which stays as it is.
    Yields:
        (done, num_steps, loss, network): the same network every time, in evaluation mode in the end.
    """
    check_shots(gan, shots, num_steps)
    rng = torch.Generator(gan.device).manual_seed(seed)
    views = views_of(gan, shots, rng, None if start is None else VIEWS_AGAIN)
    if start is None:
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = networks.build(network, views[0][0].channels, len(shots[0].classes)).to(gan.device)
        networks.mix_of(net).standardise(*gan.statistics)
    else:
        net = copy.deepcopy(start).train().requires_grad_(True)
    mix = networks.mix_of(net)
    optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    num_steps = num_steps or (NUM_STEPS[network] if start is None else NUM_STEPS[network] // AGAIN)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_steps)
    own = [name for name in mix.channels if name in gan.generator.synthesis.layers()]
    for step in range(num_steps):
        if share := HIDDEN.get(network, 0):
            alone = len(own) < len(mix.channels) and torch.rand((), generator=rng, device=rng.device) < ALONE
            mix.hide(share, rng, own if alone else ())
        view, label_map = _some(views, step, AT_ONCE.get(network), rng)
        if isinstance(net, networks.CNN):
            grid, truth = _moved(label_map, view.resolution, rng)
            logits = net(view, grid)
        else:
            logits, truth = net(view), label_map
        loss = F.cross_entropy(networks.enlarged(logits, truth.shape[-1]), truth, ignore_index=IGNORE_INDEX)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        schedule.step()
        mix.hide(0)  # the caller gets the network with all channels
        if step + 1 == num_steps:
            net.eval().requires_grad_(False)
        if step + 1 == num_steps or (step + 1) % every == 0:
            yield step + 1, num_steps, loss.item(), net


def _some(views, step, most, rng):
    """A step's view, or as many of its pictures as a step may have, drawn at random."""
    view, label_map = views[step % len(views)]
    if most is None or len(label_map) <= most:
        return view, label_map
    pick = torch.randperm(len(label_map), generator=rng, device=rng.device)[:most]
    if not (label_map[pick] != IGNORE_INDEX).any():  # scribbles that moved out of these pictures
        view, label_map = views[0]
    return view[pick], label_map[pick]


def _moved(label_map, resolution, rng):
    """A random sampling grid that moves the shots' hypercolumns for a step, and their moved labels.

    A CNN can infer a pixel's position from its neighbours and the padding: from shots that never move it learns the
    layout of one picture.
    """
    grid = motions.draw(len(label_map), label_map.shape[-1], rng)
    truth = motions.move_labels(label_map, grid)
    # If no label is left in the frame, the loss is nan: then the shots are not moved.
    return (motions.coarser(grid, resolution), truth) if (truth != IGNORE_INDEX).any() else (None, label_map)


def check_shots(gan: AnyGAN, shots: Sequence[Shot], num_steps: int | None = None) -> None:
    """Refuse what `fit` cannot learn from: no shots, shots of another GAN or size, or of different classes.

    Raises: as `fewshot.fitting`.
    """
    if not shots or (num_steps is not None and num_steps < 1):
        raise ToolkitError(
            "fit",
            "at least one shot and num_steps >= 1",
            f"{len(shots)} shots, num_steps {num_steps}",
            "Label a picture first",
        )
    for shot in shots:
        if shot.gan_hash not in (None, gan.hash):
            raise CheckpointError(
                "fit",
                f"shots of GAN {gan.hash[:12]}",
                f"a shot of GAN {str(shot.gan_hash)[:12]}",
                "Load the GAN the shot was made with, or project its picture again",
            )
        if shot.classes != shots[0].classes:
            raise LabelError(
                "fit",
                f"shots with classes {shots[0].classes}",
                shot.classes,
                "Label all shots with the same classes in the same order",
            )
        if shot.sample.image.shape[2:] != (gan.resolution, gan.resolution):
            raise ShapeError(
                "fit", f"shots of {gan.resolution} pixels", describe(shot.sample.image), "Make the shot with this GAN"
            )
