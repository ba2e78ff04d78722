"""Data sets of photographs with part labels, as their publishers lay them out."""

from toolkit.errors import ToolkitError

PASCAL_PARTS = "Get PASCAL-Parts"


class PascalParts:
    """To come."""

    def __init__(self, folder, kind):
        raise ToolkitError("PascalParts", "x", folder, PASCAL_PARTS)


def open_dataset(folder):
    """To come."""
    raise ToolkitError("open_dataset", "x", folder, PASCAL_PARTS)
