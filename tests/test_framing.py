"""Framing: geometry, with a network that measures; its file; and what a GAN and auto-shot make of it."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit import experiments, fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.autoshot.unet import UNet
from toolkit.errors import CheckpointError, ImageError, ToolkitError
from toolkit.gan.model import GAN
from toolkit.pictures.frames import Frame, pad_box
from toolkit.pictures.images import frame_image
from toolkit.pictures.pasting import paste
from toolkit.projection.framing import (
    TURN,
    WINDOW,
    Framer,
    Placed,
    corrected,
    load_framer,
    placed,
    save_framer,
    view,
)
from toolkit.projection.looks import LOOKS, WIDER, together
from toolkit.training.framer import calibrate


class Measuring(Framer):
    """Finds a red square with a green upper half, by its moments."""

    def forward(self, windows):
        red, green = windows[:, 0] > 0.2, windows[:, 1] > 0.2
        there = (red | green).float()
        mass = there.sum((1, 2)).clamp(min=1)
        unit = (torch.arange(WINDOW) + 0.5) / WINDOW - 0.5
        x, y = (there * unit).sum((1, 2)) / mass, (there * unit[:, None]).sum((1, 2)) / mass
        up = green.float()
        up_mass = up.sum((1, 2)).clamp(min=1)
        dx, dy = (up * unit).sum((1, 2)) / up_mass - x, (up * unit[:, None]).sum((1, 2)) / up_mass - y
        side = mass.sqrt() / WINDOW
        # At a window's edge part of the square is missing, and so it is off its centre's place.
        seen = (mass > 30) & (x.abs() < 0.3) & (y.abs() < 0.3) & (side < 0.8)
        turn = torch.atan2(dx, -dy) * (180 / math.pi / TURN)
        return torch.stack([seen * 8.0 - 4 - 3 * (x.square() + y.square()), x, y, side.log2(), turn], 1)


def flags(size, *frames):
    """Dark, with a two-coloured square in each frame."""
    pixels = np.full((size[1], size[0], 3), 20, np.uint8)
    halves = torch.tensor([[1], [2]]).repeat(1, 2)
    for frame in frames:
        full = frame.restore(halves).numpy()
        pixels[full == 1], pixels[full == 2] = (20, 255, 20), (255, 20, 20)
    return Image.fromarray(pixels)


@settings(max_examples=12, deadline=None)
@given(
    size=st.tuples(st.integers(200, 500), st.integers(200, 500)),
    # Half the diagonal of the largest is 0.354: none is cut by the picture's edge.
    at=st.tuples(st.floats(0.36, 0.64), st.floats(0.36, 0.64)),
    share=st.floats(0.25, 0.5),
    angle=st.floats(-40, 40),
)
def test_a_square_is_found_wherever_it_lies(size, at, share, angle):
    frame = Frame.around((at[0] * size[0], at[1] * size[1]), share * min(size), angle, size)
    found = Measuring().find(flags(size, frame), 0.5)
    assert len(found) == 1 and found[0].frame.size == size
    assert math.dist(found[0].frame.centre, frame.centre) < 0.03 * frame.side
    assert found[0].frame.side == pytest.approx(frame.side, rel=0.05)
    assert found[0].frame.angle == pytest.approx(angle, abs=3)


def test_two_are_two_and_none_is_none():
    frames = [Frame.around((120, 150), 90, 20, (600, 300)), Frame.around((450, 140), 110, -15, (600, 300))]
    found = Measuring().find(flags((600, 300), *frames), 0.5)
    assert len(found) == 2
    for frame in frames:
        assert min(math.dist(one.frame.centre, frame.centre) for one in found) < 5
    assert Measuring().find(Image.new("RGB", (300, 200)), 0.5) == []


def halves(num, side=64):
    """What `flags` draws, as pictures (num, 3, side, side) uint8."""
    pixels = torch.full((num, 3, side, side), 20, dtype=torch.uint8)
    pixels[:, 1, : side // 2] = pixels[:, 0, side // 2 :] = 255
    return pixels


class Astray(Measuring):
    """Is always off by the same: x and y in sides, octaves, degrees."""

    OFF = 0.05, -0.04, 0.12, 3.0

    def find(self, picture, threshold=None):
        frames = [one.frame for one in super().find(picture, threshold)]
        rows = torch.tensor([[*f.centre, f.side, f.angle] for f in frames]).view(-1, 4)
        x, y, octaves, turn = self.OFF
        there = rows[:, 3] * math.pi / 180
        aside = torch.stack([x * there.cos() - y * there.sin(), x * there.sin() + y * there.cos()], 1) * rows[:, 2:3]
        rows = torch.cat([rows[:, :2] + aside, rows[:, 2:3] * 2**octaves, rows[:, 3:] + turn], 1)
        return [Placed(Frame.around((x, y), side, a, picture.size), 0.9) for x, y, side, a in rows.tolist()]


def test_what_a_framer_is_off_by_is_learned_and_taken_off():
    dark = torch.full((4, 3, 64, 64), 20, dtype=torch.uint8)
    off = calibrate(Astray(), halves(12), dark)
    assert off[:3] == pytest.approx(Astray.OFF[:3], abs=0.02) and off[3] == pytest.approx(Astray.OFF[3], abs=1)
    # Itself it reads no "off", so that it may be judged again.
    framer = Measuring()
    framer.metadata["off"] = [0.3, 0.3, 1.0, 30.0]
    assert calibrate(framer, halves(6), dark)[:3] == pytest.approx([0, 0, 0], abs=0.02)
    assert framer.metadata["off"] == [0.3, 0.3, 1.0, 30.0]
    assert calibrate(Measuring(), dark, dark) == [0, 0, 0, 0]  # nothing is found


def test_find_takes_off_what_the_file_says():
    frame = Frame.around((150, 140), 80, 20, (300, 280))
    off, plain = Measuring(), Measuring().find(flags((300, 280), frame), 0.5)[0].frame
    off.metadata["off"] = [0.1, -0.2, 0.5, 5.0]
    found = off.find(flags((300, 280), frame), 0.5)[0].frame
    expected = corrected(torch.tensor([[*plain.centre, plain.side, plain.angle]]), off.metadata["off"])[0].tolist()
    assert [*found.centre, found.side, found.angle] == pytest.approx(expected, abs=0.02)


@given(
    off=st.tuples(st.floats(-0.2, 0.2), st.floats(-0.2, 0.2), st.floats(-0.5, 0.5), st.floats(-20, 20)),
    angle=st.floats(-60, 60),
    side=st.floats(20, 200),
)
def test_corrected_is_the_way_back(off, angle, side):
    """From a frame to one that is off by so much of its side, along its edges, and back."""
    (x, y, octaves, turn), a = off, math.radians(angle)
    aside = (x * math.cos(a) - y * math.sin(a)) * side, (x * math.sin(a) + y * math.cos(a)) * side
    found = torch.tensor([[100 + aside[0], 90 + aside[1], side * 2**octaves, angle + turn, 0.7]], dtype=torch.float64)
    assert corrected(found, off)[0].tolist() == pytest.approx([100, 90, side, angle, 0.7], abs=1e-6)


def test_a_pasted_picture_is_what_its_frame_holds():
    picture = F.interpolate(torch.rand(1, 3, 8, 8) * 2 - 1, size=(64, 64), mode="bilinear")[0]
    frame = Frame.around((150, 140), 128, 25, (300, 280))
    seen = frame.cut(paste(Image.new("RGB", (300, 280)), picture, frame), 64)
    error = (torch.from_numpy(np.array(seen)).permute(2, 0, 1) / 127.5 - 1 - picture).abs()
    assert error[:, 2:-2, 2:-2].max() < 0.1
    outside = np.array(paste(Image.new("RGB", (300, 280)), picture, frame))[frame.restore(torch.zeros(2, 2)) == 255]
    assert not outside.any()


def test_a_windows_view_and_its_answer_use_the_same_coordinates():
    """A picture whose colours are its coordinates: the pixel where the answer lies shows the answer's place."""
    y, x = torch.meshgrid((torch.arange(100) + 0.5) / 100, (torch.arange(100) + 0.5) / 100, indexing="ij")
    image = torch.stack([x, y, x * 0])[None]
    windows = torch.tensor([[40.0, 60.0, 30.0, 35.0]])
    seen = view([image], windows)[0]
    for row, column in ((10, 20), (50, 33)):
        offset = torch.tensor([(column + 0.5) / WINDOW - 0.5, (row + 0.5) / WINDOW - 0.5])
        answer = torch.tensor([[0.0, offset[0], offset[1], 0.0, 0.0]])
        assert torch.allclose(seen[:2, row, column] * 100, placed(windows, answer)[0, :2], atol=0.1)


