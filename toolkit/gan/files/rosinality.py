"""Networks with rosinality's tensor names (stylegan2-pytorch), or BasicSR's for the same layers.

Source: the tensor names in its files. These networks do not clamp.
"""

import re

from toolkit.gan.files.arrays import Lazy
from toolkit.gan.files.network import Network
from toolkit.gan.files.pickles import Refused
from toolkit.gan.layers import is_fir

NOISE_SEED = 0

LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "noise.weight": "noise_strength",
    "activate.bias": "bias",
    "bias": "bias",
}
ROW = {"conv.weight", "noise.weight"}  # stored with a leading dimension of 1
EPILOGUE = {
    "final_conv.0.weight": "b4.conv.weight",
    "final_conv.1.bias": "b4.conv.bias",
    "final_linear.0.weight": "b4.fc.weight",
    "final_linear.0.bias": "b4.fc.bias",
    "final_linear.1.weight": "b4.out.weight",
    "final_linear.1.bias": "b4.out.bias",
}
BLOCK = {
    "conv1.0.weight": "conv0.weight",
    "conv1.1.bias": "conv0.bias",
    "conv2.1.weight": "conv1.weight",
    "conv2.2.bias": "conv1.bias",
    "skip.1.weight": "skip.weight",
}
# BasicSR's names -> rosinality's, replaced in this order.
BASICSR = {
    r"^style_mlp\.": "style.",
    r"^constant_input\.weight$": "input.input",
    r"^style_conv(1|s\.\d\d?)\.weight$": r"conv\1.noise.weight",
    r"^style_conv(1|s\.\d\d?)\.": r"conv\1.",
    r"\.modulated_conv\.": ".conv.",
    r"^noises\.noise(\d)": r"noises.noise_\1",
}


def of_basicsr(state: dict[str, Lazy]) -> dict[str, Lazy]:
    """The tensors of a BasicSR generator (e.g. GFPGAN's) under rosinality's names.

    Args:
        state: its state dict, name -> `Lazy`.
    """
    renamed = {}
    for name, lazy in state.items():
        for pattern, theirs in BASICSR.items():
            name = re.sub(pattern, theirs, name)
        renamed[name] = lazy
    return renamed


def generator(state: dict[str, Lazy], latent_avg: Lazy | None) -> Network:
    """A generator's network.

    Args:
        state: its state dict, name -> `Lazy`.
        latent_avg: (w_dim,), the average w; None where the file has none.
    Raises:
        Refused: a tensor of another network.
    """
    tensors = {}
    for key, lazy in _tensors(state, 4):
        if found := re.fullmatch(r"style\.(\d{1,3})\.(weight|bias)", key):
            name = f"mapping.fc{int(found[1]) - 1}.{found[2]}"
        elif key == "input.input":
            name, lazy = "synthesis.b4.const", lazy.first()
        elif found := re.fullmatch(r"noises\.noise_(\d\d?)", key):
            name, lazy = f"synthesis.{_layer(int(found[1]))}.noise_const", lazy.first().first()
        elif found := re.fullmatch(r"(conv1|convs\.\d\d?|to_rgb1|to_rgbs\.\d\d?)\.(.+)", key):
            where, rest = found[1], found[2]
            if rest not in LAYER or (where.startswith("conv") and rest == "bias"):
                raise Refused("the tensors of rosinality's generator", f"{key!r} too")
            index = int(where.rpartition(".")[2]) if "." in where else -1
            layer = f"b{8 << index}.torgb" if index >= 0 else "b4.torgb"
            layer = _layer(index + 1) if where.startswith("conv") else layer
            lazy = lazy.first() if rest in ROW else lazy
            lazy = lazy.then(lazy.shape[1:2], lambda t: t.flatten()) if rest == "bias" else lazy
            lazy = lazy.then((), lambda t: t[0]) if rest == "noise.weight" and lazy.shape == (1,) else lazy
            name = f"synthesis.{layer}.{LAYER[rest]}"
        else:
            raise Refused("the tensors of rosinality's generator", f"{key!r} too")
        tensors[name] = lazy
    derived = []
    if not any(name.endswith("noise_const") for name in tensors):
        derived += _noises(tensors)
    if latent_avg is None:
        derived.append("mapping.w_avg")
    else:
        tensors["mapping.w_avg"] = latent_avg
    return Network(tensors, {}, tuple(derived))


def _noises(tensors):
    """Add seeded noise maps, which older files do not store; returns their names."""
    names = []
    for name in [n for n in tensors if n.endswith(".noise_strength")]:
        side = int(re.search(r"\.b(\d+)\.", name)[1])
        names.append(name.replace("noise_strength", "noise_const"))
        tensors[names[-1]] = Lazy.noise((side, side), seed=NOISE_SEED + len(names))
    return names


def discriminator(state: dict[str, Lazy]) -> Network:
    """A discriminator's network.

    Args:
        state: its state dict, name -> `Lazy`.
    Raises:
        Refused: a tensor of another network.
    """
    state = dict(_tensors(state, 1))
    depth = 1 + max((int(found[1]) for key in state if (found := re.match(r"convs\.(\d\d?)\.", key))), default=0)
    tensors = {}
    for key, lazy in state.items():
        found = re.fullmatch(r"convs\.(\d\d?)\.(.+)", key)
        index, rest = (int(found[1]), found[2]) if found else (-1, "")
        if key in EPILOGUE:
            name = EPILOGUE[key]
        elif index == 0 and rest in ("0.weight", "1.bias"):
            name = f"b{4 << (depth - 1)}.fromrgb.{rest[2:]}"
        elif index > 0 and rest in BLOCK:
            name = f"b{4 << (depth - index)}.{BLOCK[rest]}"
        else:
            raise Refused("the tensors of rosinality's discriminator", f"{key!r} too")
        tensors[name] = lazy
    return Network(tensors, {})


def _layer(index):
    """The name of a convolution by its number: 0 is b4.conv1, then b8.conv0, b8.conv1, ..."""
    return "b4.conv1" if index == 0 else f"b{8 << (index - 1) // 2}.conv{(index - 1) % 2}"


def _tensors(state, gain):
    """(key, Lazy) of a state dict; its low-pass filters are checked and left out."""
    for key, lazy in state.items():
        if key.endswith(".kernel"):
            if not is_fir(lazy, gain):
                raise Refused("the filter [1, 3, 3, 1]", f"another in {key!r}")
        else:
            yield key, lazy
