"""Step 3: segment one's own pictures, by projection or the auto-shot network, and download the results."""

import itertools
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import gradio as gr
import numpy as np
from fields import faces
from look import Progress, enlarge, heading, hexes, legend, note, trusted
from PIL import Image
from session import Session, Sessions
from step_autoshot import network
from wiring import PRIVATE, heavy, on, stops
from words import Sorry

from toolkit.errors import ImageError
from toolkit.fewshot import Result
from toolkit.files import replace_when_done
from toolkit.parts.coco import save_coco
from toolkit.pictures import images
from toolkit.pictures.uploads import open_rgb
from toolkit.worlds import portraits

THROUGH, AUTO, BOTH = "Through projection", "Auto-shot", "Side by side"
EXAMPLE_SEEDS = (800_101, 800_102, 800_103, 800_104)
MAX_PICTURES = 8
SHOWN = 512  # pixels a side of a picture on screen, at most


class Segment:
    """The pictures to segment, the method, and the results of the chosen picture."""

    def __init__(self) -> None:
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
                    gr.HTML(note("Or click a portrait that no network has seen:"))
                    pictures = [images.to_pil(portraits.render(1, 256, seed)[0]) for seed in EXAMPLE_SEEDS]
                    self.examples = faces(pictures, rows=1, allow_preview=False, elem_id="segment-examples")
                    self.method = gr.Radio(
                        [THROUGH, AUTO, BOTH], value=THROUGH, show_label=False, elem_id="method", container=False
                    )
                    with gr.Row(elem_classes="tight"):
                        self.go = gr.Button("Segment", variant="primary", elem_id="segment-button", scale=3)
                        self.cancel = gr.Button("Cancel", elem_id="segment-cancel", elem_classes="stop", min_width=80)
                    self.status = gr.HTML(elem_id="segment-status", elem_classes="status")
                with gr.Column(scale=3, min_width=280, elem_id="results"):
                    with gr.Row(elem_classes="pair"):
                        self.original = gr.Image(
                            label="Your picture", interactive=False, buttons=[], elem_id="original", min_width=120
                        )
                        self.redrawn = gr.Image(
                            label="As the GAN draws it", interactive=False, buttons=[], elem_id="redrawn", min_width=120
                        )
                        self.parts = gr.AnnotatedImage(
                            label="Parts", buttons=[], show_legend=False, elem_id="parts", format="png", min_width=120
                        )
                        self.auto = gr.AnnotatedImage(
                            label="Parts by auto-shot",
                            buttons=[],
                            show_legend=False,
                            visible=False,
                            elem_id="parts-auto",
                            format="png",
                            min_width=120,
                        )
                    self.trust = gr.HTML(elem_id="trust")
                    self.which = gr.Radio([], label="Picture", visible=False, elem_id="which")
                    self.toggles = gr.CheckboxGroup([], label="Parts shown", visible=False, elem_id="toggles")
                    self.areas = gr.Dataframe(
                        headers=["part", "pixels", "share"],
                        interactive=False,
                        visible=False,
                        elem_id="areas",
                        buttons=[],
                    )
                    with gr.Row(elem_classes="tight", visible=False, elem_id="downloads") as self.downloads:
                        self.png = gr.DownloadButton("Labels PNG", size="sm", elem_id="download-png", min_width=90)
                        self.overlay = gr.DownloadButton("Overlay", size="sm", elem_id="download-overlay", min_width=90)
                        self.json = gr.DownloadButton("JSON", size="sm", elem_id="download-json", min_width=90)
                        self.zip = gr.DownloadButton("All as ZIP", size="sm", elem_id="download-zip", min_width=90)
                        self.coco = gr.DownloadButton("COCO", size="sm", elem_id="download-coco", min_width=90)
        self.files = [self.png, self.overlay, self.json, self.coco]
        self.downloaded = [*self.files, self.zip]
        self.shown_parts = [self.parts, self.auto]
        self.shown_picture = [self.original, self.redrawn, *self.shown_parts, self.trust, self.toggles, self.areas]

    def wire(self, sessions: Sessions) -> None:
        """Connect events to handlers."""
        everything = [self.status, *self.shown_picture, self.which, self.downloads, *self.downloaded]
        run = on(sessions, self.go.click, self.segment, [self.pictures, self.method], everything, **heavy(self.status))
        self.examples.select(example, self.examples, self.pictures, **PRIVATE)
        stops(self.cancel, [run], self.status, "Cancelled.")
        on(sessions, self.which.input, self.choose, [self.which], [*self.shown_picture, *self.files])
        on(sessions, self.toggles.input, self.toggle, [self.which, self.toggles], self.shown_parts)

    def segment(self, session: Session, pictures: list | None, method: str) -> Iterator[dict]:
        """Segment what was uploaded, showing progress."""
        paths = [path for path, _ in pictures or []]
        if not paths:
            raise Sorry("There is no picture yet. Upload one, or click an example.")
        if len(paths) > MAX_PICTURES:
            raise Sorry(f"These are {len(paths)} pictures, and only {MAX_PICTURES} can be segmented at once.")
        sources = [opened(path) for path in paths]
        through, auto = [None] * len(sources), [None] * len(sources)
        said = "Done."
        if method != AUTO and session.segmenter is None:  # an upload before teaching is answered too
            method, said = AUTO, "Nothing is taught yet: the network that comes with the GAN found these parts."
        if method != THROUGH:
            auto = network(session).segment(sources)
        if method != AUTO:
            segmenter, progress = session.segmenter, Progress("Projection step")
            for done, total, through in segmenter.segmenting(sources):
                yield {self.status: progress(done, total), **self.shown(through[0], auto[0])}
        session.results, session.result_names = list(zip(through, auto)), [Path(path).name for path in paths]
        numbers = [(name, str(i + 1)) for i, name in enumerate(session.result_names)]
        yield {
            self.status: note(said),
            **self.shown(*session.results[0]),
            self.which: gr.Radio(choices=numbers, value="1", visible=len(numbers) > 1),
            self.downloads: gr.Row(visible=True),
            **self.saved(session, 0),
            self.zip: gr.DownloadButton(value=packed(session)),
        }

    def choose(self, session: Session, number: str) -> dict:
        """Show another of the segmented pictures."""
        i = int(number) - 1
        return {**self.shown(*session.results[i]), **self.saved(session, i)}

    def toggle(self, session: Session, number: str | None, chosen: list[str]) -> dict:
        """Show only the chosen parts over the picture."""
        pair = session.results[int(number or 1) - 1]
        return {part: annotated(result, chosen) for part, result in zip(self.shown_parts, pair)}

    def shown(self, through: Result | None, auto: Result | None) -> dict:
        """Updates that show one picture: its results through projection and by auto-shot, one may be None."""
        results = [result for result in (through, auto) if result is not None]
        result = results[0]
        small, _ = shrunk(result)
        redrawn = None if result.reconstruction is None else enlarge(images.to_pil(result.reconstruction))
        areas = result.areas()
        rows = [[name, n, f"{n / max(1, sum(areas.values())):.1%}"] for name, n in areas.items()]
        parts = list(dict.fromkeys(name for r in results for name in r.classes[1:] if r.areas()[name]))
        return {
            self.original: small,
            self.redrawn: gr.Image(value=redrawn, visible=redrawn is not None),
            self.parts: annotated(through),
            self.auto: annotated(auto),
            self.trust: words(result) + legends(results),
            self.toggles: gr.CheckboxGroup(choices=parts, value=parts, visible=True),
            self.areas: gr.Dataframe(value=rows, visible=True),
        }

    def saved(self, session: Session, i: int) -> dict:
        """Write the downloads of one picture; the COCO file holds all pictures."""
        result = session.results[i][0] or session.results[i][1]
        paths = [session.path(f"picture-{i + 1}{end}") for end in ("-labels.png", "-overlay.png", ".json")]
        result.save_png(paths[0])
        images.save_png(paths[1], result.overlay())
        with replace_when_done(paths[2]) as temporary, open(temporary, "w") as file:
            json.dump(result.as_dict(), file)
        paths.append(session.path("coco.json"))
        save_coco(paths[3], [a or b for a, b in session.results], session.result_names)
        return {button: gr.DownloadButton(value=path) for button, path in zip(self.files, paths)}


