"""Step 1: a face on the canvas, its parts drawn by hand, kept as a shot."""

from types import SimpleNamespace

import gradio as gr
import torch
from look import Progress, enlarge, heading, hexes, legend, note, tinted
from session import FIRST_SEED, PRIVATE, Session, heavy, stops
from upload import picture

from toolkit import fewshot
from toolkit.errors import ToolkitError
from toolkit.pictures import images, labels, sketch
from toolkit.worlds import portraits

PRESETS = {"3 parts": labels.THREE_CLASSES, "10 parts": labels.PORTRAIT_CLASSES}
TRUNCATION = 0.7  # of the face a new tab shows
EXAMPLE_SEEDS = (800_001, 800_002, 800_006, 800_009)


def layout(sessions):
    """Everything of the step, as a namespace of components."""
    session = Session(sessions.load(sessions.gans[0]))
    ui = SimpleNamespace()
    with gr.Column(elem_classes="card", elem_id="label", min_width=320):
        heading(1, "Label one face", "Choose a part (or press its number) and paint. A few strokes do.")
        with gr.Tabs(elem_classes="sources"):
            with gr.Tab("Generated"), gr.Row(elem_classes="tight ends"):
                ui.gan = gr.Dropdown(
                    sessions.gans,
                    value=sessions.gans[0],
                    label="GAN",
                    min_width=130,
                    elem_id="gan",
                    interactive=len(sessions.gans) > 1,
                )
                ui.seed = gr.Number(FIRST_SEED, label="Seed", precision=0, minimum=0, min_width=70, elem_id="seed")
                ui.truncation = gr.Slider(
                    0, 1, TRUNCATION, step=0.05, label="Truncation", min_width=160, elem_id="truncation"
                )
                ui.another = gr.Button("Another face", size="sm", min_width=110, elem_id="another")
            with gr.Tab("Your picture", id="picture"):
                with gr.Row(elem_classes="pair"):
                    ui.picture = picture("Your picture", height=200, elem_id="shot-picture")
                    ui.preview = gr.Image(
                        label="As the GAN draws it", height=200, interactive=False, buttons=[], elem_id="shot-preview"
                    )
                ui.cancel = gr.Button("Cancel", size="sm", elem_id="shot-cancel", elem_classes="stop")
            with gr.Tab("Example"):
                gr.HTML(note("Portraits whose labels are known exactly: click one, then teach."))
                ui.examples = gr.Gallery(
                    examples(),
                    columns=4,
                    rows=1,
                    height="auto",
                    show_label=False,
                    allow_preview=False,
                    buttons=[],
                    object_fit="cover",
                    interactive=False,
                    elem_id="shot-examples",
                    elem_classes="faces",
                )
                ui.example = gr.State()
        ui.status = gr.HTML(elem_id="label-status", elem_classes="status")
        size = canvas_size(session.gan)
        ui.editor = gr.ImageEditor(
            canvas_view(session),
            elem_id="editor",
            show_label=False,
            format="png",
            layers=False,
            transforms=(),
            sources=(),
            buttons=[],
            brush=brush(session.classes),
            eraser=gr.Eraser(default_size=18),
            fixed_canvas=True,
            canvas_size=(size, size),
            height=580,
            container=False,
        )
        ui.legend = gr.HTML(legend(session.classes, session.palette, brush=True), elem_id="legend")
        with gr.Row(elem_classes="tight"):
            ui.fill = gr.Checkbox(True, label="Fill the rest as background", elem_id="fill", container=False)
            ui.clear = gr.Button("Clear labels", size="sm", min_width=100, elem_id="clear")
            ui.add = gr.Button("Add to shots", size="sm", min_width=100, elem_id="add")
        with gr.Accordion("Classes", open=False, elem_id="classes"):
            ui.preset = gr.Radio(list(PRESETS), value="3 parts", label="Start from", elem_id="preset")
            with gr.Row(elem_classes="tight"):
                ui.name = gr.Textbox(label="New name", max_lines=1, max_length=40, min_width=110, elem_id="class-name")
                ui.which = gr.Dropdown(
                    list(labels.THREE_CLASSES), label="Class to change", min_width=110, elem_id="class-which"
                )
            with gr.Row(elem_classes="tight"):
                ui.new = gr.Button("Add", size="sm", min_width=70, elem_id="class-add")
                ui.rename = gr.Button("Rename", size="sm", min_width=70, elem_id="class-rename")
                ui.remove = gr.Button("Remove", size="sm", min_width=70, elem_id="class-remove")
        with gr.Accordion("Shots", open=True, elem_id="shots-box"):
            ui.shots = gr.Gallery(
                columns=6,
                height="auto",
                fit_columns=False,
                show_label=False,
                allow_preview=False,
                buttons=[],
                interactive=False,
                elem_id="shots",
                elem_classes="faces",
            )
            ui.shots_note = gr.HTML(note("None yet. Teaching adds the drawing by itself."), elem_id="shots-note")
            ui.picked = gr.State()
            with gr.Row(elem_classes="tight"):
                ui.delete = gr.Button("Delete", size="sm", min_width=70, interactive=False, elem_id="shot-delete")
                ui.download = gr.DownloadButton(
                    "Download", size="sm", min_width=90, interactive=False, elem_id="shots-download"
                )
                ui.load = gr.UploadButton(
                    "Load", size="sm", min_width=70, file_types=[".safetensors"], elem_id="shots-load"
                )
    return ui


