"""Step 4: the taught segmenter labels generated faces, and a network learned from those needs no GAN."""

from functools import cache
from types import SimpleNamespace

import gradio as gr
from look import bar, heading, legend, note
from session import PRIVATE, heavy, stops
from step_teach import taught
from upload import picture

from toolkit import autoshot, fewshot
from toolkit.errors import ToolkitError
from toolkit.gan.files import zoo

HEIGHT = 260  # of a picture on screen


def layout():
    """Everything of the step, as a namespace of components."""
    ui = SimpleNamespace()
    with gr.Column(elem_classes="card", elem_id="autoshot", min_width=320):
        heading(
            4,
            "Auto-shot",
            "Your segmenter labels generated faces. A network trained on those segments any "
            "picture at once, without the GAN.",
        )
        with gr.Row(elem_classes="steps"):
            with gr.Column(scale=2, min_width=280):
                ui.number = gr.Slider(100, 5000, 1000, step=100, label="Faces to learn from", elem_id="number")
                with gr.Row(elem_classes="tight"):
                    ui.train = gr.Button("Train", variant="primary", elem_id="train", scale=3)
                    ui.cancel = gr.Button("Cancel", elem_id="train-cancel", elem_classes="stop", min_width=80)
                ui.status = gr.HTML(
                    note("Until you train your own, the bundled network answers."),
                    elem_id="autoshot-status",
                    elem_classes="status",
                )
                with gr.Row(elem_classes="tight"):
                    ui.safetensors = gr.DownloadButton(
                        "Download safetensors",
                        size="sm",
                        interactive=False,
                        min_width=140,
                        elem_id="download-safetensors",
                    )
                    ui.onnx = gr.DownloadButton(
                        "Download ONNX", size="sm", interactive=False, min_width=140, elem_id="download-onnx"
                    )
            with gr.Column(scale=3, min_width=280):
                with gr.Tabs(elem_classes="sources"):
                    with gr.Tab("Picture"), gr.Row(elem_classes="pair"):
                        ui.picture = picture("Your picture", height=HEIGHT, elem_id="auto-picture")
                        ui.parts = parts("auto-parts")
                    with gr.Tab("Live webcam"), gr.Row(elem_classes="pair"):
                        ui.webcam = picture("Camera", ["webcam"], streaming=True, height=HEIGHT, elem_id="webcam")
                        ui.live = parts("live")
                ui.legend = gr.HTML(elem_id="auto-legend")
    return ui


def parts(elem_id):
    """Where the answer is shown."""
    return gr.Image(label="Parts", interactive=False, buttons=[], height=HEIGHT, elem_id=elem_id)


@cache
def bundled():
    """The auto-shot network that comes with the bundled GAN."""
    return fewshot.load_segmenter(zoo.folder() / f"{zoo.DEFAULT}-autoshot.safetensors")


def network(session):
    """The session's own auto-shot network, or the one that comes with its GAN."""
    if session.autoshot is not None:
        return session.autoshot
    if session.gan.metadata.get("name") != zoo.DEFAULT:
        raise ToolkitError("Auto-shot", "a trained network", "none yet", "Train one in step 4")
    return bundled()


def wire(ui, sessions):
    """Which handler answers what."""
    h, private = sessions.handler, PRIVATE
    run = ui.train.click(h(train), ui.number, [ui.status, ui.safetensors, ui.onnx], **heavy(ui.status))
    run.success(h(segment), ui.picture, [ui.parts, ui.legend], **private)
    stops(ui.cancel, [run], ui.status, "Cancelled.")
    ui.picture.input(h(segment), ui.picture, [ui.parts, ui.legend], **private)
    ui.webcam.stream(h(segment), ui.webcam, [ui.live, ui.legend], stream_every=0.2, concurrency_limit=2, **private)


def train(session, number):
    """Distil the taught segmenter, on screen step by step, and write the network's files."""
    for step in autoshot.distilling(taught(session), int(number)):
        what = "Labelling faces:" if step.stage == "synthesise" else "Learning from them: step"
        yield bar(what, step.done, step.total, step.eta), gr.skip(), gr.skip()
    session.autoshot = step.result
    paths = [session.path(f"autoshot.{kind}") for kind in ("safetensors", "onnx")]
    session.autoshot.save(paths[0])
    session.autoshot.export_onnx(paths[1])
    text = f"Learned from {number:.0f} faces. It answers here and in step 3."
    yield note(text), *[gr.DownloadButton(value=path, interactive=True) for path in paths]


def segment(session, source):
    """The picture with its parts, at once, and their names."""
    if source is None:
        return None, gr.skip()
    result = network(session).segment(source)
    return result.overlay(), legend(result.classes, result.palette)
