"""Long jobs as generators that yield their progress: an interface shows each step, others wait for the last."""

from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

UNITS = (("day", 86400), ("h", 3600), ("min", 60), ("s", 1))


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


def duration(seconds: float) -> str:
    """A time in the two largest of its units: "7 s", "2 min 10 s", "3 h 5 min", "2 days 4 h"; "1 s" at least."""
    left, found = max(1, round(seconds)), []
    for unit, size in UNITS:
        count, rest = divmod(left, size)
        if count:
            found.append(f"{count} {unit}{'s' if unit == 'day' and count > 1 else ''}")
        left = rest
    return " ".join(found[:2])
