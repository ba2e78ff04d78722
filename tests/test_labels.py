import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit.errors import ImageError, LabelError, ShapeError
from toolkit.pictures import labels
from toolkit.pictures.images import load_image, to_pil, to_uint8
from toolkit.pictures.labels import (
    IGNORE_INDEX,
    PORTRAIT_CLASSES,
    THREE_CLASSES,
    UNLABELLED_COLOR,
    check_label_map,
    colorize,
    default_palette,
    keep,
    load_label_png,
    merge,
    overlay,
    save_label_png,
)

# Linear-RGB matrices of Machado et al. 2009 (severity 1.0): what dichromats see.
VISION = {
    "normal": np.eye(3),
    "protan": [[0.1523, 1.0526, -0.2049], [0.1145, 0.7863, 0.0992], [-0.0039, -0.0481, 1.0520]],
    "deutan": [[0.3673, 0.8606, -0.2280], [0.2801, 0.6725, 0.0474], [-0.0118, 0.0429, 0.9689]],
    "tritan": [[1.2555, -0.0767, -0.1788], [-0.0784, 0.9309, 0.1476], [0.0047, 0.6914, 0.3039]],
}


def cie_lab(palette, vision):
    rgb = palette / 255
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = (linear @ np.array(vision).T).clip(0, 1)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)


@pytest.mark.parametrize("vision", VISION)
def test_ten_classes_can_be_told_apart(vision):
    lab = cie_lab(default_palette(10), VISION[vision])
    distance = np.linalg.norm(lab[:, None] - lab[None], axis=2) + 1e9 * np.eye(10)
    assert distance.min() > 15  # 2.3 is just noticeable


def test_many_classes_get_different_colors_and_keep_the_first():
    assert len(np.unique(default_palette(255), axis=0)) == 255
    np.testing.assert_array_equal(default_palette(255)[:10], default_palette(10))
    with pytest.raises(LabelError, match="expected 1 to 255 classes; got 256"):
        default_palette(256)


@settings(max_examples=30, deadline=None)
@given(values=st.lists(st.sampled_from([*range(10), IGNORE_INDEX]), min_size=1, max_size=20))
def test_merge_renames_by_name(values):
    names = [*PORTRAIT_CLASSES] + ["unlabelled"] * 246
    merged = merge(torch.tensor(values).view(1, 1, -1), PORTRAIT_CLASSES, THREE_CLASSES)
    for old, new in zip(values, merged.flatten().tolist()):
        if old == IGNORE_INDEX:
            assert new == IGNORE_INDEX
        elif names[old] in THREE_CLASSES:
            assert THREE_CLASSES[new] == names[old]
        else:
            assert new == 0


def test_keep_unlabels_what_has_no_name_in_the_new_set():
    label_map = torch.tensor([[[0, 1, 2, 255]]])
    kept = keep(label_map, ("background", "eyes", "mouth"), ("background", "mouth", "hat"))
    assert kept.tolist() == [[[0, 255, 1, 255]]]
    assert torch.equal(keep(label_map, ("a", "b", "c"), ("a", "b", "c")), label_map)
    with pytest.raises(LabelError, match="keep: expected labels 0..1, or 255 for unlabelled; got value 2"):
        keep(label_map, ("background", "eyes"), ("background",))


def test_merge_refuses_unknown_names_and_values():
    label_map = torch.tensor([[[0, 12]]])
    with pytest.raises(LabelError, match=r"merge: expected classes among .*; got \['wheel'\]"):
        merge(label_map, PORTRAIT_CLASSES, ["background", "wheel"])
    with pytest.raises(LabelError, match="merge: expected labels 0..9, or 255 for unlabelled; got value 12"):
        merge(label_map, PORTRAIT_CLASSES, THREE_CLASSES)


