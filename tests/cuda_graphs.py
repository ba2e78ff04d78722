"""CUDA graphs' traps on a CPU: what `torch.cuda.make_graphed_callables` does to memory, gradients and shapes."""

import torch
from torch.autograd.function import once_differentiable


def replayed(module, *sample_args):
    """Stands in for `toolkit.training.graphs.graphed`.

    Outputs and gradients lie in the same memory at every call; a backward pass is that of the last call; gradients go
    to what required one at the capture; other shapes are refused.
    """
    parameters = list(module.parameters())
    surface = [*sample_args, *parameters]
    wanted = [tensor.requires_grad for tensor in surface]
    inside, static = module.forward, {}

    class Replay(torch.autograd.Function):
        @staticmethod
        def forward(ctx, *inputs):
            args = inputs[: len(sample_args)]
            for arg, sample in zip(args, sample_args, strict=True):
                if (arg.shape, arg.dtype) != (sample.shape, sample.dtype):
                    raise ValueError(f"captured {sample.shape} {sample.dtype}; got {arg.shape} {arg.dtype}")
            args = [arg.detach().clone().requires_grad_(grad) for arg, grad in zip(args, wanted, strict=False)]
            now = [p.requires_grad for p in parameters]
            for parameter, grad in zip(parameters, wanted[len(args) :], strict=True):
                parameter.requires_grad_(grad)
            with torch.enable_grad():
                out = inside(*args)
            for parameter, grad in zip(parameters, now, strict=True):
                parameter.requires_grad_(grad)
            static["inputs"], static["graph"] = [*args, *parameters], out
            return keep("out", out)

        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            at = [tensor for tensor, grad_ in zip(static["inputs"], wanted, strict=True) if grad_]
            found = iter(torch.autograd.grad(static["graph"], at, grad, allow_unused=True))
            found = [next(found) if grad_ else None for grad_ in wanted]
            return tuple(None if g is None else keep(i, g) for i, g in enumerate(found))

    def keep(name, tensor):
        if name not in static:
            static[name] = tensor.detach().clone()
        static[name].copy_(tensor.detach())
        return static[name].detach()

    module.forward = lambda *args: Replay.apply(*args, *parameters)
    return module
