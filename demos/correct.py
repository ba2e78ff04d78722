"""Correct a result: its picture goes onto the canvas, with the parts that were found to be edited, as a new shot."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import gradio as gr
import torch
from framing import frame_in, opened
from look import Progress, note
from networks import network
from session import Session, Sessions
from step_label import Label
from torch import Tensor
from wiring import heavy, on, stops
from words import Sorry

from toolkit.fewshot import Result, Sample
from toolkit.pictures import labels

SEEN = "() => document.querySelector('#label').scrollIntoView()"


class Correct:
    """A button beside results."""

    def __init__(self, elem_id: str) -> None:
        self.button = gr.Button("Correct the parts", size="sm", min_width=130, elem_id=elem_id)

    def wire(
        self,
        sessions: Sessions,
        label: Label,
        inputs: Sequence[Any],
        chosen: Callable[..., tuple[str | None, Result | None]],
    ) -> None:
        """Connect the button: `chosen` (session, *inputs) says which upload, and what was found through projection if
        anything was."""

        def correct(session, *values):
            yield from corrected(session, label, *chosen(session, *values))

        outputs = [label.status, *label.canvas.outputs, *label.shots.outputs]
        self.button.click(None, js=SEEN, api_visibility="private")
        run = on(sessions, self.button.click, correct, [*inputs, label.canvas], outputs, **heavy(label.status))
        stops(label.cancel, [run], label.status, "Cancelled.")


def corrected(session: Session, label: Label, path: str | None, through: Result | None) -> Iterator[dict]:
    """Put an upload on the canvas of step 1 with the parts that were found in it; it is projected first, where it was
    not. A picture that is a shot already is edited again."""
    if path is None:
        raise Sorry("There is no result to correct yet. Show a picture first.")
    upload = opened(path)
    frame = frame_in(session, path, upload)
    sample = session.sample_of(path)
    if sample is None:
        progress = Progress("Projection step")
        for done, total, sample in session.gan.projecting(upload, align=frame):  # noqa: B007 the last one is kept
            yield {label.status: progress(done, total)}
        session.projected[path] = frame, sample
    session.keep()
    editing = next((i for i, shot in enumerate(session.shots) if shot.sample is sample), None)
    session.show(sample, editing)
    label_map = parts_of(session, sample, through) if editing is None else session.shots[editing].label_map
    text = note("Correct the parts, then teach: the other pictures follow.")
    yield {label.status: text, **label.canvas.shown_shot(session, label_map), **label.shots.shown(session)}


def parts_of(session: Session, sample: Sample, through: Result | None) -> Tensor:
    """The parts of a projected picture, (1, R, R), in the session's classes: through projection, else by auto-shot."""
    if through is not None:
        label_map, classes = through.label_map[None], through.classes
    else:
        answers = network(session)
        label_map, classes = answers.predict(sample.image).argmax(1).cpu(), answers.classes
    carry = labels.merge if set(session.classes) <= set(classes) else labels.keep
    return carry(torch.as_tensor(label_map), classes, session.classes)
