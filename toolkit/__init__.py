"""One-shot part segmentation by repurposing a GAN: start with `from toolkit import fewshot`."""

import importlib

# The names people import from here, and the room each lives in. Looked up on first use: torch is slow to start.
_ROOMS = {
    "images": "toolkit.pictures.images",
    "labels": "toolkit.pictures.labels",
    "plots": "toolkit.show.plots",
    "inside": "toolkit.show.inside",
    "widgets": "toolkit.show.widgets",
}
__all__ = ["autoshot", "datasets", "experiments", "fewshot", "metrics", *_ROOMS]  # noqa: F822 modules


def __getattr__(name):
    if name in _ROOMS:
        return importlib.import_module(_ROOMS[name])
    raise AttributeError(f"module 'toolkit' has no attribute {name!r}")