def test_the_file_keeps_it(tmp_path):
    torch.manual_seed(0)
    framer = Framer((4, 8, 8, 16)).eval()
    save_framer(tmp_path / "f.safetensors", framer, {"gan_hash": "a", "threshold": 0.25})
    again = load_framer(tmp_path / "f.safetensors")
    windows = torch.rand(2, 3, WINDOW, WINDOW)
    assert torch.equal(again(windows), framer(windows)) and again.metadata["threshold"] == 0.25
    assert not any(p.requires_grad for p in again.parameters())
    with pytest.raises(CheckpointError, match="load_framer: expected a framer file"):
        fewshot.save_sample(tmp_path / "s.safetensors", *_sample(fewshot))
        load_framer(tmp_path / "s.safetensors")


def _sample(fewshot):
    class Hash:
        metadata, hash = {"name": "x"}, "x"

    return fewshot.Sample(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 2)), Hash()


# ---- what a GAN makes of it --------------------------------------------------------------------------

FRAMES = [Frame.around((15, 20), 10, 30, (60, 40)), Frame.around((45, 20), 20, -10, (60, 40))]
PHOTO = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8))


class Finds:
    """A framer that finds these, in any picture of their size."""

    def __init__(self, frames):
        self.frames, self.metadata = frames, {"channels": [4, 8, 8, 16]}

    def find(self, picture):
        return [Placed(frame, 0.9 - 0.1 * i) for i, frame in enumerate(self.frames)]


