"""NVIDIA's .pkl files: stylegan2-ada-pytorch, and the StyleGAN2 networks of stylegan3.

Their modules are pickled as dictionaries of attributes plus the source code that would rebuild them.
The code is ignored. The attributes hold what the tensors do not show (clamps, gains), and are checked.
"""

import math

from toolkit.gan.files.arrays import NUMPY, TENSORS, Lazy, load_from_bytes
from toolkit.gan.files.network import Network
from toolkit.gan.files.pickles import Record, Refused, check_kind
from toolkit.gan.layers import MAPPING_LR, is_fir

# Limits, as a pickled module may contain itself, or another module many times; the largest published network
# has 60 modules, with at most 5 tensors each.
MAX_DEPTH, MAX_MODULES, MAX_OWN, MAX_NAME = 6, 2000, 32, 64
NUMBERS = (int, float)
LINEAR = {"affine", "embed", "out", "skip"}  # layers without a leaky ReLU


def _module(meta):
    record = Record("module")
    record.state = meta["state"]
    return record


def _set(items):
    """The list that a set is pickled as, not copied: a hostile file could ask for any number of copies."""
    return check_kind(items, (list,), "the items of a set")


ALLOWED = {
    **TENSORS,
    **NUMPY,
    ("torch.storage", "_load_from_bytes"): load_from_bytes,
    ("torch_utils.persistence", "_reconstruct_persistent_obj"): _module,
    ("dnnlib.util", "EasyDict"): lambda: {},
    ("builtins", "set"): _set,
    ("__builtin__", "set"): _set,
}


def of_tensors(tensors: dict[str, Lazy]) -> Network:
    """A network saved as a bare state dict, whose settings are taken to be the defaults.

    Args:
        tensors: name -> `Lazy`, of a generator or a discriminator.
    Raises:
        Refused: another low-pass filter than ours.
    """
    for name, lazy in tensors.items():
        if name.endswith("resample_filter") and not is_fir(lazy, 1):
            raise Refused("the filter [1, 3, 3, 1]", f"another in {name[:MAX_NAME]}")
    return Network({name: lazy for name, lazy in tensors.items() if not name.endswith("resample_filter")}, {})


def network(module: Record, name: str) -> Network:
    """A network as its pickled modules describe it.

    Args:
        module: what the file's pickle holds.
        name: for errors.
    Raises:
        Refused: not StyleGAN2, or one with other gains or filters than ours.
    """
    modules = dict(_modules(module))
    if any(path.rpartition(".")[2][:2] in ("L0", "L1") for path in modules) or "synthesis.input" in modules:
        raise Refused("a StyleGAN2 file", "a StyleGAN3 one", "Its networks have other layers")
    tensors, clamps, rates = {}, set(), set()
    for path, state in modules.items():
        own = _own(path, state)
        if not all(isinstance(value, Lazy) for value in own.values()):
            raise Refused(f"tensors in {name}.{path}", "something else")
        filter = own.pop("resample_filter", None)
        if filter is not None and not is_fir(filter, 1):
            raise Refused("the filter [1, 3, 3, 1]", f"another in {name}.{path}")
        tensors.update({f"{path}.{key}".lstrip("."): value for key, value in own.items()})
        if "weight" in own:
            _check_layer(path, state, own["weight"].shape)
        if state.get("use_noise") is False:
            tensors |= _no_noise(path, state)
        clamp = check_kind(state.get("conv_clamp"), (*NUMBERS, type(None)), f"a number as clamp of {name}.{path}")
        if "conv_clamp" in state and path != "b4.fromrgb" and path.rpartition(".")[2] != "skip":
            clamps.add(clamp)
        elif clamp is not None:  # the published networks have none there
            raise Refused(f"no clamp in {name}.{path}", clamp)
        if path.startswith("mapping.fc"):
            rates.add(check_kind(state["bias_gain"], NUMBERS, f"a number as bias_gain of {name}.{path}"))
    if len(clamps) > 1 or len(rates) > 1:
        raise Refused(f"one clamp and one mapping learning rate in {name}", f"{len(clamps)} and {len(rates)}")
    options = {"conv_clamp": clamps.pop() if clamps else None, "mapping_lr": rates.pop() if rates else MAPPING_LR}
    if "b4.mbstd" in modules:
        options["mbstd_group_size"] = modules["b4.mbstd"]["group_size"]
    return Network(tensors, options)


def _modules(module, path="", depth=0, budget=None):
    """(path, state) of a module and of its submodules."""
    budget = [MAX_MODULES] if budget is None else budget
    budget[0] -= 1
    if depth > MAX_DEPTH or budget[0] < 0 or not isinstance(module, Record) or module.kind != "module":
        raise Refused("a StyleGAN2's modules", "others")
    yield path, module.state
    for name, child in module.state["_modules"].items():
        if len(check_kind(name, (str,), "names of modules")) > MAX_NAME:
            raise Refused(f"names of at most {MAX_NAME} letters", "a longer one")
        if child is not None:
            yield from _modules(child, f"{path}.{name}".lstrip("."), depth + 1, budget)


def _own(path, state):
    """A module's parameters and buffers that are not None: dict."""
    tables = [state["_parameters"], state["_buffers"]]
    if sum(len(table) for table in tables) > MAX_OWN:
        raise Refused(f"at most {MAX_OWN} tensors in {path}", "more")
    return {key: value for table in tables for key, value in table.items() if value is not None}


def _check_layer(path, state, shape):
    """Raise `Refused` unless the layer computes the same as our layer of that name."""
    name = path.rpartition(".")[2]
    if "activation" in state and state["activation"] != ("linear" if name in LINEAR else "lrelu"):
        raise Refused(f"the usual activation in {path}", "another")
    rate = state.get("bias_gain", 1)
    gain = state.get("weight_gain")
    if gain is not None and not math.isclose(gain, rate / math.sqrt(math.prod(shape[1:])), rel_tol=1e-6):
        raise Refused(f"an equalised learning rate in {path}", f"weight_gain {gain:.4g}")
    if rate != 1 and not path.startswith("mapping.fc"):
        raise Refused(f"bias_gain 1 in {path}", f"{rate:.4g}")
    act_gain, expected = state.get("act_gain"), 1 if name in LINEAR else math.sqrt(2)
    if act_gain is not None and not math.isclose(act_gain, expected, rel_tol=1e-6):
        raise Refused(f"act_gain {expected:.4g} in {path}", f"{act_gain:.4g}")


def _no_noise(path, state):
    """Noise tensors of strength 0, for a layer without noise."""
    side = check_kind(state["resolution"], (int,), f"a resolution of {path}")
    return {f"{path}.noise_const": Lazy.zeros((side, side)), f"{path}.noise_strength": Lazy.zeros(())}
