"""What a browser kept of a tab (`kept.js`), put back into a new session: after a reload nothing is lost."""

import base64
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from drawing import unpack
from framing import as_sent, opened
from gradio.utils import get_upload_folder
from session import Session, Sessions
from torch import Tensor
from words import instead

from toolkit import fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.parts.sample import load_sample
from toolkit.pictures import labels

UNREADABLE = "What this tab had kept cannot be read, so it starts anew."


def wire(demo: gr.Blocks, settings: Sequence[Any], files: dict[str, gr.DownloadButton]) -> None:
    """Let the browser keep the values of these components, and the files that these buttons offer, by name."""
    private = {"api_visibility": "private"}
    demo.load(None, settings, settings, js="(...now) => kept.settings() ?? now", **private)
    gr.on([one.change for one in settings], None, settings, js="(...settings) => kept.put({ settings })", **private)
    for name, button in files.items():
        button.change(None, button, js=f"(file) => kept.file('{name}', file)", **private)


def restore(session: Session, sessions: Sessions, before: dict[str, Any]) -> Tensor:
    """Make the session what the tab was: GAN, classes, shots, the picture on the canvas, what was learned.

    Args:
        before: {"board": {"about", "labels"}, "files": {name: base64}, "uploads": {place: [{"file": as Gradio has
            it, "frame"}]}}, as the browser kept it.
    Returns:
        strokes (1, R, R), what was drawn.
    Raises:
        Sorry: it cannot be read; the session is as it was.
    """
    with instead(UNREADABLE):
        try:
            return _restore(session, sessions, before["board"], before["files"], before["uploads"])
        except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            raise ToolkitError("restore", "what the page kept", repr(error), "Start anew") from error


def _restore(session, sessions, board, files, uploads):
    about = board["about"]
    places = {place: [_uploaded(one) for one in sent] for place, sent in uploads.items()}
    gan = sessions.load(about["gan"])
    classes = drawn = labels.check_classes(about["classes"], "restore")
    paths = {name: _written(session, name, content) for name, content in files.items()}
    shots, seed = [], about.get("seed")
    if "shots" in paths:
        shots = fewshot.load_shots(paths["shots"])
        fewshot.check_shots(gan, shots)
        classes = shots[0].classes
    strokes = unpack(board["labels"]).view(1, gan.resolution, gan.resolution)
    labels.check_values(strokes, len(drawn), "restore")
    segmenter = None
    with suppress(CheckpointError):  # of an earlier version of the toolkit: its shots, which came back, teach it again
        segmenter = fewshot.Segmenter.load(paths["segmenter"], gan) if "segmenter" in paths else None
    autoshot = AutoShotSegmenter.load(paths["autoshot"]) if "autoshot" in paths else None
    if seed is None:
        sample = load_sample(paths["sample"], gan)
    else:
        sample = gan.sample(int(seed), truncation_psi=float(about["truncation"]))
    editing = next((i for i, shot in enumerate(shots) if _same(shot.sample, sample)), None)

    session.use_gan(gan, about["gan"])  # nothing can fail from here on
    session.uploads = {place: list(dict(found)) for place, found in places.items()}
    session.frames = {path: frame for found in places.values() for path, frame in found if frame is not None}
    session.classes, session.shots, session.segmenter, session.autoshot = classes, shots, segmenter, autoshot
    session.show(sample, editing, None if seed is None else (int(seed), float(about["truncation"])))
    return labels.keep(strokes, drawn, classes)


def _uploaded(sent):
    """The path of an upload, and its frame, None where it was not known."""
    path = Path(sent["file"]["path"]).resolve()
    if not path.is_relative_to(Path(get_upload_folder()).resolve()):  # a browser may send any path
        raise ValueError(f"an upload at {path}")
    return str(path), sent.get("frame") and as_sent(sent["frame"], opened(str(path)).size)


def _written(session, name, content):
    """The path of a kept file."""
    path = Path(session.path(f"kept-{Path(name).name}.safetensors"))
    path.write_bytes(base64.b64decode(content, validate=True))
    return path


def _same(one, other):
    return one.ws.shape == other.ws.shape and torch.allclose(one.ws, other.ws, atol=1e-5)
