"""What every training shares: the loop, an optimiser's step, the cool-down, the average, and running means."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from tqdm import tqdm

from toolkit.training.processes import share_mean

MAX_SEED = 2**32 - 1  # so that a number made of it and of a step fits into 64 bits
EMA_RAMP = 0.1  # an average's half-life is at most this share of the pictures seen so far


class Job(Protocol):
    """What `run` asks of a training."""

    seen: int  # pictures so far, those of earlier runs included

    def step(self) -> None:
        """Learn from one batch, and count it in `seen`."""

    def save(self) -> None:
        """Write what was learned, and all that is needed to go on from here."""


def run(job: Job, num_pictures: int, *, save_every: float = 300, progress: bool = True) -> None:
    """Take steps until `num_pictures` were seen; save now and then, and at the end.

    Args:
        job: the training.
        num_pictures: in all; a job that has seen as many is only saved.
        save_every: seconds between two saves.
        progress: show a bar.
    """
    with tqdm(total=num_pictures, initial=job.seen, unit="picture", disable=not progress) as bar:
        saved = time.monotonic()
        while job.seen < num_pictures:
            job.step()
            bar.update(job.seen - bar.n)
            if time.monotonic() - saved > save_every:
                job.save()
                saved = time.monotonic()
    job.save()


class Learner:
    """A network and its Adam.

    Args:
        network: all its parameters are learned.
        rate: learning rate before any cool-down.
        parts: the network's parts -> at how many times the rate each learns; None for all at the rate.
        adam: further options of `torch.optim.Adam`.
    """

    def __init__(
        self, network: nn.Module, rate: float, parts: Mapping[nn.Module, float] | None = None, **adam: Any
    ) -> None:
        self.network = network
        groups = {part: times * rate for part, times in (parts or {network: 1.0}).items()}
        self.rates = list(groups.values())
        self.adam = torch.optim.Adam([{"params": part.parameters(), "lr": own} for part, own in groups.items()], **adam)

    def cool_down(self, factor: float) -> None:
        """Learn at `factor` times the rate from now on."""
        for group, rate in zip(self.adam.param_groups, self.rates, strict=True):
            group["lr"] = rate * factor

    def learn(self, loss: Tensor) -> None:
        """One step against loss (), along the mean gradient of all processes: each has pictures of its own."""
        learn_together([self], loss)


def learn_together(learners: Sequence[Learner], loss: Tensor) -> None:
    """One step of several networks against the same loss ()."""
    for learner in learners:
        learner.adam.zero_grad(set_to_none=True)
    loss.backward()
    for learner in learners:
        # A parameter the loss does not reach has no gradient, and Adam leaves it alone: so in every process.
        share_mean([p.grad for p in learner.network.parameters() if p.grad is not None])
        learner.adam.step()


def cool_down(done: float, total: float, share: float, lowest: float = 0.0) -> float:
    """What to multiply a learning rate by: 1, then in a straight line down to 0 over the last `share` of a training.

    Args:
        done, total: pictures, of which `total` are planned.
        share: of the total, in (0, 1].
        lowest: the line ends here.
    Returns:
        from `lowest` to 1.
    """
    return min(1.0, max(lowest, (1 - done / total) / share))


@torch.no_grad()
def average(slow: nn.Module, fast: nn.Module, num: int, half_life: float, seen: int) -> None:
    """Let an exponential moving average of a network follow it by one step; buffers are copied.

    Args:
        slow: the average, changed in place.
        fast: the network.
        num: pictures since the last call.
        half_life: pictures after which half of what was is forgotten; early on it is shorter, see `EMA_RAMP`.
        seen: pictures since the average began.
    """
    decay = 0.5 ** (num / max(1.0, min(half_life, EMA_RAMP * seen)))
    # All of them in one call: on a GPU, to launch one costs more than its work.
    torch._foreach_lerp_(list(slow.parameters()), list(fast.parameters()), 1 - decay)
    for buffer, latest in zip(slow.buffers(), fast.buffers(), strict=True):
        buffer.copy_(latest)


class Means(dict):
    """Running means by name, for a log: each begins at its first value and keeps `keep` of itself at every other."""

    def __init__(self, keep: float) -> None:
        super().__init__()
        self.keep = keep

    def add(self, **values: float) -> None:
        """Count one more value of each."""
        for name, value in values.items():
            self[name] = self.get(name, value) * self.keep + value * (1 - self.keep)

    def rounded(self, digits: int = 4) -> dict[str, float]:
        """The means, fit for a log."""
        return {name: round(value, digits) for name, value in self.items()}


class LateMeans:
    """`Means` kept on their device: to read a number of a GPU's is to wait for all that it has yet to do."""

    def __init__(self, keep: float) -> None:
        self.keep = keep
        self.names: tuple[str, ...] = ()
        self.values = torch.empty(0)

    @torch.no_grad()
    def add(self, **values: Tensor) -> None:
        """Count one more value () of each; always the same names."""
        latest = torch.stack([value.detach() for value in values.values()])
        self.values = self.values.lerp_(latest, 1 - self.keep) if self.names else latest
        self.names = tuple(values)

    def read(self) -> dict[str, float]:
        """The means by name."""
        return dict(zip(self.names, self.values.tolist(), strict=True))

    def rounded(self, digits: int = 4) -> dict[str, float]:
        """The means, fit for a log."""
        return {name: round(value, digits) for name, value in self.read().items()}
