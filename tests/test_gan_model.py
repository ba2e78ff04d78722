"""Projection through the front door: frames, steps, trust."""

import re
import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit import fewshot
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.gan.files import zoo
from toolkit.gan.files.checkpoints import load_networks, save_gan
from toolkit.gan.files.info import describe_gan
from toolkit.gan.model import GAN
from toolkit.gan.placing import place
from toolkit.pictures import images
from toolkit.projection.cost import Cost


@pytest.fixture
def gan(tiny_gan):
    """The tiny GAN with a calibration that every error passes (or, with 0 in it, none)."""
    gan = GAN(tiny_gan.generator, tiny_gan.discriminator)
    gan._calibrations[2] = torch.full((20, 2), 1e9)
    return gan


def test_frames_say_where_the_picture_was(gan):
    upload = Image.fromarray(np.full((40, 60, 3), 90, np.uint8))
    sample = gan.project([upload, upload.rotate(90, expand=True)], num_steps=2)
    assert sample.frames == [images.Frame((10, 0, 50, 40), (60, 40)), images.Frame((0, 10, 40, 50), (40, 60))]
    boxed = gan.project(upload, num_steps=2, align=images.given_box((0, 0, 20, 20)))
    assert boxed.frames[0].box == (0, 0, 20, 20)
    assert sample[1].frames == sample.frames[1:] and len(sample[1].trust) == 1


def test_a_gan_of_padded_pictures_sees_uploads_whole(padded_gan):
    """Where nothing else is asked for; labels come back in the upload's own pixels, none of them missing."""
    upload = Image.fromarray(np.full((40, 60, 3), 90, np.uint8))
    sample = padded_gan.project([upload, upload.rotate(90, expand=True)], num_steps=2)
    assert sample.frames == [images.Frame((0, -10, 60, 50), (60, 40)), images.Frame((-10, 0, 50, 60), (40, 60))]
    auto = [one.align for one in place(padded_gan, sample.image, "auto")]  # a tensor fills its frame
    assert images.frame_image(sample.image, 16, auto[0])[1].box == (0, 0, 16, 16)
    for align, box in (("none", (0, 0, 60, 40)), (images.centre_box, (10, 0, 50, 40))):
        assert padded_gan.project(upload, num_steps=0, align=align).frames[0].box == box
    result = fit(padded_gan).segment(upload, num_steps=2)
    assert result.frame == sample.frames[0] and result.full_label_map.shape == (40, 60)
    assert set(result.full_label_map.unique().tolist()) <= {0, 1}


def test_a_gan_of_pictures_made_square_in_a_way_unknown_here_is_refused(tmp_path, tiny_gan_file):
    save_gan(tmp_path / "x.safetensors", *load_networks(tiny_gan_file), {"fit": "stretch"})
    with pytest.raises(ToolkitError, match="load_gan: expected fit to be crop or pad; got 'stretch'"):
        fewshot.load_gan(tmp_path / "x.safetensors")


def test_no_pictures_are_refused(gan):
    with pytest.raises(ToolkitError, match="GAN.sample: expected num >= 1; got 0. Ask for at least one picture"):
        gan.sample(num=0)


def test_step_by_step_ends_with_the_result(gan):
    image = gan.sample(num=2).image
    steps = list(gan.projecting(image, num_steps=2, every=1))
    assert [done for done, _, _ in steps] == [2, 4] and steps[0][2].trust is None
    result = gan.project(image, num_steps=2)
    assert torch.equal(steps[-1][2].ws, result.ws) and torch.equal(steps[-1][2].trust, torch.ones(2))


