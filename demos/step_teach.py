"""Step 2: the shots teach a small network, and fresh pictures show what it learned."""

from collections.abc import Iterator

import gradio as gr
import pandas as pd
import torch.nn.functional as F
from fields import slider, thumbnails
from look import Progress, enlarge, heading, heat, legend, note, tinted
from PIL import Image
from session import Session, Sessions
from step_label import Label
from wiring import heavy, on, stops
from words import Sorry

from toolkit import fewshot
from toolkit.fewshot import Segmenter
from toolkit.parts import uncertainty
from toolkit.pictures import images

PICTURES = 8
SHOWN = 256  # pixels a side of each, about
CANDIDATES = 64
FILE = "segmenter.safetensors"
FIRST = "Draw first, then teach."


class Teach:
    """A button, fresh pictures with their parts, and the one that would teach most; the shots are those of `label`."""

    def __init__(self, label: Label) -> None:
        self.label = label
        with gr.Column(elem_classes="card", elem_id="teach", min_width=320):
            heading(
                2, "Teach", "One click: a small network learns your labels and finds the parts in eight fresh pictures."
            )
            with gr.Row(elem_classes="tight"):
                self.teach_button = gr.Button("Teach", variant="primary", size="lg", elem_id="teach-button", scale=3)
                self.stop = gr.Button(
                    "Stop", size="lg", elem_id="teach-stop", elem_classes="stop", scale=1, min_width=80
                )
            self.status = gr.HTML(note(FIRST), elem_id="teach-status", elem_classes="status")
            self.gallery = thumbnails(None, object_fit="cover", elem_id="gallery")
            self.legend = gr.HTML(elem_id="teach-legend")
            with gr.Row(elem_classes="tight"):
                self.more_button = gr.Button(
                    "More pictures", size="sm", elem_id="more", interactive=False, min_width=100
                )
                self.suggest_button = gr.Button(
                    "Suggest the next picture", size="sm", elem_id="suggest", interactive=False, min_width=170
                )
                self.download = gr.DownloadButton(
                    "Download segmenter", size="sm", elem_id="segmenter-download", interactive=False, min_width=150
                )
            with gr.Column(visible=False, elem_id="suggestion") as self.suggestion:
                with gr.Row(elem_classes="pair"):
                    self.picture = gr.Image(label="Least certain of 64", interactive=False, buttons=[], height=190)
                    self.heat = gr.Image(label="Where it is unsure: bright", interactive=False, buttons=[], height=190)
                self.take_button = gr.Button("Label this picture", size="sm", elem_id="take")
            self.loss = gr.LinePlot(
                pd.DataFrame({"step": [], "loss": []}),
                x="step",
                y="loss",
                height=150,
                x_title="step",
                y_title="loss",
                elem_id="loss",
                buttons=[],
                visible=False,
            )
            with gr.Accordion("Advanced", open=False, elem_id="advanced"):
                with gr.Row(elem_classes="tight"):
                    self.network = gr.Dropdown(
                        list(fewshot.NUM_STEPS), value=fewshot.DEFAULT_NETWORK, label="Network", min_width=120
                    )
                    self.steps = slider(
                        0, 1000, 0, step=10, label="Steps, 0 for the usual", min_width=150, elem_id="steps"
                    )

    def wire(self, sessions: Sessions) -> None:
        """Connect events to handlers."""
        canvas, shots, queued = self.label.canvas, self.label.shots, heavy(self.status)
        buttons = [self.more_button, self.suggest_button, self.download]
        changed = [self.status, self.loss, self.gallery, self.legend, *buttons, *shots.outputs]
        self.taught = on(
            sessions, self.teach_button.click, self.teach, [canvas, self.network, self.steps], changed, **queued
        )
        stops(self.stop, [self.taught], self.status, "Stopped.")
        emptied = [*changed, self.suggestion]
        for event in (self.label.chosen, self.label.restored):
            on(sessions, event.success, self.anew, [], emptied)
        on(sessions, self.more_button.click, self.more, [], [self.gallery])
        suggested = [self.suggestion, self.picture, self.heat]
        on(sessions, self.suggest_button.click, self.suggest, [], suggested, **queued)
        taken = [self.suggestion, *canvas.outputs, *shots.outputs]
        on(sessions, self.take_button.click, self.take, [canvas], taken)

    def teach(self, session: Session, network: str, num_steps: float) -> Iterator[dict]:
        """Keep the drawing, fit on all shots, and show the parts of fresh pictures, as they are learned."""
        session.keep()
        if not session.shots:
            raise Sorry("There is nothing to learn from yet. Paint the parts of the picture in step 1 first.")
        shots, progress, losses = self.label.shots.shown(session), Progress("Step"), []
        num_steps = round(num_steps) or None
        start = None if num_steps else session.start(network)
        options = {"network": network, "num_steps": num_steps, "every": 20, "start": start}
        fitting = fewshot.fitting(session.gan, session.shots, **options)
        for done, total, loss, segmenter in fitting:
            losses.append((done, loss))
            plot = gr.LinePlot(value=pd.DataFrame(losses, columns=["step", "loss"]), visible=True)
            updates = {self.status: progress(done, total, f"loss {loss:.3f}"), self.loss: plot, **shots}
            if start is None and done < total and len(losses) in (1, 5):  # what is taught more is done as soon
                updates[self.gallery] = gallery(session, segmenter)
            yield updates
            shots = {}  # they do not change while fitting
        session.segmenter, session.taught_on = segmenter, [shot.sample for shot in session.shots]
        count = f"{len(session.shots)} shot{'s' if len(session.shots) > 1 else ''}"
        more = "" if start is None else " more"
        yield self.learned(session, f"Learned from {count} in {total}{more} steps; loss {loss:.3f}.")

    def learned(self, session: Session, text: str) -> dict:
        """What the session's segmenter finds in fresh pictures, with these words."""
        session.segmenter.save(session.path(FILE))
        return {
            self.status: note(text),
            self.gallery: gallery(session, session.segmenter),
            self.legend: legend(session.classes, session.palette),
            self.more_button: gr.Button(interactive=True),
            self.suggest_button: gr.Button(interactive=True),
            self.download: gr.DownloadButton(value=session.path(FILE), interactive=True),
        }

    def anew(self, session: Session) -> dict:
        """What was learned before a reload; nothing of another GAN."""
        if session.segmenter is not None:
            return self.learned(session, "Learned before.")
        return {
            self.status: note(FIRST),
            self.loss: gr.LinePlot(visible=False),
            self.gallery: None,
            self.legend: "",
            self.more_button: gr.Button(interactive=False),
            self.suggest_button: gr.Button(interactive=False),
            self.download: gr.DownloadButton(value=None, interactive=False),
            self.suggestion: gr.Column(visible=False),
        }

    def more(self, session: Session) -> dict:
        """Other fresh pictures."""
        session.gallery_seed += 1
        return {self.gallery: gallery(session, taught(session))}

    def suggest(self, session: Session) -> dict:
        """The picture of 64 that would teach most."""
        session.suggest_seed += 1
        sample, unsure = uncertainty.next_to_label(taught(session), num=CANDIDATES, seed=session.suggest_seed)
        session.suggestion = sample
        return {
            self.suggestion: gr.Column(visible=True),
            self.picture: enlarge(images.to_pil(sample.image)),
            self.heat: heat(unsure / unsure.max()),
        }

    def take(self, session: Session) -> dict:
        """Put the suggested picture on the canvas."""
        session.keep()
        session.show(session.suggestion)
        return {self.suggestion: gr.Column(visible=False), **self.label.shown(session)}


def gallery(session: Session, segmenter: Segmenter) -> list[Image.Image]:
    """Fresh pictures with their parts."""
    sample = session.gan.sample(session.gallery_seed, PICTURES)
    finer = max(1, round(SHOWN / session.gan.resolution))
    # Scores, not labels, are enlarged: boundaries are smooth.
    label_maps = F.interpolate(segmenter.predict(sample), scale_factor=finer, mode="bilinear").argmax(1)
    return [tinted(*pair, segmenter.palette) for pair in zip(sample.image, label_maps)]


def taught(session: Session) -> Segmenter:
    """The session's segmenter."""
    if session.segmenter is None:
        raise Sorry("Nothing is taught yet. Paint the parts of a picture and press “Teach” first.")
    return session.segmenter
