"""A picture input whose file reaches the toolkit unopened, so that the toolkit's own checks meet it first."""

import base64

import gradio as gr


def picture(label, sources=("upload", "clipboard", "webcam"), **options):
    """A `gr.Image` for input whose value is a path or bytes: whatever was sent, not yet decoded."""
    component = gr.Image(label=label, type="filepath", sources=list(sources), buttons=[], **options)
    component.preprocess = _as_sent
    return component


def _as_sent(payload):
    if payload is None:
        return None
    if payload.url and payload.url.startswith("data:"):  # a live webcam's picture
        return base64.b64decode(payload.url.partition(",")[2])
    return payload.path