def test_low_trust_warns_and_names_the_way_on(gan):
    gan._calibrations[2] = torch.full((20, 2), 1e-9)
    with pytest.warns(UserWarning, match="this picture is unlike anything .*auto-shot network.* or another GAN"):
        assert gan.project(gan.sample().image, num_steps=2).trust.tolist() == [0]
    with pytest.warns(UserWarning, match="2 of 2 pictures are unlike anything"):
        gan.project(gan.sample(num=2).image, num_steps=2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gan.project(gan.sample().image, num_steps=2, judge=False).trust is None
        assert gan.project(gan.sample().image, num_steps=2, noise=True).trust is None


def test_trust_is_unknown_until_the_gan_was_calibrated_and_no_step_is_hidden(tiny_gan, monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    gan, image = GAN(tiny_gan.generator, tiny_gan.discriminator), tiny_gan.sample(3).image
    pictures, synthesis = [], gan.generator.synthesis.forward
    monkeypatch.setattr(
        gan.generator.synthesis, "forward", lambda w, *a, **k: pictures.append(1) or synthesis(w, *a, **k)
    )
    assert gan.project(image, num_steps=3).trust is None
    assert len(pictures) == 3 + 1 and list(tmp_path.iterdir()) == []
    steps = list(gan.calibrating(3, num=20))
    assert steps[-1][:2] == (60, 60) and steps[-1][2].shape == (20, 2)
    assert [done for done, _, _ in steps] == sorted(done for done, _, _ in steps)
    assert 0 <= float(gan.project(image, num_steps=3).trust) <= 1
    assert gan.project(image, num_steps=2).trust is None  # errors after other steps are not comparable
    again = GAN(tiny_gan.generator, tiny_gan.discriminator)
    monkeypatch.setattr(again, "sample", None)  # would fail if anything were measured again
    assert torch.equal(again.calibration(3), steps[-1][2]) and torch.equal(again.calibrate(3, num=20), steps[-1][2])


def test_calibrating_goes_on_where_it_stopped(tiny_gan, monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    monkeypatch.setattr("toolkit.projection.projector.MOST_AT_ONCE", 16)
    stopped = GAN(tiny_gan.generator, tiny_gan.discriminator).calibrating(1, num=24)
    first = next(errors for _, _, errors in stopped if len(errors))
    stopped.close()
    gan = GAN(tiny_gan.generator, tiny_gan.discriminator)
    assert len(first) == 16 and gan.calibration(1) is None  # too few to judge by
    assert torch.equal(gan.calibrate(1, num=24)[:16], first) and len(gan.calibration(1)) == 24
    with pytest.raises(ToolkitError, match="GAN.calibrate: expected num >= 20, a whole number; got 19"):
        gan.calibrate(1, num=19)


def test_a_calibration_is_of_the_same_judge_and_a_damaged_one_is_unknown(tiny_gan, monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    judged = GAN(tiny_gan.generator, tiny_gan.discriminator).calibrate(0, num=20)
    assert GAN(tiny_gan.generator).calibration(0) is None
    assert not torch.equal(GAN(tiny_gan.generator).calibrate(0, num=20), judged)
    for file in tmp_path.iterdir():
        file.write_bytes(b"")
    gan = GAN(tiny_gan.generator, tiny_gan.discriminator)
    assert gan.calibration(0) is None and torch.equal(gan.calibrate(0, num=20), judged)


def test_a_cache_that_cannot_be_written_is_a_remark(tiny_gan, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "file"))
    gan = GAN(tiny_gan.generator, tiny_gan.discriminator)
    with pytest.warns(UserWarning, match="to write .*; got a file, and no folder, .* set TOOLKIT_CACHE"):
        assert gan.calibrate(0, num=20).shape == (20, 2)
    assert gan.calibration(0).shape == (20, 2)


def test_the_cost_of_a_step_is_measured_once_and_said(tiny_gan):
    gan = GAN(tiny_gan.generator, tiny_gan.discriminator)
    cost = gan.step_cost()
    assert 0 < cost.seconds < 10 and cost.memory > 1e8 and gan.step_cost() is cost
    assert re.fullmatch(r"about .* \(.* s a step; cpu, \d+ threads?\), \d+\.\d GB of memory", cost.words(50))
    assert Cost(2.6, 1_600_000_000, "cpu, 2 threads").words(50) == (
        "about 2 min 10 s (2.6 s a step; cpu, 2 threads), 1.6 GB of memory"
    )
    assert "(101 s a step;" in Cost(101.2, None, "cpu").words(1)
    assert Cost(0.5, None, "mps").words(1) == "about 1 s (0.5 s a step; mps)"


def test_the_number_of_steps_can_be_set(tiny_gan):
    gan = GAN(tiny_gan.generator)
    assert gan.projection_steps == 200
    gan.projection_steps = 3
    assert [total for _, total, _ in gan.projecting(gan.sample().image)][-1] == 3
    gan.projection_steps = None
    assert gan.projection_steps == 200
    with pytest.raises(ToolkitError, match="GAN.projection_steps: expected num_steps >= 0"):
        gan.projection_steps = -1


def test_statistics_in_parts_are_those_of_all(tiny_gan, monkeypatch):
    whole = GAN(tiny_gan.generator).statistics
    monkeypatch.setattr("toolkit.gan.features.STATISTICS_PIXELS", 5 * 16 * 16)
    monkeypatch.setattr("toolkit.gan.features.FEWEST_PICTURES", 128)
    parts = GAN(tiny_gan.generator).statistics
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(whole, parts, strict=True))


def test_statistics_with_what_imagenet_sees_are_of_the_drawn_pictures(seeing, monkeypatch):
    monkeypatch.setattr("toolkit.gan.features.SEEN_PICTURES", 128)
    whole = seeing.drawn(seeing._latents(0, 128, 1.0))[1].mean_std()
    assert all(torch.allclose(a, b, atol=1e-3) for a, b in zip(seeing.statistics, whole, strict=True))


def test_its_repr_is_one_line(tiny_gan):
    assert repr(tiny_gan) == (
        f"<GAN {tiny_gan.metadata['name']}: 16 pixels, discriminator, cpu, hash {tiny_gan.hash[:12]}>"
    )


def test_an_upload_comes_back_whole(gan):
    label_map = torch.zeros(16, 16, dtype=torch.long)
    label_map[4:8, 4:12] = 1
    segmenter = fewshot.fit(
        gan, [fewshot.Shot(gan.sample(1), label_map, ["background", "part"], gan)], network="linear", num_steps=2
    )
    result = segmenter.segment(Image.new("RGB", (50, 30), "red"), num_steps=2)
    assert result.full_image.size == (50, 30) and result.full_label_map.shape == (30, 50)
    assert result.trust == 1 and result.frame.box == (10, 0, 40, 30)
    assert len(segmenter.segment([gan.sample(num=2).image, Image.new("RGB", (9, 9))], num_steps=2)) == 3


# ---- a segmenter's GAN, found again
@pytest.fixture
def fitted(tmp_path, monkeypatch, tiny_gan_file):
    """A folder with mine.safetensors, a GAN loaded by that relative path, and seg.safetensors fitted on it."""
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    generator, discriminator = load_networks(tiny_gan_file)
    save_gan("mine.safetensors", generator, discriminator, {})
    gan = fewshot.load_gan("mine.safetensors")
    fit(gan).save("seg.safetensors")
    monkeypatch.chdir("/")
    return tmp_path / "work"


def fit(gan):
    label_map = torch.zeros(16, 16, dtype=torch.long)
    label_map[4:8] = 1
    shot = fewshot.Shot(gan.sample(1), label_map, ["background", "part"], gan)
    return fewshot.fit(gan, [shot], network="linear", num_steps=2)


def test_a_segmenter_finds_its_gan_from_any_working_folder(fitted):
    assert fewshot.load_segmenter(fitted / "seg.safetensors").gan.path == fitted / "mine.safetensors"


def test_a_gan_moved_with_its_segmenter_is_found_beside_it(fitted, tmp_path):
    moved = fitted.rename(tmp_path / "elsewhere")
    assert fewshot.load_segmenter(moved / "seg.safetensors").gan.path == moved / "mine.safetensors"


def test_a_gan_of_the_cache_or_the_weights_is_found_by_its_name(fitted, tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    gan = fewshot.load_gan(fitted / "mine.safetensors")
    gan.metadata["name"] = "my-cats"
    fit(gan).save(tmp_path / "seg.safetensors")
    (tmp_path / "cache/gans").mkdir(parents=True)
    cached = (fitted / "mine.safetensors").rename(tmp_path / "cache/gans/my-cats.safetensors")
    assert fewshot.load_segmenter(tmp_path / "seg.safetensors").gan.path == cached
    monkeypatch.setattr(zoo, "folder", lambda: tmp_path)
    named = cached.rename(tmp_path / "my-cats.safetensors")
    assert fewshot.load_segmenter(tmp_path / "seg.safetensors").gan.path == named


def test_another_gan_of_that_name_is_passed_by(fitted, tmp_path):
    original = (fitted / "mine.safetensors").rename(tmp_path / "hidden.safetensors")
    generator, discriminator = load_networks(original)
    with torch.no_grad():
        generator.mapping.fc0.bias += 1
    save_gan(fitted / "mine.safetensors", generator, discriminator, {})
    with pytest.raises(CheckpointError, match=f"expected GAN .* got another one at {fitted}/mine.safetensors. .*--gan"):
        fewshot.load_segmenter(fitted / "seg.safetensors")
    (fitted / "mine.safetensors").write_bytes(b"no GAN at all")
    with pytest.raises(CheckpointError, match="got none at .*Load it yourself and pass it as gan, or .*--gan"):
        fewshot.load_segmenter(fitted / "seg.safetensors")
    gan = fewshot.load_gan(original)
    assert fewshot.load_segmenter(fitted / "seg.safetensors", gan=gan).gan is gan


def test_gan_info_counts_the_channels_that_a_segmenter_gets():
    for name in ("faces-64", "portraits-64"):
        gan = fewshot.load_gan(name)
        about = describe_gan(gan.generator)
        seen = 0 if about["ImageNet channels"] == "none" else about["ImageNet channels"]
        assert about["hypercolumn channels"] + seen == sum(gan.channels.values())
        assert (seen > 0) == gan.imagenet
