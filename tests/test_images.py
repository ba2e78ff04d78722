import os
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit.errors import ImageError, ShapeError, ToolkitError
from toolkit.pictures import images
from toolkit.pictures.images import (
    Frame,
    centre_box,
    frame_image,
    given_box,
    grid,
    load_image,
    pad_box,
    save_png,
    to_pil,
    to_uint8,
)


def noise(height=6, width=6, channels=3, seed=0):
    shape = (height, width, channels) if channels else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


@settings(max_examples=20, deadline=None)
@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 9))
def test_bytes_survive_the_round_trip(height, width, seed):
    pixels = noise(height, width, seed=seed)
    image = load_image(pixels)
    assert image.shape == (1, 3, height, width) and image.dtype == torch.float32
    np.testing.assert_array_equal(to_uint8(image)[0], pixels)


def test_black_is_minus_one_and_white_is_one():
    pixels = np.zeros((1, 2, 3), np.uint8)
    pixels[0, 1] = 255
    assert load_image(pixels)[0, 0, 0].tolist() == [-1, 1]


def test_every_door_gives_the_same_tensor(tmp_path):
    pixels = noise()
    path = tmp_path / "picture.png"
    Image.fromarray(pixels).save(path)
    for source in (pixels, Image.fromarray(pixels), path, str(path), load_image(pixels)):
        assert torch.equal(load_image(source), load_image(pixels))


def test_exif_orientation_is_honoured(tmp_path):
    picture = Image.fromarray(noise(4, 6))
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: rotate clockwise to view
    picture.save(tmp_path / "turned.png", exif=exif)
    upright = picture.transpose(Image.Transpose.ROTATE_270)
    assert torch.equal(load_image(tmp_path / "turned.png"), load_image(upright))


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "HSV"])
def test_every_mode_becomes_rgb(mode):
    image = load_image(Image.fromarray(noise()).convert(mode))
    assert image.shape == (1, 3, 6, 6) and image.abs().max() <= 1


def test_sixteen_bits_keep_their_range(tmp_path):
    grey = np.array([[0, 257 * 100, 65535]], np.uint16)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    assert to_uint8(load_image(tmp_path / "deep.png"))[0, 0, :, 0].tolist() == [0, 100, 255]


def test_transparency_shows_white():
    pixels = noise(1, 2, 4)
    pixels[0, :, 3] = 0, 255
    assert to_uint8(load_image(pixels))[0, 0].tolist() == [[255] * 3, pixels[0, 1, :3].tolist()]


def test_the_centred_square_is_kept():
    pixels = noise(4, 8)
    assert torch.equal(load_image(pixels, 4), load_image(pixels[:, 2:6]))
    assert torch.equal(load_image(pixels.swapaxes(0, 1), 4), load_image(pixels[:, 2:6].swapaxes(0, 1)))


