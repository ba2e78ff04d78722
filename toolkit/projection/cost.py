"""What projection costs here: seconds and memory of one step, measured, so that a long job can be announced."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
from torch import Tensor

from toolkit.devices import describe_device, peak_memory
from toolkit.projection import projector
from toolkit.stepwise import duration


class Cost(NamedTuple):
    """Of one optimiser step of one picture."""

    seconds: float
    memory: int | None  # bytes that the process has taken at most; None where the system does not tell
    device: str

    def words(self, steps: int) -> str:
        """What `steps` picture-steps cost, in words: "about 2 min 10 s (2.6 s a step; cpu, 2 threads), 1.6 GB of
        memory"."""
        each = f"{self.seconds:.2g}" if self.seconds < 10 else f"{self.seconds:.0f}"
        time = f"about {duration(self.seconds * steps)} ({each} s a step; {self.device})"
        return time if self.memory is None else f"{time}, {self.memory / 1e9:.1f} GB of memory"


def measure(generator: Any, image: Tensor, **networks: Any) -> Cost:
    """Take two steps of projection, and time the second: the first one also warms up.

    Args:
        generator, image: as `projector.projecting` takes them; of N pictures, as many as will be projected at once.
        networks: its encoder and discriminator.
    Returns:
        `Cost`.
    """
    steps: Any = projector.projecting(generator, image, num_steps=3, every=1, **networks)
    next(steps)
    _wait(image.device)
    started = time.perf_counter()
    next(steps)
    _wait(image.device)
    seconds = (time.perf_counter() - started) / len(image)
    steps.close()
    return Cost(seconds, peak_memory(image.device), describe_device(image.device))


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
