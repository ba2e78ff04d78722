"""Files: written so that a crash leaves the old one, never half of a new one; read without running any code."""

import contextlib
import errno
import json
import os
import shutil
import stat
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from toolkit.errors import CheckpointError, WriteError

ROOM = 1 << 20  # bytes free on a disk that is not full
FULL = (errno.ENOSPC, errno.EDQUOT)


@contextlib.contextmanager
def replace_when_done(path: str | PathLike) -> Iterator[str]:
    """Give a temporary path to write to; when the block ends well it replaces `path`.

    Args:
        path: the file to write; its folder is created.
    Yields:
        str, a path in the same folder with the same suffix.
    Raises:
        WriteError: the path or its folder cannot be written, known before the block runs; or a full disk.
    """
    path = Path(path)
    temporary = _temporary_beside(path)
    try:
        with _in_one_line(path):
            yield temporary
            with contextlib.suppress(PermissionError):  # some disks know no rights
                os.chmod(temporary, 0o644)  # mkstemp makes files that only their owner can read
            os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def check_can_write(path: str | PathLike) -> None:
    """Refuse a file that cannot be written, before the work that would be lost by it.

    Args:
        path: the file that will be written; its folder is created.
    Raises:
        WriteError: the path is a folder, its name too long, or its folder cannot be made or written.
    """
    Path(_temporary_beside(Path(path))).unlink()


def _temporary_beside(path: Path) -> str:
    """An empty file in the folder of `path`, once it is known that `path` can be written there."""
    with _in_one_line(path):
        if (file := next((p for p in path.parents if p.is_file()), None)) is not None:
            raise NotADirectoryError(0, f"a file, and no folder, at {file}")
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if stat.S_ISDIR(os.stat(path).st_mode):  # refuses names longer than the disk takes, too
                raise IsADirectoryError(0, "a folder of that name")
        # The suffix says the format; of the name as much as surely fits.
        suffix = path.suffix if len(os.fsencode(path.suffix)) < 32 else ""
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}-", suffix=suffix)
    os.close(handle)
    return temporary


@contextlib.contextmanager
def _in_one_line(path: Path) -> Iterator[None]:
    """Whatever a library says when `path` cannot be written becomes a `WriteError`."""
    try:
        yield
    except WriteError:  # of another file, written meanwhile
        raise
    except (OSError, SafetensorError, RuntimeError) as error:
        # Not all of them say so, and some have removed their half by now.
        full = getattr(error, "errno", None) in FULL or f"(os error {errno.ENOSPC})" in str(error)
        full = full or (path.parent.is_dir() and shutil.disk_usage(path.parent).free < ROOM)
        if isinstance(error, RuntimeError) and not full:
            raise  # torch.save says no more than that, but so does anyone else
        reason = "a full disk" if full else getattr(error, "strerror", None) or str(error).split("\n")[0]
        fix = "Make room, and run it again" if full else "Name a file in a folder that you can write to"
        raise WriteError("write", f"to write {path}", reason, fix) from error


def save_tensors(path: str | PathLike, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write tensors and what they are to one safetensors file, whole or not at all.

    Args:
        path: the file; its folder is created.
        tensors: dict, name -> tensor.
        metadata: dict that JSON can hold; "format" says what kind of file it is.
    """
    with replace_when_done(path) as temporary:
        own = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
        save_file(own, temporary, {"toolkit": json.dumps(metadata)})


def read_metadata(path: str | PathLike, kinds: str | Sequence[str], call: str) -> dict[str, Any]:
    """The metadata of a file written by `save_tensors`, its tensors left unread.

    Args:
        path: the file.
        kinds: the "format" it must have, or several that it may have.
        call: the public call to name in errors.
    Returns:
        dict.
    Raises:
        CheckpointError: not such a file.
    """
    kinds = [kinds] if isinstance(kinds, str) else kinds
    want = f"{'an' if kinds[0][0] in 'aeiou' else 'a'} {' or '.join(kinds)} file"
    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {}).get("toolkit", "{}"))
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(call, want, f"{path} ({error})", "Check the path") from error
    if not isinstance(metadata, dict) or metadata.get("format") not in kinds:
        raise CheckpointError(call, want, f"a file of another kind at {path}", "Check the path")
    return metadata


def load_tensors(
    path: str | PathLike, kinds: str | Sequence[str], call: str
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a file written by `save_tensors`.

    Args, Raises: as `read_metadata`.
    Returns:
        dict, name -> tensor on the CPU; the metadata.
    """
    metadata = read_metadata(path, kinds, call)
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, metadata
