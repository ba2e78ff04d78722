"""The first screen: a photograph, and its parts at once from the network that comes with the GAN."""

from typing import Any

import gradio as gr
from fields import faces, picture
from look import legend
from session import Session, Sessions
from step_autoshot import network, parts
from step_segment import EXAMPLE_SEEDS, words
from wiring import PRIVATE, on

from toolkit.pictures import images
from toolkit.worlds import portraits

HEIGHT = 230  # of a picture on screen
HEADING = """<div class="step"><div><h2>A photograph and its parts</h2><p>Drop a photograph, or click a face: the
network that comes with the GAN answers at once. Then <a href="#label">draw parts of your own</a>.</p></div></div>"""


class Try:
    """A picture of one's own, or an example at a click, and its parts beside it."""

    def __init__(self) -> None:
        with gr.Column(elem_classes="card", elem_id="try", min_width=320):
            with gr.Row(elem_classes="steps"):
                with gr.Column(scale=2, min_width=280):
                    gr.HTML(HEADING)
                    pictures = [images.to_pil(portraits.render(1, 256, seed)[0]) for seed in EXAMPLE_SEEDS]
                    self.examples = faces(pictures, rows=1, allow_preview=False, elem_id="try-examples")
                    self.trust = gr.HTML(elem_id="try-trust", elem_classes="status")
                with gr.Column(scale=3, min_width=280), gr.Row(elem_classes="pair"):
                    self.picture = picture("Your picture", height=HEIGHT, elem_id="try-picture")
                    self.parts = parts("try-parts", HEIGHT)

    def wire(self, sessions: Sessions) -> None:
        """Connect events to handlers."""
        shown = [self.parts, self.trust]
        tried = on(sessions, self.picture.input, self.segment, [self.picture], shown)
        tried.failure(lambda: None, None, self.picture, **PRIVATE)  # cleared, as the browser cannot show it either
        chosen = self.examples.select(example, self.examples, self.picture, **PRIVATE)
        on(sessions, chosen.success, self.segment, [self.picture], shown)

    def segment(self, session: Session, source: Any) -> dict:
        """The parts of a picture, and how far to believe them."""
        if source is None:
            return {self.parts: None, self.trust: ""}
        result = network(session).segment(source)
        return {self.parts: result.overlay(), self.trust: words(result) + legend(result.classes, result.palette)}


def example(pictures: list, event: gr.SelectData) -> Any:
    """The example that was clicked, as if uploaded."""
    return pictures[event.index][0]
