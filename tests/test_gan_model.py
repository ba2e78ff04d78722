"""Projection through the front door: frames, steps, trust."""

import warnings

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit import fewshot
from toolkit.errors import ToolkitError
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
