"""Step 4: the taught segmenter labels generated faces, and a network learned from those needs no GAN."""

from functools import cache
from types import SimpleNamespace

import gradio as gr
from look import bar, heading, note
from step_teach import taught
from upload import picture

from toolkit import autoshot, fewshot
from toolkit.errors import ToolkitError
from toolkit.gan import zoo


def layout():
    """Everything of the step, as a namespace of components."""
    ui = SimpleNamespace()
    with gr.Column(elem_classes="card", elem_id="autoshot", min_width=320):
        heading(4, "Auto-shot", "Your segmenter labels generated faces. A network trained on those segments any "
                "picture at once, without the GAN.")  # fmt: skip
        with gr.Row(elem_classes="steps"):
            with gr.Column(scale=2, min_width=280):
                ui.number = gr.Slider(100, 5000, 1000, step=100, label="Faces to learn from", elem_id="number")
                with gr.Row(elem_classes="tight"):
                    ui.train = gr.Button("Train", variant="primary", elem_id="train", scale=3)
                    ui.cancel = gr.Button("Cancel", elem_id="train-cancel", min_width=80)
                ui.status = gr.HTML(note("Until you train your own, the bundled network answers."),
                                    elem_id="autoshot-status")  # fmt: skip
                with gr.Row(elem_classes="tight"):
                    ui.safetensors = gr.DownloadButton("safetensors", size="sm", interactive=False,
                                                       elem_id="download-safetensors")  # fmt: skip
                    ui.onnx = gr.DownloadButton("ONNX", size="sm", interactive=False, elem_id="download-onnx")
            with gr.Column(scale=3, min_width=280), gr.Tabs(elem_classes="sources"):
                with gr.Tab("Picture"), gr.Row():
                    ui.picture = picture("Upload, paste or take a picture", height=260, elem_id="auto-picture")
                    ui.parts = gr.Image(label="Parts", interactive=False, buttons=[], height=260, elem_id="auto-parts")
                with gr.Tab("Live webcam"), gr.Row():
                    ui.webcam = gr.Image(sources=["webcam"], streaming=True, label="Camera", height=260, buttons=[],
                                         elem_id="webcam", type="numpy")  # fmt: skip
                    ui.live = gr.Image(label="Parts", interactive=False, buttons=[], height=260, elem_id="live")
    return ui


@cache
def bundled():
    """The auto-shot network that comes with the bundled GAN."""
    return fewshot.load_segmenter(zoo.folder() / f"{zoo.DEFAULT}-autoshot.safetensors")


def network(session):
    """The session's own auto-shot network, or the bundled one."""
    if session.autoshot is not None:
        return session.autoshot
    if not (zoo.folder() / f"{zoo.DEFAULT}-autoshot.safetensors").is_file():
        raise ToolkitError("Auto-shot", "a trained network", "none yet", "Train one in step 4")
    return bundled()


def wire(ui, sessions):
    """Which handler answers what."""
    h, private = sessions.handler, {"api_visibility": "private", "show_progress": "hidden"}
    run = ui.train.click(
        h(train), ui.number, [ui.status, ui.safetensors, ui.onnx], api_visibility="private", show_progress="minimal",
        show_progress_on=ui.status, concurrency_id="heavy", concurrency_limit=1,
    )  # fmt: skip
    ui.cancel.click(lambda: note("Cancelled."), None, ui.status, cancels=[run], **private)
    ui.picture.input(h(segment), ui.picture, ui.parts, **private)
    ui.webcam.stream(h(segment), ui.webcam, ui.live, stream_every=0.2, concurrency_limit=2, **private)


def train(session, number):
    """Distil the taught segmenter, on screen step by step, and write the network's files."""
    for step in autoshot.distilling(taught(session), int(number)):
        what = "Labelling faces:" if step.stage == "synthesise" else "Learning from them: step"
        yield bar(what, step.done, step.total, step.eta), gr.skip(), gr.skip()
    session.autoshot = step.result
    paths = [session.path(f"autoshot.{kind}") for kind in ("safetensors", "onnx")]
    session.autoshot.save(paths[0])
    session.autoshot.export_onnx(paths[1])
    text = f"Learned from {number:.0f} faces. It answers below and in step 3."
    yield note(text), *[gr.DownloadButton(value=path, interactive=True) for path in paths]


def segment(session, source):
    """The picture with its parts, at once."""
    return None if source is None else network(session).segment(source).overlay()
