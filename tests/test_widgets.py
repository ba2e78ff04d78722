"""The Python half of the widgets; the page half is tested in JupyterLab."""

import importlib
import sys
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit import fewshot
from toolkit.errors import CheckpointError, ImageError, LabelError, ShapeError, ToolkitError
from toolkit.files import save_tensors
from toolkit.gan.model import Found
from toolkit.pictures.images import Frame
from toolkit.show.labeller import FOLDER, SCRIPTS
from toolkit.show.widgets import Framing, Labeller, explore

CLASSES = ("background", "eyes", "mouth")


@pytest.fixture
def labeller(tiny_gan):
    return Labeller(tiny_gan.sample(0, 2), CLASSES, gan=tiny_gan)


@pytest.fixture
def sent(labeller, monkeypatch):
    """Names of the state sent to the page, as it is sent."""
    names = []
    monkeypatch.setattr(labeller, "send_state", lambda key=None: names.append(key))
    return names


def stroke(labeller, index, box, values, revision=None):
    """What the page sends when a stroke ends."""
    revision = labeller.get_state()["_labels"]["revision"] if revision is None else revision
    message = {"revision": revision, "index": index, "box": list(box)}
    labeller._handle_custom_msg(message, [memoryview(bytes(values))])


def on_the_page(labeller):
    """The labels that a page gets when it connects."""
    return torch.frombuffer(bytearray(labeller.get_state()["_labels"]["data"]), dtype=torch.uint8).view(2, 16, 16)


def test_a_new_labeller_is_unlabelled(labeller):
    assert labeller.label_maps.dtype == torch.int64 and labeller.label_maps.shape == (2, 16, 16)
    assert (labeller.label_maps == 255).all() and labeller.shots() == []


def test_a_stroke_changes_its_box_and_is_not_sent_back(labeller, sent):
    expected = labeller.label_maps.clone()
    stroke(labeller, 1, (3, 4, 6, 6), [0, 1, 2, 255, 1, 1])
    expected[1, 4:6, 3:6] = torch.tensor([[0, 1, 2], [255, 1, 1]])
    assert torch.equal(labeller.label_maps, expected)
    assert "_labels" not in sent
    assert torch.equal(on_the_page(labeller), expected)  # a page that connects later sees it


def test_what_python_sets_is_sent_and_read_back(labeller, sent):
    label_maps = torch.randint(0, 3, (2, 16, 16))
    labeller.label_maps = label_maps.numpy().astype(np.uint8)
    assert torch.equal(labeller.label_maps, label_maps) and labeller.label_maps.dtype == torch.int64
    assert "_labels" in sent and torch.equal(on_the_page(labeller), label_maps)
    labeller.label_maps = label_maps
    label_maps[:] = 0  # the caller's own array stays the caller's
    assert labeller.label_maps.any()


def test_a_stroke_on_labels_that_were_replaced_is_dropped(labeller):
    old = labeller.get_state()["_labels"]["revision"]
    labeller.label_maps = torch.zeros(2, 16, 16, dtype=torch.int64)
    stroke(labeller, 0, (0, 0, 1, 1), [1], revision=old)
    assert (labeller.label_maps == 0).all()


def test_strokes_can_be_observed(labeller):
    seen = []
    labeller.observe(lambda change: seen.append(change["new"][0, 0, 0].item()), "label_maps")
    stroke(labeller, 0, (0, 0, 1, 1), [2])
    stroke(labeller, 0, (0, 0, 1, 1), [1])
    assert seen == [2, 1]


def test_labels_become_shots_that_fit(labeller, tiny_gan):
    stroke(labeller, 1, (0, 0, 2, 2), [0, 1, 1, 2])
    stroke(labeller, 0, (0, 0, 1, 1), [1])  # one class alone teaches nothing
    (shot,) = labeller.shots()
    assert torch.equal(shot.sample.image, labeller._sample.image[1:]) and shot.classes == CLASSES
    assert torch.equal(shot.label_map[0], labeller.label_maps[1]) and shot.gan_hash == tiny_gan.hash
    assert fewshot.fit(tiny_gan, [shot], num_steps=1).classes == CLASSES


def test_it_saves_itself_and_goes_on_where_it_stopped(tiny_gan, tmp_path):
    path = tmp_path / "kept" / "shots.safetensors"
    first = Labeller(tiny_gan.sample(0, 2), CLASSES, gan=tiny_gan, save_to=path)
    assert not path.exists()
    stroke(first, 1, (0, 0, 2, 1), [0, 1])
    stroke(first, 1, (4, 4, 5, 5), [2])
    again = Labeller(tiny_gan.sample(0, 2), CLASSES, gan=tiny_gan, save_to=path)
    assert torch.equal(again.label_maps, first.label_maps)
    again.save(tmp_path / "copy.safetensors")
    (shot,) = fewshot.load_shots(tmp_path / "copy.safetensors")
    assert torch.equal(shot.label_map[0], first.label_maps[1])
    with pytest.raises(ToolkitError, match="save_to with shots of these pictures and classes; got others in"):
        Labeller(tiny_gan.sample(5, 2), CLASSES, save_to=path)


