"""Step 2: the shots teach a small network, and fresh faces show what it learned."""

from types import SimpleNamespace

import gradio as gr
import pandas as pd
from look import Progress, enlarge, heading, heat, legend, note, tinted
from session import PRIVATE, heavy, stops
from step_label import canvas_view, shots_view

from toolkit import fewshot
from toolkit.errors import ToolkitError
from toolkit.parts import uncertainty
from toolkit.pictures import images

FACES = 8
CANDIDATES = 64


def layout():
    """Everything of the step, as a namespace of components."""
    ui = SimpleNamespace()
    with gr.Column(elem_classes="card", elem_id="teach", min_width=320):
        heading(2, "Teach", "One click: a small network learns your labels and finds the parts in eight fresh faces.")
        with gr.Row(elem_classes="tight"):
            ui.teach = gr.Button("Teach", variant="primary", size="lg", elem_id="teach-button", scale=3)
            ui.stop = gr.Button("Stop", size="lg", elem_id="teach-stop", elem_classes="stop", scale=1, min_width=80)
        ui.status = gr.HTML(note("Draw first, then teach."), elem_id="teach-status", elem_classes="status")
        ui.gallery = gr.Gallery(
            columns=4,
            height="auto",
            show_label=False,
            buttons=[],
            interactive=False,
            object_fit="cover",
            elem_id="gallery",
            elem_classes="faces",
        )
        ui.legend = gr.HTML(elem_id="teach-legend")
        with gr.Row(elem_classes="tight"):
            ui.more = gr.Button("More faces", size="sm", elem_id="more", interactive=False, min_width=100)
            ui.suggest = gr.Button(
                "Suggest the next face", size="sm", elem_id="suggest", interactive=False, min_width=170
            )
            ui.download = gr.DownloadButton(
                "Download segmenter", size="sm", elem_id="segmenter-download", interactive=False, min_width=150
            )
        with gr.Column(visible=False, elem_id="suggestion") as ui.suggestion:
            with gr.Row(elem_classes="pair"):
                ui.face = gr.Image(label="Least certain of 64 faces", interactive=False, buttons=[], height=190)
                ui.heat = gr.Image(label="Where it is unsure: bright", interactive=False, buttons=[], height=190)
            ui.take = gr.Button("Label this face", size="sm", elem_id="take")
        ui.loss = gr.LinePlot(
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
                ui.network = gr.Dropdown(
                    list(fewshot.NUM_STEPS), value=fewshot.DEFAULT_NETWORK, label="Network", min_width=120
                )
                ui.steps = gr.Slider(0, 1000, 0, step=10, label="Steps, 0 for the usual", min_width=150)
    return ui


def wire(ui, label, sessions):
    """Which handler answers what; `label` is step 1's components."""
    h, private, queued = sessions.handler, PRIVATE, heavy(ui.status)
    drawing, shots = [label.editor, label.fill], [label.shots, label.shots_note, label.delete, label.download]
    taught = ui.teach.click(
        h(teach),
        [*drawing, ui.network, ui.steps],
        [ui.status, ui.loss, ui.gallery, ui.legend, ui.more, ui.suggest, ui.download, *shots],
        **queued,
    )
    stops(ui.stop, [taught], ui.status, "Stopped.")
    ui.more.click(h(more), None, ui.gallery, **private)
    ui.suggest.click(h(suggest), None, [ui.suggestion, ui.face, ui.heat], **queued)
    ui.take.click(h(take), drawing, [ui.suggestion, label.editor, *shots], **private)


def teach(session, editor, fill, network, num_steps):
    """Keep the drawing, fit on all shots, and show the parts of fresh faces, as they are learned."""
    session.keep(editor, fill)
    shots, progress, losses = shots_view(session), Progress("Step"), []
    fitting = fewshot.fitting(session.gan, session.shots, network=network, num_steps=num_steps or None, every=20)
    for done, total, loss, segmenter in fitting:
        losses.append((done, loss))
        faces = gallery(session, segmenter) if done < total and len(losses) in (1, 5) else gr.skip()
        plot = gr.LinePlot(value=pd.DataFrame(losses, columns=["step", "loss"]), visible=True)
        yield progress(done, total, f"loss {loss:.3f}"), plot, faces, *[gr.skip()] * 4, *shots
        shots = [gr.skip()] * 4
    session.segmenter = segmenter
    segmenter.save(session.path("segmenter.safetensors"))
    count = f"{len(session.shots)} shot{'s' if len(session.shots) > 1 else ''}"
    yield (
        note(f"Learned from {count} in {total} steps; loss {loss:.3f}."),
        gr.skip(),
        gallery(session, segmenter),
        legend(session.classes, session.palette),
        gr.Button(interactive=True),
        gr.Button(interactive=True),
        gr.DownloadButton(value=session.path("segmenter.safetensors"), interactive=True),
        *shots,
    )


def gallery(session, segmenter):
    """Fresh faces with their parts."""
    sample = session.gan.sample(session.gallery_seed, FACES)
    label_maps = segmenter.predict(sample).argmax(1)
    return [tinted(*pair, segmenter.palette) for pair in zip(sample.image, label_maps)]


def more(session):
    session.gallery_seed += 1
    return gallery(session, taught(session))


def suggest(session):
    """The face of 64 that would teach most."""
    session.suggest_seed += 1
    session.suggestion, unsure = uncertainty.next_to_label(taught(session), num=CANDIDATES, seed=session.suggest_seed)
    return gr.Column(visible=True), enlarge(images.to_pil(session.suggestion.image)), heat(unsure / unsure.max())


def take(session, editor, fill):
    """Put the suggested face on the canvas."""
    session.keep(editor, fill)
    session.show(session.suggestion)
    return gr.Column(visible=False), canvas_view(session), *shots_view(session)


def taught(session):
    """The session's segmenter."""
    if session.segmenter is None:
        raise ToolkitError("page", "a taught segmenter", "none yet", "Draw on a face and press Teach first")
    return session.segmenter
