"""The page's frames, results and corrections, from handler to handler, without a browser."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("gradio")
sys.path.insert(0, str(Path(__file__).parent.parent / "demos"))

import gradio as gr  # noqa: E402
import look  # noqa: E402
import networks  # noqa: E402
from correct import corrected  # noqa: E402
from framing import moved  # noqa: E402
from session import Session, Sessions  # noqa: E402
from step_label import Label  # noqa: E402
from step_segment import AUTO, THROUGH, Segment  # noqa: E402
from step_teach import Teach  # noqa: E402
from words import Sorry  # noqa: E402

from toolkit.fewshot import Result  # noqa: E402
from toolkit.pictures import images, labels  # noqa: E402
from toolkit.worlds import portraits  # noqa: E402


@pytest.fixture(scope="module")
def page(tiny_gan_file):
    """The steps of a page for the tiny GAN, which projects in two steps."""
    sessions = Sessions([str(tiny_gan_file)], num_steps=2)
    with gr.Blocks():
        label = Label(sessions, gr.Radio())
        teach = Teach(label)
        return SimpleNamespace(gan=sessions.load("tiny"), label=label, teach=teach, segment=Segment(label, teach))


@pytest.fixture
def session(page):
    return Session(page.gan, "tiny", labels.THREE_CLASSES)


class Answers:
    """An auto-shot network that is right about these classes of the portraits, and knows no others."""

    def __init__(self, classes):
        self.classes = ("background", *classes)

    def predict(self, image):
        truth = portraits.render(len(image), 64, networks.FIRST_SEED)[1]
        found = labels.merge(truth, portraits.CLASSES, self.classes)
        return torch.nn.functional.one_hot(found, len(self.classes)).permute(0, 3, 1, 2).float()

    def segment(self, upload, align):
        right = torch.ones(32, 32, dtype=torch.int64)
        picture = images.frame_image(upload, 32, align)[0][0]
        return Result(picture, right, self.classes[:2], labels.default_palette(2), frame=align, full_image=upload)


@pytest.fixture
def uploads(page, tmp_path):
    """Two pictures of the GAN, as a browser uploads them: (path, caption)."""
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for seed, path in enumerate(paths):
        picture = Image.new("RGB", (48, 32))
        picture.paste(images.to_pil(page.gan.sample(seed).image).resize((32, 32)), (8, 0))
        picture.save(path)
    return [(str(path), None) for path in paths]


def draw(session, *rows):
    """Rows of classes over the picture on the canvas."""
    label_map = torch.tensor([rows[y * len(rows) // 16] for y in range(16)])[None, :, None].expand(1, 16, 16)
    session.drawing.replace(label_map.contiguous())


def taught(page, session, *rows, num_steps=60):
    draw(session, *rows)
    return [updates[page.teach.status] for updates in page.teach.teach(session, "mlp", num_steps)][-1]


def label_maps(session):
    return [picture.through.label_map for picture in session.pictures]


def test_a_correction_is_a_shot_and_the_other_results_follow(page, session, uploads):
    assert "in 60 steps" in taught(page, session, 1, 2)
    list(page.segment.segment(session, uploads, THROUGH, "2"))
    before, first = label_maps(session), session.segmenter
    *_, last = corrected(session, page.label, *page.segment.corrects(session, "2"))
    assert torch.equal(session.drawing.meant[0], before[1])
    assert session.editing is None and last[page.label.canvas.fill] is True
    assert "1 shots" not in taught(page, session, 3, 3, 1, num_steps=0)
    assert len(session.shots) == 2 and session.shots[1].sample is session.sample_of(uploads[1][0])
    assert session.segmenter is not first and session.taught_on == [shot.sample for shot in session.shots]
    shown = page.segment.follow(session, "1")
    after = label_maps(session)
    assert all(not torch.equal(*pair) for pair in zip(before, after))
    assert shown[page.segment.results.downloads].visible
    assert torch.equal(after[0], session.segmenter.segment(session.sample_of(uploads[0][0])).label_map)
    list(corrected(session, page.label, *page.segment.corrects(session, "2")))
    assert session.editing == 1  # corrected again, not once more


def test_fresh_faces_are_drawn_once_where_teaching_goes_on(page, session):
    """Other results wait for them: as long as for the teaching itself."""
    for faces, num_steps in ((2, 40), (1, 0)):
        draw(session, 1, 2)
        steps = list(page.teach.teach(session, "mlp", num_steps))
        assert len(steps) > 2 and sum(page.teach.gallery in updates for updates in steps) == faces


def test_teaching_goes_on_only_from_what_it_would_learn_anew(page, session):
    taught(page, session, 1, 2, num_steps=10)
    assert session.start("mlp") is session.segmenter and session.start("linear") is None
    draw(session, 2, 1)
    session.keep()
    assert session.start("mlp") is session.segmenter  # the shot was edited
    session.classes = ("background", "eyes", "nose", "mouth")
    assert session.start("mlp") is None
    session.classes = labels.THREE_CLASSES
    del session.shots[0]
    assert session.start("mlp") is None


def test_each_upload_has_its_frame_and_its_projection_follows(page, session, uploads):
    taught(page, session, 1, 2, num_steps=10)
    page.segment.place(session, uploads)
    list(page.segment.segment(session, uploads, THROUGH, "1"))
    before = [picture.through.frame for picture in session.pictures]
    assert [frame.box for frame in before] == [(8, 0, 40, 32)] * 2
    sent = {"of": uploads[0][0], "frame": [20, 14, 24, 10]}
    stale = page.segment.move(session, sent, "1")[page.segment.stale]
    assert session.sample_of(uploads[0][0]) is None  # what was projected is of another frame
    list(page.segment.again(session, stale, "1"))
    now = [picture.through.frame for picture in session.pictures]
    assert now == [session.frames[uploads[0][0]], before[1]] and now[0].angle == 10
    assert page.segment.move(session, sent, "1")[page.segment.stale] == stale
    moved(session, {"of": uploads[0][0], "frame": [24, 16, 24, 0]})
    assert list(page.segment.again(session, stale, "1")) == [{}]  # one that was overtaken stops
    assert session.pictures[0].through.frame == now[0]


def test_there_is_nothing_to_correct_before_there_is_a_result(page, session, uploads):
    for act in (lambda: None, lambda: page.segment.place(session, uploads)):
        act()
        with pytest.raises(Sorry, match="no result to correct yet"):
            list(corrected(session, page.label, *page.segment.corrects(session, "1")))
    with pytest.raises(Sorry, match="no auto-shot network for this GAN"):
        list(page.segment.segment(session, uploads, AUTO, "1"))


def test_table_and_downloads_say_and_hold_the_chosen_side(page, session, uploads):
    taught(page, session, 2, 3, num_steps=20)
    session.autoshot = Answers(["eyes"])
    *_, last = page.segment.segment(session, uploads, "Side by side", "1")
    results = page.segment.results
    assert last[results.side].visible and last[results.side].value == "Through projection"
    assert last[results.areas].label == "Pixels of each part, through projection"
    last = page.segment.use_side(session, "By auto-shot", "1")
    assert last[results.areas].label == "Pixels of each part, by auto-shot"
    assert last[results.areas].value["data"][1][:2] == ["eyes", 32 * 32]
    assert last[results.enlarged].visible and last[results.compare].label == "The picture, and its parts by auto-shot"
    with Image.open(last[results.png].value["path"]) as written:
        assert set(np.unique(written)) == {1, 255}
    assert not page.segment.place(session, [])[results.side].visible


def test_an_own_network_is_scored_beside_the_bundled_one_where_labels_are_exact(page, session, monkeypatch):
    monkeypatch.setattr(networks, "HELD_OUT", 2)
    monkeypatch.setattr(networks, "beside", lambda path: Answers(["eyes", "nose", "mouth"]))
    networks._held_out.cache_clear()
    session.autoshot = Answers(["eyes", "nose"])
    draw(session, 1, 3)  # eyes and nose
    session.keep()
    assert networks.compared(session) == ""  # the tiny GAN draws no world with exact labels
    monkeypatch.setitem(session.gan.metadata, "name", "portraits-64")
    monkeypatch.setattr(session.gan, "resolution", 64)
    said = networks.compared(session)
    assert "reaches 100% weighted IoU in eyes and nose, the bundled one 100%." in said and "better" not in said
    session.autoshot = Answers(["eyes", "mouth"])
    draw(session, 1, 2)
    session.keep()
    monkeypatch.setattr(networks, "beside", lambda path: Answers(["eyes", "mouth", "hair"]))
    session.autoshot.predict = lambda image: torch.zeros(len(image), 3, 64, 64)
    assert "reaches 0% weighted IoU" in networks.compared(session)
    assert "The bundled one finds these parts better" in networks.compared(session)
    networks._held_out.cache_clear()
    assert networks.network(session) is session.autoshot
    session.bundled = True
    assert networks.network(session) is not session.autoshot


def test_the_time_left_does_not_jump(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(look.time, "monotonic", lambda: now[0])
    progress, shown = look.Progress("Step"), []
    for step in range(1, 101):
        now[0] += 8 if step == 1 else 1.5 if step % 10 == 0 else 0.5  # a slow start, and now and then a slow step
        progress(step, 100)
        shown.append(progress.countdown.left)
    true = [60 * (1 - step / 100) for step in range(1, 101)]
    assert all(later < sooner + 1 for sooner, later in zip(shown, shown[1:]))  # it does not rise
    assert all(abs(one - other) < 4 for one, other in list(zip(shown, true))[25:])
    assert [look.rounded(seconds) for seconds in (3.4, 43, 88, 200)] == ["3 s", "45 s", "90 s", "3 min"]
