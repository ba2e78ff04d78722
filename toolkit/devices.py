"""Where tensors are put: the device that is asked for, or the best there is; and how much memory it has taken."""

from __future__ import annotations

import sys

import torch

from toolkit.errors import ToolkitError


def check_device(device: str | torch.device | None, call: str) -> torch.device:
    """The device of that name, after a test with a tensor.

    Args:
        device: "cpu", "cuda", "cuda:1", "mps", ...; None for the best there is: CUDA, else MPS, else the CPU.
        call: the public call to name in errors.
    Raises:
        ToolkitError: it is not available here.
    """
    try:
        found = torch.device(best_device() if device is None else device)
        torch.zeros(1, device=found).item()  # .item() fails on "meta", which stores no values
        return found
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        there = ["cpu", *(f"cuda:{i}" for i in range(torch.cuda.device_count()))]
        there += ["mps"] if torch.backends.mps.is_available() else []
        fix = 'Use device="cpu"' + ("" if there[1:] else ", or install a torch for the accelerator you have")
        raise ToolkitError(
            call, f"a device that is there, one of {', '.join(there)}", repr(str(device)), fix
        ) from error


def best_device() -> str:
    """The name of the device to use where none is named: "cuda", else "mps", else "cpu"."""
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def describe_device(device: torch.device) -> str:
    """A device in a few words, e.g. "cpu, 2 threads"."""
    num = torch.get_num_threads()
    return f"cpu, {num} thread{'s' if num > 1 else ''}" if device.type == "cpu" else str(device)


def peak_memory(device: torch.device) -> int | None:
    """Bytes of a device's memory that this process has taken at most; None where the system does not tell."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if device.type == "mps":
        return torch.mps.driver_allocated_memory()
    try:
        import resource
    except ImportError:  # Windows
        return None
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kilobytes if sys.platform == "darwin" else 1024 * kilobytes  # macOS counts in bytes