@pytest.mark.parametrize(
    "label_map, error, message",
    [
        ([[0, 1]], ShapeError, "fit: expected label_map (N, H, W); got Tensor (1, 2) int64"),
        ([[[0.0, 1.0]]], ShapeError, "fit: expected label_map of integers; got Tensor (1, 1, 2) float32"),
        ([[[0, 3]]], LabelError, "fit: expected labels 0..2, or 255 for unlabelled; got value 3."),
        ([[[-1, 1]]], LabelError, "got value -1."),
        ([[[255, 255]]], LabelError, "fit: expected at least two classes labelled; got no labelled pixel."),
        ([[[2, 255]]], LabelError, "fit: expected at least two classes labelled; got only class 2."),
        ([[[]]], ShapeError, "fit: expected label_map of integers"),
    ],
)
def test_labels_that_teach_nothing_are_refused(label_map, error, message):
    with pytest.raises(error, match=re.escape(message)):
        check_label_map(torch.tensor(label_map), 3, "fit")


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_good_labels_pass(dtype):
    label_map = np.array([[[0, 2, IGNORE_INDEX]]]).astype(dtype)
    check_label_map(label_map, 3, "fit")
    check_label_map(torch.from_numpy(label_map), 3, "fit")


@settings(max_examples=20, deadline=None)
@given(num_classes=st.integers(2, 255), seed=st.integers(0, 9))
def test_label_png_round_trip(tmp_path_factory, num_classes, seed):
    path = tmp_path_factory.mktemp("png") / "labels.png"
    label_map = torch.randint(num_classes, (1, 5, 4), generator=torch.Generator().manual_seed(seed))
    label_map[0, 0, 0] = IGNORE_INDEX
    palette = default_palette(num_classes)
    save_label_png(path, label_map, palette)
    assert torch.equal(load_label_png(path), label_map)
    np.testing.assert_array_equal(Image.open(path).convert("RGB"), colorize(label_map, palette))


def test_colorize_looks_colors_up():
    palette = default_palette(3)
    picture = np.asarray(colorize(torch.tensor([[2, 0, IGNORE_INDEX]]), palette))
    np.testing.assert_array_equal(picture[0], [palette[2], palette[0], UNLABELLED_COLOR])


def save(path, picture, **options):
    """A mask file, as some program writes it."""
    picture.save(path, format=options.pop("format", "PNG"), **options)
    return path


def test_label_png_of_other_programs(tmp_path):
    values = np.array([[0, 1], [1, 255]], np.uint8)
    grey, file = Image.fromarray(values), tmp_path / "mask.png"
    for picture in (grey, grey.convert("RGB"), grey.convert("RGBA"), grey.convert("LA")):
        assert load_label_png(save(file, picture))[0].tolist() == values.tolist()
    assert load_label_png(save(file, Image.fromarray(values.astype(np.uint16))))[0].tolist() == values.tolist()
    assert load_label_png(save(file, Image.fromarray(values == 1)))[0].tolist() == [[0, 1], [1, 0]]  # of one bit


def test_label_png_refuses_what_it_would_misread(tmp_path):
    file, values = tmp_path / "mask.png", np.array([[0, 1], [1, 255]], np.uint8)
    white = Image.fromarray((values > 1).astype(np.uint8) * 255)
    for picture in (white, white.convert("RGB"), white.convert("P")):
        with pytest.raises(
            LabelError,
            match="class numbers 0, 1, 2, .* and 255 for unlabelled; got black 0 and white 255 alone in .*mask.png. "
            "If white is a part, save it as 1; if it is unlabelled, save the mask with save_label_png",
        ):
            load_label_png(save(file, picture))
    with pytest.raises(ImageError, match=r"indexed or grey PNG; got colours \(mode 'RGB'\) in .*mask.png"):
        load_label_png(save(file, Image.new("RGB", (4, 4), (10, 20, 30))))
    with pytest.raises(ImageError, match="expected a PNG; got a JPEG, .*mask.png, which smears labels"):
        load_label_png(save(file, Image.fromarray(values), format="JPEG"))
    with pytest.raises(ImageError, match="a label for each pixel; got transparent ones in"):
        load_label_png(save(file, Image.new("RGBA", (4, 4))))
    with pytest.raises(LabelError, match="values 0 to 255; got 300 in"):
        load_label_png(save(file, Image.fromarray(np.full((2, 2), 300, np.uint16))))
    with pytest.raises(LabelError, match="no colours but those of the 2 classes; got 40 others, such as #080808"):
        load_label_png(
            save(file, Image.fromarray(np.arange(48, dtype=np.uint8).reshape(6, 8)[1:])), default_palette(2)[:2]
        )


