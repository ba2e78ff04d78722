"""Training pictures: they come without labels, from training seeds only, and are kept."""

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit.errors import ImageError, ToolkitError
from toolkit.pictures.cache import LAST_TRAINING_SEED, from_folder, from_world


class Explosive:
    """A label map that nobody may look at."""

    def __getattribute__(self, name):
        raise AssertionError(f"the label map was asked for {name}")

    def _refuse(self, *args):
        raise AssertionError("the label map was used")

    __getitem__ = __len__ = __iter__ = __bool__ = __array__ = __eq__ = _refuse
    __hash__ = None


def world(calls):
    def render(num, resolution, seed, device="cpu"):
        calls.append((num, seed))
        level = (torch.arange(seed, seed + num) % 256).float() / 127.5 - 1
        return level[:, None, None, None].expand(num, 3, resolution, resolution), Explosive()

    return render


def test_pictures_of_a_world_come_in_order_without_labels(tmp_path):
    pictures = from_world(world(calls := []), 600, 8, tmp_path / "p.npy", progress=False)
    assert pictures.dtype == np.uint8
    assert pictures.shape == (600, 3, 8, 8)
    assert (pictures == (np.arange(600) % 256)[:, None, None, None]).all()
    assert sorted(seed for num, start in calls for seed in range(start, start + num)) == list(range(600))


def test_pictures_are_rendered_once(tmp_path):
    path = tmp_path / "p.npy"
    first = from_world(world(calls := []), 5, 8, path, progress=False)
    again = from_world(world(calls), 5, 8, path, progress=False)
    assert (first == again).all()
    assert len(calls) == 1
    from_world(world(calls), 6, 8, path, progress=False)
    assert len(calls) == 2


@pytest.mark.parametrize("num", [0, LAST_TRAINING_SEED + 1])
def test_seeds_for_evaluation_stay_unseen(tmp_path, num):
    assert LAST_TRAINING_SEED < 1_000_000
    with pytest.raises(ToolkitError, match=f"from_world: expected 1 to .* pictures; got {num}"):
        from_world(world([]), num, 8, tmp_path / "p.npy", progress=False)


def test_an_interrupted_rendering_leaves_no_file(tmp_path):
    def render(num, resolution, seed, device):
        if seed:
            raise KeyboardInterrupt
        return torch.zeros(num, 3, resolution, resolution), None

    with pytest.raises(KeyboardInterrupt):
        from_world(render, 300, 8, tmp_path / "p.npy", progress=False)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_read_with_its_sub_folders(tmp_path):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    Image.new("RGB", (20, 10), (255, 0, 0)).save(tmp_path / "in" / "a.png")
    Image.new("RGB", (16, 16), (0, 0, 255)).save(tmp_path / "in" / "deep" / "b.PNG")
    (tmp_path / "in" / "notes.txt").write_text("not a picture")
    pictures = from_folder(tmp_path / "in", 8, tmp_path / "p.npy", progress=False)
    assert pictures.shape == (2, 3, 8, 8)
    assert sorted(tuple(p.mean((1, 2)).tolist()) for p in pictures) == [(0, 0, 255), (255, 0, 0)]


def test_refuses_an_empty_folder(tmp_path):
    with pytest.raises(ImageError, match="from_folder: expected a folder with .*Check the path"):
        from_folder(tmp_path, 8, tmp_path / "p.npy", progress=False)