def wire(ui, sessions):
    """Which handler answers what."""
    h, private, queued = sessions.handler, PRIVATE, heavy(ui.status)
    drawing = [ui.editor, ui.fill]
    shots = [ui.shots, ui.shots_note, ui.delete, ui.download]
    canvas = [ui.editor, *shots]
    classes = [*canvas, ui.legend, ui.which, ui.name, ui.fill]

    ui.another.click(h(another), [*drawing, ui.seed, ui.truncation], [ui.seed, *canvas], **private)
    ui.seed.submit(h(generate), [*drawing, ui.seed, ui.truncation], canvas, **private)
    ui.truncation.release(h(generate), [*drawing, ui.seed, ui.truncation], canvas, **private)
    project = ui.picture.input(h(project_picture), [ui.picture, *drawing], [ui.status, ui.preview, *canvas], **queued)
    ui.examples.select(picked, None, ui.example, **private)
    shown = ui.example.change(h(show_example), [ui.example, *drawing], [ui.example, ui.status, *classes], **queued)
    stops(ui.cancel, [project, shown], ui.status, "Cancelled.")
    ui.clear.click(h(clear), None, ui.editor, **private)
    ui.add.click(h(add), drawing, shots, **private)
    ui.shots.select(picked, None, ui.picked, **private)
    ui.picked.change(h(edit), [ui.picked, *drawing], [ui.picked, ui.fill, *canvas], **private)
    ui.delete.click(h(delete), None, canvas, **private)
    ui.load.upload(h(load), [ui.load, *drawing], classes, **private)
    ui.preset.input(h(preset), [ui.preset, *drawing], classes, **private)
    ui.new.click(h(new_class), [ui.name, *drawing], classes, **private)
    ui.rename.click(h(rename_class), [ui.which, ui.name, *drawing], classes, **private)
    ui.remove.click(h(remove_class), [ui.which, *drawing], classes, **private)

    def choose_gan(session, name, editor, fill):
        if session.shots or session.read(editor, fill) is not None:
            raise ToolkitError(
                "GAN", "an empty canvas and no shots", "some of another GAN", "Download and delete them first"
            )
        session.use_gan(sessions.load(name))
        return "", *classes_view(session)

    ui.gan.input(h(choose_gan), [ui.gan, *drawing], [ui.status, *classes], **queued)


# ---- what the components show ----------------------------------------------------------------


