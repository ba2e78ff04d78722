"""Repeated edges are found, and left out where a picture is pasted."""

import numpy as np
import torch
from PIL import Image

from toolkit.pictures import images
from toolkit.pictures.frames import Frame
from toolkit.pictures.margins import margins
from toolkit.pictures.pasting import paste


def whole(width, height, side=64):
    """A picture of noise, made square as a GAN of whole pictures sees it."""
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return images.load_image(Image.fromarray(noise), side, fit="pad")


def test_they_are_as_wide_as_the_shape_says():
    for width, height in ((128, 64), (64, 128), (128, 96), (100, 100)):
        found = margins(whole(width, height))[0] * 64
        side = max(width, height)
        expected = torch.tensor([(side - width) / side / 2, (side - height) / side / 2]) * 64
        assert (found - expected).abs().max() <= 1, (width, height)


def test_a_clear_sky_and_a_flat_picture_have_none():
    picture = whole(64, 64)
    picture[:, :, :20] = 0.3
    assert margins(picture).tolist() == [[0, 0]]
    assert margins(torch.full((2, 3, 64, 64), 0.3)).tolist() == [[0, 0], [0, 0]]


def test_pasted_they_show_what_was_there():
    photograph = Image.new("RGB", (100, 100), (0, 255, 0))
    seen = np.asarray(paste(photograph, whole(128, 64)[0], Frame.around((50, 50), 80, 0, photograph.size), "pad"))
    there = (seen == (0, 255, 0)).all(2)
    assert there[:29].all() and there[-29:].all() and there[:, :9].all()
    assert not there[32:68, 12:88].any()
