"""The canvas of step 1: a picture, the brush over it, and the legend that chooses its colour."""

from collections.abc import Sequence
from typing import Any

import gradio as gr
import torch
from drawing import Drawing
from look import enlarge, hexes, legend
from session import Session
from torch import Tensor

from toolkit.fewshot import GAN
from toolkit.pictures import images, labels, sketch

BRUSH_SIZE = 18  # pixels of the canvas
SMALLEST = 512  # pixels a side


class Canvas:
    """The canvas: its components, how handlers read them, and how to update them."""

    def __init__(self, session: Session) -> None:
        size = side(session.gan)
        self.editor = gr.ImageEditor(
            picture(session),
            elem_id="editor",
            show_label=False,
            format="png",
            layers=False,
            transforms=(),
            sources=(),
            buttons=[],
            brush=brush(session.classes),
            eraser=gr.Eraser(default_size=BRUSH_SIZE),
            fixed_canvas=True,
            canvas_size=(size, size),
            height=580,
            container=False,
        )
        self.legend = gr.HTML(legend(session.classes, session.palette, brush=True), elem_id="legend")
        with gr.Row(elem_classes="tight"):
            self.fill = gr.Checkbox(True, label="Fill the rest as background", elem_id="fill", container=False)
            self.clear = gr.Button("Clear labels", size="sm", min_width=100, elem_id="clear")
            self.add = gr.Button("Add to shots", size="sm", min_width=100, elem_id="add")
        self.components = [self.editor, self.fill]
        self.outputs = [*self.components, self.legend]

    def read(self, editor: dict[str, Any] | None, fill: bool) -> Drawing:
        """The values of `components` as one `Drawing`."""
        layers = (editor or {}).get("layers") or [None]
        return Drawing(layers[0], bool(fill))

    def shown(self, session: Session) -> dict:
        """The session's picture, nothing drawn on it."""
        return {self.editor: picture(session)}

    def shown_shot(self, session: Session, label_map: Tensor) -> dict:
        """The session's picture and the labels (1, R, R) of a shot, to draw on: filled if all of it is labelled."""
        filled = not (label_map == labels.IGNORE_INDEX).any()
        strokes = without_background(label_map) if filled else label_map
        return {self.editor: picture(session, strokes), self.fill: bool(filled)}

    def shown_anew(self, session: Session, strokes: Tensor | None = None) -> dict:
        """All components, for other classes or another GAN; strokes (1, R, R) are kept."""
        size = side(session.gan)
        editor = gr.ImageEditor(value=picture(session, strokes), brush=brush(session.classes), canvas_size=(size, size))
        return {self.editor: editor, self.legend: legend(session.classes, session.palette, brush=True)}


def side(gan: GAN) -> int:
    """Pixels a side of a GAN's canvas: a multiple of its resolution."""
    return gan.resolution * max(1, SMALLEST // gan.resolution)


def picture(session: Session, strokes: Tensor | None = None) -> dict[str, Any]:
    """The session's picture as the editor takes it, with strokes (1, R, R) as if just drawn."""
    size = side(session.gan)
    layers = [] if strokes is None else [sketch.encode(strokes, session.palette, size)]
    return {"background": enlarge(images.to_pil(session.sample.image), size), "layers": layers, "composite": None}


def brush(classes: Sequence[str]) -> gr.Brush:
    """A translucent brush for each class; the first part is chosen."""
    colors = [(color, sketch.BRUSH_ALPHA) for color in hexes(labels.default_palette(len(classes)))]
    chosen = colors[min(1, len(colors) - 1)]
    return gr.Brush(default_size=BRUSH_SIZE, colors=colors, default_color=chosen, color_mode="fixed")


def without_background(label_map: Tensor) -> Tensor:
    """Background as unpainted, so that the face stays visible; the fill switch puts it back."""
    return torch.where(label_map == 0, labels.IGNORE_INDEX, label_map)
