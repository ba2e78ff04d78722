"""One process, or those that `accelerate launch` started."""

import os
from collections.abc import Sequence

import torch
from accelerate import PartialState
from accelerate.utils import reduce
from torch import Tensor

from toolkit.devices import check_device


def processes(device: str | None = None) -> PartialState:
    """Accelerate's state: which of how many processes this is, and its device.

    Args:
        device: for the first call to say which; None for the best there is, or what was said before.

    On a machine without an accelerator, several processes (`accelerate launch --multi_gpu`, which there
    means several processes all the same) talk to one another over gloo; Accelerate has to be told.
    """
    if device is not None:
        os.environ["ACCELERATE_TORCH_DEVICE"] = str(check_device(device, "--device"))
    return PartialState(cpu=device == "cpu" or not torch.accelerator.is_available())


@torch.no_grad()
def share_mean(tensors: Sequence[Tensor]) -> None:
    """Replace tensors, in place, by their means over all processes, which must all call this.

    Args:
        tensors: floating point, of any shapes, the same in every process.
    """
    if processes().num_processes == 1:
        return
    mean = reduce(torch.cat([t.flatten() for t in tensors]), "mean")
    for tensor, part in zip(tensors, mean.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(part.view_as(tensor))