def packed(session: Session) -> str:
    """Write the results of all pictures to one ZIP file, under the names of the pictures; returns its path."""
    path, taken = session.path("parts.zip"), set()
    results = [through or auto for through, auto in session.results]
    with replace_when_done(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for result, name in zip(results, session.result_names):
            stem = next(s for s in _numbered(Path(name).stem) if s not in taken)
            taken.add(stem)
            result.save_png(session.path("one.png"))
            file.write(session.path("one.png"), f"{stem}-labels.png")
            images.save_png(session.path("one.png"), result.overlay())
            file.write(session.path("one.png"), f"{stem}-overlay.png")
            file.writestr(f"{stem}.json", json.dumps(result.as_dict()))
        file.write(session.path("coco.json"), "coco.json")
    return path


def _numbered(stem):
    """stem, stem-2, stem-3, ..."""
    yield stem
    yield from (f"{stem}-{i}" for i in itertools.count(2))


def opened(path: str) -> Image.Image:
    """An upload as a PIL image; errors name the file, for there may be several."""
    name = Path(path).name
    if not Path(path).is_file():  # the page deletes uploads after an hour
        raise Sorry(f"“{name}” was uploaded too long ago. Upload it again.")
    try:
        return open_rgb(path, "segment")
    except ImageError as error:
        raise Sorry(f"“{name}” cannot be used. {error.fix}.") from error


def example(pictures: list, event: gr.SelectData) -> list:
    """The example that was clicked, as if uploaded."""
    return [pictures[event.index][0]]


def annotated(result: Result | None, chosen: Sequence[str] | None = None) -> gr.AnnotatedImage:
    """A result as `gr.AnnotatedImage` takes it: the picture and a mask for each part."""
    if result is None:
        return gr.AnnotatedImage(value=None, visible=False)
    picture, label_map = shrunk(result)
    names = list(enumerate(result.classes))[1:]
    masks = [(0.6 * (label_map == i), name) for i, name in names if (chosen is None or name in chosen)]
    masks = [(mask, name) for mask, name in masks if mask.any()]
    colors = dict(zip(result.classes, hexes(result.palette)))
    return gr.AnnotatedImage(value=(picture, masks), color_map=colors, visible=True)


def shrunk(result: Result) -> tuple[Image.Image, np.ndarray]:
    """The picture and its labels at a size for the screen: PIL, (h, w) NumPy."""
    picture, label_map = result.full_image, result.full_label_map
    if picture is None or label_map is None:
        picture, label_map = images.to_pil(result.image), result.label_map
    factor = SHOWN / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    indices = Image.fromarray(label_map.numpy().astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return picture.resize(size, Image.Resampling.BICUBIC), np.asarray(indices)


def legends(results: Sequence[Result]) -> str:
    """One legend, or two where the networks know different parts."""
    of = {result.classes: legend(result.classes, result.palette) for result in results}
    names = [""] if len(of) == 1 else [note("Parts"), note("Parts by auto-shot")]
    return "".join(name + chips for name, chips in zip(names, of.values()))


def words(result: Result) -> str:
    """How far to believe a result, in plain words."""
    return trusted(result.trust, None if result.reconstruction is None else result.psnr)
