"""The classes of step 1: which parts there are to draw, and how to change that."""

from collections.abc import Sequence

import gradio as gr
from examples import usual_classes
from session import Session
from torch import Tensor
from words import Sorry

from toolkit.fewshot import GAN
from toolkit.pictures import labels

MOST = 24
LONGEST = 40  # letters of a name


class Classes:
    """A preset to start from, and buttons to add, rename and remove a class."""

    def __init__(self, gan: GAN) -> None:
        with gr.Accordion("Classes", open=False, elem_id="classes"):
            names = list(presets(gan))
            self.preset = gr.Radio(names, value=names[0], label="Start from", elem_id="preset")
            with gr.Row(elem_classes="tight"):
                self.name = gr.Textbox(
                    label="New name", max_lines=1, max_length=LONGEST, min_width=110, elem_id="class-name"
                )
                self.which = gr.Dropdown(
                    list(usual_classes(gan)), label="Class to change", min_width=110, elem_id="class-which"
                )
            with gr.Row(elem_classes="tight"):
                self.new = gr.Button("Add", size="sm", min_width=70, elem_id="class-add")
                self.rename = gr.Button("Rename", size="sm", min_width=70, elem_id="class-rename")
                self.remove = gr.Button("Remove", size="sm", min_width=70, elem_id="class-remove")
        self.outputs = [self.preset, self.name, self.which]

    def shown(self, session: Session) -> dict:
        """The classes to choose from, none chosen, and the preset that they are, if any."""
        offered = presets(session.gan)
        now = next((name for name, classes in offered.items() if classes == session.classes), None)
        return {
            self.preset: gr.Radio(choices=list(offered), value=now),
            self.which: gr.Dropdown(choices=list(session.classes), value=None),
            self.name: "",
        }


def presets(gan: GAN) -> dict[str, tuple[str, ...]]:
    """Classes to start from by what they are called, the usual ones first."""
    usual = usual_classes(gan)
    found = {f"{len(usual)} parts": usual}
    return found | {"3 parts": labels.THREE_CLASSES} if set(labels.THREE_CLASSES) <= set(usual) else found


# Each of these changes the session's classes and returns the strokes (1, R, R) of the drawing that stay, or None.


def use(session: Session, classes: Sequence[str], renamed: Sequence[str] | None = None) -> Tensor | None:
    """Set the session's classes. renamed: the old ones by their new names, in the old order."""
    classes = [name.strip() for name in classes]
    if not all(classes):
        raise Sorry("A class needs a name. Type one first.")
    if len(set(classes)) < len(classes):
        raise Sorry("There is a class of that name already. Choose another name.")
    if not 2 <= len(classes) <= MOST:
        raise Sorry(f"There can be 1 to {MOST - 1} parts besides the background.")
    strokes, old = session.drawing.strokes, tuple(renamed or session.classes)
    session.use_classes(classes, renamed)
    return None if strokes is None else labels.keep(strokes, old, tuple(classes))


def add(session: Session, name: str) -> Tensor | None:
    """One more class."""
    return use(session, [*session.classes, name])


def rename(session: Session, which: str | None, name: str) -> Tensor | None:
    """Another name for a class."""
    _check(session, which)
    names = [name.strip() if old == which else old for old in session.classes]
    return use(session, names, names)


def remove(session: Session, which: str | None) -> Tensor | None:
    """One class less."""
    _check(session, which)
    if which == session.classes[0]:
        raise Sorry("The background cannot be removed. Rename it instead.")
    return use(session, [name for name in session.classes if name != which])


def _check(session, which):
    if which not in session.classes:
        raise Sorry("No class is chosen. Choose one under “Class to change” first.")