@settings(max_examples=100, deadline=None)
@given(width=st.integers(1, 12), height=st.integers(1, 12))
def test_padding_keeps_the_whole_picture_and_repeats_its_edges(width, height):
    """At its own size, pixel by pixel; labels come back as they were."""
    pixels, side = noise(height, width), max(width, height)
    beyond = [((side - n + 1) // 2, (side - n) // 2) for n in (height, width)]
    image, frame = frame_image(pixels, side, pad_box)
    np.testing.assert_array_equal(to_uint8(image)[0], np.pad(pixels, (*beyond, (0, 0)), mode="edge"))
    assert torch.equal(load_image(pixels, side, "pad"), image)
    label_map = torch.arange(side * side).view(side, side)
    (top, _), (left, _) = beyond
    assert torch.equal(frame.restore(label_map), label_map[top : top + height, left : left + width])


@settings(max_examples=60, deadline=None)
@given(width=st.integers(1, 900), height=st.integers(1, 900), resolution=st.integers(1, 16))
def test_pictures_of_any_shape_are_padded(width, height, resolution):
    """Also one so long that its other side is less than a pixel."""
    grey = Image.new("RGB", (width, height), (90, 90, 90))
    assert (to_uint8(load_image(grey, resolution, "pad")) == 90).all()


@pytest.mark.parametrize("fit", ["stretch", "", None, ["pad"]])
def test_another_fit_is_refused(fit):
    with pytest.raises(ToolkitError, match=r"load_image: expected fit to be crop or pad; got .*Choose one\."):
        load_image(noise(), 3, fit)


def test_shrinking_is_antialiased():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    assert load_image(stripes, 8)[..., 2:6].abs().max() < 0.05  # grey, where skipping pixels gives black


def test_the_callers_picture_is_left_alone(tmp_path):
    picture = Image.fromarray(noise())
    load_image(picture, 3)
    assert picture.size == (6, 6) and picture.getpixel((0, 0)) == tuple(noise()[0, 0])


# ---- frames: what a network saw of an upload, and the way back ---------------------------------


def test_a_frame_of_the_whole_changes_nothing():
    image, frame = frame_image(noise(), 6)
    assert torch.equal(image, load_image(noise())) and frame == Frame((0.0, 0.0, 6.0, 6.0), (6, 6))
    label_map = torch.arange(36).view(6, 6)
    assert torch.equal(frame.restore(label_map), label_map)


def test_the_centre_is_framed_and_the_rest_stays_unlabelled():
    image, frame = frame_image(noise(4, 8), 4)
    assert torch.equal(image, load_image(noise(4, 8), 4)) and frame.box == (2, 0, 6, 4) and frame.size == (8, 4)
    label_map = torch.arange(16).view(4, 4)
    full = frame.restore(label_map)
    assert full.dtype == torch.int64 and torch.equal(full[:, 2:6], label_map)
    assert (full[:, :2] == 255).all() and (full[:, 6:] == 255).all()
    assert (frame.restore(label_map, outside=0)[:, :2] == 0).all()


def test_restoring_to_twice_the_size_doubles_every_label():
    label_map = torch.arange(9).view(3, 3)
    doubled = label_map.repeat_interleave(2, 0).repeat_interleave(2, 1)
    assert torch.equal(Frame((0, 0, 6, 6), (6, 6)).restore(label_map), doubled)


def test_a_box_may_reach_beyond_the_picture_whose_edge_then_repeats():
    pixels = noise(6, 9)
    image, frame = frame_image(pixels, 8, given_box((-3, -1, 5, 7)))
    np.testing.assert_array_equal(to_uint8(image)[0], np.pad(pixels, ((1, 1), (3, 0), (0, 0)), mode="edge")[:, :8])
    label_map = torch.arange(64).view(8, 8)
    assert torch.equal(frame.restore(label_map)[:, :5], label_map[1:7, 3:])
    assert (frame.restore(label_map)[:, 5:] == 255).all()


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    corner=st.tuples(st.floats(-6, 10), st.floats(-6, 10)),
    sides=st.tuples(st.floats(0.5, 20), st.floats(0.5, 20)),
    resolution=st.integers(1, 8),
)
def test_restored_pixels_take_the_label_they_lie_in(size, corner, sides, resolution):
    """Pixel by pixel, the long way."""
    box = (*corner, corner[0] + sides[0], corner[1] + sides[1])
    label_map = torch.arange(resolution**2).view(resolution, resolution)
    full = Frame(box, size).restore(label_map)
    for y in range(size[1]):
        for x in range(size[0]):
            column = (x + 0.5 - box[0]) / (box[2] - box[0]) * resolution
            row = (y + 0.5 - box[1]) / (box[3] - box[1]) * resolution
            inside = 0 <= column < resolution and 0 <= row < resolution
            if min(abs(v - round(v)) for v in (row, column)) < 1e-6:
                continue  # rounding decides at a border
            if not inside:
                assert full[y, x] == 255
            elif min(sides) >= resolution:
                assert full[y, x] == label_map[int(row), int(column)]
            else:  # a pixel may hold several labels: the one that it holds most of
                step = [side / resolution for side in sides]
                across, down = (
                    [max(0, min(n + 1, (at + 0.5 + 0.5 / s)) - max(n, at + 0.5 - 0.5 / s)) for n in range(resolution)]
                    for at, s in ((column - 0.5, step[0]), (row - 0.5, step[1]))
                )
                shares = np.outer(down, across)
                assert shares.flat[int(full[y, x])] > shares.max() - 1e-6


def test_a_pixel_that_holds_several_labels_takes_the_one_it_holds_most_of():
    label_map = torch.tensor([0, 1, 0, 0, 1, 0]).repeat(6, 1)  # the nearest label of either pixel is a stray one
    assert Frame((0, 0, 2, 2), (2, 2)).restore(label_map).tolist() == [[0, 0], [0, 0]]


@settings(max_examples=100, deadline=None)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    corner=st.tuples(st.floats(-6, 10), st.floats(-6, 10)),
    sides=st.tuples(st.floats(0.5, 20), st.floats(0.5, 20)),
    resolution=st.integers(1, 8),
)
def test_any_box_gives_a_picture_or_one_line(size, corner, sides, resolution):
    box = (*corner, corner[0] + sides[0], corner[1] + sides[1])
    try:
        image, _ = frame_image(Image.new("RGB", size, (200, 100, 50)), resolution, given_box(box))
        np.testing.assert_array_equal(to_uint8(image)[0], np.broadcast_to([200, 100, 50], (resolution, resolution, 3)))
    except ImageError as error:
        assert "expected a box that overlaps a picture" in str(error)


