"""Step 3: segment one's own pictures, by projection or the auto-shot network, and download the results."""

from collections.abc import Iterator

import examples
import gradio as gr
from correct import Correct
from fields import thumbnails
from framing import FOLLOWING, Board, example, frame_in, moved, opened
from look import Progress, heading, note
from networks import network
from PIL import Image
from results import SIDES, Results
from session import Picture, Session, Sessions
from step_label import Label
from step_teach import Teach
from wiring import PRIVATE, heavy, on, stops
from words import Sorry

from toolkit.fewshot import Result, Sample
from toolkit.pictures.images import Frame

THROUGH, AUTO, BOTH = "Through projection", "Auto-shot", "Side by side"
MAX_PICTURES = 8


class Segment:
    """The pictures to segment, the method, and the results of the chosen picture."""

    def __init__(self, label: Label, teach: Teach) -> None:
        self.label, self.teach, gan = label, teach, label.default
        with gr.Column(elem_classes="card", elem_id="segment", min_width=320):
            heading(
                3,
                "Segment your pictures",
                "The GAN redraws your picture from its own knowledge; the parts of that "
                "drawing are the parts of your picture.",
            )
            with gr.Row(elem_classes="steps"):
                with gr.Column(scale=2, min_width=280):
                    self.pictures = gr.Gallery(
                        label="Upload, paste or take pictures",
                        sources=["upload", "clipboard", "webcam"],
                        interactive=True,
                        type="filepath",
                        columns=4,
                        height="auto",
                        fit_columns=False,
                        buttons=[],
                        object_fit="contain",
                        file_types=["image"],
                        elem_id="pictures",
                    )
                    self.about_examples = gr.HTML(examples.about_pictures(gan))
                    self.examples = thumbnails(
                        examples.pictures(gan), rows=1, allow_preview=False, elem_id="segment-examples"
                    )
                    self.method = gr.Radio(
                        [THROUGH, AUTO, BOTH], value=THROUGH, show_label=False, elem_id="method", container=False
                    )
                    with gr.Row(elem_classes="tight"):
                        self.go = gr.Button("Segment", variant="primary", elem_id="segment-button", scale=3)
                        self.cancel = gr.Button("Cancel", elem_id="segment-cancel", elem_classes="stop", min_width=80)
                    self.status = gr.HTML(elem_id="segment-status", elem_classes="status")
                with gr.Column(scale=3, min_width=280, elem_id="results"):
                    self.which = gr.Radio([], label="Picture", visible=False, elem_id="which")
                    with gr.Row(elem_classes="pair"):
                        self.board = Board("original", "pictures")
                        self.results = Results()
                    self.results.below()
                    self.correct = Correct("correct")
        self.stale = gr.State()  # which upload's frame was moved since it was projected
        self.outputs = [self.which, self.board.html, *self.results.outputs]

    def wire(self, sessions: Sessions) -> None:
        """Connect events to handlers."""
        self.correct.wire(sessions, self.label, [self.which], self.corrects)
        on(sessions, self.teach.taught.success, self.follow, [self.which], self.results.outputs)
        queued, found = heavy(self.status), self.results.outputs
        run = on(
            sessions,
            self.go.click,
            self.segment,
            [self.pictures, self.method, self.which],
            [self.status, *self.outputs],
            **queued,
        )
        self.examples.select(chosen_example, self.examples, self.pictures, **PRIVATE)
        on(sessions, self.pictures.change, self.place, [self.pictures], self.outputs)
        on(sessions, self.which.input, self.choose, [self.which], self.outputs)
        moved = [self.board.html, self.which]
        on(sessions, self.board.html.input, self.move, moved, [self.stale, *found], **FOLLOWING)
        every = {**queued, "trigger_mode": "multiple"}  # the one for an old frame stops when it sees the new one
        again = on(sessions, self.stale.change, self.again, [self.stale, self.which], [self.status, *found], **every)
        stops(self.cancel, [run, again], self.status, "Cancelled.")
        side = self.results.side
        on(sessions, side.input, self.use_side, [side, self.which], found)
        offered = [self.examples, self.about_examples, self.pictures, self.status, *self.outputs]
        for event in (self.label.chosen, self.label.restored):
            on(sessions, event.success, self.anew, [], offered)
        on(sessions, self.results.toggles.input, self.toggle, [self.which, self.results.toggles], self.results.panels)

    def anew(self, session: Session) -> dict:
        """What belongs to the session's GAN, and the uploads that a reload brought back."""
        paths = session.uploads.get(self.board.place, [])
        return {
            self.examples: examples.pictures(session.gan),
            self.about_examples: examples.about_pictures(session.gan),
            self.pictures: paths or None,
            self.status: "",
            **self.place(session, [(path, None) for path in paths]),
        }

    def place(self, session: Session, sent: list | None) -> dict:
        """Take in what was uploaded, and show one picture with its frame."""
        before = {picture.path: picture for picture in session.pictures}
        known = set(before)
        session.pictures = [before.pop(path, None) or Picture(path) for path, _ in sent or []]
        new = [i for i, picture in enumerate(session.pictures) if picture.path not in known]
        return self.shown(session, new[0] if new else 0)

    def segment(self, session: Session, sent: list | None, method: str, number: str | None) -> Iterator[dict]:
        """Segment what was uploaded, showing progress."""
        if not sent:
            raise Sorry("There is no picture yet. Upload one, or click an example.")
        if len(sent) > MAX_PICTURES:
            raise Sorry(f"These are {len(sent)} pictures, and only {MAX_PICTURES} can be segmented at once.")
        uploads = [opened(path) for path, _ in sent]
        if [path for path, _ in sent] != [picture.path for picture in session.pictures]:
            self.place(session, sent)
        pictures, said = session.pictures, "Done."
        at = _at(session, number)
        frames = [frame_in(session, picture.path, upload) for picture, upload in zip(pictures, uploads)]
        if method != AUTO and session.segmenter is None:  # an upload before teaching is answered too
            method, said = AUTO, "Nothing is taught yet: the network that comes with the GAN found these parts."
        auto = [None] * len(pictures)
        if method != THROUGH:
            auto = [network(session).segment(upload, align=frame) for upload, frame in zip(uploads, frames)]
        sample = None
        if method != AUTO:
            progress = Progress("Projection step")
            for done, total, sample in session.gan.projecting(uploads, align=frames):
                through = through_of(session, sample[at], uploads[at])
                so_far = Picture(pictures[at].path, through, auto[at])
                yield {self.status: progress(done, total), **self.results.shown(session, so_far)}
        for i, (picture, upload) in enumerate(zip(pictures, uploads)):
            picture.auto = auto[i]
            if sample is not None:
                session.projected[picture.path] = frames[i], sample[i]
            picture.through = None if sample is None else through_of(session, sample[i], upload)
        yield {self.status: note(said), **self.shown(session, at)}

    def choose(self, session: Session, number: str) -> dict:
        """Show another of the pictures."""
        return self.shown(session, _at(session, number))

    def move(self, session: Session, sent: dict, number: str | None) -> dict:
        """Take the frame of an upload; what auto-shot finds in it follows at once, and the projection anew."""
        path, stale = moved(session, sent), {}
        upload = opened(path)
        for picture in session.pictures:
            if picture.path == path and picture.auto is not None:
                picture.auto = network(session).segment(upload, align=session.frames[path])
            if picture.path == path and picture.through is not None:
                stale = {self.stale: (path, session.frames[path])}
        return {**stale, **self.found(session, _at(session, number))}

    def again(self, session: Session, stale: tuple[str, Frame], number: str | None) -> Iterator[dict]:
        """Project an upload whose frame was moved."""
        (path, frame), upload, progress = stale, opened(stale[0]), Progress("Projection step")
        for done, total, sample in session.gan.projecting(upload, align=frame):  # noqa: B007 the last one is kept
            if session.frames.get(path) != frame:  # moved again
                yield {}
                return
            yield {self.status: progress(done, total)}
        session.projected[path] = frame, sample
        for picture in session.pictures:
            if picture.path == path:
                picture.through = through_of(session, sample, upload)
        yield {self.status: note("Done."), **self.found(session, _at(session, number))}

    def follow(self, session: Session, number: str | None) -> dict:
        """What was taught since, in all that is projected."""
        for picture in session.pictures:
            sample = session.sample_of(picture.path)
            if sample is not None:
                picture.through = through_of(session, sample, opened(picture.path))
        return self.found(session, _at(session, number))

    def corrects(self, session: Session, number: str | None) -> tuple[str | None, Result | None]:
        """The picture that is shown, for `Correct`."""
        picture = session.pictures[_at(session, number)] if session.pictures else Picture("")
        return (picture.path, picture.through) if picture.results else (None, None)

    def use_side(self, session: Session, side: str, number: str | None) -> dict:
        """Choose what table and downloads hold, where there are both."""
        session.auto_side = side == SIDES[1]
        return self.found(session, _at(session, number))

    def toggle(self, session: Session, number: str | None, chosen: list[str]) -> dict:
        """Show only the chosen parts over the picture."""
        return self.results.tinted(session.pictures[_at(session, number)], chosen)

    # ---- what the components show ------------------------------------------------------------

    def shown(self, session: Session, at: int) -> dict:
        """The picture of this number with its frame, and what was found in it."""
        names = [(picture.name, str(i + 1)) for i, picture in enumerate(session.pictures)]
        paths = [picture.path for picture in session.pictures]
        board = self.board.shown(session, paths[at], paths) if names else self.board.cleared()
        return {
            self.which: gr.Radio(choices=names, value=str(at + 1) if names else None, visible=len(names) > 1),
            self.board.html: board,
            **self.found(session, at),
        }

    def found(self, session: Session, at: int) -> dict:
        """What was found in the picture of this number."""
        picture = session.pictures[at] if session.pictures else Picture("")
        saved = self.results.saved(session, picture) if picture.results else {}
        return {**self.results.shown(session, picture), **saved}


def _at(session, number):
    """Which picture a number means that the page sent: it may be of one that was taken away since."""
    return min(int(number or 1), max(1, len(session.pictures))) - 1


def through_of(session: Session, sample: Sample, upload: Image.Image) -> Result:
    """What the session's segmenter finds in a projected picture."""
    result = session.segmenter.segment(sample)
    result.full_image = upload
    return result


def chosen_example(pictures: list, event: gr.SelectData) -> list:
    """The example that was clicked, as if uploaded."""
    return [example(pictures, event)]
