"""Long jobs as generators that yield their progress: an interface shows each step, others wait for the last."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm


def finish(steps: Iterable[tuple], what: str, progress: bool = False) -> Any:
    """Run a job to its end.

    Args:
        steps: at least one tuple (done, total, ..., result); total may change on the way.
        what: name of the job, for the bar.
        progress: show a bar.
    Returns:
        the result of the last step.
    """
    with tqdm(desc=what, unit="step", disable=not progress) as bar:
        for done, bar.total, *_, result in steps:  # noqa: B007 the last one is returned
            bar.update(done - bar.n)
    return result
