"""The results of step 3: what was found in one picture, to look at and to take away."""

import itertools
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import numpy as np
from look import enlarge, hexes, legend, note, trusted
from PIL import Image
from session import Picture, Session

from toolkit.fewshot import Result
from toolkit.files import replace_when_done
from toolkit.parts.coco import save_coco
from toolkit.pictures import images, labels

SIDES = ("Through projection", "By auto-shot")
SHOWN, ENLARGED = 512, 1024  # pixels a side of a picture on screen, at most


class Results:
    """Panels for one picture, and the downloads; to be built beside the panel of the picture itself, in a row."""

    def __init__(self) -> None:
        self.redrawn = gr.Image(
            label="As the GAN draws it", interactive=False, buttons=[], elem_id="redrawn", min_width=120
        )
        options = {"buttons": [], "show_legend": False, "format": "png", "min_width": 120}
        self.parts = gr.AnnotatedImage(label="Parts", elem_id="parts", **options)
        self.auto = gr.AnnotatedImage(label="Parts by auto-shot", elem_id="parts-auto", visible=False, **options)
        self.panels = [self.parts, self.auto]

    def below(self) -> None:
        """Build what stands below the row."""
        self.trust = gr.HTML(elem_id="trust")
        with gr.Accordion("Enlarge and compare", open=False, visible=False, elem_id="enlarged") as self.enlarged:
            self.compare = gr.ImageSlider(
                label="Picture and parts", interactive=False, buttons=["fullscreen"], format="jpeg", elem_id="compare"
            )
        self.toggles = gr.CheckboxGroup([], label="Parts shown", visible=False, elem_id="toggles")
        self.side = gr.Radio(SIDES, value=SIDES[0], label="Table and downloads", visible=False, elem_id="side")
        self.areas = gr.Dataframe(
            headers=["part", "pixels", "share"],
            interactive=False,
            visible=False,
            elem_id="areas",
            buttons=[],
            show_label=True,
        )
        with gr.Row(elem_classes="tight", visible=False, elem_id="downloads") as self.downloads:
            self.png = gr.DownloadButton("Labels PNG", size="sm", elem_id="download-png", min_width=90)
            self.overlay = gr.DownloadButton("Overlay", size="sm", elem_id="download-overlay", min_width=90)
            self.json = gr.DownloadButton("JSON", size="sm", elem_id="download-json", min_width=90)
            self.zip = gr.DownloadButton("All as ZIP", size="sm", elem_id="download-zip", min_width=90)
            self.coco = gr.DownloadButton("COCO", size="sm", elem_id="download-coco", min_width=90)
        files = [self.png, self.overlay, self.json, self.zip, self.coco]
        self.outputs = [self.redrawn, *self.panels, self.trust, self.toggles, self.side, self.areas]
        self.outputs += [self.enlarged, self.compare, self.downloads, *files]

    def shown(self, session: Session, picture: Picture) -> dict:
        """What was found in a picture; nothing where nothing was yet."""
        if not picture.results:
            return {
                self.redrawn: gr.Image(value=None, visible=True),
                self.parts: gr.AnnotatedImage(value=None, visible=True),
                self.auto: annotated(None),
                self.trust: "",
                self.toggles: gr.CheckboxGroup(choices=[], value=[], visible=False),
                self.side: gr.Radio(visible=False),
                self.areas: gr.Dataframe(value=[], visible=False),
                self.enlarged: gr.Accordion(visible=False),
                self.downloads: gr.Row(visible=False),
            }
        result, first = picture.chosen(session), picture.results[0]
        side = SIDES[result is picture.auto]
        redrawn = None if first.reconstruction is None else enlarge(images.to_pil(first.reconstruction))
        areas = result.areas()
        rows = [[name, n, f"{n / max(1, sum(areas.values())):.1%}"] for name, n in areas.items()]
        parts = list(dict.fromkeys(name for r in picture.results for name in r.classes[1:] if r.areas()[name]))
        return {
            self.redrawn: gr.Image(value=redrawn, visible=redrawn is not None),
            **self.tinted(picture, None),
            self.trust: trusts(picture) + legends(picture.results),
            self.toggles: gr.CheckboxGroup(choices=parts, value=parts, visible=True),
            self.enlarged: gr.Accordion(visible=True),
            self.compare: gr.ImageSlider(value=compared(result), label=f"The picture, and its parts {side.lower()}"),
            self.side: gr.Radio(value=side, visible=len(picture.results) > 1),
            self.areas: gr.Dataframe(value=rows, visible=True, label=f"Pixels of each part, {side.lower()}"),
        }

    def tinted(self, picture: Picture, chosen: Sequence[str] | None) -> dict:
        """Only the chosen parts over the picture; None for all."""
        return {self.parts: annotated(picture.through, chosen), self.auto: annotated(picture.auto, chosen)}

    def saved(self, session: Session, picture: Picture) -> dict:
        """Write the downloads of one picture; the COCO file and the ZIP file hold all pictures."""
        result, i = picture.chosen(session), session.pictures.index(picture) + 1
        paths = [session.path(f"picture-{i}{end}") for end in ("-labels.png", "-overlay.png", ".json")]
        result.save_png(paths[0])
        images.save_png(paths[1], result.overlay())
        with replace_when_done(paths[2]) as temporary, open(temporary, "w") as file:
            json.dump(result.as_dict(), file)
        done = [one for one in session.pictures if one.results]
        paths.append(session.path("coco.json"))
        save_coco(paths[3], [one.chosen(session) for one in done], [one.name for one in done])
        paths.append(packed(session, done))
        buttons = [self.png, self.overlay, self.json, self.coco, self.zip]
        files = {button: gr.DownloadButton(value=path) for button, path in zip(buttons, paths)}
        return {self.downloads: gr.Row(visible=True), **files}


