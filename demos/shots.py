"""The shots of step 1: what was labelled so far, to edit, delete, download and load."""

import gradio as gr
from canvas import Canvas
from look import note, tinted
from session import Session, Sessions
from wiring import PRIVATE, on
from words import Sorry, instead

from toolkit import fewshot

NONE_YET = "None yet. Teaching adds the drawing by itself."
FILE = "shots.safetensors"


class Shots:
    """Thumbnails of the shots and what can be done with them; the one being edited is on the `canvas`."""

    def __init__(self, canvas: Canvas) -> None:
        self.canvas = canvas
        with gr.Accordion("Shots", open=True, elem_id="shots-box"):
            self.gallery = gr.Gallery(
                columns=6,
                height="auto",
                fit_columns=False,
                show_label=False,
                allow_preview=False,
                buttons=[],
                interactive=False,
                elem_id="shots",
                elem_classes="thumbnails",
            )
            self.note = gr.HTML(note(NONE_YET), elem_id="shots-note")
            self.picked = gr.State()
            with gr.Row(elem_classes="tight"):
                self.delete_button = gr.Button(
                    "Delete", size="sm", min_width=70, interactive=False, elem_id="shot-delete"
                )
                self.download = gr.DownloadButton(
                    "Download", size="sm", min_width=90, interactive=False, elem_id="shots-download"
                )
                self.load_button = gr.UploadButton(
                    "Load", size="sm", min_width=70, file_types=[".safetensors"], elem_id="shots-load"
                )
        self.outputs = [self.gallery, self.note, self.delete_button, self.download]

    def wire(self, sessions: Sessions) -> None:
        """Connect events to handlers; loading may change the classes, so step 1 handles that itself."""
        canvas = self.canvas
        on(sessions, canvas.add.click, self.add, [canvas], self.outputs)
        self.gallery.select(picked, None, self.picked, **PRIVATE)
        edited = [self.picked, *canvas.outputs, *self.outputs]
        on(sessions, self.picked.change, self.edit, [self.picked, canvas], edited)
        on(sessions, self.delete_button.click, self.delete, [], [*canvas.outputs, *self.outputs])

    def shown(self, session: Session) -> dict:
        """Thumbnails, a line about them, and whether they can be deleted and downloaded."""
        path, text = None, NONE_YET
        if session.shots:
            path, text = session.path(FILE), "Click one to edit it again."
            fewshot.save_shots(path, session.shots)
        if session.editing is not None:
            text = f"Shot {session.editing + 1} of {len(session.shots)} is on the canvas."
        thumbnails = [tinted(s.sample.image[0], s.label_map[0], session.palette, 128) for s in session.shots]
        return {
            self.gallery: gr.Gallery(value=thumbnails, selected_index=session.editing),
            self.note: note(text),
            self.delete_button: gr.Button(interactive=session.editing is not None),
            self.download: gr.DownloadButton(value=path, interactive=path is not None),
        }

    def add(self, session: Session) -> dict:
        """Save the drawing as a shot."""
        if not session.keep():
            raise Sorry("There is nothing on the canvas yet. Paint a part first.")
        return self.shown(session)

    def edit(self, session: Session, index: int | None) -> dict:
        """Put a shot back on the canvas."""
        if index is None or index >= len(session.shots):
            return {}
        if session.editing != index:
            session.keep()
        shot = session.shots[index]
        session.show(shot.sample, index)
        return {self.picked: None, **self.canvas.shown_shot(session, shot.label_map), **self.shown(session)}

    def delete(self, session: Session) -> dict:
        """Forget the shot on the canvas; its picture stays there."""
        if session.editing is None:
            raise Sorry("No shot is chosen. Click one of the small pictures first.")
        del session.shots[session.editing]
        session.show(session.sample)
        return {**self.canvas.shown(session), **self.shown(session)}


def load(session: Session, path: str) -> None:
    """Add the shots of a file, whose classes become the session's; those of the shots already here must be the same."""
    with instead("This is not a file of shots. Choose one that “Download” below the shots has written."):
        shots = fewshot.load_shots(path)
    if any(shot.gan_hash not in (None, session.gan.hash) for shot in shots):
        raise Sorry("These shots were made with another GAN. Choose that one before you load them.")
    with instead("These shots do not fit together, or not this GAN. Load each file that you saved by itself."):
        fewshot.check_shots(session.gan, shots)
    theirs, mine = shots[0].classes, session.shots or session.drawing.strokes is not None
    if mine and theirs != session.classes:
        raise Sorry(f"These shots have other classes: {', '.join(theirs)}. Download and delete yours first.")
    session.keep()
    session.classes = theirs
    session.shots += shots
    session.show(session.sample)


def picked(event: gr.SelectData) -> int:
    """The number of the thumbnail that was clicked."""
    return event.index