def test_background_with_unlabelled_pixels_is_no_black_and_white_mask(tmp_path):
    label_map, file = torch.tensor([[0, 255], [255, 0]]), tmp_path / "mask.png"
    save_label_png(file, label_map, default_palette(2))
    assert torch.equal(load_label_png(file)[0], label_map)
    with pytest.raises(LabelError, match="got only class 0, and 255, which is unlabelled. If white is a part, write 1"):
        check_label_map(label_map[None], 2, "Shot")


@settings(max_examples=20, deadline=None)
@given(num_classes=st.integers(2, 255), seed=st.integers(0, 9))
def test_label_png_by_colour(tmp_path_factory, num_classes, seed):
    path = tmp_path_factory.mktemp("png") / "labels.png"
    label_map = torch.randint(num_classes, (1, 5, 4), generator=torch.Generator().manual_seed(seed))
    label_map[0, 0, 0] = IGNORE_INDEX
    palette = default_palette(num_classes)
    colorize(label_map, palette).save(path)
    assert torch.equal(load_label_png(path, palette), label_map)


def test_save_label_png_refuses_wrong_labels(tmp_path):
    with pytest.raises(LabelError, match="save_label_png: expected labels 0..1"):
        save_label_png(tmp_path / "a.png", torch.full((2, 2), 2), default_palette(2))
    with pytest.raises(ShapeError, match=r"save_label_png: expected palette \(K, 3\) uint8"):
        save_label_png(tmp_path / "a.png", torch.zeros(2, 2).long(), [(0, 0, 0)])
    with pytest.raises(ShapeError, match="Pass one at a time"):
        save_label_png(tmp_path / "a.png", torch.zeros(2, 2, 2).long(), default_palette(2))
    assert not (tmp_path / "a.png").exists()


def test_overlay_tints_parts_only():
    image = torch.full((1, 3, 1, 3), 0.5)
    label_map = torch.tensor([[[0, 1, IGNORE_INDEX]]])
    palette = default_palette(2)
    plain, upload = to_uint8(image)[0], to_pil(image)
    for alpha in (0, 0.3, 0.5, 1):
        for picture in (image, upload):
            tinted = np.asarray(overlay(picture, label_map, palette, alpha))
            np.testing.assert_array_equal(tinted[:, [0, 2]], plain[:, [0, 2]])
            np.testing.assert_allclose(tinted[0, 1], plain[0, 1] * (1 - alpha) + palette[1] * alpha, atol=1)
    np.testing.assert_array_equal(upload, plain)  # left alone


def test_overlay_checks_sizes_and_alpha():
    image, palette = load_image(np.zeros((4, 4, 3), np.uint8)), default_palette(2)
    with pytest.raises(ShapeError, match=r"overlay: expected image \(1, 3, 2, 2\), or a picture of 2x2; got Tensor"):
        overlay(image, torch.zeros(2, 2).long(), palette)
    with pytest.raises(ShapeError, match=r"overlay: expected .* a picture of 4x2; got a picture of 4x4"):
        overlay(to_pil(image), torch.zeros(2, 4).long(), palette)
    with pytest.raises(ShapeError, match=r"overlay: expected alpha in \[0, 1\]; got 2"):
        overlay(image, torch.zeros(4, 4).long(), palette, alpha=2)


MASK = np.zeros((6, 4), np.uint8)
MASK[:2], MASK[2, 1] = 1, 255


def _paletted(mask):
    picture = Image.fromarray(mask)
    picture.putpalette(bytes(range(256)) * 3)
    return picture


