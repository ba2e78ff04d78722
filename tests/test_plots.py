import numpy as np
import pytest
import torch

from toolkit.errors import ShapeError
from toolkit.pictures.images import to_pil, to_uint8
from toolkit.pictures.labels import IGNORE_INDEX, UNLABELLED_COLOR, default_palette
from toolkit.show.plots import CELL, comparison, table

PALETTE = default_palette(3)


def example(size=64, rows=2):
    image = torch.rand(rows, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1
    label_map = torch.randint(3, (rows, size, size), generator=torch.Generator().manual_seed(1))
    label_map[:, 0, 0] = IGNORE_INDEX
    return image, label_map


def find(figure, pixels):
    """How often a block of pixels occurs in a figure."""
    figure, (height, width) = np.asarray(figure).astype(np.int64), pixels.shape[:2]
    candidates = np.argwhere((figure == pixels[0, 0]).all(-1))
    return sum(
        figure[y : y + height, x : x + width].shape == pixels.shape
        and bool((figure[y : y + height, x : x + width] == pixels).all())
        for y, x in candidates
    )


def test_each_picture_is_there_magnified_without_smoothing():
    image, label_map = example()
    figure = comparison({"image": image, "truth": label_map}, PALETTE)
    colors = PALETTE[label_map.clamp(max=2)]
    colors[label_map == IGNORE_INDEX] = UNLABELLED_COLOR
    for row in range(2):
        for pixels in (to_uint8(image)[row], colors[row]):
            factor = CELL // 64
            assert find(figure, pixels.repeat(factor, 0).repeat(factor, 1)) == 1


def test_tensors_arrays_and_pil_are_drawn_alike():
    image, _ = example(rows=1)
    pixels = to_uint8(image)
    figures = [comparison({"a": a}) for a in (image, [image[0]], [to_pil(image)], [pixels[0]], pixels)]
    assert all(figure.tobytes() == figures[0].tobytes() for figure in figures)


def test_the_legend_names_each_class_in_its_color():
    image, _ = example()
    plain = comparison({"image": image}, PALETTE)
    figure = comparison({"image": image}, PALETTE, ["background", "a class with a very long name", "eyes"])
    legend = np.asarray(figure)[plain.height :].reshape(-1, 3)
    for color in PALETTE:
        assert (legend == color).all(1).sum() > 100
    assert figure.width == plain.width and (np.asarray(figure)[:, -1] == 255).all()


def test_titles_are_drawn():
    image, _ = example(rows=1)
    assert comparison({"a": image}).tobytes() != comparison({"b": image}).tobytes()


def test_a_row_needs_an_entry_in_each_column():
    image, label_map = example()
    with pytest.raises(ShapeError, match="got image: 2, truth: 1"):
        comparison({"image": image, "truth": label_map[:1]})
    with pytest.raises(ShapeError, match="comparison: expected the same number .*; got no columns"):
        comparison({})
    with pytest.raises(ShapeError, match=r"pictures \(3, H, W\) or label maps \(H, W\)"):
        comparison({"image": [image]})


def test_table_aligns_and_rounds():
    rows = [("network", "iou", "shots"), ("cnn-l", 77.912, None), ("mlp", float("nan"), 10)]
    assert table(rows).split("\n") == [
        "network    iou  shots",
        "-------  -----  -----",
        "cnn-l    77.91      -",
        "mlp          -     10",
    ]
    with pytest.raises(ShapeError, match=r"table: expected a header and rows as long as it; got \[2, 1\]"):
        table([("a", "b"), (1,)])
