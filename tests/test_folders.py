"""Folders as people have them: what is taken for a picture, and that all else is counted."""

import os
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.pictures.folders import pictures_in
from toolkit.pictures.uploads import SUFFIXES, suffixes_read


def test_every_suffix_of_a_format_that_is_read_is_taken(tmp_path):
    taken = ["a.jpg", "b.jfif", "c.JPE", "d.bmp", "e.tif", "f.png", "g.TIFF"]
    for name in [*taken, "notes.txt", "no-suffix", "._a.jpg", ".DS_Store", "a.overlay.png", "a.parts.png", "x.psd"]:
        (tmp_path / name).touch()
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "gone.jpg").symlink_to("nowhere")
    found = pictures_in(tmp_path)
    assert [file.name for file in found.files] == sorted(taken)
    assert found.remark("F") == (
        "F: 7 pictures; left out: 1 .psd, 1 .txt, 1 broken links or devices, 1 folders, 2 hidden, "
        "2 results of this toolkit, 1 without suffix."
    )


def test_what_another_package_would_read_is_counted_with_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr("toolkit.pictures.folders.suffixes_read", lambda: {".png"})
    for name in ("a.png", "b.HEIC", "c.heic"):
        (tmp_path / name).touch()
    found = pictures_in(tmp_path)
    assert len(found.files) == 1
    assert found.remark("F") == "F: 1 pictures; left out: 2 .heic (pip install 'one-shot-parts[heic]')."


def test_the_folder_written_to_and_sheets_of_a_training_are_no_input(tmp_path):
    for name in ("a.png", "deep/b.png", "deep/pairs.png", "run/samples-0000012.png", "run/own.png", "samples-7.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    names = [file.name for file in pictures_in(tmp_path, deep=True, but=tmp_path / "run").files]
    assert names == ["a.png", "b.png", "pairs.png"]
    (tmp_path / "deep" / "encoder.safetensors").touch()  # now the pairs are an encoder training's
    assert [file.name for file in pictures_in(tmp_path, deep=True).files] == ["a.png", "b.png", "own.png"]
    # Above the folder, or it itself, is where people write to as well.
    for but in (tmp_path.parent, tmp_path):
        assert len(pictures_in(tmp_path, deep=True, but=but).files) == 3


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=30)
ENDINGS = st.sampled_from([*SUFFIXES, ".JPG", ".txt", ".overlay.png", "", ".png.zip", ".heic "])


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(NAMES, ENDINGS), max_size=8))
def test_every_file_is_taken_or_counted(parts):
    with tempfile.TemporaryDirectory() as folder:
        for name, ending in parts:
            if name + ending not in (".", ".."):
                (Path(folder) / (name + ending)).touch()
        found = pictures_in(folder)
        assert len(found.files) + sum(found.left_out.values()) == len(os.listdir(folder))
        assert all(file.suffix.lower() in suffixes_read() for file in found.files)
        assert found.remark("F").isprintable()
