"""Writers of other publishers' formats, for tests: our networks, laid out and named as in their files."""

import argparse
import collections
import contextlib
import math
import pickle
import sys
import types

import numpy as np
import torch

from toolkit.gan import layers, stylegan2
from toolkit.gan.generator import ToRGB

FIR = torch.outer(torch.tensor([1.0, 3, 3, 1]), torch.tensor([1.0, 3, 3, 1])) / 64


@contextlib.contextmanager
def published_modules():
    """Names that NVIDIA's pickles refer to, as empty stand-ins that pickle by name."""

    class EasyDict(dict):
        pass

    class Network:
        pass

    def _reconstruct_persistent_obj(meta):
        raise AssertionError("a test writes pickles, and never runs them")

    placed = {
        "torch_utils.persistence": _reconstruct_persistent_obj,
        "dnnlib.util": EasyDict,
        "dnnlib.tflib.network": Network,
    }
    names = {"torch_utils", "dnnlib", "dnnlib.tflib", *placed}
    for name in names:
        sys.modules[name] = types.ModuleType(name)
    for name, thing in placed.items():
        thing.__module__, thing.__qualname__ = name, thing.__name__
        setattr(sys.modules[name], thing.__name__, thing)
    try:
        yield EasyDict, Network, _reconstruct_persistent_obj
    finally:
        for name in names:
            del sys.modules[name]


# ---- NVIDIA, PyTorch
def write_nvidia(path, generator, discriminator=None, *, protocol=4, frozen=False, use_noise=True, change=None):
    """stylegan2-ada-pytorch's .pkl; `frozen` keeps the discriminator's weights among its buffers.

    change: function (path of a module, its state) called on every state before it is written.
    """
    with published_modules() as (easy_dict, _, reconstruct):

        class Persistent:
            def __init__(self, meta):
                self.meta = meta

            def __reduce__(self):
                return reconstruct, (self.meta,)

        def module(ours, where, name):
            state = _nvidia_state(ours, where, name, frozen and name == "D", use_noise)
            for key, child in ours.named_children():
                child_path = f"{where}.{key}".lstrip(".")
                state["_modules"][key] = module(child, child_path, name)
            if where == "b4" and name == "D":
                mbstd = _empty() | {"group_size": ours.group_size, "num_channels": ours.num_channels}
                state["_modules"]["mbstd"] = Persistent(_meta("MinibatchStdLayer", mbstd, easy_dict))
            if change:
                change(where, state)
            return Persistent(_meta(type(ours).__name__, state, easy_dict))

        judge = None if discriminator is None else module(discriminator, "", "D")
        data = {
            "G": None,
            "D": judge,
            "G_ema": module(generator, "", "G_ema"),
            "augment_pipe": None,
            "training_set_kwargs": easy_dict(path="x.zip", resolution=generator.resolution),
        }
        with open(path, "wb") as file:
            pickle.dump(data, file, protocol)


def _meta(name, state, easy_dict):
    return easy_dict(
        type="class", version=6, module_src="import os\nos.system('touch MARKER')\n" * 200, class_name=name, state=state
    )


def _empty():
    hooks = ("_backward_hooks", "_forward_hooks", "_state_dict_hooks")
    return {
        "training": False,
        "_parameters": collections.OrderedDict(),
        "_buffers": collections.OrderedDict(),
        "_non_persistent_buffers_set": set(),
        **{hook: collections.OrderedDict() for hook in hooks},
        "_modules": collections.OrderedDict(),
    }