@pytest.fixture
def gan(tiny_gan):
    return GAN(tiny_gan.generator, tiny_gan.discriminator, framer=Finds(FRAMES))


def test_auto_projects_what_was_found(gan):
    sample = gan.project(PHOTO, num_steps=1, align="auto", judge=False)
    assert sample.frames == FRAMES[:1]
    expected = np.asarray(FRAMES[0].cut(PHOTO, 16)).astype(float) / 127.5 - 1
    np.testing.assert_allclose(sample.image[0].permute(1, 2, 0), expected, atol=1e-6)
    assert gan.project([PHOTO, PHOTO], num_steps=1, align="auto", all=True, judge=False).frames == FRAMES * 2


def test_a_segmenter_looks_at_what_was_found_in_three_sizes(seeing, shot, monkeypatch):
    monkeypatch.setattr(seeing, "framer", Finds(FRAMES))
    few = fewshot.fit(seeing, [shot], num_steps=20)
    found, by_hand = few.segment([PHOTO, PHOTO], num_steps=0, judge=False, align=["auto", FRAMES[0]])
    looks = few.segment([PHOTO] * 3, num_steps=0, judge=False, align=[FRAMES[0].scaled(by) for by in LOOKS])
    scores = together(torch.stack([look.logits for look in looks]).softmax(1))
    assert by_hand.frame == FRAMES[0] and torch.equal(by_hand.label_map, looks[0].label_map)
    assert found.frame == FRAMES[0].scaled(WIDER) and torch.equal(found.image, looks[LOOKS.index(WIDER)].image)
    torch.testing.assert_close(found.logits, scores, atol=1e-4, rtol=0)
    assert (found.label_map == scores.argmax(0)).float().mean() > 0.99
    assert (scores - looks[0].logits.softmax(0)).abs().max() > 0.05  # one look says something else


