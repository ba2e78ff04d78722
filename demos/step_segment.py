"""Step 3: pictures of one's own, through projection or the auto-shot network, and what to take away."""

import json
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import numpy as np
from look import Progress, enlarge, heading, hexes, legend, note
from PIL import Image
from session import PRIVATE, heavy, stops
from step_autoshot import network
from step_teach import taught

from toolkit.errors import ToolkitError
from toolkit.files import replace_when_done
from toolkit.parts.coco import save_coco
from toolkit.pictures import images
from toolkit.projection.trust import LOW
from toolkit.worlds import portraits

THROUGH, AUTO, BOTH = "Through projection", "Auto-shot", "Side by side"
EXAMPLE_SEEDS = (800_101, 800_102, 800_103, 800_104)
MAX_PICTURES = 8
SHOWN = 512  # pixels a side of a picture on screen, at most


def layout():
    """Everything of the step, as a namespace of components."""
    ui = SimpleNamespace()
    with gr.Column(elem_classes="card", elem_id="segment", min_width=320):
        heading(
            3,
            "Segment your pictures",
            "The GAN redraws your picture from its own knowledge; the parts of that "
            "drawing are the parts of your picture.",
        )
        with gr.Row(elem_classes="steps"):
            with gr.Column(scale=2, min_width=280):
                ui.pictures = gr.Gallery(
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
                ui.examples = gr.Gallery(
                    examples(),
                    columns=4,
                    rows=1,
                    height="auto",
                    show_label=False,
                    allow_preview=False,
                    buttons=[],
                    interactive=False,
                    elem_id="segment-examples",
                    elem_classes="faces",
                )
                ui.method = gr.Radio(
                    [THROUGH, AUTO, BOTH], value=THROUGH, show_label=False, elem_id="method", container=False
                )
                with gr.Row(elem_classes="tight"):
                    ui.go = gr.Button("Segment", variant="primary", elem_id="segment-button", scale=3)
                    ui.cancel = gr.Button("Cancel", elem_id="segment-cancel", elem_classes="stop", min_width=80)
                ui.status = gr.HTML(elem_id="segment-status", elem_classes="status")
            with gr.Column(scale=3, min_width=280, elem_id="results"):
                with gr.Row(elem_classes="pair"):
                    ui.original = gr.Image(
                        label="Your picture", interactive=False, buttons=[], elem_id="original", min_width=120
                    )
                    ui.redrawn = gr.Image(
                        label="As the GAN draws it", interactive=False, buttons=[], elem_id="redrawn", min_width=120
                    )
                    ui.parts = gr.AnnotatedImage(
                        label="Parts", buttons=[], show_legend=False, elem_id="parts", format="png", min_width=120
                    )
                    ui.auto = gr.AnnotatedImage(
                        label="Parts by auto-shot",
                        buttons=[],
                        show_legend=False,
                        visible=False,
                        elem_id="parts-auto",
                        format="png",
                        min_width=120,
                    )
                ui.trust = gr.HTML(elem_id="trust")
                ui.which = gr.Radio([], label="Picture", visible=False, elem_id="which")
                ui.toggles = gr.CheckboxGroup([], label="Parts shown", visible=False, elem_id="toggles")
                ui.areas = gr.Dataframe(
                    headers=["part", "pixels", "share"], interactive=False, visible=False, elem_id="areas", buttons=[]
                )
                with gr.Row(elem_classes="tight", visible=False, elem_id="downloads") as ui.downloads:
                    ui.png = gr.DownloadButton("Labels PNG", size="sm", elem_id="download-png", min_width=90)
                    ui.overlay = gr.DownloadButton("Overlay", size="sm", elem_id="download-overlay", min_width=90)
                    ui.json = gr.DownloadButton("JSON", size="sm", elem_id="download-json", min_width=90)
                    ui.coco = gr.DownloadButton("COCO RLE", size="sm", elem_id="download-coco", min_width=90)
    return ui


def wire(ui, sessions):
    """Which handler answers what."""
    h, private = sessions.handler, PRIVATE
    shown = [ui.original, ui.redrawn, ui.parts, ui.auto, ui.trust, ui.toggles, ui.areas]
    everything = [ui.status, *shown, ui.which, ui.downloads, ui.png, ui.overlay, ui.json, ui.coco]
    run = ui.go.click(h(segment), [ui.pictures, ui.method], everything, **heavy(ui.status))
    ui.examples.select(example, ui.examples, ui.pictures, **private)
    stops(ui.cancel, [run], ui.status, "Cancelled.")
    ui.which.input(h(choose), ui.which, [*shown, ui.png, ui.overlay, ui.json, ui.coco], **private)
    ui.toggles.input(h(toggle), [ui.which, ui.toggles], [ui.parts, ui.auto], **private)


def examples():
    """Portraits to segment, PIL."""
    return [images.to_pil(portraits.render(1, 256, seed)[0]) for seed in EXAMPLE_SEEDS]


def example(pictures, event: gr.SelectData):
    """The example that was clicked, as if uploaded."""
    return [pictures[event.index][0]]


def segment(session, pictures, method):
    """Segment what was uploaded, on screen step by step."""
    sources = [path for path, _ in pictures or []]
    if not 1 <= len(sources) <= MAX_PICTURES:
        raise ToolkitError("Segment", f"1 to {MAX_PICTURES} pictures", len(sources), "Upload one, or click an example")
    through, auto = [None] * len(sources), [None] * len(sources)
    if method != THROUGH:
        auto = network(session).segment(sources)
    if method != AUTO:
        segmenter, progress = taught(session), Progress("Projection step")
        judge = session.gan.encoder is not None  # without one, there is nothing measured to judge by
        for done, total, through in segmenter.segmenting(sources, judge=judge):
            view = show(list(zip(through, auto))[0])
            yield progress(done, total), *view, *[gr.skip()] * 6
    session.results, session.result_names = list(zip(through, auto)), [Path(source).name for source in sources]
    numbers = [str(i + 1) for i in range(len(sources))]
    which = gr.Radio(choices=numbers, value="1", visible=len(numbers) > 1)
    yield note("Done."), *show(session.results[0]), which, gr.Row(visible=True), *save(session, 0)


def choose(session, number):
    """Another picture of those that were segmented."""
    i = int(number) - 1
    return *show(session.results[i]), *save(session, i)


def toggle(session, number, chosen):
    """Only the chosen parts over the picture."""
    return [annotated(result, chosen) for result in session.results[int(number or 1) - 1]]


def show(pair):
    """What is on screen of one picture: its results through projection and by auto-shot, either may be None."""
    results = [result for result in pair if result is not None]
    result = results[0]
    small, _ = shrunk(result)
    redrawn = None if result.reconstruction is None else enlarge(images.to_pil(result.reconstruction))
    areas = result.areas()
    rows = [[name, n, f"{n / max(1, sum(areas.values())):.1%}"] for name, n in areas.items()]
    parts = list(dict.fromkeys(name for r in results for name in r.classes[1:] if r.areas()[name]))
    return (
        small,
        gr.Image(value=redrawn, visible=redrawn is not None),
        annotated(pair[0]),
        annotated(pair[1]),
        words(result) + legends(results),
        gr.CheckboxGroup(choices=parts, value=parts, visible=True),
        gr.Dataframe(value=rows, visible=True),
    )


def annotated(result, chosen=None):
    """A result as `gr.AnnotatedImage` takes it: the picture and a mask for each part."""
    if result is None:
        return gr.AnnotatedImage(value=None, visible=False)
    picture, label_map = shrunk(result)
    names = list(enumerate(result.classes))[1:]
    masks = [(0.6 * (label_map == i), name) for i, name in names if (chosen is None or name in chosen)]
    masks = [(mask, name) for mask, name in masks if mask.any()]
    colors = dict(zip(result.classes, hexes(result.palette)))
    return gr.AnnotatedImage(value=(picture, masks), color_map=colors, visible=True)


def shrunk(result):
    """The picture and its labels at a size for the screen: PIL, (h, w) NumPy."""
    picture, label_map = result.full_image, result.full_label_map
    if picture is None or label_map is None:
        picture, label_map = images.to_pil(result.image), result.label_map
    factor = SHOWN / max(picture.size)
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    indices = Image.fromarray(label_map.numpy().astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return picture.resize(size, Image.Resampling.BICUBIC), np.asarray(indices)


def legends(results):
    """One legend, or two where the networks know different parts."""
    of = {result.classes: legend(result.classes, result.palette) for result in results}
    names = [""] if len(of) == 1 else [note("Parts"), note("Parts by auto-shot")]
    return "".join(name + chips for name, chips in zip(names, of.values()))


def words(result):
    """How far to believe a result, in plain words."""
    if result.trust is None:
        return ""
    if result.trust < LOW:
        text = "Do not believe these parts: the picture is unlike anything this GAN makes. Try auto-shot."
    else:
        text = "The GAN knows such pictures: the parts can be believed."
    return note(f"<b>{text}</b> Trust {result.trust:.2f}; reconstruction {result.psnr:.1f} dB.")


def save(session, i):
    """The files to take away of one picture; COCO holds all of them."""
    result = session.results[i][0] or session.results[i][1]
    paths = [session.path(f"picture-{i + 1}{end}") for end in ("-labels.png", "-overlay.png", ".json")]
    result.save_png(paths[0])
    images.save_png(paths[1], result.overlay())
    write_json(paths[2], result.as_dict())
    paths.append(session.path("coco.json"))
    save_coco(paths[3], [a or b for a, b in session.results], session.result_names)
    return [gr.DownloadButton(value=path) for path in paths]


def write_json(path, value):
    with replace_when_done(path) as temporary, open(temporary, "w") as file:
        json.dump(value, file)
