import numpy as np
import pytest
import torch

from toolkit.errors import ShapeError
from toolkit.pictures import labels, sketch

PALETTE = labels.default_palette(10)


@pytest.mark.parametrize("size", [16, 64, 256])
def test_decode_undoes_encode(size):
    label_map = torch.randint(0, 11, (1, 16, 16), generator=torch.Generator().manual_seed(0))
    label_map[label_map == 10] = 255
    drawing = sketch.encode(label_map, PALETTE, size)
    assert drawing.shape == (size, size, 4)
    assert torch.equal(sketch.decode(drawing, PALETTE, 16), label_map)


def test_colours_that_drifted_and_faint_edges():
    drawing = sketch.encode(torch.full((1, 4, 4), 2), PALETTE, 16)
    drawing[..., :3] += 1
    assert (sketch.decode(drawing, PALETTE, 4) == 2).all()
    drawing[..., 3] = 40  # an antialiased edge, fainter than half the brush
    assert (sketch.decode(drawing, PALETTE, 4) == 255).all()


def test_a_cell_takes_what_most_of_it_is_painted_in():
    drawing = np.zeros((8, 8, 4), np.uint8)
    drawing[:, :, 3] = 127
    drawing[:, :5, :3], drawing[:, 5:, :3] = PALETTE[1], PALETTE[3]
    assert sketch.decode(drawing, PALETTE, 1).item() == 1


def test_of_equal_votes_the_part_wins_and_of_parts_the_smaller():
    drawing = np.zeros((8, 16, 4), np.uint8)[:, :8]
    drawing[:, :, 3] = 127
    drawing[:, :4, :3], drawing[:, 4:, :3] = PALETTE[0], PALETTE[3]
    assert sketch.decode(drawing, PALETTE, 1).item() == 3
    drawing[:4, :4, :3], drawing[:, 4:6, :3], drawing[:4, 6:, :3] = PALETTE[1], PALETTE[4], PALETTE[1]
    drawing[4:, 6:, :3] = PALETTE[4]
    assert sketch.decode(drawing, PALETTE, 2)[0].tolist() == [[1, 1], [0, 4]]


def test_a_thin_line_stays_and_a_speck_does_not():
    drawing = np.zeros((8, 8, 4), np.uint8)
    drawing[:2] = (*PALETTE[4], 127)
    assert sketch.decode(drawing, PALETTE, 1).item() == 4
    drawing[1:] = 0
    assert sketch.decode(drawing, PALETTE, 1).item() == 255


@pytest.mark.parametrize(
    "drawing",
    [
        None,
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((9, 9, 4), np.uint8),
        np.zeros((8, 16, 4), np.uint8),
        np.zeros((8, 8, 4)),
    ],
)
def test_what_is_no_drawing(drawing):
    with pytest.raises(ShapeError, match=r"decode: expected a drawing \(S, S, 4\) uint8, S a multiple of 8; got"):
        sketch.decode(drawing, PALETTE, 8)


def test_a_size_that_is_no_multiple():
    with pytest.raises(ShapeError, match="encode: expected .* a divisor of 20; got"):
        sketch.encode(torch.zeros(1, 16, 16, dtype=torch.int64), PALETTE, 20)
