import pytest

from toolkit.files import replace_when_done


def test_a_crash_keeps_the_old_file(tmp_path):
    path = tmp_path / "deep" / "result.txt"
    with replace_when_done(path) as temporary:
        open(temporary, "w").write("old")
    with pytest.raises(RuntimeError), replace_when_done(path) as temporary:
        open(temporary, "w").write("half")
        raise RuntimeError
    assert path.read_text() == "old" and list(path.parent.iterdir()) == [path]
