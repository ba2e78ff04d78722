"""Where tensors live: the CPU or an accelerator that is really there."""

from __future__ import annotations

import torch

from toolkit.errors import ToolkitError


def check_device(device: str | torch.device, call: str) -> torch.device:
    """The device of that name, once a tensor could be put on it.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps", ...
        call: the public call to name in errors.
    Raises:
        ToolkitError: there is none here.
    """
    try:
        found = torch.device(device)
        torch.zeros(1, device=found).item()  # "meta" has room for anything, and nothing in it
        return found
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        there += ["mps"] if torch.backends.mps.is_available() else []
        fix = 'Use device="cpu"' + ("" if there[1:] else ", or install a torch for the accelerator you have")
        raise ToolkitError(
            call, f"a device that is there, one of {', '.join(there)}", repr(str(device)), fix
        ) from error