def test_align_sees_the_upload_upright_and_its_box_is_cut(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(4, 6)).save(tmp_path / "turned.png", exif=exif)
    seen = []

    def corner(picture):
        seen.append((picture.mode, picture.size))
        return 1, 2, 3, 4

    image, frame = frame_image(tmp_path / "turned.png", 2, corner)
    assert seen == [("RGB", (4, 6))] and frame == Frame((1, 2, 3, 4), (4, 6))
    upright = np.asarray(Image.fromarray(noise(4, 6)).transpose(Image.Transpose.ROTATE_270))
    np.testing.assert_array_equal(to_uint8(image)[0], upright[2:4, 1:3])


def test_rounding_costs_no_column():
    """7 / (7 / 100) is a little less than 100 in floats; the last column must be the picture's all the same."""
    for side in range(1, 60):
        pixels = noise(side, side)
        expected = Image.fromarray(pixels).resize((100, 100), Image.Resampling.LANCZOS)
        np.testing.assert_array_equal(to_uint8(load_image(pixels, 100))[0], np.asarray(expected))


def test_a_box_beyond_the_edge_by_a_hair():
    pixels = np.full((1000, 1000, 3), 9, np.uint8)
    assert frame_image(pixels, 1, given_box((-0.0004, 0, 1000.0004, 1000)))[0].shape == (1, 3, 1, 1)


def test_a_tensor_fills_its_frame():
    tensor = load_image(noise())
    image, frame = frame_image(tensor, 6, align=None)
    assert torch.equal(image, tensor) and frame == Frame((0.0, 0.0, 6.0, 6.0), (6, 6))
    with pytest.raises(ShapeError, match=r"frame_image: expected image \(N, 3, 8, 8\)"):
        frame_image(tensor, 8)


@pytest.mark.parametrize(
    "box", [(0, 0, 0, 4), (3, 0, 1, 4), (0, 0, 4), "abcd", None, (0, 0, float("nan"), 4), (0, 0, float("inf"), 4)]
)
def test_boxes_are_checked(box):
    with pytest.raises(ImageError, match=r"frame_image: expected a box \(left, top, right, bottom\), left < right"):
        frame_image(noise(), 4, given_box(box))


def test_a_box_beside_the_picture_is_refused():
    with pytest.raises(ImageError, match="expected a box that overlaps a picture of 6x6 pixels; got"):
        frame_image(noise(), 4, given_box((7, 0, 9, 2)))


def test_centre_box_is_the_largest_square():
    assert centre_box(Image.new("RGB", (7, 4))) == (1, 0, 5, 4) and centre_box(Image.new("RGB", (1, 9))) == (0, 4, 1, 5)


# ---- files that are none -------------------------------------------------------------------------


def jpeg(path):
    Image.fromarray(noise(64, 64)).save(path, format="JPEG")
    return path.read_bytes()


def broken_files(folder):
    (folder / "text.png").write_text("no picture")
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "half.jpg").write_bytes(jpeg(folder / "whole.jpg")[:1500])
    return [folder / "text.png", folder / "empty.jpg", folder / "half.jpg"]


def test_broken_files_are_refused_in_one_line(tmp_path):
    for path in broken_files(tmp_path):
        with pytest.raises(ImageError, match=r"^load_image: expected a readable picture .*; got .*\. Open it") as error:
            load_image(path)
        assert "\n" not in str(error.value)


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.mktemp("damaged") / "a.jpg"
    content = bytearray(jpeg(path))
    content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    try:
        assert load_image(path).shape[1] == 3
    except ImageError:
        pass


