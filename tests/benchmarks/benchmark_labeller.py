"""What a mouse move costs the page while the labeller is drawn on, in a real JupyterLab.

    python tests/benchmarks/benchmark_labeller.py [--json]

A stroke of 200 moves over a picture of 512 pixels, in Chromium without a GPU, at device pixel ratio 1
and 2. A move costs its event handler, and what it asked to be done before the next frame; `frame_ms` is
the time from one such frame to the next, in which the browser also puts the layers together (60 a second
are 16.7); `cpu_ms` is the processor time of all the page did, which other programs do not lengthen. Also
counts what the stroke sends to the kernel. Needs Chromium and the dev extra.
"""

import argparse
import json as json_format
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent.parent))

from tests import jupyterlab, labelling  # noqa: E402
from toolkit.show import plots  # noqa: E402

SIZE = 512
WANTED = 16.0  # milliseconds a move: 60 a second
SETUP = f"""
import numpy as np
from toolkit.show.widgets import Labeller
y, x = np.mgrid[:{SIZE}, :{SIZE}]
labeller = Labeller(np.stack([x // 2, y // 2, (x + y) // 4], 2).astype(np.uint8), ["background", "part"])
labeller.brush_size = 21
labeller
"""


def measure(ratio, server, browser):
    """dict: milliseconds a move (median, 95th percentile, worst) and messages of the stroke."""
    notebook = jupyterlab.Notebook(browser, server, [SETUP], (SIZE, SIZE), ratio)
    try:
        before = notebook.comm_messages()
        cost = labelling.cost(notebook.page)
        painted = int((notebook.labels() == 1).sum())
        return {
            "ratio": ratio,
            **cost,
            "messages": notebook.comm_messages() - before,
            "pixels": painted,
        }
    finally:
        notebook.close()


def main(json=False):
    """Print the cost of a move, as a table or as one JSON object."""
    with jupyterlab.Server() as server, jupyterlab.browser() as browser:
        rows = [measure(ratio, server, browser) for ratio in (1, 2)]
    if json:
        print(json_format.dumps({"size": SIZE, "wanted_ms": WANTED, "rows": rows}))
        return
    print(f"{labelling.MOVES} moves over {SIZE}x{SIZE} pixels")
    print(plots.table([tuple(rows[0]), *(tuple(row.values()) for row in rows)]))
    print(f"wanted: under {WANTED:.0f} ms a move, one message a stroke")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    main(**vars(parser.parse_args()))