def test_looks_lie_on_one_another():
    """Of a slope, which each look sees at its own size, the mean is that slope again."""
    slope = torch.linspace(-1, 1, 33)
    looks = torch.stack([(by * slope).expand(1, 33, 33) for by in LOOKS])
    for wider in (1.0, WIDER):
        inner = together(looks, wider)[0, :, 2:-2]
        torch.testing.assert_close(inner, (wider * slope).expand(33, 33)[:, 2:-2], atol=0.02, rtol=0)
    ones = torch.ones(len(LOOKS), 2, 32, 32) * torch.arange(1.0, 1 + len(LOOKS)).view(-1, 1, 1, 1)
    assert together(ones)[0, 16, 16] == 2 and together(ones)[0, 0, 0] == 3  # at the edge the largest sees alone


def test_each_picture_may_have_its_own_align(gan):
    sample = gan.project([PHOTO, PHOTO, PHOTO], num_steps=1, align=[FRAMES[1], "centre", "auto"], judge=False)
    assert sample.frames == [FRAMES[1], Frame((10, 0, 50, 40), (60, 40)), FRAMES[0]]
    with pytest.raises(ToolkitError, match="project: expected an align for each of 2 pictures; got 1"):
        gan.project([PHOTO, PHOTO], num_steps=1, align=["centre"])


def test_the_surest_comes_first_whatever_its_trust(tiny_gan, monkeypatch):
    gan = GAN(tiny_gan.generator, tiny_gan.discriminator, framer=Finds(FRAMES))
    usual = torch.linspace(0.5, 1, 20)[:, None].expand(20, 2)
    gan.encoder = SimpleNamespace(calibration=usual)
    monkeypatch.setattr(gan, "measure", lambda image, steps: torch.tensor([[9.0, 9.0], [0.1, 0.1]]))
    found = gan.find(PHOTO)
    assert [one.frame for one in found] == FRAMES and [one.trust for one in found] == [0, 1]


def test_nothing_found_says_so(gan, tiny_gan):
    gan.framer = Finds([])
    assert gan.find(PHOTO) == []
    with pytest.raises(ImageError, match="project: expected a picture of what .* draws; got nothing like it in 60x40"):
        gan.project(PHOTO, align="auto")
    with pytest.raises(ToolkitError, match="find: expected a GAN with a framer; got none beside .*train-framer"):
        tiny_gan.find(PHOTO)
    with pytest.raises(ToolkitError, match="project: expected a GAN with a framer"):
        tiny_gan.project(PHOTO, align="auto")


def test_a_framer_beside_the_gan_is_loaded_and_another_gans_refused(tiny_gan_file, tmp_path):
    (tmp_path / "g.safetensors").write_bytes(tiny_gan_file.read_bytes())
    gan_hash = fewshot.load_gan(tmp_path / "g.safetensors").hash
    for known in (gan_hash, None):  # None: learned from a folder of photographs framed alike
        save_framer(tmp_path / "g-framer.safetensors", Framer((4, 8, 8, 16)), {"gan_hash": known})
        assert fewshot.load_gan(tmp_path / "g.safetensors").framer is not None
    save_framer(tmp_path / "g-framer.safetensors", Framer((4, 8, 8, 16)), {"gan_hash": "another"})
    with pytest.raises(CheckpointError, match="load_gan: expected a framer of GAN .*; got one of GAN another"):
        fewshot.load_gan(tmp_path / "g.safetensors")