FORMS = {
    "flipped upside down and back": lambda mask: np.ascontiguousarray(mask[::-1])[::-1],
    "flipped to the side and back": lambda mask: np.ascontiguousarray(mask[:, ::-1])[:, ::-1],
    "every second pixel": lambda mask: mask.repeat(2, 0).repeat(2, 1)[::2, ::2],
    "columns first": np.asfortranarray,
    "big-endian": lambda mask: mask.astype(">i4"),
    "uint16": lambda mask: mask.astype(np.uint16),
    "uint64": lambda mask: mask.astype(np.uint64),
    "read only": lambda mask: np.frombuffer(mask.tobytes(), np.uint8).reshape(mask.shape),
    "lists": lambda mask: mask.tolist(),
    "tensor": torch.from_numpy,
    "grey picture": Image.fromarray,
    "indexed picture": _paletted,
}


@pytest.mark.parametrize("form", FORMS)
def test_labels_are_the_same_in_every_form(form):
    found = labels.as_label_map(FORMS[form](MASK.copy()), "test")
    assert found.dtype == torch.int64 and np.array_equal(found, MASK)


def test_masks_of_two_values_are_labels():
    for mask in (MASK == 1, torch.from_numpy(MASK == 1), Image.fromarray(MASK == 1)):
        assert np.array_equal(labels.as_label_map(mask, "test"), MASK == 1)


@pytest.mark.parametrize("value", [MASK * 0.5, torch.zeros(2, 2), "mask.png", None, [[1], [1, 2]], MASK * 1j])
def test_what_is_no_label_map_is_refused_in_one_line(value):
    with pytest.raises(ShapeError, match="test: expected label_map of integers; got") as error:
        labels.as_label_map(value, "test")
    assert "\n" not in str(error.value)


def test_every_function_of_labels_takes_a_flipped_array():
    flipped, palette = np.ascontiguousarray(MASK[::-1])[::-1], labels.default_palette(2)
    assert labels.merge(flipped, ["a", "b"], ["a", "b"]).tolist() == MASK.tolist()
    assert labels.keep(flipped, ["a", "b"], ["a", "b"]).tolist() == MASK.tolist()
    labels.check_label_map(flipped[None], 2, "test")
    assert labels.colorize(flipped, palette) == labels.colorize(MASK, palette)


def test_a_single_row_may_be_flipped_too():
    assert labels.as_label_map(np.array([[0, 1, 1]])[::-1, ::-1], "test").tolist() == [[1, 1, 0]]


def test_a_part_has_the_same_colour_in_every_set_of_classes():
    ten = dict(zip(labels.PORTRAIT_CLASSES, labels.palette_of(labels.PORTRAIT_CLASSES).tolist()))
    np.testing.assert_array_equal(labels.palette_of(labels.PORTRAIT_CLASSES), default_palette(10))
    assert dict(zip(labels.THREE_CLASSES, labels.palette_of(labels.THREE_CLASSES).tolist())).items() <= ten.items()
    more = ["background", "hat", "eyes", "scarf", "nose"]
    palette = dict(zip(more, labels.palette_of(more).tolist()))
    assert palette["eyes"] == ten["eyes"] and palette["nose"] == ten["nose"]
    fewer = ["ground", "nose", "scarf"]
    assert labels.palette_of(fewer).tolist()[1:] == [palette["nose"], palette["scarf"]]
    for names in (
        ["background", "head", "neck", "torso", "legs", "tail"],
        more,
        [*more, "glove", "shoe", "bag", "belt"],
    ):
        colours = labels.palette_of(names).astype(float)
        distance = np.linalg.norm(colours[:, None] - colours, axis=2) + 999 * np.eye(len(names))
        assert distance[1:, 1:].min() >= 90  # Tol's own come as near as 95
    many = ["background", "eyes", *(f"part {i}" for i in range(253))]
    assert len(np.unique(labels.palette_of(many), axis=0)) == 255
    np.testing.assert_array_equal(labels.palette_of(["a", "wheel", "door"]), default_palette(3))
