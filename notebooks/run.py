"""Run the notebooks as they stand, and keep the picture that each is known by.

    python notebooks/run.py [01 02 ...]

writes docs/notebook-01.png and so on: what the cell tagged "picture" shows. It leaves the notebooks
themselves alone, which are kept without outputs.
"""

import base64
import shutil
import sys
import tempfile
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
TIMEOUT = 600  # seconds a cell
FALLBACK, PICTURE = "fallback", "picture"  # tags: stands in for a person's drawing; for the README


def execute(notebook, files=()):
    """Run a notebook in a folder of its own, top to bottom.

    Args:
        notebook: as nbformat reads it; the outputs go into it.
        files: what it is to find in that folder.
    Returns:
        The notebook, with outputs.
    Raises:
        nbclient.exceptions.CellExecutionError: a cell failed.
    """
    with tempfile.TemporaryDirectory(prefix="notebook-") as folder:
        for file in files:
            shutil.copy(file, folder)
        client = NotebookClient(
            notebook, timeout=TIMEOUT, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        return client.execute()


def tagged(notebook, tag):
    """The cells with a tag."""
    return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]


def picture(notebook):
    """PNG bytes: what the cell tagged "picture" shows."""
    (cell,) = tagged(notebook, PICTURE)
    shown = [output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {})]
    return base64.b64decode(shown[-1])


def main(numbers):
    """Run the notebooks whose names start with any of the numbers, or all."""
    for path in sorted(HERE.glob("*.ipynb")):
        number = path.name.split("_")[0]
        if numbers and number not in numbers:
            continue
        started = time.perf_counter()
        target = HERE.parent / "docs" / f"notebook-{number}.png"
        target.write_bytes(picture(execute(nbformat.read(path, as_version=4))))
        print(f"{path.name}: {time.perf_counter() - started:.0f} s, {target.name}")


if __name__ == "__main__":
    main(sys.argv[1:])
