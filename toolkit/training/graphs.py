"""CUDA graphs: on a GPU, all kernels of a forward pass, or of a backward pass, launched at once.

A small GAN's step is thousands of kernels, and to launch one takes longer than its work. At 64 pixels and 64 pictures a
batch, with the low-pass filter in the weights as well (see `toolkit.gan.layers.low_passed`), these steps learned from
2,200 pictures a second on an H100; plain steps with neither learned from 478 on an H200.
"""

from typing import Any

import torch
from torch import Tensor, nn


def graphed(module: nn.Module, *sample_args: Tensor) -> Any:
    """The module as CUDA graphs of its forward and backward passes; the module itself where there is no CUDA.

    Three traps:

    Its output, and the gradients it hands back, lie in the same memory at every call. What is kept must be copied, and
    a call's backward pass, where there is one, must come before the next call.

    Shapes, dtypes, addresses of parameters and buffers, and every number of Python's are those of the capture.
    Parameters and buffers may change in place; random numbers are drawn anew, from torch's own generator only.

    Gradients go where they did at the capture: to those of the sample arguments and of the module's parameters that
    required one then. There is no gradient of a gradient.

    Args:
        module: whose `forward` is replaced; hence a wrapper, where others call the network itself. Its parameters
            are learned, or do not require a gradient; what it only reads, and is not to be watched, is no submodule.
        sample_args: arguments like those to come.
    """
    if not sample_args[0].is_cuda:
        return module
    with torch.cuda.device(sample_args[0].device):
        return torch.cuda.make_graphed_callables(module, sample_args, allow_unused_input=True)


class Draw(nn.Module):
    """ws (N, num_ws, w_dim) -> pictures (N, C, R, R), with fresh noise of torch's own generator."""

    def __init__(self, synthesis: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.synthesis, self.dtype = synthesis, dtype

    def forward(self, ws: Tensor) -> Tensor:
        """Draw."""
        return self.synthesis(ws, noise_mode="random", dtype=self.dtype)


class Judge(nn.Module):
    """Pictures (N, 3, R, R) -> logits (N, 1): a discriminator whose own `forward` stays as it is."""

    def __init__(self, discriminator: nn.Module) -> None:
        super().__init__()
        self.discriminator = discriminator

    def forward(self, image: Tensor) -> Tensor:
        """Judge."""
        return self.discriminator(image)
