"""Files: written so that a crash leaves the old one, never half of a new one; read without running any code."""

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from toolkit.errors import CheckpointError


@contextmanager
def replace_when_done(path):
    """Give a temporary path to write to; when the block ends well it replaces `path`.

    Args:
        path: the file to write; its folder is created.
    Yields:
        str, a path in the same folder with the same suffix.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    try:
        yield temporary
        os.chmod(temporary, 0o644)  # mkstemp's own is for the owner's eyes only
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def save_tensors(path, tensors, metadata):
    """Write tensors and what they are to one safetensors file, whole or not at all.

    Args:
        path: the file; its folder is created.
        tensors: dict, name -> tensor.
        metadata: dict that JSON can hold; "format" says what kind of file it is.
    """
    with replace_when_done(path) as temporary:
        tensors = {name: t.detach().cpu().clone().contiguous() for name, t in tensors.items()}
        save_file(tensors, temporary, {"toolkit": json.dumps(metadata)})


def read_metadata(path, kinds, call):
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


def load_tensors(path, kinds, call):
    """Read a file written by `save_tensors`.

    Args, Raises: as `read_metadata`.
    Returns:
        dict, name -> tensor on the CPU; the metadata.
    """
    metadata = read_metadata(path, kinds, call)
    with safe_open(path, "pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, metadata
