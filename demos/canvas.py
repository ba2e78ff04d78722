"""The canvas of step 1: a picture, and the labeller of notebooks to draw its parts with."""

import base64
import io
from pathlib import Path
from typing import Any

import gradio as gr
import torch
from drawing import blank, pack
from session import Session
from torch import Tensor

from toolkit import fewshot
from toolkit.pictures import images, labels
from toolkit.show import labeller

HERE = Path(__file__).parent
# In a function of its own: its names are not those that Gradio hands to a component's script.
SCRIPT = f"""const [view, Sketch] = (() => {{
{labeller.script()}
return [view, Sketch];
}})();
{(HERE / "model.js").read_text("utf-8")}
{(HERE / "board.js").read_text("utf-8")}"""
STROKES = {"api_visibility": "private", "show_progress": "hidden", "queue": False, "trigger_mode": "always_last"}


class Canvas:
    """The canvas: its components, how their values reach the session, and how to update them."""

    def __init__(self, session: Session) -> None:
        self.board = gr.HTML(
            seen(session), html_template="", js_on_load=SCRIPT, apply_default_css=False, elem_id="board"
        )
        with gr.Row(elem_classes="tight"):
            self.fill = gr.Checkbox(True, label="Fill the rest as background", elem_id="fill", container=False)
            self.clear = gr.Button("Clear labels", size="sm", min_width=100, elem_id="clear")
            self.add = gr.Button("Add to shots", size="sm", min_width=100, elem_id="add")
        self.components = [self.board, self.fill]
        self.outputs = self.components

    def take(self, session: Session, sent: dict[str, Any] | None, fill: bool) -> None:
        """Put the values of `components` into the session's drawing."""
        session.drawing.take(sent, len(session.classes))
        session.drawing.fill = bool(fill)

    def received(self, session: Session) -> dict:
        """Tell the browser which strokes have come."""
        return {self.board: {"revision": session.drawing.revision, "received": session.drawing.received}}

    def shown(self, session: Session, strokes: Tensor | None = None) -> dict:
        """The session's picture to draw on, with strokes (1, R, R) as if just drawn."""
        session.drawing.replace(blank(session.gan.resolution) if strokes is None else strokes)
        return {self.board: {**seen(session), "sample": offered(session)}}

    def shown_shot(self, session: Session, label_map: Tensor) -> dict:
        """The session's picture and the labels (1, R, R) of a shot: filled if all of it is labelled."""
        filled = not (label_map == labels.IGNORE_INDEX).any()
        strokes = without_background(label_map) if filled else label_map
        return {**self.shown(session, strokes), self.fill: bool(filled)}


def seen(session: Session) -> dict[str, Any]:
    """What `board.js` shows: the picture, the classes, and what is drawn."""
    file = io.BytesIO()
    images.to_pil(session.sample.image).save(file, "PNG")
    return {
        "revision": session.drawing.revision,
        "about": about(session),
        "picture": base64.b64encode(file.getvalue()).decode(),
        "size": list(session.drawing.label_map.shape[1:]),
        "palette": session.palette.tolist(),
        "labels": pack(session.drawing.label_map),
    }


def about(session: Session) -> dict[str, Any]:
    """What a browser keeps to ask for the same again after a reload."""
    seed, truncation = session.seed or (None, None)
    return {"gan": session.gan_name, "classes": list(session.classes), "seed": seed, "truncation": truncation}


def offered(session: Session) -> dict[str, Any] | None:
    """The file of a picture on the canvas that no seed makes, for the browser to keep."""
    if session.seed is not None:
        return None
    path = session.path(f"sample-{session.drawing.revision}.safetensors")
    fewshot.save_sample(path, session.sample, session.gan)
    return {"path": path, "meta": {"_type": "gradio.FileData"}}


def without_background(label_map: Tensor) -> Tensor:
    """Background as unpainted, so that the picture stays visible; the fill switch puts it back."""
    return torch.where(label_map == 0, labels.IGNORE_INDEX, label_map)