def _nvidia_state(ours, where, name, frozen, use_noise):
    state = _empty()
    for key, value in ours.named_parameters(recurse=False):
        if frozen:
            state["_buffers"][key] = value.detach()
        else:
            state["_parameters"][key] = torch.nn.Parameter(value.detach())
    for key, value in ours.named_buffers(recurse=False):
        if key != "fade":
            state["_buffers"][key] = value.detach()
    last = where.rpartition(".")[2]
    if isinstance(ours, layers.FullyConnected):
        state |= {
            "activation": "lrelu" if ours.activate else "linear",
            "bias_gain": ours.lr,
            "weight_gain": np.float64(ours.weight_gain),
        }
    if isinstance(ours, stylegan2.SynthesisConv):
        clamp = ours.conv_clamp and round(ours.conv_clamp * math.sqrt(2) / ours.gain, 6)
        state |= {
            "resolution": ours.resolution,
            "up": 1 + ours.up,
            "use_noise": use_noise,
            "activation": "lrelu",
            "conv_clamp": clamp,
            "act_gain": np.float64(math.sqrt(2)),
        }
        if not use_noise:
            del state["_buffers"]["noise_const"], state["_parameters"]["noise_strength"]
    if isinstance(ours, ToRGB):
        state |= {"conv_clamp": ours.conv_clamp, "weight_gain": np.float64(ours.weight.shape[1] ** -0.5)}
    if isinstance(ours, layers.Conv):
        gain = ours.gain / (math.sqrt(2) if ours.activate else 1)
        fan_in = math.prod(ours.weight.shape[1:])
        state |= {
            "activation": "lrelu" if ours.activate else "linear",
            "down": 1 + ours.down,
            "conv_clamp": ours.conv_clamp and round(ours.conv_clamp / gain, 6),
            "weight_gain": np.float64(fan_in**-0.5),
            "act_gain": np.float64(math.sqrt(2)) if ours.activate else 1,
        }
        if ours.bias is None:
            state["_parameters"].pop("bias", None)
            state["bias"] = None
    if hasattr(ours, "convs") or last.startswith(("conv", "skip", "fromrgb")):
        state["_buffers"]["resample_filter"] = FIR.clone()
    return state


# ---- NVIDIA, TensorFlow
def write_tensorflow(path, generator, discriminator, *, version=4, kwargs=None, extra=()):
    """The TensorFlow-era .pkl; `extra`: (name, array) pairs added to the synthesis variables."""
    with published_modules() as (_, network, _):

        def component(variables, components=None):
            made = network()
            made.__dict__.update(
                version=version,
                name="x",
                static_kwargs=dict(kwargs or {}),
                components=components or {},
                build_module_src="import os",
                build_func_name="f",
                variables=variables,
            )
            return made

        mapping = [
            (name.replace("fc", "Dense").replace(".", "/"), _numpy(t.T if t.dim() == 2 else t))
            for name, t in generator.mapping.state_dict().items()
            if name != "w_avg"
        ]
        synthesis = [_tensorflow_synthesis(name, t) for name, t in generator.synthesis.state_dict().items()]
        parts = {"synthesis": component([*synthesis, *extra]), "mapping": component(mapping)}
        whole = component([("lod", np.float32(0)), ("dlatent_avg", _numpy(generator.mapping.w_avg))], parts)
        judge = [_tensorflow_judge(name, t) for name, t in discriminator.state_dict().items()]
        with open(path, "wb") as file:
            pickle.dump((whole, component(judge), whole), file, 4)


def _numpy(tensor):
    return np.ascontiguousarray(tensor.detach().numpy())


def _tensorflow_synthesis(name, tensor):
    block, _, rest = name.partition(".")
    side = int(block[1:])
    if rest == "const":
        return "4x4/Const/const", _numpy(tensor[None])
    layer, _, kind = rest.partition(".")
    if kind == "noise_const":
        index = 2 * int(math.log2(side)) - 5 + (layer == "conv1")
        return f"noise{index}", _numpy(tensor[None, None])
    theirs = {"conv0": "Conv0_up", "conv1": "Conv" if side == 4 else "Conv1", "torgb": "ToRGB", "skip": "Skip"}[layer]
    if kind == "weight":
        tensor = tensor.permute(2, 3, 1, 0)
        tensor = tensor.flip(0, 1) if layer in ("conv0", "skip") else tensor
    if kind == "affine.weight":
        kind, tensor = "mod_weight", tensor.T
    if kind == "affine.bias":
        kind, tensor = "mod_bias", tensor - 1
    if kind == "noise_strength":
        return f"{side}x{side}/{theirs}/{kind}", np.float32(tensor)
    return f"{side}x{side}/{theirs}/{kind}", _numpy(tensor)


