"""A training's files: what was written comes back, and what is wrong is named."""

import csv

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.errors import CheckpointError
from toolkit.training.checkpoint import load_checkpoint, save_checkpoint, write_log

STATE = {"seen": 3, "net": {"w": torch.arange(4.0)}, "log": [{"loss": 0.5}]}


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_what_was_saved_comes_back(tmp_path):
    path = tmp_path / "new" / "checkpoint.pt"
    assert load_checkpoint(path, STATE, "train") is None
    save_checkpoint(path, STATE)
    state = load_checkpoint(path, STATE, "train")
    assert torch.equal(state.pop("net")["w"], STATE["net"]["w"])
    assert state == {"seen": 3, "log": [{"loss": 0.5}]}


def test_another_trainings_checkpoint_is_named(tmp_path):
    save_checkpoint(tmp_path / "c.pt", STATE)
    with pytest.raises(CheckpointError, match=r"train: expected a checkpoint of this .*c\.pt \(no ema\)\. Choose"):
        load_checkpoint(tmp_path / "c.pt", ("seen", "ema"), "train")
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(CheckpointError, match=r"list\.pt \(no seen\)"):
        load_checkpoint(tmp_path / "list.pt", ("seen",), "train")


@settings(max_examples=40, deadline=None)
@given(cut=st.integers(0, 10_000), noise=st.binary(max_size=40))
def test_a_damaged_checkpoint_is_one_line(tmp_path_factory, cut, noise):
    path = tmp_path_factory.mktemp("damaged") / "c.pt"
    save_checkpoint(path, STATE)
    whole = path.read_bytes()
    path.write_bytes(whole[: cut % (len(whole) - 64)] + noise)
    with pytest.raises(CheckpointError, match="train: expected a checkpoint of this training; got ") as error:
        load_checkpoint(path, STATE, "train")
    assert "\n" not in str(error.value)


def test_a_log_grows_by_rows_and_columns(tmp_path):
    path = tmp_path / "new" / "log.csv"
    write_log(path, {"pictures": 8, "loss": 1.5})
    write_log(path, {"pictures": 16, "loss": 1.25, "heads": 2})
    assert rows(path) == [
        {"pictures": "8", "loss": "1.5", "heads": ""},
        {"pictures": "16", "loss": "1.25", "heads": "2"},
    ]


def test_a_run_that_went_back_replaces_what_came_after(tmp_path):
    for count in (8, 16, 24, 16):
        write_log(tmp_path / "log.csv", {"pictures": count, "loss": count})
    assert [row["pictures"] for row in rows(tmp_path / "log.csv")] == ["8", "16"]


@pytest.mark.parametrize("strange", ["", "a;b\n1;2\n", "pictures,loss\n,\nx,1\n"])
def test_a_log_of_another_kind_does_not_end_a_training(tmp_path, strange):
    (tmp_path / "log.csv").write_text(strange)
    write_log(tmp_path / "log.csv", {"pictures": 8, "loss": 1})
    assert rows(tmp_path / "log.csv") == [{"pictures": "8", "loss": "1"}]
