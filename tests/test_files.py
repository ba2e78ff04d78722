import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import SafetensorError

from toolkit.errors import LabelError, WriteError
from toolkit.files import check_can_write, replace_when_done


def test_a_crash_keeps_the_old_file(tmp_path):
    path = tmp_path / "deep" / "result.txt"
    with replace_when_done(path) as temporary:
        open(temporary, "w").write("old")
    with pytest.raises(RuntimeError), replace_when_done(path) as temporary:
        open(temporary, "w").write("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]


def test_what_cannot_be_written_is_known_before_the_work_and_said_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    cases = {
        tmp_path / "file" / "deep" / "a.png": "a file, and no folder, at .*file",
        tmp_path: "a folder of that name",
        tmp_path / ("图" * 90): "File name too long",
    }
    for path, reason in cases.items():
        with pytest.raises(WriteError, match=f"^write: expected to write .*; got {reason}. Name a file in a folder"):
            check_can_write(path)
        with pytest.raises(OSError), replace_when_done(path):
            pytest.fail("the work was begun")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["file"]


@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=80))
def test_any_name_that_the_disk_takes_can_be_written(name):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        if name in (".", "..") or len(name.encode()) > 255:
            return
        with replace_when_done(path) as temporary:
            Path(temporary).write_text("new")
        assert path.read_text() == "new" and os.listdir(folder) == [name]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), RuntimeError("unexpected pos 576 vs 534")])
def test_a_full_disk_is_one_line_and_keeps_the_old_file(error, tmp_path, monkeypatch):
    path = tmp_path / "a.pt"
    path.write_text("old")
    monkeypatch.setattr("toolkit.files.shutil.disk_usage", lambda _: shutil._ntuple_diskusage(1, 1, 0))
    with pytest.raises(WriteError, match=r"to write .*a.pt; got a full disk. Make room, and run it again.$"):
        with replace_when_done(path):
            raise error
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.pt"]


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left on device"), SafetensorError("No space left on device (os error 28)")]
)
def test_a_full_disk_is_known_by_what_the_library_says(error, tmp_path):
    with pytest.raises(WriteError, match="got a full disk"), replace_when_done(tmp_path / "a"):
        raise error


def test_other_errors_keep_their_own_words(tmp_path):
    with pytest.raises(RuntimeError, match="no matter of files"), replace_when_done(tmp_path / "a"):
        raise RuntimeError("no matter of files")
    with pytest.raises(LabelError), replace_when_done(tmp_path / "a"):
        raise LabelError("Shot", "labels", "none", "Draw them")