def _tensorflow_judge(name, tensor):
    block, layer, kind = name.split(".")
    if tensor.dim() > 1:
        tensor = tensor.permute(2, 3, 1, 0) if tensor.dim() == 4 else tensor.T
    if layer == "out":
        return f"Output/{kind}", _numpy(tensor)
    theirs = {
        "fromrgb": "FromRGB",
        "conv0": "Conv0",
        "conv1": "Conv1_down",
        "skip": "Skip",
        "conv": "Conv",
        "fc": "Dense0",
    }[layer]
    return f"{block[1:]}x{block[1:]}/{theirs}/{kind}", _numpy(tensor)


# ---- rosinality
def write_rosinality(
    path,
    generator,
    discriminator=None,
    *,
    legacy=False,
    noises=True,
    latent_avg=True,
    args=False,
    device="cpu",
    monkeypatch=None,
):
    """rosinality's .pt; `legacy` in the container before zip, `device` the tag of its tensors."""
    data = {"g": None, "g_ema": _rosinality_generator(generator, noises)}
    if discriminator is not None:
        data["d"] = _rosinality_judge(discriminator)
    if latent_avg:
        data["latent_avg"] = generator.mapping.w_avg.clone()
    if args:
        data["args"] = argparse.Namespace(size=generator.resolution, lr=0.002, arch="stylegan2", ckpt=None)
        data["ada_aug_p"] = torch.tensor(0.1)
    if device != "cpu":
        monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: device)
    torch.save(data, path, _use_new_zipfile_serialization=not legacy)


def _rosinality_generator(generator, noises):
    state = collections.OrderedDict()
    for name, tensor in generator.mapping.state_dict().items():
        if name != "w_avg":
            layer, _, kind = name.partition(".")
            state[f"style.{int(layer[2:]) + 1}.{kind}"] = tensor
    for name, tensor in generator.synthesis.state_dict().items():
        block, _, rest = name.partition(".")
        if rest == "const":
            state["input.input"] = tensor[None]
            continue
        layer, _, kind = rest.partition(".")
        index = int(math.log2(int(block[1:]))) - 3  # -1 for b4
        if kind == "noise_const":
            if noises:
                state[f"noises.noise_{0 if index < 0 else 2 * index + 1 + (layer == 'conv1')}"] = tensor[None, None]
            continue
        if layer == "torgb":
            theirs = "to_rgb1" if index < 0 else f"to_rgbs.{index}"
        else:
            theirs = "conv1" if index < 0 else f"convs.{2 * index + (layer == 'conv1')}"
        if kind == "weight":
            state[f"{theirs}.conv.weight"] = tensor[None]
            if layer == "conv0":
                state[f"{theirs}.conv.blur.kernel"] = FIR * 4
            if layer == "torgb" and index >= 0:
                state[f"{theirs}.upsample.kernel"] = FIR * 4
        elif kind.startswith("affine"):
            state[f"{theirs}.conv.modulation.{kind[7:]}"] = tensor
        elif kind == "noise_strength":
            state[f"{theirs}.noise.weight"] = tensor.reshape(1)
        else:
            bias = tensor.reshape(1, -1, 1, 1) if layer == "torgb" else tensor
            state[f"{theirs}.{'bias' if layer == 'torgb' else 'activate.bias'}"] = bias
    return state


def _rosinality_judge(discriminator):
    state, finest = collections.OrderedDict(), discriminator.resolution
    for name, tensor in discriminator.state_dict().items():
        block, layer, kind = name.split(".")
        if block == "b4":
            theirs = {
                "conv": {"weight": "final_conv.0", "bias": "final_conv.1"},
                "fc": "final_linear.0",
                "out": "final_linear.1",
            }[layer]
            theirs = theirs[kind] if isinstance(theirs, dict) else theirs
        else:
            index = 1 + int(math.log2(finest // int(block[1:])))
            theirs = {
                "fromrgb": {"weight": "convs.0.0", "bias": "convs.0.1"},
                "conv0": {"weight": f"convs.{index}.conv1.0", "bias": f"convs.{index}.conv1.1"},
                "conv1": {"weight": f"convs.{index}.conv2.1", "bias": f"convs.{index}.conv2.2"},
                "skip": {"weight": f"convs.{index}.skip.1"},
            }[layer][kind]
            if layer in ("conv1", "skip"):
                state[f"convs.{index}.{'conv2' if layer == 'conv1' else 'skip'}.0.kernel"] = FIR
        state[f"{theirs}.{kind}"] = tensor
    return state
