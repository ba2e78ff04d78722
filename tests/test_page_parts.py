"""The page's small parts: number fields, drawings, and errors as people and the log read them; without a browser."""

import logging
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

pytest.importorskip("gradio")
sys.path.insert(0, str(Path(__file__).parent.parent / "demos"))

import classes  # noqa: E402
import examples  # noqa: E402
import gradio as gr  # noqa: E402
import shots  # noqa: E402
import step_try  # noqa: E402
from drawing import Drawing, blank, pack, unpack  # noqa: E402
from fields import slider, whole_number  # noqa: E402
from framing import frame_in, moved, opened  # noqa: E402
from look import terms  # noqa: E402
from networks import beside  # noqa: E402
from session import Session  # noqa: E402
from wiring import endpoint, on  # noqa: E402
from words import UNKNOWN, Sorry, for_people, instead  # noqa: E402

from toolkit import fewshot  # noqa: E402
from toolkit.errors import ImageError, ToolkitError, describe  # noqa: E402
from toolkit.gan.files import zoo  # noqa: E402
from toolkit.pictures import labels  # noqa: E402
from toolkit.pictures.images import Frame  # noqa: E402
from toolkit.pictures.uploads import open_rgb  # noqa: E402

REQUEST = SimpleNamespace(session_hash="a")


@pytest.fixture
def session(tiny_gan):
    return Session(tiny_gan, "tiny", labels.THREE_CLASSES)


@pytest.fixture
def sessions(session):
    return SimpleNamespace(of=lambda request: session)


def answer(sessions, handler, inputs=()):
    """What Gradio would call for an event that `handler` answers."""
    return on(sessions, lambda function, *_, **__: function, handler, inputs, [])


def painted(session, *values):
    """The session with a drawing whose rows, from the top, are of these classes."""
    session.drawing = Drawing(blank(16))
    for row, value in enumerate(values):
        session.drawing.label_map[0, row] = value
    return session


@pytest.mark.parametrize(
    "typed, used",
    [(None, 0.7), ("", 0.7), ("x", 0.7), (float("nan"), 0.7), (-3, 0), (7, 1), (float("inf"), 1), (0.25, 0.25)],
)
def test_a_cleared_or_mistyped_slider_is_a_number_in_its_range(typed, used):
    assert slider(0, 1, 0.7).preprocess(typed) == used


@pytest.mark.parametrize("typed, used", [(None, 7), (-5, 0), (1e30, 99), (3.6, 4), (12, 12)])
def test_a_whole_number_stays_one(typed, used):
    found = whole_number(0, 99, 7).preprocess(typed)
    assert found == used and isinstance(found, int)


def test_a_drawing_is_what_was_painted_and_what_was_meant(session):
    drawing = painted(session, 1, 2).drawing
    assert drawing.strokes.unique().tolist() == [1, 2, 255]
    assert drawing.meant.unique().tolist() == [0, 1, 2]
    drawing.fill = False
    assert drawing.meant.unique().tolist() == [1, 2, 255]
    empty = painted(session).drawing
    assert empty.strokes is None and empty.meant is None


def stroke(number, box, *runs):
    return {"number": number, "box": box, "runs": list(runs)}


def test_a_stroke_is_taken_once_and_in_order(session):
    drawing = painted(session).drawing
    one, two = stroke(1, [2, 0, 6, 1], 1, 4), stroke(2, [4, 0, 8, 1], 2, 3, 255, 1)
    drawing.take({"revision": 0, "strokes": [one]}, 4)
    before = drawing.label_map
    drawing.take({"revision": 0, "strokes": [one, two]}, 4)  # the answer to the first was lost
    assert drawing.label_map[0, 0, :9].tolist() == [255, 255, 1, 1, 2, 2, 2, 255, 255] and drawing.received == 2
    assert before[0, 0, 4] == 1  # what a shot may hold does not change
    drawing.take({"revision": 0, "strokes": [one, stroke(4, [0, 0, 1, 1], 1, 1)]}, 4)  # one is missing
    assert drawing.received == 2 and drawing.label_map[0, 0, 0] == 255
    drawing.replace(blank(16))
    drawing.take({"revision": 0, "strokes": [stroke(1, [0, 0, 1, 1], 1, 1)]}, 4)  # on what was there before
    assert drawing.strokes is None and drawing.revision == 1
    drawing.take(None, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        stroke(1, [0, 0, 17, 1], 1, 17),
        stroke(1, [0, 0, 2, 1], 1, 3),
        stroke(1, [0, 0, 2, 1], 4, 2),
        stroke(1, [0, 0, 2, 1], 1, 1 << 40),
        stroke(1, [0, 0, 2, 1], -1, 2),
        stroke(1, [0, 0, 2, 1], "x", 2),
        stroke(1, [0, 0, 0, 1]),
        {"number": 1},
    ],
)
def test_a_stroke_that_no_page_sends_changes_nothing(session, wrong):
    drawing = painted(session).drawing
    with pytest.raises(Sorry, match="Reload the page"):
        drawing.take({"revision": 0, "strokes": [wrong]}, 4)
    assert drawing.strokes is None and drawing.received == 0


