"""GANs on disk: one safetensors file holds generator, discriminator, w_avg and metadata.

Nothing in a file is run; the networks' sizes are read off the tensors.
"""

import hashlib
import json

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from toolkit.errors import CheckpointError
from toolkit.files import replace_when_done
from toolkit.gan.stylegan2 import Discriminator, Generator


def save_gan(path, generator, discriminator, metadata, dtype=torch.float32):
    """Write a GAN, whole or not at all.

    Args:
        path: the .safetensors file.
        generator, discriminator: `Generator`, `Discriminator`.
        metadata: dict that JSON can hold.
        dtype: of the stored tensors; float16 halves the file.
    """
    tensors = {f"generator.{k}": v for k, v in generator.state_dict().items()}
    tensors |= {f"discriminator.{k}": v for k, v in discriminator.state_dict().items()}
    tensors = {k: v.detach().to("cpu", dtype).contiguous() for k, v in tensors.items()}
    with replace_when_done(path) as temporary:
        save_file(tensors, temporary, {"toolkit": json.dumps({"format": "gan", **metadata})})


def load_generator(path, device="cpu"):
    """Read the generator of a file written by `save_gan`.

    Returns:
        `Generator` in float32, eval mode, without gradients; `.metadata` is the file's dict and
        `.hash` a sha256 of its parameters, which tells whether a shot belongs to it.
    Raises:
        CheckpointError: not such a file, or a tensor is missing, left over or of the wrong shape.
    """
    state, metadata = _read(path, "generator", "load_generator")
    resolutions = _resolutions(state, "synthesis.b{}.conv1.weight", path, "load_generator")
    channels = {r: len(state[f"synthesis.b{r}.conv1.weight"]) for r in resolutions}
    depth = sum(k.startswith("mapping.fc") and k.endswith(".weight") for k in state)
    if not depth or "mapping.fc0.weight" not in state:
        raise CheckpointError("load_generator", "a mapping network", f"none in {path}", "Check the file")
    w_dim, z_dim = state["mapping.fc0.weight"].shape
    generator = Generator(resolutions[-1], z_dim, w_dim, channels, depth)
    generator.metadata = metadata
    generator.hash = _hash(state)
    return _fill(generator, state, path, "load_generator").to(device, memory_format=torch.channels_last)


def load_discriminator(path, device="cpu"):
    """Read the discriminator of a file written by `save_gan`.

    Returns:
        `Discriminator` in float32, eval mode, without gradients.
    Raises:
        CheckpointError: as `load_generator`.
    """
    state, _ = _read(path, "discriminator", "load_discriminator")
    resolutions = _resolutions(state, "b{}.conv1.weight", path, "load_discriminator", start=8)
    channels = {r: state[f"b{r}.conv1.weight"].shape[1] for r in resolutions}
    channels[4] = len(state["b8.conv1.weight"])
    discriminator = Discriminator(resolutions[-1], channels)
    filled = _fill(discriminator, state, path, "load_discriminator")
    return filled.to(device, memory_format=torch.channels_last)


def _read(path, part, call):
    """The part's tensors as float32, without their prefix, and the file's metadata."""
    try:
        with safe_open(path, "pt") as file:
            metadata = json.loads((file.metadata() or {}).get("toolkit", "{}"))
            prefix = part + "."
            state = {
                k.removeprefix(prefix): file.get_tensor(k).float()
                for k in file.keys()
                if k.startswith(prefix)
            }
    except (OSError, SafetensorError, ValueError) as error:
        raise CheckpointError(
            call, "a GAN saved by this toolkit", f"{path} ({error})", "Check the path"
        ) from error
    if not state:
        raise CheckpointError(call, f"a file with a {part}", f"none in {path}", "Use a GAN's weights file")
    return state, metadata


def _resolutions(state, pattern, path, call, start=4):
    found, r = [], start
    while pattern.format(r) in state and state[pattern.format(r)].dim() == 4:
        found.append(r)
        r *= 2
    if len(found) < 2 - (start == 8):
        raise CheckpointError(call, f"tensor {pattern.format(r)}", f"none in {path}", "Check the file")
    return found


def _fill(module, state, path, call):
    own = module.state_dict()
    missing, extra = sorted(own.keys() - state.keys()), sorted(state.keys() - own.keys())
    if missing or extra:
        raise CheckpointError(call, "exactly the tensors of a StyleGAN2",
                              f"missing {missing}, unknown {extra} in {path}", "Check the file")  # fmt: skip
    for name, value in own.items():
        if value.shape != state[name].shape:
            raise CheckpointError(call, f"{name} {tuple(value.shape)}", f"{tuple(state[name].shape)} in {path}",
                                  "Check the file")  # fmt: skip
    module.load_state_dict(state)
    return module.eval().requires_grad_(False)


def _hash(state):
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode() + state[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