def canvas_size(gan):
    """Pixels a side of a GAN's canvas: a multiple of its resolution, at least 512."""
    return gan.resolution * max(1, 512 // gan.resolution)


def brush(classes):
    """A brush for each class, see-through; the first part is chosen."""
    colors = [(color, sketch.BRUSH_ALPHA) for color in hexes(labels.default_palette(len(classes)))]
    return gr.Brush(default_size=18, colors=colors, default_color=colors[min(1, len(colors) - 1)], color_mode="fixed")


def canvas_view(session, label_map=None):
    """The picture on the canvas, and labels (1, R, R) as if just drawn."""
    size = canvas_size(session.gan)
    layers = [] if label_map is None else [sketch.encode(label_map, session.palette, size)]
    return {"background": enlarge(images.to_pil(session.sample.image), size), "layers": layers, "composite": None}


def shots_view(session):
    """Thumbnails, a line about them, and whether they can be deleted and downloaded."""
    if session.shots:
        fewshot.save_shots(session.path("shots.safetensors"), session.shots)
    thumbnails = [tinted(s.sample.image[0], s.label_map[0], session.palette, 128) for s in session.shots]
    text = "Click one to edit it again." if session.shots else "None yet. Teaching adds the drawing by itself."
    if session.editing is not None:
        text = f"Shot {session.editing + 1} of {len(session.shots)} is on the canvas."
    path = session.path("shots.safetensors") if session.shots else None
    return (
        gr.Gallery(value=thumbnails, selected_index=session.editing),
        note(text),
        gr.Button(interactive=session.editing is not None),
        gr.DownloadButton(value=path, interactive=bool(session.shots)),
    )


def classes_view(session, label_map=None, fill=None):
    """Everything that depends on the classes."""
    size = canvas_size(session.gan)
    view = canvas_view(session, label_map)
    editor = gr.ImageEditor(value=view, brush=brush(session.classes), canvas_size=(size, size))
    chips = legend(session.classes, session.palette, brush=True)
    which = gr.Dropdown(choices=list(session.classes), value=None)
    return editor, *shots_view(session), chips, which, "", gr.skip() if fill is None else fill


def examples():
    """Portraits to label from, PIL."""
    return [images.to_pil(portraits.render(1, 128, seed)[0]) for seed in EXAMPLE_SEEDS]


# ---- handlers --------------------------------------------------------------------------------


def picked(event: gr.SelectData):
    """The number of the thumbnail that was clicked."""
    return event.index


def generate(session, editor, fill, seed, truncation):
    session.keep(editor, fill)
    session.show(session.gan.sample(int(seed or 0), truncation_psi=truncation))
    return canvas_view(session), *shots_view(session)


def another(session, editor, fill, seed, truncation):
    seed = int(seed or 0) + 1
    return seed, *generate(session, editor, fill, seed, truncation)


def project_picture(session, source, editor, fill):
    """Find a picture in the GAN, on screen, and put it on the canvas."""
    nothing = [gr.skip()] * 5
    if source is None:  # cleared: of a generator that yields nothing Gradio empties every output
        yield gr.skip(), gr.skip(), *nothing
        return
    progress, sample = Progress("Projection step"), None
    for done, total, sample in session.gan.projecting(source):
        yield progress(done, total), images.to_pil(sample.reconstruction), *nothing
    session.keep(editor, fill)
    session.show(sample)
    yield "", gr.skip(), canvas_view(session), *shots_view(session)


def show_example(session, index, editor, fill):
    """A portrait of the world with its exact labels, projected, on the canvas as if someone had drawn them."""
    nothing = [gr.skip()] * 9
    if index is None:  # set so by the last update of this very function
        yield gr.skip(), gr.skip(), *nothing
        return
    image, label_map = portraits.render(1, session.gan.resolution, EXAMPLE_SEEDS[index])
    progress = Progress("Projection step")
    for done, total, sample in session.gan.projecting(image):  # noqa: B007 the last one is kept
        yield gr.skip(), progress(done, total), *nothing
    session.keep(editor, fill)
    if not set(session.classes) <= set(portraits.CLASSES):
        session.use_classes(labels.PORTRAIT_CLASSES)
    label_map = labels.merge(label_map, portraits.CLASSES, session.classes)
    session.show(sample)
    yield None, "", *classes_view(session, without_background(label_map), True)


def clear(session):
    return canvas_view(session)


def add(session, editor, fill):
    if not session.keep(editor, fill):
        raise ToolkitError("Add to shots", "a drawing", "no stroke", "Paint a part first")
    return shots_view(session)


def edit(session, index, editor, fill):
    """Put a shot back on the canvas."""
    if index is None or index >= len(session.shots):
        return [gr.skip()] * 7
    if session.editing != index:
        session.keep(editor, fill)
    shot = session.shots[index]
    session.show(shot.sample, index)
    filled = not (shot.label_map == labels.IGNORE_INDEX).any()
    label_map = without_background(shot.label_map) if filled else shot.label_map
    return None, filled, canvas_view(session, label_map), *shots_view(session)


def delete(session):
    if session.editing is None:
        raise ToolkitError("Delete", "a shot on the canvas", "none", "Click a thumbnail first")
    del session.shots[session.editing]
    session.show(session.sample)
    return canvas_view(session), *shots_view(session)


def load(session, path, editor, fill):
    """Add the shots of a file; its classes must be those of the shots already here."""
    shots = fewshot.load_shots(path)
    session.keep(editor, fill)
    fewshot.check_shots(session.gan, [*session.shots, *shots])
    session.classes = shots[0].classes
    session.shots += shots
    session.show(session.sample)
    return classes_view(session)


def change_classes(session, classes, editor, fill, names=None):
    """Other classes; the drawing on the canvas keeps the labels of those that stay."""
    classes = [name.strip() for name in classes]
    if not 2 <= len(classes) <= 24 or len(set(classes)) < len(classes) or not all(classes):
        raise ToolkitError("classes", "2 to 24 different names", ", ".join(classes) or "none", "Choose another name")
    label_map, old = session.read(editor, False), names or session.classes
    session.use_classes(classes, names)
    return None if label_map is None else labels.keep(label_map, tuple(old), tuple(classes))


def preset(session, name, editor, fill):
    label_map = change_classes(session, PRESETS[name], editor, fill)
    return classes_view(session, label_map, name == "3 parts")


def new_class(session, name, editor, fill):
    return classes_view(session, change_classes(session, [*session.classes, name], editor, fill))


def rename_class(session, which, name, editor, fill):
    check_class(session, which)
    names = [name if old == which else old for old in session.classes]
    return classes_view(session, change_classes(session, names, editor, fill, names))


def remove_class(session, which, editor, fill):
    check_class(session, which)
    if which == session.classes[0]:
        raise ToolkitError("classes", "a part to remove", "the background", "Rename it instead")
    names = [name for name in session.classes if name != which]
    return classes_view(session, change_classes(session, names, editor, fill))


def check_class(session, which):
    if which not in session.classes:
        raise ToolkitError("classes", "a class", "none chosen", "Choose one from the list")


def without_background(label_map):
    """Background as unpainted, so that the face stays visible; the fill switch puts it back."""
    return torch.where(label_map == 0, labels.IGNORE_INDEX, label_map)
