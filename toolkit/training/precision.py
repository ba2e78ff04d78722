"""float32 or bfloat16: whichever is faster on the device at hand, found by timing both."""

import time
from collections.abc import Callable

import torch

from toolkit.errors import ToolkitError
from toolkit.training.processes import processes, share_mean

DTYPES = {"no": torch.float32, "bf16": torch.bfloat16}
ROUNDS = 3  # trials of each; the first of them also warms up
CLEARLY = 0.9  # bfloat16 is less exact, so it must take at most this share of float32's time
HOPELESS = 2.0  # times float32's slowest trial: no more trials are needed


def check_precision(call: str, mixed_precision: str) -> None:
    """Raise ToolkitError unless it is "auto", "bf16" or "no"."""
    if mixed_precision not in ("auto", *DTYPES):
        expected = 'mixed_precision "auto", "bf16" or "no"'
        raise ToolkitError(call, expected, repr(mixed_precision), "Leave it out to take the faster one")


def dtype_of(mixed_precision: str, trial: Callable[[torch.dtype], object], device: torch.device) -> torch.dtype:
    """What to compute the costly part of a training in.

    CPUs without instructions for bfloat16 take 5 times as long for it as for float32, those with them
    half as long, and only timing tells reliably which kind this is.

    Args:
        mixed_precision: "no" for float32, "bf16" for bfloat16, "auto" for the faster; of several
            processes, all take what is faster on average.
        trial: does about what a step does, in the dtype it is given, and changes nothing.
        device: where it does.
    Returns:
        torch.float32 or torch.bfloat16.
    """
    return DTYPES[mixed_precision] if mixed_precision in DTYPES else _faster(trial, device)


def dtype_in_graphs(mixed_precision: str, device: torch.device) -> torch.dtype:
    """As `dtype_of`, for passes that CUDA graphs will launch: a trial without them would time launches, not work.

    Returns:
        for "auto" torch.bfloat16, if the device computes in it.
    """
    if mixed_precision in DTYPES:
        return DTYPES[mixed_precision]
    able = device.type == "cuda" and torch.cuda.get_device_capability(device) >= (8, 0)
    return torch.bfloat16 if able else torch.float32


def _faster(trial, device):
    plain, half = [], []
    for _ in range(ROUNDS):
        plain.append(_seconds(trial, torch.float32, device))
        half.append(_seconds(trial, torch.bfloat16, device))
        if min(half) > HOPELESS * max(plain):
            break
    best = torch.tensor([min(plain), min(half)], device=processes().device)
    share_mean([best])
    return torch.bfloat16 if best[1] < CLEARLY * best[0] else torch.float32


def _seconds(trial, dtype, device):
    _wait(device)
    started = time.perf_counter()
    try:
        trial(dtype)
    except (RuntimeError, TypeError):  # a device may not have bfloat16 at all
        if dtype != torch.bfloat16:
            raise
        return float("inf")
    _wait(device)
    return time.perf_counter() - started


def _wait(device):
    """Calls on an accelerator return before its work is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
