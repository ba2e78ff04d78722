"""Step 1: a picture on the canvas, its parts drawn by hand, kept as a shot."""

from collections.abc import Callable, Iterator

import classes
import examples
import gradio as gr
import kept
import shots
from canvas import STROKES, Canvas, without_background
from classes import Classes
from fields import slider, thumbnails, whole_number
from framing import Upload, opened
from look import Progress, heading, trusted
from session import FIRST_SEED, FIRST_TRUNCATION, Session, Sessions
from shots import Shots
from torch import Tensor
from wiring import PRIVATE, heavy, on, stops
from words import Sorry, instead

from toolkit.pictures import images, labels
from toolkit.pictures.images import Frame

LAST_SEED = 2**32 - 1


class Label:
    """Where the picture comes from, the canvas, its classes and the shots made on it."""

    def __init__(self, sessions: Sessions, gan: gr.Radio) -> None:
        self.default, self.gan = sessions.load(sessions.gans[0]), gan
        session = Session(self.default, sessions.gans[0])
        with gr.Column(elem_classes="card", elem_id="label", min_width=320):
            heading(1, "Label one picture", "Choose a part (or press its number) and paint. A few strokes do.")
            with gr.Tabs(elem_classes="sources"):
                with gr.Tab("Generated"), gr.Row(elem_classes="tight ends"):
                    self._generated()
                with gr.Tab("Your picture", id="picture"):
                    self._uploaded()
                with gr.Tab("Example"):
                    self._examples(session.gan)
            self.status = gr.HTML(elem_id="label-status", elem_classes="status")
            self.cancel = gr.Button("Cancel", size="sm", elem_id="shot-cancel", elem_classes="stop")
            self.canvas = Canvas(session)
            self.classes = Classes(self.default)
            self.shots = Shots(self.canvas)
        self.outputs = [*self.canvas.outputs, *self.classes.outputs, *self.shots.outputs]

    def _generated(self):
        self.seed = whole_number(0, LAST_SEED, FIRST_SEED, label="Seed", min_width=70, elem_id="seed")
        self.truncation = slider(
            0, 1, FIRST_TRUNCATION, step=0.05, label="Truncation", min_width=160, elem_id="truncation"
        )
        self.another_button = gr.Button("Another picture", size="sm", min_width=110, elem_id="another")

    def _uploaded(self):
        with gr.Row(elem_classes="pair"):
            self.upload = Upload("shot-picture", 200)
            self.preview = gr.Image(
                label="As the GAN draws it", height=200, interactive=False, buttons=[], elem_id="shot-preview"
            )
        self.asked = gr.State()  # which upload to project, and its frame

    def _examples(self, gan):
        self.about_examples = gr.HTML(examples.about_labelled(gan))
        options = {"rows": 1, "allow_preview": False, "object_fit": "cover", "elem_id": "shot-examples"}
        self.examples = thumbnails(examples.thumbnails(gan), **options)
        self.example = gr.State()

    def wire(self, sessions: Sessions) -> None:
        """Connect events to handlers."""
        queued, canvas, changed = heavy(self.status), self.canvas, self.outputs
        shown = [*canvas.outputs, *self.shots.outputs]
        face = [canvas, self.seed, self.truncation]

        on(sessions, self.another_button.click, self.another, face, [self.seed, *shown])
        on(sessions, self.seed.submit, self.generate, face, shown)
        on(sessions, self.truncation.release, self.generate, face, shown)
        projected = [self.status, self.preview, *shown]
        self.upload.wire(sessions, self.ask, [self.asked])
        every = {**queued, "trigger_mode": "multiple"}  # the one for an old frame stops when it sees the new one
        project = on(sessions, self.asked.change, self.project, [self.asked, canvas], projected, **every)
        self.examples.select(shots.picked, None, self.example, **PRIVATE)
        everything = [self.example, self.status, *changed]
        on(sessions, self.example.change, self.show_example, [self.example, canvas], everything)
        stops(self.cancel, [project], self.status, "Cancelled.")
        on(sessions, canvas.clear.click, canvas.shown, [], canvas.outputs)
        on(sessions, canvas.board.input, canvas.received, [canvas], [canvas.board], **STROKES)
        self.shots.wire(sessions)
        on(
            sessions,
            self.shots.load_button.upload,
            self.changing(shots.load),
            [self.shots.load_button, canvas],
            changed,
        )

        of = self.classes
        on(sessions, of.preset.input, self.preset, [of.preset, canvas], changed)
        on(sessions, of.new.click, self.changing(classes.add), [of.name, canvas], changed)
        on(sessions, of.rename.click, self.changing(classes.rename), [of.which, of.name, canvas], changed)
        on(sessions, of.remove.click, self.changing(classes.remove), [of.which, canvas], changed)

        def choose_gan(session, name):
            if session.shots or session.drawing.strokes is not None:
                raise Sorry(
                    "Your drawing and shots belong to the GAN they were made with. Download and delete them first."
                )
            with instead("This GAN cannot be loaded. Choose another one."):
                session.use_gan(sessions.load(name), name)
            first = {self.seed: FIRST_SEED, self.truncation: FIRST_TRUNCATION}
            return {self.status: "", **first, **self.of_gan(session), **self.shown_anew(session)}

        def restore(session, sent):
            strokes = kept.restore(session, sessions, sent["before"])
            return {self.gan: session.gan_name, **self.of_gan(session), **self.shown_anew(session, strokes)}

        changed = [*changed, self.examples, self.about_examples, self.preview, *self.upload.outputs]
        self.restored = on(sessions, canvas.board.restore, restore, [canvas.board], [self.gan, *changed])
        outputs = [self.status, self.seed, self.truncation, *changed]
        self.chosen = on(sessions, self.gan.input, choose_gan, [self.gan, canvas], outputs, **queued)
        on(sessions, self.chosen.failure, lambda session: {self.gan: session.gan_name}, [], [self.gan])

    # ---- what the components show ------------------------------------------------------------

    def shown(self, session: Session) -> dict:
        """The session's picture on the canvas, nothing drawn on it, and the shots."""
        return {**self.canvas.shown(session), **self.shots.shown(session)}

    def shown_anew(self, session: Session, strokes: Tensor | None = None) -> dict:
        """Everything that depends on the classes and the GAN; strokes (1, R, R) are drawn."""
        rooms = self.canvas.shown(session, strokes), self.classes.shown(session), self.shots.shown(session)
        return {component: value for room in rooms for component, value in room.items()}

    def of_gan(self, session: Session) -> dict:
        """The labelled pictures that come with the session's GAN, and the upload that a reload brought back."""
        labelled = {
            self.examples: examples.thumbnails(session.gan),
            self.about_examples: examples.about_labelled(session.gan),
        }
        return {**labelled, self.preview: None, **self.upload.anew(session, lambda *_: {})}

    # ---- handlers ----------------------------------------------------------------------------

    def generate(self, session: Session, seed: int, truncation: float) -> dict:
        """The picture of this seed."""
        session.keep()
        session.show_generated(seed, truncation)
        return self.shown(session)

    def another(self, session: Session, seed: int, truncation: float) -> dict:
        """The picture of the next seed."""
        seed = (seed + 1) % (LAST_SEED + 1)
        return {self.seed: seed, **self.generate(session, seed, truncation)}

    def ask(self, session: Session, path: str | None) -> dict:
        """Have an upload projected as its frame is now."""
        return {self.asked: None if path is None else (path, session.frames[path])}

    def project(self, session: Session, asked: tuple[str, Frame] | None) -> Iterator[dict]:
        """Project what a frame holds of an upload into the GAN, showing progress, and put it on the canvas."""
        if asked is None:  # cleared; without a yield Gradio would empty every output
            yield {}
            return
        (path, frame), progress, sample = asked, Progress("Projection step"), None
        for done, total, sample in session.gan.projecting(opened(path), align=frame):
            if session.frames.get(path) != frame:  # moved meanwhile
                yield {}
                return
            yield {self.status: progress(done, total), self.preview: images.to_pil(sample.reconstruction)}
        session.projected[path] = frame, sample
        session.keep()
        session.show(sample)
        trust = None if sample.trust is None else sample.trust.item()
        yield {self.status: trusted(trust, sample.psnr.item()), **self.shown(session)}

    def show_example(self, session: Session, index: int | None) -> dict:
        """Put a labelled picture that comes with the GAN on the canvas, its labels as if drawn."""
        if index is None:  # reset by this function's own last update
            return {}
        shot = examples.labelled(session.gan)[index]
        session.keep()
        if not set(session.classes) <= set(shot.classes):
            session.use_classes(shot.classes)
        label_map = labels.merge(shot.label_map, shot.classes, session.classes)
        session.show(shot.sample)
        shown = self.shown_anew(session, without_background(label_map))
        return {self.example: None, self.status: "", self.canvas.fill: True, **shown}

    def preset(self, session: Session, name: str) -> dict:
        """Use the classes of a preset; with 3 parts, the rest of a face is background."""
        strokes = classes.use(session, classes.presets(session.gan)[name])
        return {self.canvas.fill: name == "3 parts", **self.shown_anew(session, strokes)}

    def changing(self, change: Callable[..., Tensor | None]) -> Callable[..., dict]:
        """A handler that lets `change` (session, *values) change the classes, and shows what depends on them."""

        def handler(session, *values):
            return self.shown_anew(session, change(session, *values))

        handler.__name__ = change.__name__
        return handler