@given(st.lists(st.sampled_from([0, 1, 2, 255]), min_size=1, max_size=40))
def test_runs_are_what_they_were_packed_from(values):
    assert unpack(pack(torch.tensor(values))).tolist() == values


def test_the_canvas_goes_to_the_session_and_the_rest_to_the_handler(sessions):
    pair = SimpleNamespace(components=[gr.State(), gr.State()], take=lambda session, *values: taken.append(values))
    seen, taken = [], []
    handle = answer(sessions, lambda session, *values: seen.extend(values) or {}, [gr.State(), pair, gr.State()])
    assert handle(REQUEST, 1, 2, 3, 4) == gr.skip() and seen == [1, 4] and taken == [(2, 3)]


def test_classes_change_and_the_drawing_keeps_what_stays(session):
    assert painted(session, 1, 2).keep()
    strokes = classes.add(painted(session, 3), " hat ")
    assert session.classes == (*labels.THREE_CLASSES, "hat") and strokes.unique().tolist() == [3, 255]
    strokes = classes.remove(painted(session, 2, 3), "mouth")
    assert session.classes == ("background", "eyes", "nose", "hat")
    assert strokes.unique().tolist() == [2, 255]  # the nose has another number now, the mouth is gone
    assert classes.rename(painted(session), "hat", "cap") is None
    assert session.classes[3] == "cap" and session.shots[0].classes == session.classes


SAID = {
    "nameless": lambda s: classes.add(s, " "),
    "twice": lambda s: classes.add(s, "eyes"),
    "unchosen": lambda s: classes.remove(s, None),
    "background": lambda s: classes.remove(s, "background"),
    "too many": lambda s: classes.use(s, [str(i) for i in range(25)]),
    "one class": lambda s: painted(s, *[1] * 16).keep(),
    "no shots": lambda s: shots.load(s, __file__),
}


@pytest.mark.parametrize("case", SAID)
def test_each_refusal_is_a_sentence_for_people(session, case):
    with pytest.raises(Sorry, match=r"^[A-Z].*\.$") as refusal:
        SAID[case](session)
    assert not any(word in str(refusal.value) for word in ("expected", "; got", __file__, "None"))


def test_shots_of_other_classes_or_of_another_gan_are_refused_and_nothing_is_lost(session, tmp_path):
    other = Session(session.gan, "tiny", classes=("background", "hat"))
    painted(other, 1).keep()
    fewshot.save_shots(tmp_path / "other.safetensors", other.shots)
    with pytest.raises(Sorry, match="other classes: background, hat"):
        shots.load(painted(session, 2), tmp_path / "other.safetensors")
    assert session.shots == [] and session.classes == labels.THREE_CLASSES
    shots.load(painted(session), tmp_path / "other.safetensors")
    assert len(session.shots) == 1 and session.classes == ("background", "hat")
    foreign = fewshot.Shot(other.sample, other.shots[0].label_map, other.classes, gan="of another")
    fewshot.save_shots(tmp_path / "foreign.safetensors", [foreign])
    with pytest.raises(Sorry, match="another GAN"):
        shots.load(painted(session, 1), tmp_path / "foreign.safetensors")
    assert len(session.shots) == 1


