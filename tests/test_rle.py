import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from toolkit.parts.rle import brush_rle


def decoded(rle):
    """Label Studio's documented way back (`decode_rle` of label-studio-converter): bytes of RGBA pixels."""
    bits, at = "".join(f"{byte:08b}" for byte in rle), 0

    def read(number):
        nonlocal at
        at += number
        return int(bits[at - number : at], 2)

    total, word = read(32), read(5) + 1
    sizes = [read(4) + 1 for _ in range(4)]
    found = []
    while len(found) < total:
        repeats = read(1)
        length = read(sizes[read(2)]) + 1
        found += [read(word)] * length if repeats else [read(word) for _ in range(length)]
    return np.array(found, np.uint8)


@settings(max_examples=60, deadline=None)
@given(arrays(bool, st.tuples(st.integers(1, 20), st.integers(1, 30))))
def test_masks_survive_the_way_to_label_studio(mask):
    pixels = decoded(brush_rle(mask)).reshape(*mask.shape, 4)
    for channel in range(4):
        np.testing.assert_array_equal(pixels[..., channel], mask * 255)


def test_long_runs_are_split():
    mask = np.zeros((300, 200), bool)
    mask[150:] = True
    rle = brush_rle(mask)
    np.testing.assert_array_equal(decoded(rle).reshape(300, 200, 4)[..., 0] > 0, mask)
    assert len(rle) < 40
