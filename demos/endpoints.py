"""The useful steps as documented endpoints: what `gradio_client` can call. One client is one session."""

from pathlib import Path

import gradio as gr
from look import tinted
from session import QUEUED
from step_teach import taught
from upload import picture

from toolkit import fewshot
from toolkit.errors import ToolkitError
from toolkit.parts.coco import to_coco
from toolkit.pictures import images, labels

MAX_STEPS = 1000


def wire(sessions):
    """The endpoints /generate, /fit and /segment, on components that the page does not show."""
    h = sessions.handler
    with gr.Column(visible=False):
        seed = gr.Number(7, label="seed", precision=0)
        truncation = gr.Slider(0, 1, 0.7, label="truncation_psi")
        face, parts = gr.Image(label="face", format="png"), gr.Image(label="overlay", format="png")
        label_png = gr.File(label="label PNG: class numbers, 255 = unlabelled", file_types=[".png"])
        classes = gr.Textbox("background, eyes, mouth, nose", label="classes, background first")
        network = gr.Dropdown(list(fewshot.NUM_STEPS), value=fewshot.DEFAULT_NETWORK, label="network")
        segmenter = gr.File(label="segmenter, safetensors")
        photo = picture("picture")
        steps = gr.Slider(1, MAX_STEPS, 50, step=1, label="projection steps")
        labelled, report = gr.File(label="indexed PNG"), gr.JSON(label="areas, trust, COCO")
    gr.Button(visible=False).click(
        h(generate), [seed, truncation], face, api_name="generate", api_description=generate.__doc__
    )
    gr.Button(visible=False).click(
        h(fit), [label_png, classes, network], [segmenter, parts], api_name="fit", api_description=fit.__doc__, **QUEUED
    )
    gr.Button(visible=False).click(
        h(segment), [photo, steps], [labelled, report], api_name="segment", api_description=segment.__doc__, **QUEUED
    )


def generate(session, seed, truncation_psi):
    """Generate a face, which becomes the one that /fit labels. Returns a PNG."""
    session.show(session.gan.sample(int(seed), truncation_psi=truncation_psi))
    return images.to_pil(session.sample.image)


def fit(session, label_png, classes, network):
    """Learn the labels of the last generated face: an indexed or grey PNG of its size whose values are class numbers,
    255 for unlabelled. Returns the segmenter's file and the face with the parts it finds."""
    names = [name.strip() for name in classes.split(",")]
    if label_png is None:
        raise ToolkitError("fit", "a label PNG", "none", "Pass handle_file(path)")
    session.classes, session.shots, session.editing = tuple(names), [], None
    session.shots.append(fewshot.Shot(session.sample, labels.load_label_png(label_png), names, session.gan))
    for _, _, _, segmenter in fewshot.fitting(session.gan, session.shots, network=network):  # noqa: B007 the last one is kept
        yield gr.skip(), gr.skip()
    session.segmenter = segmenter
    segmenter.save(session.path("segmenter.safetensors"))
    result = segmenter.segment(session.sample)
    yield session.path("segmenter.safetensors"), tinted(result.image, result.label_map, result.palette)


def segment(session, source, num_steps):
    """Segment a picture with what /fit learned. Returns an indexed PNG of the picture's size, and JSON."""
    if source is None:
        raise ToolkitError("segment", "a picture", "none", "Pass handle_file(path)")
    segmenter, judge = taught(session), session.gan.encoder is not None
    for _, _, results in segmenter.segmenting(source, num_steps=int(num_steps), judge=judge):  # noqa: B007
        yield gr.skip(), gr.skip()
    results[0].save_png(session.path("labels.png"))
    yield session.path("labels.png"), {**results[0].as_dict(), "coco": to_coco(results, [Path(source).name])}
