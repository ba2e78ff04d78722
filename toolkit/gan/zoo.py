"""Names of GANs -> files of weights."""

from importlib import resources
from pathlib import Path

from toolkit.errors import ToolkitError

DEFAULT = "portraits-64"
BUNDLED = (DEFAULT,)


def weights_path(name):
    """Where a GAN's weights are.

    Args:
        name: one of `BUNDLED`, or the path of an existing file.
    Returns:
        Path.
    Raises:
        ToolkitError: neither.
    """
    if name in BUNDLED:
        return folder() / f"{name}.safetensors"
    if Path(name).is_file():
        return Path(name)
    raise ToolkitError(
        "weights_path", f"one of {', '.join(BUNDLED)}, or a file", repr(str(name)), "Check the name"
    )


def folder():
    """Where the bundled weights are: Path."""
    try:
        return Path(str(resources.files("toolkit.weights")))
    except ModuleNotFoundError:  # a bare checkout, not installed: weights/ lies beside the package
        return Path(__file__).parents[2] / "weights"