def reopened(gan, path, classes=CLASSES, **options):
    return Labeller(gan.sample(0, 2), classes, gan=gan, save_to=path, **options)


def test_whatever_is_drawn_is_there_after_a_restart(tiny_gan, tmp_path):
    path = tmp_path / "shots.safetensors"
    first = reopened(tiny_gan, path)
    stroke(first, 0, (2, 2, 8, 8), [1] * 36)  # one class so far
    assert torch.equal(reopened(tiny_gan, path).label_maps, first.label_maps)
    with pytest.raises(LabelError, match="load_shots: expected a picture with at least two classes labelled; got none"):
        fewshot.load_shots(path)
    stroke(first, 0, (10, 10, 14, 14), [0] * 16)
    stroke(first, 1, (2, 2, 8, 8), [1] * 36)  # the second picture has one class, the first two
    assert torch.equal(reopened(tiny_gan, path).label_maps, first.label_maps)
    assert len(fewshot.load_shots(path)) == 1
    stroke(first, 0, (0, 0, 16, 16), [255] * 256)
    stroke(first, 1, (0, 0, 16, 16), [255] * 256)  # all erased
    assert (reopened(tiny_gan, path).label_maps == 255).all()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 15), st.sampled_from([0, 1, 2, 255])), max_size=6),
    st.permutations(range(3)),
)
def test_any_drawing_comes_back_in_any_order_of_the_pictures(tiny_gan, strokes, order):
    sample = tiny_gan.sample(0, 3, truncation_psi=1.0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shots.safetensors"
        drawn = Labeller(sample, CLASSES, gan=tiny_gan, save_to=path)
        for index, row, label in strokes:
            stroke(drawn, index, (0, row, 16, row + 1), [label] * 16)
        again = Labeller(sample[torch.tensor(order)], CLASSES, gan=tiny_gan, save_to=path)
        assert torch.equal(again.label_maps, drawn.label_maps[list(order)])


def test_what_was_drawn_by_hand_comes_before_what_is_passed(tiny_gan, tmp_path):
    path, guess = tmp_path / "shots.safetensors", torch.ones(2, 16, 16, dtype=torch.int64)
    guess[:, :8] = 0
    first = reopened(tiny_gan, path, label_maps=guess)
    stroke(first, 0, (0, 0, 16, 16), [255] * 256)
    again = reopened(tiny_gan, path, label_maps=1 - guess)
    assert (again.label_maps[0] == 255).all() and torch.equal(again.label_maps[1], 1 - guess[1])
    assert torch.equal(reopened(tiny_gan, path).label_maps[1], 1 - guess[1])


def test_a_class_more_keeps_the_drawing_and_one_less_is_refused(tiny_gan, tmp_path):
    path = tmp_path / "shots.safetensors"
    stroke(reopened(tiny_gan, path), 0, (0, 0, 2, 1), [0, 2])
    more = reopened(tiny_gan, path, ("background", "nose", "mouth", "ears", "eyes"))
    assert more.label_maps[0, 0, :2].tolist() == [0, 2]
    other = reopened(tiny_gan, path, ("background", "mouth"))
    assert other.label_maps[0, 0, :2].tolist() == [0, 1]
    before = path.read_bytes()
    with pytest.raises(
        LabelError, match=r"Labeller: expected save_to with .*; got others in .*: 'mouth'. Name another"
    ):
        reopened(tiny_gan, path, ("background", "eyes"))
    assert path.read_bytes() == before


def test_the_same_photograph_projected_elsewhere_keeps_its_drawing(tiny_gan, tmp_path):
    path = tmp_path / "shots.safetensors"
    sample = tiny_gan.sample(3)
    there = fewshot.Sample((sample.image + 1e-3).clamp(-1, 1), sample.ws + 1e-3)
    stroke(Labeller(sample, CLASSES, gan=tiny_gan, save_to=path), 0, (2, 2, 8, 8), [1] * 36)
    assert int((Labeller(there, CLASSES, gan=tiny_gan, save_to=path).label_maps == 1).sum()) == 36


def test_alike_pictures_keep_their_places(tiny_gan, tmp_path):
    path = tmp_path / "shots.safetensors"
    alike = tiny_gan.sample(0, 3, truncation_psi=0.0)
    first = Labeller(alike, CLASSES, gan=tiny_gan, save_to=path)
    for i in (2, 1):
        stroke(first, i, (i, 0, i + 1, 1), [i])
    assert torch.equal(Labeller(alike, CLASSES, gan=tiny_gan, save_to=path).label_maps, first.label_maps)


def test_shots_saved_elsewhere_are_gone_on_with(tiny_gan, tmp_path):
    path, label_map = tmp_path / "shots.safetensors", torch.zeros(16, 16, dtype=torch.int64)
    label_map[4:] = 2
    fewshot.save_shots(path, [fewshot.Shot(tiny_gan.sample(0, 2)[1], label_map, CLASSES, tiny_gan)])
    labeller = reopened(tiny_gan, path)
    assert (labeller.label_maps[0] == 255).all() and torch.equal(labeller.label_maps[1], label_map)


def test_a_damaged_file_is_named_and_left_alone(tiny_gan, tmp_path):
    path = tmp_path / "shots.safetensors"
    path.write_bytes(b"")
    with pytest.raises(CheckpointError, match="Labeller: expected a shot file; got .*shots.safetensors"):
        reopened(tiny_gan, path)
    sample = tiny_gan.sample(0, 2)
    save_tensors(path, {"drawings.image": sample.image}, {"format": "shot", "shots": [], "drawings": {}})
    with pytest.raises(CheckpointError, match="Labeller: expected a whole shot file; got .*shots.safetensors"):
        reopened(tiny_gan, path)


def test_pictures_come_in_any_form():
    pixels = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    for pictures in (pixels, [pixels, Image.fromarray(pixels)], torch.zeros(2, 3, 6, 8)):
        labeller = Labeller(pictures, CLASSES)
        assert labeller.label_maps.shape[1:] == (6, 8)
        assert len(labeller.get_state()["_pictures"]) == len(labeller.label_maps)


@pytest.mark.parametrize(
    "value, error, message",
    [
        (torch.zeros(2, 16, 15, dtype=torch.int64), ShapeError, r"integers \(2, 16, 16\); got Tensor \(2, 16, 15\)"),
        (torch.zeros(2, 16, 16), ShapeError, "expected label_map of integers; got Tensor .* float32"),
        ("labels", ShapeError, "expected label_map of integers; got 'labels'"),
        (torch.full((2, 16, 16), 3), LabelError, "expected labels 0..2, or 255; got value 3. Name every class"),
        (torch.full((2, 16, 16), -1), LabelError, "got value -1"),
    ],
)
def test_wrong_labels_are_refused_and_the_old_ones_kept(labeller, value, error, message):
    with pytest.raises(error, match=message):
        labeller.label_maps = value
    assert (labeller.label_maps == 255).all()


def test_wrong_pictures_and_uses_are_refused(tmp_path):
    black = np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(ShapeError, match="Labeller: expected pictures of one size; got 2 of sizes"):
        Labeller([black, black[:3]], CLASSES)
    alone = Labeller(black, CLASSES)
    with pytest.raises(ToolkitError, match="Labeller.shots: expected pictures with latents; got pictures alone"):
        alone.shots()
    with pytest.raises(ToolkitError, match="Labeller.save_to: expected pictures with latents"):
        Labeller(black, CLASSES, save_to=tmp_path / "shots.safetensors")


def test_saving_nothing_is_refused(labeller, tmp_path):
    with pytest.raises(LabelError, match="Labeller.save: expected a picture with at least two classes labelled"):
        labeller.save(tmp_path / "shots.safetensors")
    assert not list(tmp_path.iterdir())


def test_the_page_half_is_one_module_that_fetches_nothing():
    files = [f"{name}.js" for name in (*SCRIPTS, "widget")]
    assert sorted(files) == sorted(path.name for path in FOLDER.glob("*.js"))
    code = Labeller._esm + Labeller._css
    for word in ("http:", "https:", "import ", "import(", "fetch(", "XMLHttp", "@import", "url(", "eval("):
        assert word not in code


def test_predictions_are_corrected_and_the_others_follow(tiny_gan, tmp_path):
    path = tmp_path / "shots.safetensors"
    labeller = Labeller(tiny_gan.sample(0, 3), CLASSES, gan=tiny_gan, save_to=path)
    stroke(labeller, 0, (0, 0, 16, 16), [0] * 128 + [1] * 128)
    mine = labeller.label_maps[0]
    segmenter = fewshot.fit(tiny_gan, labeller.shots(), num_steps=20)
    labeller.predict(segmenter)
    assert torch.equal(labeller.label_maps[0], mine) and (labeller.label_maps[1:] < 3).all()
    assert len(labeller.shots()) == 1  # what nobody has looked at teaches nothing
    predicted = labeller.label_maps[2].clone()
    stroke(labeller, 1, (0, 0, 16, 16), [2] * 200 + [0] * 56)
    first, second = labeller.shots()
    assert second.label_map.unique().tolist() == [0, 2]
    assert (Labeller(tiny_gan.sample(0, 3), CLASSES, gan=tiny_gan, save_to=path).label_maps[2] == 255).all()
    labeller.predict(fewshot.fit(tiny_gan, [first, second], start=segmenter, num_steps=60))
    assert torch.equal(labeller.label_maps[1], second.label_map[0])
    assert not torch.equal(labeller.label_maps[2], predicted)
    other = fewshot.Segmenter(tiny_gan, segmenter.network, "mlp", ["background", "hat", "mouth"])
    labeller.predict(other)
    assert set(labeller.label_maps[2].unique().tolist()) <= {0, 2, 255}
    with pytest.raises(ToolkitError, match="Labeller.predict: expected pictures with latents"):
        Labeller(np.zeros((4, 4, 3), np.uint8), CLASSES).predict(segmenter)


def test_a_frame_goes_to_the_page_and_back(tiny_gan, tmp_path):
    Image.new("RGB", (300, 200)).save(tmp_path / "photo.png")
    framing = Framing(tmp_path / "photo.png", tiny_gan)  # whose framer is none: the centred square
    assert framing.frame == Frame((50.0, 0.0, 250.0, 200.0), (300, 200))
    shown = framing.get_state()
    assert shown["frame"] == [150.0, 100.0, 200.0, 0.0] and shown["_size"] == [300, 200]
    assert shown["_name"] == "photo.png" and shown["_picture"].startswith("data:image/jpeg;base64,")
    seen = []
    framing.observe(lambda change: seen.append(change["new"].angle), "frame")
    framing.set_state({"frame": [100.0, 90.0, 80.0, 12.5]})  # as the page sends it
    assert framing.frame == Frame.around((100, 90), 80, 12.5, (300, 200)) and seen == [12.5]
    sample = tiny_gan.project(tmp_path / "photo.png", align=framing.frame, num_steps=0)
    assert sample.frames == [framing.frame]
    for wrong in ("centre", (0, 0, 10, 10)):
        with pytest.raises(ToolkitError, match="Framing.frame: expected a Frame"):
            framing.frame = wrong
    with pytest.raises(ImageError, match="Framing.frame: expected a box"):
        framing.frame = Frame.around((5, 5), 0, 0, (300, 200))


def test_a_frame_starts_where_the_framer_finds_something(tiny_gan, monkeypatch):
    found = Frame.around((40, 50), 30, -10, (300, 200))
    monkeypatch.setattr(tiny_gan, "framer", "one")
    monkeypatch.setattr(tiny_gan, "find", lambda picture: [Found(found, 1.0, None)])
    assert Framing(Image.new("RGB", (300, 200)), tiny_gan).frame == found
    monkeypatch.setattr(tiny_gan, "find", lambda picture: [])
    assert Framing(Image.new("RGB", (300, 200)), tiny_gan).frame.centre == (150, 100)


def test_a_frame_starts_around_all_of_a_picture_where_the_gans_own_were_padded(padded_gan):
    assert Framing(Image.new("RGB", (300, 200)), padded_gan).frame == Frame((0, -50, 300, 250), (300, 200))


def test_the_page_half_of_frames_fetches_nothing():
    code = Framing._esm + Framing._css
    for word in ("http:", "https:", "import ", "import(", "fetch(", "XMLHttp", "@import", "url(", "eval("):
        assert word not in code


def test_explore_draws_the_picture_its_sliders_name(tiny_gan, labeller):
    def picture(box):
        return bytes(box.children[1].value)

    box = explore(tiny_gan)
    seed, truncation = box.children[0].children
    first = picture(box)
    seed.value = 3
    third = picture(box)
    truncation.value = 0.2
    assert len({first, third, picture(box)}) == 3
    seed.value, truncation.value = 0, 0.7
    assert picture(box) == first

    stroke(labeller, 0, (0, 0, 2, 1), [0, 1])
    segmenter = fewshot.fit(tiny_gan, labeller.shots(), num_steps=1)
    both = Image.open(BytesIO(picture(explore(tiny_gan, segmenter))))
    alone = Image.open(BytesIO(first))
    assert both.width > 2 * alone.width and both.height > alone.height  # the parts beside it, a legend below


def test_without_the_notebook_packages_the_error_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "anywidget", None)
    monkeypatch.delitem(sys.modules, "toolkit.show.widgets")
    with pytest.raises(ToolkitError, match=r"pip install 'one-shot-parts\[notebook\]'"):
        importlib.import_module("toolkit.show.widgets")