@pytest.mark.parametrize(
    "source, message",
    [
        ("no/such.png", "expected a picture file; got no file at 'no/such.png'"),
        (7, "expected a path, bytes, binary file, PIL image or NumPy array; got 7"),
        (np.zeros((4, 4, 3)), "expected an array (H, W), (H, W, 3) or (H, W, 4) uint8; got ndarray (4, 4, 3)"),
        (np.zeros((4, 4, 2), np.uint8), "got ndarray (4, 4, 2) uint8"),
        (np.zeros((0, 4, 3), np.uint8), "expected at least one pixel; got ndarray (0, 4, 3)"),
        (Image.new("RGB", (0, 3)), "expected at least one pixel; got 0x3 pixels"),
        (Image.new("F", (2, 2)), "expected a picture of 8 or 16 bits, in grey or in colours; got one in mode 'F'"),
    ],
)
def test_what_is_no_picture_is_refused(source, message):
    with pytest.raises(ImageError, match=re.escape(message)):
        load_image(source)


def test_a_whole_picture_must_fit_in_memory_as_a_tensor(monkeypatch):
    monkeypatch.setattr(images, "MAX_WHOLE", 35)
    assert load_image(noise(5, 7)).shape == (1, 3, 5, 7) and load_image(noise(), 4).shape == (1, 3, 4, 4)
    with pytest.raises(ImageError, match="got 6x6 pixels. Give a resolution."):
        load_image(noise())


@pytest.mark.parametrize(
    "image",
    [
        torch.zeros(3, 8, 8),
        torch.zeros(1, 1, 8, 8),
        torch.zeros(0, 3, 8, 8),
        torch.zeros(1, 3, 8, 8, dtype=torch.uint8),
        torch.full((1, 3, 8, 8), 1.5),
        torch.full((1, 3, 8, 8), torch.nan),
        torch.zeros(1, 3, 8, 9),
    ],
)
def test_tensors_are_checked(image):
    with pytest.raises(ShapeError, match=r"load_image: expected image \(N, 3, 8, 8\) float in \[-1, 1\]; got Tensor"):
        load_image(image, 8)


@pytest.mark.parametrize("resolution", [0, -1, 2.5, "64"])
def test_resolution_is_checked(resolution):
    with pytest.raises(ShapeError, match="expected resolution >= 1, an int"):
        load_image(noise(), resolution)


def test_to_uint8_clips_and_refuses_nan():
    assert to_uint8(torch.tensor([-9.0, 0.0, 9.0]).view(1, 3, 1, 1)).ravel().tolist() == [0, 128, 255]
    with pytest.raises(ShapeError, match="to_uint8: expected image"):
        to_uint8(torch.full((1, 3, 2, 2), torch.nan))


def test_to_pil_takes_one_picture():
    image = load_image(noise())
    assert torch.equal(load_image(to_pil(image[0])), image)
    with pytest.raises(ShapeError, match=r"to_pil: expected one image .* Use grid"):
        to_pil(torch.cat([image, image]))


def test_save_png_replaces_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "new" / "a.png"
    first, second = load_image(noise(seed=1)), load_image(noise(seed=2))
    save_png(path, first)

    def fail(self, file, format):
        with open(file, "wb") as half:
            half.write(b"half")
        raise OSError("disk full")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="disk full"):
        patch.setattr(Image.Image, "save", fail)
        save_png(path, second)
    assert torch.equal(load_image(path), first) and os.listdir(path.parent) == ["a.png"]
    save_png(path, to_pil(second))
    assert torch.equal(load_image(path), second)


def test_grid_places_row_by_row():
    image = torch.cat([load_image(noise(4, 5, seed=s)) for s in range(5)])
    sheet = np.asarray(grid(image, columns=3, gap=2))
    assert sheet.shape == (4 + 2 + 4, 5 * 3 + 2 * 2, 3)
    np.testing.assert_array_equal(sheet[6:10, 7:12], to_uint8(image)[4])
    assert (sheet[4:6] == 255).all() and (sheet[6:, 14:] == 255).all()


def test_grid_takes_pil_and_refuses_nothing():
    assert grid([Image.new("RGB", (3, 3))] * 4, gap=0).size == (6, 6)
    with pytest.raises(ShapeError, match="grid: expected at least one picture"):
        grid([])