def test_the_log_has_the_technical_line_of_what_the_page_says(sessions, caplog):
    def refuses(session):
        with instead("Say this."):
            raise ToolkitError("call", "this", "that\nin two lines", "Mend it")

    with pytest.raises(gr.Error, match=r"^'Say this\.'$"):
        answer(sessions, refuses)(REQUEST)
    (line,) = caplog.messages
    assert line == "refuses: ToolkitError: call: expected this; got that in two lines. Mend it."


@pytest.mark.parametrize("kind", [ToolkitError, RuntimeError])
def test_what_nobody_foresaw_is_told_without_its_details(sessions, caplog, kind):
    error = ToolkitError("call", "num_steps >= 1", "None", "Mend it") if kind is ToolkitError else kind("at 0x7f")

    def breaks(session):
        yield {}
        raise error

    updates = answer(sessions, breaks)(REQUEST)
    next(updates)
    with pytest.raises(gr.Error) as said:
        next(updates)
    assert said.value.message == UNKNOWN and str(error) in caplog.messages[0]
    assert (caplog.records[0].exc_info is None) == (kind is ToolkitError)  # where in the code, if nobody knows what
    assert caplog.records[0].levelno == (logging.WARNING if kind is ToolkitError else logging.ERROR)


def test_a_program_reads_the_toolkits_own_line(sessions):
    def fit(session, network):
        raise ToolkitError("fit", "this", "that", "Mend it")

    handle = endpoint(sessions, fit)
    assert list(handle.__signature__.parameters) == ["request", "network"]
    with pytest.raises(gr.Error, match="fit: expected this; got that. Mend it."):
        handle(REQUEST, "mlp")


def test_a_picture_that_cannot_be_read_is_called_by_its_name(tmp_path):
    (tmp_path / "notes.png").write_bytes(b"no picture")
    with pytest.raises(Sorry, match="^“notes.png” cannot be used. Open it in an image program"):
        opened(tmp_path / "notes.png")
    with pytest.raises(Sorry, match="^“gone.png” was uploaded too long ago. Upload it again.$"):
        opened(tmp_path / "gone.png")
    with pytest.raises(ImageError) as refusal:
        open_rgb(tmp_path / "notes.png")
    assert for_people(refusal.value) == (
        "This picture cannot be used. Open it in an image program and save it as PNG or JPEG."
    )


@pytest.mark.parametrize(
    "fix", ["Run pip install 'one-shot-parts[heic]'", 'Give its frame as align, or align="centre"']
)
def test_a_programmers_fix_is_not_shown(fix):
    said = for_people(ImageError("call", "this", "that", fix))
    assert said == "This picture cannot be used. Open it in an image program and save it as PNG or JPEG."
    assert for_people(ImageError("call", "this", "that", "Make it smaller first")).endswith("Make it smaller first.")


def test_where_an_object_lies_is_not_said():
    assert describe(Image.new("RGB", (50, 30))) == "<PIL.Image.Image image mode=RGB size=50x30>"
    assert " at 0x" not in describe(object())


def test_an_upload_keeps_its_frame_and_the_framer_is_asked_once(session, monkeypatch):
    upload, asked = Image.new("RGB", (300, 200)), []
    assert frame_in(session, "a", upload).centre == (150, 100)  # no framer: the centred square
    found = Frame.around((40, 50), 30, -10, (300, 200))
    monkeypatch.setattr(session.gan, "framer", "one")
    monkeypatch.setattr(session.gan, "find", lambda picture: asked.append(1) or [SimpleNamespace(frame=found)])
    assert [frame_in(session, "b", upload) for _ in range(2)] == [found, found] and asked == [1]
    assert moved(session, {"of": "b", "frame": [60, 70, 50, 5]}) == "b"
    assert frame_in(session, "b", upload) == Frame.around((60, 70), 50, 5, (300, 200))
    assert frame_in(session, "a", upload).centre == (150, 100)


def test_an_uploads_frame_starts_around_all_of_it_where_the_gans_own_pictures_were_padded(session, monkeypatch):
    monkeypatch.setattr(session.gan, "fit", "pad")
    frame = frame_in(session, "a", Image.new("RGB", (300, 200)))
    assert frame.centre == (150, 100) and frame.side == 300
    assert moved(session, {"of": "a", "frame": [*frame.centre, frame.side, 5]}) == "a"


