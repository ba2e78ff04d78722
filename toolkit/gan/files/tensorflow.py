"""TensorFlow-era .pkl files of StyleGAN2: (G, D, Gs), each a tree of components with named arrays.

Source: the names and layouts in such files. Their source code (build_module_src) is ignored.
"""

import re

from toolkit.gan.files.arrays import Array, Lazy
from toolkit.gan.files.network import Network
from toolkit.gan.files.pickles import Record, Refused, check_kind
from toolkit.gan.layers import MAPPING_LR

ALLOWED = {("dnnlib.tflib.network", "Network"): lambda: Record("Network")}
USUAL = {
    "resample_kernel": [1, 3, 3, 1],
    "nonlinearity": "lrelu",
    "mapping_nonlinearity": "lrelu",
    "normalize_latents": True,
    "mbstd_num_features": 1,
    "conv_clamp": None,
}
MAX_VARIABLES = 2000  # of a network; the largest published one has 150, and several networks may share one list
LAYERS = {"Conv": "conv1", "Conv0_up": "conv0", "Conv1": "conv1", "ToRGB": "torgb", "Skip": "skip"}
JUDGE_LAYERS = {
    "FromRGB": "fromrgb",
    "Conv0": "conv0",
    "Conv1_down": "conv1",
    "Skip": "skip",
    "Conv": "conv",
    "Dense0": "fc",
}
FLIPPED = ("Conv0_up", "Skip")  # transposed convolutions (upsampling): stored with flipped kernels


def networks(data: tuple[Record, Record, Record]) -> dict[str, Network]:
    """The networks of a file.

    Args:
        data: the tuple (G, D, Gs) of `Record`s the file's pickle holds.
    Returns:
        dict, "generator" (Gs, the moving average) and "discriminator" -> `Network`.
    Raises:
        Refused: not StyleGAN2, or options that our implementation lacks.
    """
    _, judge, generator = data
    return {"generator": _generator(generator.state), "discriminator": _discriminator(judge.state)}


def _generator(state):
    kwargs = _kwargs(state)
    if not {"mapping", "synthesis"} <= set(state["components"]):
        raise Refused("a StyleGAN2 generator", "an older one (ProGAN?)", "Its network has other layers")
    tensors = {}
    for name, lazy in _variables(state):
        if name == "dlatent_avg":
            tensors["mapping.w_avg"] = lazy
        elif name != "lod":
            raise Refused("the variables of a StyleGAN2 generator", f"{name!r} too")
    for name, lazy in _variables(state["components"]["mapping"].state):
        if not (found := re.fullmatch(r"Dense(\d{1,3})/(weight|bias)", name)):
            raise Refused("the variables of a StyleGAN2 mapping without labels", f"{name!r} too")
        tensors[f"mapping.fc{found[1]}.{found[2]}"] = _turned(lazy) if found[2] == "weight" else lazy
    for name, lazy in _variables(state["components"]["synthesis"].state):
        where, lazy = _synthesis(name, lazy)
        tensors[f"synthesis.{where}"] = lazy
    return Network(tensors, {"mapping_lr": kwargs.get("mapping_lrmul", MAPPING_LR)})


def _synthesis(name, lazy):
    """Our name of a synthesis variable, and its tensor in our layout."""
    if name == "4x4/Const/const":
        return "b4.const", lazy.first()
    if found := re.fullmatch(r"noise(\d\d?)", name):
        index = int(found[1])
        return f"b{1 << (index + 5) // 2}.conv{(index + 1) % 2}.noise_const", lazy.first().first()
    found = re.fullmatch(r"(\d{1,5})x\1/(\w+)/(weight|bias|mod_weight|mod_bias|noise_strength)", name)
    if not found or found[2] not in LAYERS:
        raise Refused("the variables of a StyleGAN2 synthesis", f"{name!r} too")
    layer, kind = f"b{found[1]}.{LAYERS[found[2]]}", found[3]
    if kind == "weight":
        return f"{layer}.weight", _kernel(lazy, flip=found[2] in FLIPPED)
    if kind == "mod_weight":
        return f"{layer}.affine.weight", _turned(lazy)
    if kind == "mod_bias":
        return f"{layer}.affine.bias", lazy.then(lazy.shape, lambda t: t + 1)
    return f"{layer}.{kind}", lazy


def _discriminator(state):
    kwargs, tensors = _kwargs(state), {}
    for name, lazy in _variables(state):
        found = re.fullmatch(r"(\d{1,5})x\1/(\w+)/(weight|bias)", name)
        if found and found[2] in JUDGE_LAYERS:
            where = f"b{found[1]}.{JUDGE_LAYERS[found[2]]}.{found[3]}"
        elif name in ("Output/weight", "Output/bias"):
            where = f"b4.out.{name[7:]}"
        elif name == "lod":
            continue
        else:
            raise Refused("the variables of a StyleGAN2 discriminator", f"{name!r} too")
        if where.endswith(".weight"):
            lazy = _kernel(lazy) if len(lazy.shape) == 4 else _turned(lazy)
        tensors[where] = lazy
    # Where a file does not give the group size, TensorFlow's code uses 4, but NVIDIA's converter to PyTorch the
    # whole batch. The reference outputs come from the latter: 8 pictures match them to 1e-6 as one group, but
    # differ by 2e-2 as two. Up to 4 pictures both are the same.
    return Network(tensors, {"mbstd_group_size": kwargs.get("mbstd_group_size")})


def _kwargs(state):
    """A network's static_kwargs; raises `Refused` for a version or an option that ours lacks."""
    if not isinstance(state, dict) or state.get("version", 0) < 4 or not isinstance(state.get("components"), dict):
        raise Refused(
            "a network pickled by StyleGAN2's code (version 4)",
            "an older one",
            "StyleGAN1 and ProGAN have other layers",
        )
    kwargs = state["static_kwargs"]
    for name, usual in USUAL.items():
        if kwargs.get(name) not in (None, usual):
            raise Refused(f"{name} {usual}", "another")
    return kwargs


def _variables(state):
    if len(state["variables"]) > MAX_VARIABLES:
        raise Refused(f"at most {MAX_VARIABLES} variables", len(state["variables"]))
    for name, value in state["variables"]:
        lazy = value.lazy() if isinstance(value, Array) else Lazy.number(value)
        yield check_kind(name, (str,), "names of variables"), lazy


def _turned(lazy):
    if len(lazy.shape) != 2:
        raise Refused("a matrix", f"shape {lazy.shape}")
    return lazy.then(lazy.shape[::-1], lambda t: t.T)


def _kernel(lazy, flip=False):
    """A convolution's weights from HWIO to OIHW."""
    if len(lazy.shape) != 4:
        raise Refused("a kernel of four dimensions", f"shape {lazy.shape}")
    shape = tuple(lazy.shape[i] for i in (3, 2, 0, 1))
    return lazy.then(shape, lambda t: (t.flip(0, 1) if flip else t).permute(3, 2, 0, 1))
