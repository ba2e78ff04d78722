"""What the page keeps for each tab, without a browser."""

import base64
import json
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("gradio")
sys.path.insert(0, str(Path(__file__).parent.parent / "demos"))

import classes  # noqa: E402
import gradio as gr  # noqa: E402
import kept  # noqa: E402
import torch  # noqa: E402
from canvas import about, offered  # noqa: E402
from drawing import blank, pack  # noqa: E402
from PIL import Image  # noqa: E402
from session import CLOSED_SECONDS, Sessions  # noqa: E402
from step_label import Label  # noqa: E402
from wiring import on  # noqa: E402
from words import Sorry  # noqa: E402

from toolkit import fewshot  # noqa: E402
from toolkit.errors import ToolkitError  # noqa: E402
from toolkit.files import load_tensors, save_tensors
from toolkit.gan.files import zoo  # noqa: E402
from toolkit.pictures import labels  # noqa: E402
from toolkit.show.framing import numbers  # noqa: E402


@pytest.fixture
def sessions(tiny_gan_file):
    return Sessions([str(tiny_gan_file)])


def tab(name):
    return SimpleNamespace(session_hash=name)


def answer(sessions, handler, num_inputs=0):
    """What Gradio would call for an event that `handler` answers."""
    anything = [gr.State() for _ in range(3)]
    return on(sessions, lambda function, *_, **__: function, handler, anything[:num_inputs], [])


def test_a_tab_that_was_idle_is_forgotten_and_told_so(sessions):
    idle, busy = sessions.of(tab("idle")), sessions.of(tab("busy"))
    folder = Path(idle.folder.name)
    idle.touched -= 100
    sessions.expire(50)
    assert not folder.exists() and sessions.of(tab("busy")) is busy
    with pytest.raises(gr.Error, match="idle for more than an hour.* Reload the page"):
        answer(sessions, lambda session: {})(tab("idle"))


def test_a_closed_tab_leaves_no_file_and_one_that_comes_back_loses_nothing(sessions, monkeypatch):
    closed, back = sessions.of(tab("closed")), sessions.of(tab("back"))
    sessions.close(tab("closed"))
    sessions.close(tab("back"))
    sessions.expire()
    assert sessions.of(tab("back")) is back
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + CLOSED_SECONDS + 1)
    sessions.expire()
    assert not Path(closed.folder.name).exists() and sessions.of(tab("back")) is back


def test_a_job_stops_when_it_is_cancelled(sessions):
    stopped = []

    def job(session):
        try:
            while True:
                yield 1
        finally:
            stopped.append(True)

    updates = answer(sessions, job)(tab("a"))
    next(updates)
    updates.close()
    assert stopped == [True]


def test_where_a_gan_lies_is_not_shown(sessions, tiny_gan_file):
    assert sessions.gans == [tiny_gan_file.stem]
    assert sessions.load(tiny_gan_file.stem).resolution == 16
    with pytest.raises(ToolkitError, match="page: expected one of tiny; got '/etc/passwd'"):
        sessions.load("/etc/passwd")
    with pytest.raises(ToolkitError, match="expected GANs of different names"):
        Sessions([str(tiny_gan_file), str(tiny_gan_file)])


def test_another_gan_starts_anew(tiny_gan_file):
    sessions = Sessions([str(tiny_gan_file), zoo.DEFAULT])
    session = sessions.of(tab("a"))
    session.segmenter = session.suggestion = "of the first"
    session.classes = ("background", "leaf")
    session.use_gan(sessions.load(zoo.DEFAULT), zoo.DEFAULT)
    assert session.segmenter is None and session.suggestion is None and session.classes == labels.PORTRAIT_CLASSES
    assert session.sample.image.shape == (1, 3, 128, 128)


def test_a_step_with_nothing_to_do_leaves_everything_as_it_is(sessions):
    """Of a generator that yields nothing Gradio empties all outputs, and an empty dict it takes for a value."""

    def nothing(session, *inputs):
        yield from Label.project(None, session, *inputs)

    assert list(answer(sessions, nothing, 1)(tab("a"), None)) == [gr.skip()]

    def no_example(session, index):
        return Label.show_example(None, session, index)

    assert answer(sessions, no_example, 1)(tab("a"), None) == gr.skip()


def kept_of(session, strokes):
    """What a browser keeps of a session: what the server told it, and the files that it offered."""
    files = {}
    if session.shots:
        fewshot.save_shots(session.path("shots"), session.shots)
        files["shots"] = session.path("shots")
    if (sample := offered(session)) is not None:
        files["sample"] = sample["path"]
    if session.segmenter is not None:
        session.segmenter.save(session.path("segmenter"))
        files["segmenter"] = session.path("segmenter")
    encoded = {name: base64.b64encode(Path(path).read_bytes()).decode() for name, path in files.items()}
    board = {"about": about(session), "labels": pack(strokes)}
    return json.loads(json.dumps({"board": board, "files": encoded, "uploads": {}}))


