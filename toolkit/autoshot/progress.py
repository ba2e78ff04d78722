"""How far a long job is: what its generator yields, and what a bar shows."""

import itertools
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from tqdm import tqdm


class Progress(NamedTuple):
    """One step of a long job. Closing the generator that yields it stops the job and loses no file."""

    stage: str  # "synthesise", in pictures, or "train", in steps
    done: int
    total: int
    eta: float  # seconds left in this stage, at the pace so far
    loss: float | None = None  # running mean, while training
    result: Any = None  # of the whole job, in its last step


class Pace:
    """Seconds left of a job of `total` parts, from the pace of this run; `done` were done before it."""

    def __init__(self, done: int, total: int) -> None:
        self.first, self.total, self.started = done, total, time.monotonic()

    def eta(self, done: int) -> float:
        """Seconds until all is done; infinite before this run has done any."""
        if done >= self.total:
            return 0.0
        pace = (done - self.first) / max(time.monotonic() - self.started, 1e-9)
        return (self.total - done) / pace if pace else float("inf")


def last(steps: Iterable[Progress], progress: bool = False) -> Any:
    """Run a job to its end and return its result; with `progress`, show a bar for each stage."""
    for stage, group in itertools.groupby(steps, lambda step: step.stage):
        first = next(group)
        with tqdm(desc=stage, total=first.total, initial=first.done, disable=not progress) as bar:
            for step in itertools.chain([first], group):
                bar.update(step.done - bar.n)
                if step.loss is not None:
                    bar.set_postfix(loss=f"{step.loss:.4f}", refresh=False)
    return step.result
