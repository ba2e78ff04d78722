"""The main steps as documented endpoints for `gradio_client`. Each client has a session of its own."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gradio as gr
from fields import picture
from look import tinted
from PIL import Image
from session import Session, Sessions
from step_label import LAST_SEED
from wiring import QUEUED, endpoint

from toolkit import fewshot
from toolkit.errors import ToolkitError
from toolkit.parts.coco import to_coco
from toolkit.pictures import images, labels

MAX_STEPS = 1000


def wire(sessions: Sessions) -> None:
    """The endpoints /generate, /fit and /segment, on components that the page does not show."""
    with gr.Column(visible=False):
        seed = gr.Number(7, label="seed", precision=0, minimum=0, maximum=LAST_SEED)
        truncation = gr.Slider(0, 1, 0.7, label="truncation_psi")
        drawn, parts = gr.Image(label="picture", format="png"), gr.Image(label="overlay", format="png")
        label_png = gr.File(label="label PNG: class numbers, 255 = unlabelled", file_types=[".png"])
        classes = gr.Textbox("background, eyes, mouth, nose", label="classes, background first")
        network = gr.Dropdown(list(fewshot.NUM_STEPS), value=fewshot.DEFAULT_NETWORK, label="network")
        segmenter = gr.File(label="segmenter, safetensors")
        photo = picture("picture")
        steps = gr.Slider(1, MAX_STEPS, 50, step=1, label="projection steps")
        labelled, report = gr.File(label="indexed PNG"), gr.JSON(label="areas, trust, COCO")

    def serve(function, inputs, outputs, **how):
        button, name = gr.Button(visible=False), function.__name__
        button.click(
            endpoint(sessions, function), inputs, outputs, api_name=name, api_description=function.__doc__, **how
        )

    serve(generate, [seed, truncation], drawn)
    serve(fit, [label_png, classes, network], [segmenter, parts], **QUEUED)
    serve(segment, [photo, steps], [labelled, report], **QUEUED)


def generate(session: Session, seed: float, truncation_psi: float) -> Image.Image:
    """Generate a picture, which becomes the one that /fit labels. Returns a PNG."""
    session.show_generated(int(seed), truncation_psi)
    return images.to_pil(session.sample.image)


def fit(session: Session, label_png: str | None, classes: str, network: str) -> Iterator[tuple[Any, Any]]:
    """Learn the labels of the last generated picture: an indexed or grey PNG of its size, its values class numbers,
    255 for unlabelled. Returns the segmenter's file and the picture with the parts it finds."""
    names = [name.strip() for name in classes.split(",")]
    if label_png is None:
        raise ToolkitError("fit", "a label PNG", "none", "Pass handle_file(path)")
    shot = fewshot.Shot(session.sample, labels.load_label_png(label_png), names, session.gan)
    session.classes, session.shots, session.editing = shot.classes, [shot], None
    for _, _, _, segmenter in fewshot.fitting(session.gan, session.shots, network=network):  # noqa: B007 the last one is kept
        yield gr.skip(), gr.skip()
    session.segmenter = segmenter
    segmenter.save(session.path("segmenter.safetensors"))
    result = segmenter.segment(session.sample)
    yield session.path("segmenter.safetensors"), tinted(result.image, result.label_map, result.palette)


def segment(session: Session, source: Any, num_steps: float) -> Iterator[tuple[Any, Any]]:
    """Segment a picture with what /fit learned. Returns an indexed PNG of the picture's size, and JSON."""
    if source is None:
        raise ToolkitError("segment", "a picture", "none", "Pass handle_file(path)")
    if session.segmenter is None:
        raise ToolkitError("segment", "a taught segmenter", "none yet", "Call /fit first")
    for _, _, results in session.segmenter.segmenting(source, num_steps=int(num_steps)):  # noqa: B007
        yield gr.skip(), gr.skip()
    results[0].save_png(session.path("labels.png"))
    yield session.path("labels.png"), {**results[0].as_dict(), "coco": to_coco(results, [Path(source).name])}
