"""Turned frames: cut out of an upload, labels put back; upright ones are tested in test_images."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit.errors import ImageError
from toolkit.pictures.frames import Frame
from toolkit.pictures.images import frame_image


def smooth(width=60, height=40):
    """A picture without edges, whose colours say where one is."""
    x, y = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    return Image.fromarray(np.stack([4 * x, 6 * y, 120 + 0 * x], 2).astype(np.uint8))


def test_a_similarity_says_centre_side_angle_and_corners():
    frame = Frame.around((5, 5), 4, 90, (10, 10))
    assert frame.centre == (5, 5) and frame.side == 4 and frame.box == (3, 3, 7, 7)
    np.testing.assert_allclose(frame.corners, [(7, 3), (7, 7), (3, 7), (3, 3)])


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_quarter_turns_are_numpys(turns):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    cut = np.asarray(Frame((0, 0, 8, 8), (8, 8), 90.0 * turns).cut(Image.fromarray(pixels), 8))
    np.testing.assert_allclose(cut.astype(int), np.rot90(pixels, turns), atol=1)
    label_map = torch.arange(64).view(8, 8)
    assert torch.equal(Frame((0, 0, 8, 8), (8, 8), 90.0 * turns).restore(label_map), label_map.rot90(-turns))


@settings(max_examples=60, deadline=None)
@given(
    centre=st.tuples(st.floats(15, 45), st.floats(15, 25)),
    side=st.floats(6, 20),
    angle=st.floats(-180, 180),
    resolution=st.integers(2, 40),
)
def test_each_pixel_shows_where_it_lies(centre, side, angle, resolution):
    """Linear colours survive any interpolation, so what is cut says where it came from."""
    cut = np.asarray(Frame.around(centre, side, angle, (60, 40)).cut(smooth(), resolution)).astype(float)
    unit = ((np.arange(resolution) + 0.5) / resolution - 0.5) * side
    u, v = np.meshgrid(unit, unit)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    x, y = centre[0] + u * cos - v * sin, centre[1] + u * sin + v * cos
    seen = (x > 1) & (x < 59) & (y > 1) & (y < 39)  # at the edge it repeats
    slack = 0.15 * side / resolution  # filters leave a pixel of the result in its place up to a share of its width
    assert np.abs(cut[..., 0] - 4 * x)[seen].max() < 3 + 4 * slack
    assert np.abs(cut[..., 1] - 6 * y)[seen].max() < 4 + 6 * slack


@settings(max_examples=60, deadline=None)
@given(
    centre=st.tuples(st.floats(-5, 25), st.floats(-5, 20)),
    side=st.floats(4, 30),
    angle=st.floats(-180, 180),
    resolution=st.integers(1, 6),
)
def test_put_back_labels_lie_where_they_were_cut(centre, side, angle, resolution):
    """Pixel by pixel, the long way."""
    size, label_map = (20, 15), torch.arange(resolution**2).view(resolution, resolution)
    full = Frame.around(centre, side, angle, size).restore(label_map)
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    for y in range(size[1]):
        for x in range(size[0]):
            dx, dy = x + 0.5 - centre[0], y + 0.5 - centre[1]
            column = ((dx * cos + dy * sin) / side + 0.5) * resolution
            row = ((dy * cos - dx * sin) / side + 0.5) * resolution
            if min(abs(v - round(v)) for v in (row, column)) < 1e-6:
                continue  # rounding decides at a border
            inside = 0 <= column < resolution and 0 <= row < resolution
            if not inside:
                assert full[y, x] == 255
            elif side >= resolution:
                assert full[y, x] == label_map[int(row), int(column)]


def test_a_turned_frame_smaller_than_its_labels_takes_the_commonest():
    stray = torch.zeros(40, 40, dtype=torch.int64)
    stray[::5, ::5] = 1  # where a nearest label may well fall
    full = Frame.around((10, 10), 10, 30, (20, 20)).restore(stray)
    assert set(full.unique().tolist()) == {0, 255}
    assert (full != 255).sum() == pytest.approx(100, abs=8)


def test_shrinking_a_turned_frame_is_antialiased():
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    cut = np.asarray(Frame.around((128, 128), 128, 20, (256, 256)).cut(Image.fromarray(stripes), 8)).astype(int)
    assert np.abs(cut - 127.5).max() < 8  # grey, where skipping pixels gives black and white


def test_edges_repeat_beyond_the_picture():
    picture = Image.new("RGB", (10, 10), (200, 100, 50))
    cut = np.asarray(Frame.around((0, 0), 30, 33, (10, 10)).cut(picture, 12))
    np.testing.assert_array_equal(cut, np.broadcast_to([200, 100, 50], (12, 12, 3)))


def test_frames_of_another_picture_or_beside_it_are_refused():
    with pytest.raises(ImageError, match=r"a frame for a picture of \(60, 40\) pixels; got one for \(9, 9\)"):
        frame_image(smooth(), 8, Frame((0, 0, 4, 4), (9, 9)))
    with pytest.raises(ImageError, match="expected a box that overlaps a picture of 60x40 pixels"):
        frame_image(smooth(), 8, Frame.around((-30, -30), 8, 45, (60, 40)))
    with pytest.raises(ImageError, match="expected a box .*; got .*, turned by nan"):
        frame_image(smooth(), 8, Frame((0, 0, 4, 4), (60, 40), math.nan))


def test_words_for_the_centre_and_for_the_whole():
    assert frame_image(smooth(), 8, "centre")[1].box == (10, 0, 50, 40)
    assert frame_image(smooth(), 8, "none")[1].box == (0, 0, 60, 40)
