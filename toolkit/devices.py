"""Check that a device is available before tensors are put on it."""

from __future__ import annotations

import torch

from toolkit.errors import ToolkitError


def check_device(device: str | torch.device, call: str) -> torch.device:
    """The device of that name, after a test with a tensor.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps", ...
        call: the public call to name in errors.
    Raises:
        ToolkitError: it is not available here.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()  # .item() fails on "meta", which stores no values
        return found
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        there += ["mps"] if torch.backends.mps.is_available() else []
        fix = 'Use device="cpu"' + ("" if there[1:] else ", or install a torch for the accelerator you have")
        raise ToolkitError(
            call, f"a device that is there, one of {', '.join(there)}", repr(str(device)), fix
        ) from error
