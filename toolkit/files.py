"""Writing files so that a crash leaves the old one, never half of a new one."""

import os
import tempfile
from contextlib import contextmanager
from pathlib import Path


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
