"""Projection through the front door: frames, steps, trust."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit import fewshot
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.gan.files import zoo
from toolkit.gan.files.checkpoints import load_networks, save_gan
from toolkit.gan.model import GAN
from toolkit.pictures import images


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


def test_a_gan_without_calibration_makes_its_own_once(tiny_gan, monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    gan = GAN(tiny_gan.generator, tiny_gan.discriminator)
    first = gan.calibration(1)
    assert first.shape == (64, 2) and (first > 0).all() and len(list(tmp_path.iterdir())) == 1
    again = GAN(tiny_gan.generator, tiny_gan.discriminator)
    monkeypatch.setattr(again, "measure", None)  # would fail if it were measured again
    assert torch.equal(again.calibration(1), first)


def test_a_calibration_is_of_the_same_judge_and_a_damaged_one_is_made_again(tiny_gan, monkeypatch, tmp_path):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    judged = GAN(tiny_gan.generator, tiny_gan.discriminator).calibration(0)
    assert not torch.equal(GAN(tiny_gan.generator).calibration(0), judged)
    for file in tmp_path.iterdir():
        file.write_bytes(b"")
    assert torch.equal(GAN(tiny_gan.generator, tiny_gan.discriminator).calibration(0), judged)


def test_a_cache_that_cannot_be_written_is_a_remark(tiny_gan, monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "file"))
    gan = GAN(tiny_gan.generator, tiny_gan.discriminator)
    with pytest.warns(UserWarning, match="to write .*; got a file, and no folder, .* set TOOLKIT_CACHE"):
        assert gan.calibration(0).shape == (64, 2)


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
