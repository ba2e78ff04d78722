"""One-shot part segmentation by repurposing a GAN: start with `from toolkit import fewshot`."""

import importlib
from types import ModuleType

# The names people import from here, and the room each lives in. Looked up on first use: torch is slow to start.
_ROOMS = {
    "images": "toolkit.pictures.images",
    "labels": "toolkit.pictures.labels",
    "plots": "toolkit.show.plots",
    "inside": "toolkit.show.inside",
    "widgets": "toolkit.show.widgets",
}
__all__ = ["autoshot", "batch", "datasets", "experiments", "fewshot", "metrics", "threads", *_ROOMS]  # noqa: F822


def __getattr__(name: str) -> ModuleType:
    if name in __all__:
        return importlib.import_module(_ROOMS.get(name, f"toolkit.{name}"))
    raise AttributeError(f"module 'toolkit' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