class Asked:
    """A segmenter that calls everything background, and keeps what it was asked for."""

    def __init__(self):
        self.classes, self.asked, self.gan = ["background", "part"], [], SimpleNamespace(framer=None)

    def segment(self, picture, align, **options):
        align = self.gan.framer.find(picture)[0].frame if align == "auto" else align
        self.asked.append((align, options))
        return SimpleNamespace(full_label_map=align.restore(torch.zeros(4, 4, dtype=torch.int64)))


def test_the_experiment_judges_projection_as_found_and_framed_exactly(tmp_path):
    pictures = halves(2).float() / 127.5 - 1
    Image.new("RGB", (300, 200), (20, 20, 20)).save(tmp_path / "dark.png")
    labels, few = torch.zeros(2, 64, 64, dtype=torch.int64), Asked()
    report = experiments.framing(
        Measuring(), pictures, labels, [tmp_path / "dark.png"], segmenters={"few": few}, num_steps=0
    )
    assert report["found"] == 100 and report["iou"] == {"few": {"exactly": 100, "found": 100}}
    assert [options for _, options in few.asked] == [{"num_steps": 0, "judge": False}] * 4
    for exact, found in zip(few.asked[::2], few.asked[1::2], strict=True):
        assert math.dist(exact[0].centre, found[0].centre) < 0.1 * exact[0].side and exact[0] != found[0]


def test_photographs_cut_to_the_object_are_found_whole(tmp_path):
    for i in range(3):
        Image.new("RGB", (300, 200)).save(tmp_path / f"{i}.png")
    files, size = sorted(tmp_path.iterdir()), (300, 200)
    wide = Frame.around((165, 100), 330, 2, size)  # the whole is (150, 100), 300 wide
    report = experiments.framing_of_cut(Finds([wide]), files)
    assert report == {
        "pictures": 3,
        "found": 100,
        "off": {"centre (sides)": 0.05, "size (times)": 1.1, "tilt (degrees)": 2},
    }
    far = Frame.around((150, 100), 300 * 1.4, 0, size)
    assert experiments.framing_of_cut(Finds([far]), files)["found"] == 0
    assert experiments.framing_of_cut(Finds([Frame.around((150, 100), 200, 0, size)]), files, "crop")["found"] == 100


# ---- and auto-shot -------------------------------------------------------------------------------------


def auto(framer=None):
    torch.manual_seed(0)
    return AutoShotSegmenter(UNet(3, 4), ["background", "a", "b"], 16, framer=framer)


def test_auto_shot_sees_the_frame_and_puts_it_back():
    result = auto(Finds(FRAMES)).segment(PHOTO, align="auto")
    wider = FRAMES[0].scaled(WIDER)
    assert result.frame == wider and result.image.shape == (3, 11, 11)
    full = result.full_label_map
    assert full.shape == (40, 60) and ((full == 255) == (wider.restore(torch.zeros(2, 2).long()) == 255)).all()
    again = auto().segment(PHOTO, align=FRAMES[0])  # set by hand, it is labelled as it is
    assert again.frame == FRAMES[0] and again.image.shape == (3, 10, 10) and again.as_dict()["angle"] == 30


class Dark(torch.nn.Module):
    """Labels what is dark; a network without anything learned."""

    def __init__(self):
        super().__init__()
        self.scale = torch.nn.Parameter(torch.tensor(5.0))

    def forward(self, image):
        light = image.mean(1, keepdim=True) * self.scale
        return torch.cat([light, -light], 1)


