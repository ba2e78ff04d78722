"""A training's files: the checkpoint it goes on from, and its log."""

import csv
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch

from toolkit.errors import CheckpointError
from toolkit.files import replace_when_done


def save_checkpoint(path: str | Path, state: Mapping[str, Any]) -> None:
    """Write what a training goes on from, whole or not at all.

    Args:
        path: the .pt file; its folder is created.
        state: tensors, numbers, strings, and lists and dicts of them.
    """
    with replace_when_done(path) as temporary:
        torch.save(dict(state), temporary)


def load_checkpoint(path: str | Path, keys: Collection[str], call: str) -> dict[str, Any] | None:
    """Read what `save_checkpoint` wrote; no code in it is run.

    Args:
        path: the .pt file.
        keys: what it must hold.
        call: the public call to name in errors.
    Returns:
        the state, its tensors on the CPU; None where there is no file.
    Raises:
        CheckpointError: a damaged file, or another training's.
    """
    if not Path(path).exists():
        return None
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # whatever the contents of a damaged file lead to, it is the file that is wrong
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise _refusal(call, path, reason) from error
    missing = [key for key in keys if not isinstance(state, dict) or key not in state]
    if missing:
        raise _refusal(call, path, f"no {', '.join(missing)}")
    return state


def _refusal(call, path, reason):
    fix = "Choose another folder, or remove the file to begin anew"
    return CheckpointError(call, "a checkpoint of this training", f"{path} ({reason})", fix)


def write_log(path: str | Path, row: Mapping[str, Any]) -> None:
    """Add a row to a .csv file, written whole or not at all.

    The first column counts what is done. Rows of the same or a higher count are removed first: a run that
    was killed resumes from a checkpoint that is older than its last rows.

    Args:
        path: the file; its folder is created.
        row: name -> number; new names get columns of their own.
    """
    path, count = Path(path), next(iter(row))
    rows: list[dict[str, Any]] = []
    if path.is_file():
        with path.open(newline="") as file:
            rows = [old for old in csv.DictReader(file) if _is_before(old, count, row[count])]
    rows.append(dict(row))
    with replace_when_done(path) as temporary, open(temporary, "w", newline="") as file:
        writer = csv.DictWriter(file, dict.fromkeys(name for each in rows for name in each))
        writer.writeheader()
        writer.writerows(rows)


def _is_before(row, name, count):
    try:
        return float(row[name]) < count
    except (KeyError, TypeError, ValueError):  # no row of such a log
        return False
