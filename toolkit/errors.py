"""The errors this toolkit raises, all with one message form.

`<call>: expected <what>; got <value>. <Fix>.` — one line, so that the command line can
print it, the page can show it, and a test can match it.
"""

import copyreg
import re
from typing import Any

import numpy as np
import torch


class ToolkitError(ValueError):
    """An error the caller can correct: the message says where, what was expected, and how to correct it.

    Args:
        call: the public call that refuses, e.g. ``"fit"``.
        expected: what it takes.
        got: the offending value, or `describe(value)` for arrays.
        fix: one sentence, no full stop, that tells the reader what to do.
    """

    def __init__(self, call: str, expected: str, got: object, fix: str) -> None:
        super().__init__(f"{call}: expected {expected}; got {got}. {fix}.")
        self.fix = fix

    def __reduce__(self):
        """The finished line alone, so that an error passes from one process to another."""
        return copyreg.__newobj__, (type(self), *self.args), self.__dict__


class ShapeError(ToolkitError):
    """An array has the wrong shape, type or range."""


class LabelError(ToolkitError):
    """A label map or its classes cannot be learned from."""


class ImageError(ToolkitError):
    """A file or array is not a picture we can read."""


class CheckpointError(ToolkitError):
    """A weights file cannot be loaded, or does not belong to this GAN."""


class WriteError(ToolkitError, OSError):
    """A file or folder cannot be written, or the disk is full; an `OSError` too, as what it stands for."""


def as_floats(value: Any, call: str) -> torch.Tensor:
    """A float32 tensor of what people pass as numbers.

    Args:
        value: tensor, NumPy array in whatever order of memory, or a list of such, of any float type.
        call: the public call to name in errors.
    Returns:
        tensor, float32.
    Raises:
        ShapeError: not numbers, or integers.
    """
    if not isinstance(value, torch.Tensor):
        try:
            parts = [one.detach().cpu() if isinstance(one, torch.Tensor) else one for one in value]
            array = np.asarray(parts if isinstance(value, (list, tuple)) else value)
            if array.dtype.kind != "f":
                raise TypeError
            # A copy: torch takes no negative stride, and ascontiguousarray leaves that of a single flipped row.
            value = torch.from_numpy(array.astype(array.dtype.newbyteorder("="), order="C"))
        except (TypeError, ValueError) as error:
            raise ShapeError(call, "an array of floats", describe(value), "Convert it to float32") from error
    if not value.is_floating_point():
        raise ShapeError(call, "an array of floats", describe(value), "Convert it to float32")
    return value.detach().float()


def describe(value: object) -> str:
    """Say what an argument is, in a few words: type, shape, dtype, range.

    Args:
        value: anything; tensors and arrays get their shape, dtype and range.
    Returns:
        str, e.g. ``"Tensor (1, 3, 64, 64) float32 in [-1, 1]"``.
    """
    if isinstance(value, (torch.Tensor, np.ndarray)):
        dtype = str(value.dtype).removeprefix("torch.")
        text = f"{type(value).__name__} {tuple(value.shape)} {dtype}"
        size = value.numel() if isinstance(value, torch.Tensor) else value.size
        if size and dtype != "bool" and "complex" not in dtype and dtype != "object":
            text += f" in [{float(value.min()):.4g}, {float(value.max()):.4g}]"
        return text
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", repr(value))  # where an object lies helps nobody
    return text if len(text) <= 80 else text[:77] + "..."


def check_count(call: str, name: str, value: Any, lowest: int = 1, highest: int | None = None) -> None:
    """Raise ToolkitError unless an argument is a whole number within bounds.

    Args:
        call: the public call, as in `ToolkitError`.
        name: the argument's.
        value: an int is right; a bool, a float and NumPy's numbers are not: JSON and files hold none.
        lowest, highest: bounds, inclusive; None for no upper one.
    """
    fits = isinstance(value, int) and not isinstance(value, bool)
    if not fits or value < lowest or (highest is not None and value > highest):
        bounds = f">= {lowest}" if highest is None else f"from {lowest} to {highest}"
        raise ToolkitError(call, f"{name} {bounds}, a whole number", describe(value), "Leave it out for the default")