@pytest.mark.parametrize("angle", [0, 30])
def test_several_looks_at_a_frame_lie_on_one_another(angle):
    picture = Image.new("RGB", (200, 160), "white")
    frame = Frame.around((100, 80), 120, angle, picture.size)
    lines = torch.zeros(64, 64)
    lines[6:9, 4:-4] = lines[:, 55:58] = 1  # near the edges, and thinner than the looks differ there
    drawn = frame.restore(lines.long(), 0).bool()
    picture = Image.fromarray(np.where(drawn[..., None], 0, np.asarray(picture)).astype(np.uint8))
    network = AutoShotSegmenter(Dark(), ["background", "line"], 64, framer=Finds([frame]))
    for align in (frame, "auto"):
        found = network.segment(picture, align=align).full_label_map == 1
        assert (found & drawn).sum() / (found | drawn).sum() > 0.85


def test_what_lies_beyond_a_frame_that_was_found_too_small_is_labelled():
    picture = Image.new("RGB", (200, 160), "white")
    frame = Frame.around((100, 80), 120, 20, picture.size)
    around = (frame.scaled(1.08).restore(torch.zeros(2, 2).long()) == 0) & (
        frame.restore(torch.zeros(2, 2).long()) == 255
    )
    picture = Image.fromarray(np.where(around[..., None], 0, np.asarray(picture)).astype(np.uint8))
    network = AutoShotSegmenter(Dark(), ["background", "line"], 64, framer=Finds([frame]))
    found = network.segment(picture, align="auto").full_label_map == 1
    assert (found & around).sum() / (found | around).sum() > 0.7


def test_auto_shot_gives_one_for_each_that_was_found():
    network, wider = auto(Finds(FRAMES)), [frame.scaled(WIDER) for frame in FRAMES]
    assert [r.frame for r in network.segment(PHOTO, align="auto", all=True)] == wider
    assert [r.frame for r in network.segment([PHOTO, PHOTO], align="auto")] == wider[:1] * 2
    network.framer = Finds([])
    with pytest.raises(ImageError, match="segment: expected a picture of what .*nothing like it in 60x40"):
        network.segment(PHOTO, align="auto")
    with pytest.raises(ToolkitError, match="segment: expected an auto-shot network with a framer"):
        auto().segment(PHOTO, align="auto")


def test_auto_shot_centre_is_the_centred_square():
    assert auto().segment(PHOTO, align="centre").frame.box == (10, 0, 50, 40)
    assert auto().segment(PHOTO).frame.box == (0, 0, 60, 40)


@pytest.mark.parametrize("align", ["none", "centre"])
def test_auto_shot_of_padded_pictures_sees_uploads_as_they_were(align, tmp_path):
    network = auto()
    network.fit = "pad"
    network.save(tmp_path / "a.safetensors")
    network = AutoShotSegmenter.load(tmp_path / "a.safetensors")
    result, seen = network.segment(PHOTO, align=align), frame_image(PHOTO, 16, pad_box)[0]
    logits = F.interpolate(network.predict(seen), size=(60, 60), mode="bilinear")
    assert torch.equal(result.label_map, logits[0].argmax(0)) and result.frame.box == (0, -10, 60, 50)
    assert torch.equal(result.full_label_map, result.label_map[10:50])  # of the picture's own pixels all, no others
    assert network.segment(PHOTO, align=FRAMES[0]).frame == FRAMES[0]
    assert network.segment(torch.zeros(1, 3, 20, 30)).label_map.shape == (20, 30)  # a tensor is taken whole


def test_its_file_keeps_the_framer(tmp_path):
    torch.manual_seed(1)
    network = auto(Framer((4, 8, 8, 16)).eval())
    network.framer.metadata["threshold"] = 0.125
    network.save(tmp_path / "a.safetensors")
    again = AutoShotSegmenter.load(tmp_path / "a.safetensors").framer
    windows = torch.rand(2, 3, WINDOW, WINDOW)
    assert torch.equal(again(windows), network.framer(windows)) and again.metadata["threshold"] == 0.125
    auto().save(tmp_path / "b.safetensors")
    assert AutoShotSegmenter.load(tmp_path / "b.safetensors").framer is None
