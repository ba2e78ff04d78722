"""Step 4: the segmenter labels generated pictures, and a network trained on them needs no GAN."""

from collections.abc import Iterator
from typing import Any

import gradio as gr
from correct import Correct
from fields import picture, slider
from framing import Upload, frame_in, opened
from look import Countdown, bar, heading, legend, note
from networks import beside, compared, network
from session import Session, Sessions
from step_label import Label
from step_teach import taught
from wiring import PRIVATE, heavy, on, stops

from toolkit import autoshot
from toolkit.fewshot import GAN

ANSWERS = ("Your network", "The bundled one")
HEIGHT = 260  # of a picture on screen


class AutoShot:
    """Training, and trying the network on a picture or live."""

    def __init__(self, label: Label) -> None:
        self.label = label
        with gr.Column(elem_classes="card", elem_id="autoshot", min_width=320):
            heading(
                4,
                "Auto-shot",
                "Your segmenter labels generated pictures. A network trained on those segments any "
                "picture at once, without the GAN.",
            )
            with gr.Row(elem_classes="steps"):
                with gr.Column(scale=2, min_width=280):
                    self.number = slider(100, 5000, 1000, step=100, label="Pictures to learn from", elem_id="number")
                    with gr.Row(elem_classes="tight"):
                        self.train_button = gr.Button("Train", variant="primary", elem_id="train", scale=3)
                        self.cancel = gr.Button("Cancel", elem_id="train-cancel", elem_classes="stop", min_width=80)
                    self.status = gr.HTML(
                        note(ready(label.default)),
                        elem_id="autoshot-status",
                        elem_classes="status",
                    )
                    with gr.Row(elem_classes="tight"):
                        self.safetensors = gr.DownloadButton(
                            "Download safetensors",
                            size="sm",
                            interactive=False,
                            min_width=140,
                            elem_id="download-safetensors",
                        )
                        self.onnx = gr.DownloadButton(
                            "Download ONNX", size="sm", interactive=False, min_width=140, elem_id="download-onnx"
                        )
                    self.answers = gr.Radio(
                        ANSWERS, value=ANSWERS[0], label="Which one answers", visible=False, elem_id="answers"
                    )
                with gr.Column(scale=3, min_width=280):
                    with gr.Tabs(elem_classes="sources"):
                        with gr.Tab("Picture"), gr.Row(elem_classes="pair"):
                            self.upload = Upload("auto-picture", HEIGHT)
                            self.parts = parts("auto-parts")
                        with gr.Tab("Live webcam"), gr.Row(elem_classes="pair"):
                            self.webcam = picture("Camera", ["webcam"], streaming=True, height=HEIGHT, elem_id="webcam")
                            self.live = parts("live")
                    self.legend = gr.HTML(elem_id="auto-legend")
                    self.correct = Correct("auto-correct")

    def wire(self, sessions: Sessions) -> None:
        """Connect events to handlers."""
        self.correct.wire(sessions, self.label, [self.upload.picture], lambda session, path: (path, None))
        files = [self.answers, self.safetensors, self.onnx]
        run = on(
            sessions, self.train_button.click, self.train, [self.number], [self.status, *files], **heavy(self.status)
        )
        shown = [self.parts, self.legend]
        for event in (self.label.chosen, self.label.restored):
            on(sessions, event.success, self.anew, [], [self.status, *files, *self.upload.outputs, *shown])
        on(sessions, run.success, self.segment, [self.upload.picture], shown)
        stops(self.cancel, [run], self.status, "Cancelled.")
        self.upload.wire(sessions, self.segment, shown)
        on(sessions, self.answers.input, self.use, [self.answers, self.upload.picture], shown)
        streaming = {**PRIVATE, "stream_every": 0.2, "concurrency_limit": 2}
        on(sessions, self.webcam.stream, self.segment_live, [self.webcam], [self.live, self.legend], **streaming)

    def train(self, session: Session, number: float) -> Iterator[dict]:
        """Distil the taught segmenter, showing progress, and write the network's files."""
        countdowns = {"synthesise": Countdown(), "train": Countdown()}
        for step in autoshot.distilling(taught(session), round(number)):
            what = "Labelling pictures:" if step.stage == "synthesise" else "Learning from them: step"
            yield {self.status: bar(what, step.done, step.total, countdowns[step.stage](step.eta))}
        session.autoshot, session.bundled = step.result, False
        text = f"Learned from {number:.0f} pictures. It answers here and in step 3."
        yield self.learned(session, text + compared(session))

    def anew(self, session: Session) -> dict:
        """What belongs to the session's GAN, and the network and the upload that a reload brought back."""
        said = {
            self.status: note(ready(session.gan)),
            self.answers: gr.Radio(visible=False),
            self.safetensors: gr.DownloadButton(value=None, interactive=False),
            self.onnx: gr.DownloadButton(value=None, interactive=False),
        }
        if session.autoshot is not None:
            said = self.learned(session, "Your network answers here and in step 3.")
        return {**said, self.legend: "", **self.upload.anew(session, self.segment)}

    def learned(self, session: Session, text: str) -> dict:
        """Offer the files of the session's network, with these words."""
        paths = [session.path(f"autoshot.{kind}") for kind in ("safetensors", "onnx")]
        session.autoshot.save(paths[0])
        session.autoshot.export_onnx(paths[1])
        return {
            self.status: note(text),
            self.answers: gr.Radio(value=ANSWERS[session.bundled], visible=beside(session.gan.path) is not None),
            self.safetensors: gr.DownloadButton(value=paths[0], interactive=True),
            self.onnx: gr.DownloadButton(value=paths[1], interactive=True),
        }

    def use(self, session: Session, which: str, path: str | None) -> dict:
        """Choose which network answers."""
        session.bundled = which == ANSWERS[1]
        return self.segment(session, path)

    def segment(self, session: Session, path: str | None) -> dict:
        """The parts of an upload."""
        if path is None:
            return {self.parts: None}
        upload = opened(path)
        result = network(session).segment(upload, align=frame_in(session, path, upload))
        return {self.parts: result.overlay(), self.legend: legend(result.classes, result.palette)}

    def segment_live(self, session: Session, seen: Any) -> dict:
        """The parts of what the camera sees, all of it."""
        if seen is None:
            return {self.live: None}
        result = network(session).segment(seen)
        return {self.live: result.overlay(), self.legend: legend(result.classes, result.palette)}


def ready(gan: GAN) -> str:
    """Which network answers before one is trained."""
    if beside(gan.path) is None:
        return "No network comes with this GAN. Train one here."
    return "Until you train your own, the bundled network answers."


def parts(elem_id: str, height: int = HEIGHT) -> gr.Image:
    """The component that shows a segmented picture."""
    return gr.Image(label="Parts", interactive=False, buttons=["fullscreen"], height=height, elem_id=elem_id)
