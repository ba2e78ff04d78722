"""One process, or those that `accelerate launch` started."""

import torch
from accelerate import PartialState


def processes():
    """Accelerate's state: which of how many processes this is, and its device.

    On a machine without an accelerator, several processes (`accelerate launch --multi_gpu`, which there
    means several processes all the same) talk to one another over gloo; Accelerate has to be told.
    """
    return PartialState(cpu=not torch.accelerator.is_available())