def packed(session: Session, pictures: Sequence[Picture]) -> str:
    """Write the results of pictures to one ZIP file, under the names of the pictures; returns its path."""
    path, taken = session.path("parts.zip"), set()
    with replace_when_done(path) as temporary, zipfile.ZipFile(temporary, "w") as file:
        for picture in pictures:
            result = picture.chosen(session)
            stem = next(s for s in _numbered(Path(picture.name).stem) if s not in taken)
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


def compared(result: Result) -> tuple[Image.Image, Image.Image]:
    """The picture, and it with its parts, as large as a screen shows them."""
    picture, label_map = shrunk(result, ENLARGED)
    return picture, labels.overlay(picture, label_map, result.palette)


def shrunk(result: Result, shown: int = SHOWN) -> tuple[Image.Image, np.ndarray]:
    """The picture and its labels at a size for the screen: PIL, (h, w) NumPy."""
    picture, label_map = result.full_image, result.full_label_map
    if picture is None or label_map is None:
        picture, label_map = images.to_pil(result.image), result.label_map
    factor = shown / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    indices = Image.fromarray(label_map.numpy().astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return picture.resize(size, Image.Resampling.BICUBIC), np.asarray(indices)


def legends(results: Sequence[Result]) -> str:
    """One legend, or two where the networks know different parts."""
    of = {result.classes: legend(result.classes, result.palette) for result in results}
    names = [""] if len(of) == 1 else [note("Parts"), note("Parts by auto-shot")]
    return "".join(name + chips for name, chips in zip(names, of.values()))


def trusts(picture: Picture) -> str:
    """How far to believe what was found in a picture; where both sides answered, each under its name."""
    sides = [(side, result) for side, result in zip(SIDES, (picture.through, picture.auto)) if result is not None]
    return "".join((note(f"{side}:") if len(sides) > 1 else "") + trust_of(result) for side, result in sides)


def trust_of(result: Result) -> str:
    """How far to believe a result, in plain words."""
    return trusted(result.trust, None if result.reconstruction is None else result.psnr)
