"""Inputs with checked values: files not yet decoded, and numbers within their range."""

import base64
from collections.abc import Sequence
from typing import Any

import gradio as gr


def picture(label: str, sources: Sequence[str] = ("upload", "clipboard", "webcam"), **options: Any) -> gr.Image:
    """A `gr.Image` for input whose value is a path or bytes: what was sent, not yet decoded, so that the toolkit's own
    checks come first."""
    component = gr.Image(label=label, type="filepath", sources=list(sources), buttons=[], **options)
    component.preprocess = _as_sent
    return component


def thumbnails(pictures: Sequence[Any] | None, **options: Any) -> gr.Gallery:
    """A row of four small pictures to look at, or to click where they cannot be enlarged."""
    return gr.Gallery(
        pictures,
        columns=4,
        height="auto",
        show_label=False,
        buttons=[],
        interactive=False,
        elem_classes="thumbnails",
        **options,
    )


def slider(minimum: float, maximum: float, usual: float, **options: Any) -> gr.Slider:
    """A `gr.Slider` whose value is clamped to its range, and `usual` where its text field was cleared."""
    component = gr.Slider(minimum, maximum, usual, **options)
    component.preprocess = lambda payload: _within(payload, minimum, maximum, usual)
    return component


def whole_number(minimum: int, maximum: int, usual: int, **options: Any) -> gr.Number:
    """A `gr.Number` for whole numbers, clamped in the same way."""
    component = gr.Number(usual, precision=0, minimum=minimum, maximum=maximum, **options)
    component.preprocess = lambda payload: round(_within(payload, minimum, maximum, usual))
    return component


def _as_sent(payload):
    if payload is None:
        return None
    if payload.url and payload.url.startswith("data:"):  # a live webcam's picture
        return base64.b64decode(payload.url.partition(",")[2])
    return payload.path


def _within(payload, minimum, maximum, usual):
    if not isinstance(payload, (int, float)) or payload != payload:  # cleared, text, or not a number
        return usual
    return min(max(payload, minimum), maximum)
