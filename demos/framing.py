"""Uploads, and the frame over each: the square that networks see. The GAN's framer finds it, where there is one; then
it is moved, sized and turned by hand; kept for each picture, wherever on the page it is used."""

import contextlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import gradio as gr
from fields import picture
from PIL import Image
from session import Session, Sessions
from wiring import PRIVATE, on
from words import Sorry, remedy

from toolkit.errors import ImageError, ToolkitError
from toolkit.pictures.images import FITS, Frame, frame_of
from toolkit.pictures.uploads import open_rgb
from toolkit.show import framing

HERE = Path(__file__).parent
# In a function of its own, as the canvas's.
SCRIPT = f"""const frameView = (() => {{
{framing.script()}
return frameView;
}})();
{(HERE / "model.js").read_text("utf-8")}
{(HERE / "frame.js").read_text("utf-8")}"""
FOLLOWING = {**PRIVATE, "trigger_mode": "always_last"}  # of events that may come faster than answers


class Board:
    """A picture with its frame over it. The browser keeps both, and all other uploads of its `place` on the page."""

    def __init__(self, elem_id: str, place: str, another: bool = False, **options: Any) -> None:
        self.place, self.another = place, another  # another: whether it offers to take another picture
        self.html = gr.HTML(
            {"picture": None}, html_template="", js_on_load=SCRIPT, apply_default_css=False, elem_id=elem_id, **options
        )

    def shown(self, session: Session, path: str, among: Sequence[str] = ()) -> dict[str, Any]:
        """The value that shows an upload and its frame. among: all uploads of this place, where there are several.

        Raises:
            Sorry: it cannot be read.
        """
        upload = opened(path)
        shown = framing.state(upload, frame_in(session, path, upload))
        about = {"name": Path(path).name, "of": path, "place": self.place, "all": [*among] or [path]}
        return {**shown, **about, "another": self.another}

    def cleared(self) -> dict[str, Any]:
        """The value that shows nothing."""
        return {"picture": None, "place": self.place, "all": []}


class Upload:
    """One picture of one's own: where it is dropped, and from then on the frame over it."""

    def __init__(self, elem_id: str, height: int) -> None:
        with gr.Column(elem_classes="upload", min_width=120):
            self.picture = picture("Your picture", height=height, elem_id=elem_id)
            self.board = Board(f"{elem_id}-frame", elem_id, another=True, visible="hidden")
        self.outputs = [self.picture, self.board.html]

    def wire(
        self,
        sessions: Sessions,
        answer: Callable[[Session, str | None], dict],
        outputs: Sequence[Any],
        examples: gr.Gallery | None = None,
    ) -> None:
        """Connect events to handlers: `answer` updates `outputs` whenever the upload (None: taken away) or its frame
        changes. examples: pictures of which the one that is clicked is as if uploaded."""

        def place(session, path):
            return {} if path is None else {**self.shown(session, path), **answer(session, path)}

        def move_frame(session, sent):
            return answer(session, moved(session, sent))

        def clear(session):
            return {**self.cleared(), **answer(session, None)}

        everything = [*self.outputs, *outputs]
        placed = on(sessions, self.picture.input, place, [self.picture], everything)
        placed.failure(lambda: None, None, self.picture, **PRIVATE)  # cleared, as the browser cannot show it either
        if examples is not None:
            chosen = examples.select(example, examples, self.picture, **PRIVATE)
            on(sessions, chosen.success, place, [self.picture], everything)
        on(sessions, self.board.html.input, move_frame, [self.board.html], outputs, **FOLLOWING)
        on(sessions, self.board.html.clear, clear, [], everything)

    def shown(self, session: Session, path: str) -> dict:
        """The upload with its frame, instead of where it was dropped."""
        value = self.board.shown(session, path)
        return {self.picture: gr.Image(visible="hidden"), self.board.html: gr.HTML(value=value, visible=True)}

    def cleared(self) -> dict:
        """Room for another picture."""
        board = gr.HTML(value=self.board.cleared(), visible="hidden")
        return {self.picture: gr.Image(value=None, visible=True), self.board.html: board}

    def anew(self, session: Session, answer: Callable[[Session, str | None], dict]) -> dict:
        """The upload that a reload brought back, if any, and the answer to it, unless there is none."""
        path = next(iter(session.uploads.get(self.board.place, [])), None)
        shown = self.cleared() if path is None else self.shown(session, path)
        with contextlib.suppress(Sorry):
            shown |= answer(session, path)
        return shown


def example(pictures: list, event: gr.SelectData) -> Any:
    """The example that was clicked, as if uploaded."""
    return pictures[event.index][0]


def opened(path: str) -> Image.Image:
    """An upload as a PIL image; errors name the file, for there may be several."""
    name = Path(path).name
    if not Path(path).is_file():  # the page deletes uploads after an hour
        raise Sorry(f"“{name}” was uploaded too long ago. Upload it again.")
    try:
        return open_rgb(path, "page")
    except ImageError as error:
        raise Sorry(f"“{name}” cannot be used. {remedy(error)}") from error


def frame_in(session: Session, path: str, upload: Image.Image) -> Frame:
    """Where networks look in an upload: as it was left, else as the GAN's framer finds it, else as the pictures that
    it learned from became square."""
    if path not in session.frames:
        found = session.gan.find(upload) if session.gan.framer is not None else []
        session.frames[path] = found[0].frame if found else frame_of(upload, FITS[session.gan.fit])
    return session.frames[path]


def moved(session: Session, sent: dict[str, Any]) -> str:
    """Take a frame as the browser sends it.

    Args:
        sent: {"of": the upload's path, "frame": [x, y, side, angle]}.
    Returns:
        the path.
    Raises:
        Sorry: not a frame of an upload of this session.
    """
    try:
        path = sent["of"]
        frame = as_sent(sent["frame"], session.frames[path].size)
    except (KeyError, TypeError, ValueError, ToolkitError) as error:
        raise Sorry("The frame did not arrive. Drop the picture again.") from error
    session.frames[path] = frame
    return path


def as_sent(numbers: Sequence[float], size: tuple[int, int]) -> Frame:
    """A frame [x, y, side, angle] of a browser, over an upload of this size (width, height).

    Raises:
        TypeError, ValueError, ToolkitError: not a frame, or one far outside.
    """
    x, y, side, angle = numbers
    frame = Frame.around((x, y), side, angle, size).checked("page")
    if not (0 <= x <= size[0] and 0 <= y <= size[1] and side <= 4 * max(size)):
        raise ValueError(f"frame {frame}")
    return frame