@pytest.mark.parametrize("generated", [True, False])
def test_what_a_browser_kept_comes_back(sessions, generated):
    session = sessions.of(tab("before"))
    session.use_classes(labels.THREE_CLASSES)
    classes.add(session, "hat")
    session.drawing.label_map[0, 3] = 4
    assert session.keep()
    session.segmenter = fewshot.fit(session.gan, session.shots, network="linear", num_steps=1)
    session.show_generated(9, 0.5)
    if not generated:
        session.show(session.gan.sample(11, truncation_psi=1.0))
    strokes = blank(16)
    strokes[0, 5, 2:9] = 4
    after = sessions.of(tab("after"))
    found = kept.restore(after, sessions, kept_of(session, strokes))
    assert torch.equal(found, strokes) and after.classes == session.classes and after.classes[4] == "hat"
    assert torch.allclose(after.sample.image, session.sample.image) and after.seed == session.seed
    assert torch.equal(after.shots[0].label_map, session.shots[0].label_map) and after.editing is None
    assert after.segmenter.classes == session.classes and after.autoshot is None
    session.show(session.shots[0].sample, 0)
    kept.restore(again := sessions.of(tab("again")), sessions, kept_of(session, strokes))
    assert again.editing == 0  # the shot on the canvas is replaced, not doubled


def test_a_segmenter_of_an_earlier_version_costs_no_shot(sessions):
    session = sessions.of(tab("before"))
    session.drawing.label_map[0, 3] = 1
    assert session.keep()
    session.segmenter = fewshot.fit(session.gan, session.shots, network="linear", num_steps=1)
    path, found = session.path("segmenter"), kept_of(session, blank(16))
    tensors, about = load_tensors(path, "segmenter", "test")
    save_tensors(path, tensors, about | {"layers": ["others"]})
    found["files"]["segmenter"] = base64.b64encode(Path(path).read_bytes()).decode()
    kept.restore(after := sessions.of(tab("after")), sessions, found)
    assert len(after.shots) == 1 and after.segmenter is None


@pytest.fixture
def upload(tmp_path, monkeypatch):
    """A picture of 30x20 pixels where Gradio puts uploads, as a browser sends it again."""
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / "uploads"))
    path = tmp_path / "uploads" / "0123" / "a.png"
    path.parent.mkdir(parents=True)
    Image.new("RGB", (30, 20)).save(path)
    return {"file": {"path": str(path)}, "frame": [14, 9, 12, 30]}


def test_uploads_come_back_with_their_frames(sessions, upload):
    session = sessions.of(tab("a"))
    session.frames["of before"] = session.uploads["of before"] = None
    found = kept_of(session, blank(16))
    found["uploads"] = {"try-picture": [upload], "pictures": [upload, {**upload, "frame": None}]}
    kept.restore(session, sessions, found)
    path = upload["file"]["path"]
    assert session.uploads == {"try-picture": [path], "pictures": [path]}
    assert list(session.frames) == [path] and numbers(session.frames[path]) == pytest.approx([14, 9, 12, 30])
    assert session.frames[path].size == (30, 20)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda upload: upload["file"].update(path="/etc/passwd"),
        lambda upload: upload["file"].update(path=upload["file"]["path"].replace("0123", "../../elsewhere")),
        lambda upload: upload.update(frame=[14, 9, 1e9, 30]),
        lambda upload: upload.update(frame=[14, 9, 12]),
        lambda upload: upload.pop("file"),
    ],
)
def test_a_browser_can_name_no_other_file_and_no_frame_that_is_none(sessions, upload, spoil):
    session = sessions.of(tab("a"))
    found = kept_of(session, blank(16))
    found["uploads"] = {"try-picture": [upload]}
    spoil(upload)
    with pytest.raises(Sorry, match="cannot be read, so it starts anew"):
        kept.restore(session, sessions, found)
    assert session.uploads == {} and session.frames == {}


@pytest.mark.parametrize(
    "spoil",
    [
        lambda found: found.clear(),
        lambda found: found["board"]["about"].update(gan="/etc/passwd"),
        lambda found: found["board"]["about"].update(classes=[]),
        lambda found: found["board"]["about"].update(seed="x"),
        lambda found: found["board"].update(labels=[255, 255]),
        lambda found: found["board"].update(labels=[77, 256]),
        lambda found: found["files"].update(shots="AAAA"),
        lambda found: found["files"].update(segmenter="no base64"),
        lambda found: found["files"].update({"../../shots": "AAAA"}),
        lambda found: found.update(files=[]),
    ],
)
def test_what_cannot_be_read_is_said_and_changes_nothing(sessions, spoil):
    session = sessions.of(tab("a"))
    found = kept_of(session, blank(16))
    spoil(found)
    session.drawing.label_map[0, 3] = 1
    assert session.keep()
    if "../../shots" in found.get("files", {}):
        kept.restore(session, sessions, found)
        assert not (Path(session.folder.name).parent.parent / "kept-shots.safetensors").exists()
        return
    with pytest.raises(Sorry, match="cannot be read, so it starts anew"):
        kept.restore(session, sessions, found)
    assert len(session.shots) == 1
