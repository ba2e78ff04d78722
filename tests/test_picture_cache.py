"""Training pictures: they come without labels, from training seeds only, and are kept."""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit.errors import ImageError, ToolkitError, WriteError
from toolkit.pictures.cache import LAST_TRAINING_SEED, from_folder, from_world, usual_side


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


def grey_folder(folder, *greys, time=None):
    folder.mkdir(parents=True, exist_ok=True)
    for i, grey in enumerate(greys):
        Image.new("L", (8, 8), grey).save(folder / f"{i}.bmp")  # every grey has as many bytes
        if time is not None:
            os.utime(folder / f"{i}.bmp", (time, time))
    return folder


def greys(folder, path):
    return [int(picture.mean()) for picture in from_folder(folder, 8, path, progress=False)]


def test_another_or_an_edited_folder_is_noticed(tmp_path):
    path = tmp_path / "out" / "pictures-8.npy"
    dark, bright = (
        grey_folder(tmp_path / "dark", 20, 21, 22, time=1),
        grey_folder(tmp_path / "bright", 230, 1, 2, time=1),
    )
    assert greys(dark, path) == [20, 21, 22]
    assert greys(bright, path) == [230, 1, 2]  # the same names, sizes and times
    grey_folder(bright, 255, 1, 2, time=1)  # edited at once, its time put back
    assert greys(bright, path) == [255, 1, 2]
    (bright / "0.bmp").rename(bright / "9.bmp")
    assert greys(bright, path) == [1, 2, 255]


def test_most_pictures_tell_how_many_pixels_there_are(tmp_path):
    assert usual_side(tmp_path) == 0
    for i, size in enumerate([(8, 8), (40, 30), (20, 30), (30, 25), (9, 900)]):
        Image.new("RGB", size).save(tmp_path / f"{i}.png")
    (tmp_path / "bad.jpg").write_text("no picture")
    assert usual_side(tmp_path) == 20 and usual_side(tmp_path, "pad") == 30


def test_the_whole_picture_is_kept_where_that_is_wanted(tmp_path, monkeypatch):
    """The same file is read anew for another fit, but not twice for one."""
    path = tmp_path / "pictures-8.npy"
    (tmp_path / "in").mkdir()
    wide = Image.new("RGB", (32, 16), (255, 0, 0))
    wide.paste((0, 0, 255), (8, 0, 24, 16))
    wide.save(tmp_path / "in" / "wide.png")
    for fit, red in (("crop", []), ("pad", [0, 1, 6, 7]), ("crop", [])):
        (picture,) = from_folder(tmp_path / "in", 8, path, progress=False, fit=fit)
        assert all(np.flatnonzero(row > 127).tolist() == red for row in picture[0])
    monkeypatch.setattr("toolkit.pictures.cache.load_image", lambda *_: pytest.fail("read again"))
    from_folder(tmp_path / "in", 8, path, progress=False, fit="crop")
    with pytest.raises(ToolkitError, match="from_folder: expected fit to be crop or pad; got 'squash'"):
        from_folder(tmp_path / "in", 8, path, progress=False, fit="squash")


def test_the_same_pictures_elsewhere_are_not_read_again(tmp_path, monkeypatch):
    path = tmp_path / "pictures-8.npy"
    folder = grey_folder(tmp_path / "a", 5, 6)
    greys(folder, path)
    shutil.copytree(folder, tmp_path / "b")
    monkeypatch.setattr("toolkit.pictures.cache.load_image", lambda *_: pytest.fail("read again"))
    assert greys(tmp_path / "b", path) == greys(folder, path) == [5, 6]
    # Old files whose stats are as noted are not even opened.
    monkeypatch.setattr("toolkit.pictures.cache.YOUNG", -60)
    greys(folder, path)
    monkeypatch.setattr("toolkit.pictures.cache._bytes", lambda *_: pytest.fail("opened again"))
    assert greys(folder, path) == [5, 6]


def test_another_world_and_an_unknown_file_are_noticed(tmp_path):
    def other(num, resolution, seed, device="cpu"):
        return torch.ones(num, 3, resolution, resolution), None

    path = tmp_path / "p.npy"
    np.save(path, np.zeros((5, 3, 8, 8), np.uint8))  # nobody knows of what
    assert (from_world(world([]), 5, 8, path, progress=False)[:, 0, 0, 0] == range(5)).all()
    assert (from_world(other, 5, 8, path, progress=False) == 255).all()


def test_bad_files_are_left_out_with_a_line_each(tmp_path, capsys):
    folder = grey_folder(tmp_path / "in", 7)
    (folder / "empty.png").touch()
    (folder / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    (folder / "._0.png").write_bytes(b"\0\5\x16\7")
    (folder / "notes.txt").touch()
    assert greys(folder, tmp_path / "p.npy") == [7]
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == f"{folder}: 3 pictures; left out: 1 .txt, 1 hidden."
    assert f"{folder / 'cut.jpg'}: load_image: expected a readable picture" in lines[1] and "empty.png" in lines[2]
    assert lines[3] == "pictures: 2 of 3 could not be read and are left out."
    assert greys(folder, tmp_path / "p.npy") == [7]
    (folder / "0.bmp").unlink()
    with pytest.raises(ImageError, match="from_folder: expected pictures that can be read; got none of 2"):
        from_folder(folder, 8, tmp_path / "p.npy", progress=False)


def test_sheets_written_below_the_folder_are_no_pictures(tmp_path):
    folder = grey_folder(tmp_path / "in", 7)
    grey_folder(folder / "out", 99)
    Image.new("L", (8, 8)).save(folder / "samples-0000012.png")
    assert greys(folder, folder / "out" / "pictures-8.npy") == greys(folder, folder / "out" / "pictures-8.npy") == [7]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    folder, path = grey_folder(tmp_path / "in", 7), tmp_path / "out" / "p.npy"
    monkeypatch.setattr("toolkit.files.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))

    def fail(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("toolkit.pictures.cache.to_uint8", fail)
    with pytest.raises(WriteError, match=r"write: expected to write .*p.npy; got a full disk. Make room"):
        from_folder(folder, 8, path, progress=False)
    assert list(path.parent.iterdir()) == []


CONTENTS = st.one_of(st.integers(0, 255), st.binary(max_size=40))
FILES = st.dictionaries(st.sampled_from(["a.bmp", "b.bmp", "b/c.bmp", "图.bmp", "._d.bmp"]), CONTENTS, max_size=4)


@settings(max_examples=30, deadline=None)
@given(st.lists(FILES, min_size=1, max_size=3))
def test_the_pictures_are_always_those_of_the_folder(states):
    """Whatever was there before, in folders that change under the same output."""
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "out" / "p.npy"
        for state in states:
            folder = Path(place) / "in"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name, content in state.items():
                (folder / name).parent.mkdir(exist_ok=True)
                if isinstance(content, int):
                    Image.new("L", (8, 8), content).save(folder / name)
                else:
                    (folder / name).write_bytes(content)
            whole = {n: c for n, c in state.items() if isinstance(c, int) and not n.startswith(".")}
            if whole:
                paths = sorted(folder / name for name in whole)
                assert greys(folder, path) == [whole[p.relative_to(folder).as_posix()] for p in paths]
            else:
                with pytest.raises(ImageError):
                    from_folder(folder, 8, path, progress=False)


def test_refuses_an_empty_folder(tmp_path):
    with pytest.raises(ImageError, match="from_folder: expected a folder with .*Check the path"):
        from_folder(tmp_path, 8, tmp_path / "p.npy", progress=False)
