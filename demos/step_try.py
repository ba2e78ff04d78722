"""The first screen: a photograph, and its parts at once from the network that comes with the GAN."""

import examples
import gradio as gr
from correct import Correct
from fields import thumbnails
from framing import Upload, frame_in, opened
from look import legend, terms
from networks import network
from results import trust_of
from session import Session, Sessions
from step_autoshot import parts
from step_label import Label
from wiring import on

HEIGHT = 230  # of a picture on screen
HEADING = """<div class="step"><div><h2>A photograph and its parts</h2><p>Drop a photograph, or click a picture: the
network that comes with the GAN answers at once. Then <a href="#label">draw parts of your own</a>.</p></div></div>"""


class Try:
    """A picture of one's own, or an example at a click, and its parts beside it."""

    def __init__(self, sessions: Sessions) -> None:
        gan = sessions.load(sessions.gans[0])
        with gr.Column(elem_classes="card", elem_id="try", min_width=320):
            with gr.Row(elem_classes="steps"):
                with gr.Column(scale=2, min_width=280):
                    gr.HTML(HEADING)
                    self.gan = _choice(sessions.gans)
                    self.examples = thumbnails(
                        examples.pictures(gan), rows=1, allow_preview=False, elem_id="try-examples"
                    )
                    self.trust = gr.HTML(elem_id="try-trust", elem_classes="status")
                    self.correct = Correct("try-correct")
                    self.terms = gr.HTML(terms(gan), elem_id="terms")
                with gr.Column(scale=3, min_width=280), gr.Row(elem_classes="pair"):
                    self.upload = Upload("try-picture", HEIGHT)
                    self.parts = parts("try-parts", HEIGHT)

    def wire(self, sessions: Sessions, label: Label) -> None:
        """Connect events to handlers; corrections go to step 1, `label`."""
        self.correct.wire(sessions, label, [self.upload.picture], lambda session, path: (path, None))
        found = [self.parts, self.trust]
        self.upload.wire(sessions, self.segment, found, self.examples)
        for event in (label.chosen, label.restored):
            on(sessions, event.success, self.anew, [], [self.examples, self.terms, *self.upload.outputs, *found])

    def anew(self, session: Session) -> dict:
        """What belongs to the session's GAN, and the upload that a reload brought back."""
        offered = {self.examples: examples.pictures(session.gan), self.terms: terms(session.gan)}
        return {**offered, **self.upload.anew(session, self.segment)}

    def segment(self, session: Session, path: str | None) -> dict:
        """The parts of an upload, and how far to believe them."""
        if path is None:
            return {self.parts: None, self.trust: ""}
        upload = opened(path)
        result = network(session).segment(upload, align=frame_in(session, path, upload))
        return {self.parts: result.overlay(), self.trust: trust_of(result) + legend(result.classes, result.palette)}


def _choice(gans):
    """What the pictures show: the first GAN of each subject by its subject alone, then its others by resolution."""
    subjects = list(map(examples.subject, gans))
    shown = [
        one if subjects.index(one) == i else f"{one} of {gan.removeprefix(one)[1:]} pixels"
        for i, (one, gan) in enumerate(zip(subjects, gans))
    ]
    alike = sorted(range(len(gans)), key=lambda i: subjects.index(subjects[i]))
    return gr.Radio(
        [(shown[i], gans[i]) for i in alike],
        value=gans[0],
        label="What is in your pictures?",
        elem_id="gan",
        visible=len(gans) > 1,
    )