@pytest.mark.parametrize(
    "sent",
    [
        {"of": "b", "frame": [1, 1, 9, 0]},
        {"of": "a", "frame": [1, 1, 9]},
        {"of": "a", "frame": [1, 1, 0, 0]},
        {"of": "a", "frame": [float("nan"), 1, 9, 0]},
        {"of": "a", "frame": [301, 1, 9, 0]},
        {"of": "a", "frame": [1, 1, 1e9, 0]},
        {"of": "a", "frame": "x"},
        {"of": ["a"], "frame": [1, 1, 9, 0]},
        None,
    ],
)
def test_a_frame_that_no_page_sends_changes_nothing(session, sent):
    before = frame_in(session, "a", Image.new("RGB", (300, 200)))
    with pytest.raises(Sorry, match="Drop the picture again"):
        moved(session, sent)
    assert session.frames == {"a": before}


def test_a_gan_of_other_pixels_lends_its_autoshot_network(tmp_path):
    faces = zoo.folder() / "faces-64-autoshot.safetensors"
    for name in ("cats-64", "cats-and-dogs-64"):
        shutil.copy(faces, tmp_path / f"{name}-autoshot.safetensors")
    assert beside(tmp_path / "cats-64.safetensors").resolution == beside(tmp_path / "cats-256.safetensors").resolution
    assert beside(tmp_path / "dogs-64.safetensors") is None and beside(tmp_path / "cat.safetensors") is None


def test_what_there_is_to_click_is_the_gans(session, shot, monkeypatch):
    """Without a world of its own a GAN offers its own pictures; with labelled ones these, and says what they are."""
    gan = session.gan
    examples.labelled.cache_clear()
    assert "No labelled pictures" in examples.about_labelled(gan) and examples.thumbnails(gan) == []
    assert len(examples.pictures(gan)) == 4 and "the GAN drew" in examples.about_pictures(gan)
    monkeypatch.setitem(gan.metadata, "name", "faces-1024")  # of what it draws there is a photograph
    examples.pictures.cache_clear()
    assert [one.size == (512, 512) for one in examples.pictures(gan)] == [True, False, False, False]
    assert "NASA" in examples.about_pictures(gan)
    examples.pictures.cache_clear()
    monkeypatch.setattr(fewshot, "examples", lambda gan: [shot])
    examples.labelled.cache_clear()
    assert "nobody real" in examples.about_labelled(gan)
    monkeypatch.setitem(gan.metadata, "name", "portraits-16")
    assert "known exactly" in examples.about_labelled(gan) and "no network has seen" in examples.about_pictures(gan)
    examples.labelled.cache_clear()


def test_the_parts_to_begin_with_are_those_that_the_gans_labelled_pictures_show(session, shot, monkeypatch):
    gan = session.gan
    examples.labelled.cache_clear()
    assert examples.usual_classes(gan) == labels.PORTRAIT_CLASSES  # where it has none
    assert list(classes.presets(gan)) == ["10 parts", "3 parts"]
    monkeypatch.setattr(fewshot, "examples", lambda gan: [shot])
    examples.labelled.cache_clear()
    assert classes.presets(gan) == {f"{len(shot.classes)} parts": shot.classes}  # without eyes no "3 parts"
    session.use_gan(gan, "tiny")
    assert session.classes == shot.classes == Session(gan, "tiny").classes
    assert Session(gan, "tiny", labels.THREE_CLASSES).classes == labels.THREE_CLASSES
    examples.labelled.cache_clear()


def test_terms_are_said_where_they_restrict(session, monkeypatch):
    monkeypatch.setitem(session.gan.metadata, "name", "faces")
    for licence, said in ((None, ""), ("MIT", ""), ("research <only>", "Weights of faces: research &lt;only&gt;.")):
        monkeypatch.setitem(session.gan.metadata, "licence", licence)
        assert said in terms(session.gan) and bool(terms(session.gan)) == bool(said)


def test_a_subject_is_offered_by_its_name_and_further_gans_of_it_beside_it():
    offered = step_try._choice(("faces-64", "cars-64", "faces-128", "my-own")).choices
    assert offered == [
        ("faces", "faces-64"),
        ("faces of 128 pixels", "faces-128"),
        ("cars", "cars-64"),
        ("my-own", "my-own"),
    ]
