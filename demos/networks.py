"""The auto-shot network that answers: the session's own, else the one that comes with its GAN."""

from functools import cache
from pathlib import Path

from session import Session
from words import Sorry

from toolkit import autoshot


@cache
def beside(path: Path) -> autoshot.AutoShotSegmenter | None:
    """The auto-shot network that comes with the GAN of this file: NAME-autoshot.safetensors beside it."""
    file = path.with_name(f"{path.stem}-autoshot.safetensors")
    return autoshot.AutoShotSegmenter.load(file) if file.is_file() else None


def network(session: Session) -> autoshot.AutoShotSegmenter:
    """The session's own auto-shot network, or the one that comes with its GAN."""
    found = session.autoshot or beside(session.gan.path)
    if found is None:
        raise Sorry("There is no auto-shot network for this GAN yet. Train one in step 4.")
    return found
