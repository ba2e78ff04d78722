"""The auto-shot network that answers: the session's own, or the one that comes with its GAN; and how the two score."""

import glob
from functools import cache
from pathlib import Path

from examples import subject
from session import Session
from torch import Tensor
from words import Sorry

from toolkit.autoshot import AutoShotSegmenter
from toolkit.experiments.sources import world_of
from toolkit.metrics import ConfusionMatrix
from toolkit.pictures import labels
from toolkit.worlds import portraits

HELD_OUT, FIRST_SEED = 32, 990_001  # portraits that no network has learned from


@cache
def beside(path: Path) -> AutoShotSegmenter | None:
    """The auto-shot network that comes with the GAN of this file: NAME-autoshot.safetensors beside it, else that of a
    GAN of other pixels: it needs none of either."""
    named = path.with_name(f"{path.stem}-autoshot.safetensors")
    alike = path.parent.glob(f"{glob.escape(subject(path.stem))}-[0-9]*-autoshot.safetensors")
    files = [named] if named.is_file() else sorted(alike)
    return AutoShotSegmenter.load(files[0]) if files else None


def network(session: Session) -> AutoShotSegmenter:
    """The session's own auto-shot network, or, if it is preferred or there is no own, the GAN's."""
    bundled = beside(session.gan.path)
    found = bundled if session.bundled and bundled is not None else session.autoshot or bundled
    if found is None:
        raise Sorry("There is no auto-shot network for this GAN yet. Train one in step 4.")
    return found


def compared(session: Session) -> str:
    """How the session's network scores beside the one that comes with its GAN, in words; nothing where no exact labels
    are known: those of the world of portraits are, for the GAN that learned it, in the parts that were drawn."""
    bundled = beside(session.gan.path)
    known = set(session.autoshot.classes) <= set(portraits.CLASSES)
    if bundled is None or world_of(session.gan) != "portraits" or not known:
        return ""
    labelled = {label for shot in session.shots for label in shot.label_map.unique().tolist()}
    parts = [name for i, name in enumerate(session.classes) if i in labelled and name in session.autoshot.classes[1:]]
    if not parts:
        return ""
    drawn = [session.autoshot.classes[0], *parts]
    mine, theirs = (score(one, drawn, session.gan.resolution) for one in (session.autoshot, bundled))
    better = "" if mine >= theirs else " The bundled one finds these parts better: more shots, or more pictures, help."
    return (
        f" On {HELD_OUT} portraits that neither has seen it reaches {mine:.0%} weighted IoU in {_listed(parts)}, the "
        f"bundled one {theirs:.0%}.{better}"
    )


def score(answers: AutoShotSegmenter, classes: list[str], resolution: int) -> float:
    """Weighted IoU of these parts, without background, on portraits whose labels are known exactly."""
    image, truth = _held_out(resolution)
    counts = ConfusionMatrix(len(classes))
    found = answers.predict(image).argmax(1).cpu()
    counts.update(labels.merge(found, answers.classes, classes), labels.merge(truth, portraits.CLASSES, classes))
    return counts.weighted_iou(include_background=False)


@cache
def _held_out(resolution: int) -> tuple[Tensor, Tensor]:
    return portraits.render(HELD_OUT, resolution, FIRST_SEED)


def _listed(names):
    return " and ".join([", ".join(names[:-1]), names[-1]]) if len(names) > 1 else names[0]
