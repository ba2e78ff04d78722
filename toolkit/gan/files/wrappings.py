"""Find the StyleGAN2 networks in a file, however they are nested or prefixed.

A generator's state dict may be a whole file, under a key (`g_ema`, `params_ema`, `state_dict`, ...), below a
prefix (`module.` of DataParallel, `decoder.` of pSp and e4e, an attribute's name in a Lightning module), or
a pickled module. It is found by tensor names that no other network uses.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any, NamedTuple

from toolkit.gan.files import nvidia, rosinality, tensorflow
from toolkit.gan.files.arrays import Lazy
from toolkit.gan.files.network import Network
from toolkit.gan.files.pickles import Record, Refused

MAX_DEPTH, MAX_DICTS, MAX_FOUND = 4, 1000, 16  # of nested dictionaries; real files have a handful
MAX_KEY = 60  # letters of a key shown in an error or a remark
SHOWN = 4  # names an error or a remark lists

# A tensor name found in one naming scheme only -> that scheme.
GENERATORS = {
    "input.input": "rosinality",
    "constant_input.weight": "BasicSR",
    "synthesis.b4.const": "NVIDIA",
}
DISCRIMINATORS = {"convs.0.0.weight": "rosinality", "b4.out.weight": "NVIDIA"}
AVERAGED = re.compile(r"(?<![a-z])(g?ema|running|smooth(ed)?|shadow|averaged?)(?![a-z])", re.IGNORECASE)
RAW = {"g", "generator", "netg", "params"}  # names of the trained network, as opposed to its moving average
AVERAGES = ("latent_avg", "mean_latent", "w_avg", "dlatent_avg")  # of w, beside a generator
OTHERS = {  # what a file without a StyleGAN2 generator may hold instead, by the names of its tensors
    r"(^|\.)synthesis\.(input\.|L\d)": "a StyleGAN3 generator",
    r"(^|\.)(g_synthesis|progression)\.": "a StyleGAN1 generator",
    r"(^|\.)style_mapping\.": "a generator under MMGeneration's names",
    r"(^|\.)(convs\.0\.0|b4\.out)\.weight$": "a discriminator alone",
    r"(^|\.)(encoder|input_layer)\.": "an encoder without its generator",
}


# Names that checkpoints use besides weights: options, devices, paths, dates. They are allowed one by one and replaced
# by placeholders: DICTIONARIES by an empty dict, THINGS (objects) by a Record, NAMES (dtypes and types) by None.
DICTIONARIES = {
    "collections": ("defaultdict", "Counter"),
    "easydict": ("EasyDict",),
    "addict.addict": ("Dict",),
    "munch": ("Munch",),
    "lightning_fabric.utilities.data": ("AttributeDict",),
    "lightning.fabric.utilities.data": ("AttributeDict",),
    "lightning.pytorch.utilities.parsing": ("AttributeDict",),
    "pytorch_lightning.utilities.parsing": ("AttributeDict",),
}
THINGS = {
    "argparse": ("Namespace",),
    "types": ("SimpleNamespace",),
    "torch": ("device", "Size"),
    "torch.torch_version": ("TorchVersion",),
    "datetime": ("date", "datetime", "timedelta"),
    "pathlib": ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
    "pathlib._local": ("Path", "PosixPath", "WindowsPath", "PurePosixPath", "PureWindowsPath"),
    "builtins": ("bytes", "bytearray", "complex"),
    "__builtin__": ("bytes", "bytearray", "complex"),  # as protocol 2 calls builtins
}
NAMES = {
    "torch": ("float16", "bfloat16", "float32", "float64", "int64", "int32", "uint8", "bool"),
    "builtins": ("bool", "dict", "float", "int", "list", "str", "tuple"),
    "__builtin__": ("bool", "dict", "float", "int", "list", "str", "tuple"),
}


def _each(table: dict[str, tuple[str, ...]], value: object) -> dict[tuple[str, str], object]:
    return {(module, name): value for module, names in table.items() for name in names}


ALLOWED = {
    **_each(DICTIONARIES, lambda *_: {}),
    **_each(THINGS, lambda *_: Record("something beside weights")),
    **_each(NAMES, None),
    **nvidia.ALLOWED,
    **tensorflow.ALLOWED,
}


class Found(NamedTuple):
    """A network in a file.

    where: keys to the dictionary that holds it; holder: that dictionary; names: its naming scheme, or "module" for
    a pickled module; prefix: of its tensors' names, or a pickled module's key.
    """

    where: str
    holder: dict
    names: str
    prefix: str

    @property
    def place(self) -> str:
        """Keys and prefix, e.g. "state_dict.decoder"; "" for the whole file."""
        return f"{self.where}.{self.prefix}".strip(".")

    def tensors(self) -> dict[str, Lazy]:
        """Its tensors by their names without the prefix."""
        own = ((str(key), value) for key, value in self.holder.items() if isinstance(value, Lazy))
        return {key[len(self.prefix) :]: value for key, value in own if key.startswith(self.prefix)}


def networks(data: object) -> tuple[dict[str, Network], dict[str, Any]]:
    """The networks of a file, and metadata.

    Args:
        data: what its pickle, archive or safetensors header holds; see `pickles.load`.
    Returns:
        dict, "generator" (the moving average, if the file has one) and, if the file has one, "discriminator" ->
        `Network`; dict with "source", and "remark" where the user should know what was read and what was not.
    Raises:
        Refused: no StyleGAN2 generator, or one with unknown tensors.
    """
    if type(data) is tuple and len(data) == 3:
        return tensorflow.networks(data), {"source": "NVIDIA .pkl (TensorFlow)"}
    dicts = list(_dicts({"": data} if isinstance(data, Record) else data))
    generators = list(islice(_find(dicts, GENERATORS, "synthesis"), MAX_FOUND))
    judges = list(islice(_find(dicts, DISCRIMINATORS, "b4"), MAX_FOUND))
    if not generators:
        raise Refused(
            "a StyleGAN2 generator, as NVIDIA, rosinality or BasicSR name its tensors",
            _instead(dicts),
            "Only StyleGAN2 generators can be read",
        )
    generator = min(generators, key=lambda found: not AVERAGED.search(found.place))  # the first of several
    found = {"generator": _generator(generator, data)}
    if judges:
        found["discriminator"] = _discriminator(judges[0])
    facts = {"source": "NVIDIA .pkl" if generator.names == "module" else f"{generator.names} .pt"}
    remarks = _remarks(generator, [*generators, *judges], dicts)
    return found, facts | ({"remark": "; ".join(remarks)} if remarks else {})


def _dicts(data: object) -> Iterator[tuple[str, dict]]:
    """(keys to it, dictionary) for every nested dictionary, each once even where several keys refer to it."""
    waiting, seen = deque([("", data, 0)]), set()
    while waiting and len(seen) < MAX_DICTS:
        place, value, depth = waiting.popleft()
        if type(value) is dict and id(value) not in seen:
            seen.add(id(value))
            yield place, value
            if depth < MAX_DEPTH:
                inner = ((key, one) for key, one in value.items() if type(one) is dict)
                waiting.extend((f"{place}.{str(key)[:MAX_KEY]}".strip("."), one, depth + 1) for key, one in inner)


def _find(dicts: list[tuple[str, dict]], marks: dict[str, str], part: str) -> Iterator[Found]:
    """The networks in dictionaries: by their marker tensors, or pickled modules with a submodule named `part`."""
    for where, holder in dicts:
        for key, value in holder.items():
            if _is_module(value) and part in value.state["_modules"]:
                yield Found(where, holder, "module", str(key))
            elif isinstance(value, Lazy):
                for mark, names in marks.items():
                    if str(key) == mark or str(key).endswith("." + mark):
                        yield Found(where, holder, names, str(key)[: -len(mark)])


def _generator(found: Found, data: object) -> Network:
    if found.names == "module":
        return nvidia.network(found.holder[found.prefix], found.place or "the module")
    tensors = found.tensors()
    if found.names == "NVIDIA":
        return nvidia.of_tensors(tensors)
    own = [tensors.pop(name) for name in AVERAGES if name in tensors]
    tables = [found.holder, data if type(data) is dict else {}]
    beside = [table[name] for table in tables for name in AVERAGES if isinstance(table.get(name), Lazy)]
    average = next(iter(own + beside), None)
    state = rosinality.of_basicsr(tensors) if found.names == "BasicSR" else tensors
    return rosinality.generator(state, average and _row(average))


def _discriminator(found: Found) -> Network:
    if found.names == "module":
        return nvidia.network(found.holder[found.prefix], found.place)
    return nvidia.of_tensors(found.tensors()) if found.names == "NVIDIA" else rosinality.discriminator(found.tensors())


def _row(average: Lazy) -> Lazy:
    """The average w, (D,), from one that may be stored per layer; where layers differ, their mean."""
    if 0 in average.shape or not average.shape:
        raise Refused("an average of w", f"shape {average.shape}")

    def one(tensor):
        rows = tensor.reshape(-1, tensor.shape[-1])
        # Not the mean of equal rows: it may differ from them in the last digit, which changes the GAN's hash.
        return rows[0] if bool((rows == rows[0]).all()) else rows.float().mean(0)

    return average.then(average.shape[-1:], one)


def _remarks(generator: Found, networks: list[Found], dicts: list[tuple[str, dict]]) -> list[str]:
    """Remarks for the user: that no moving average was found, and what else the file holds."""
    remarks = []
    if generator.place.rpartition(".")[2].lower() in RAW:
        remarks.append(f"this file has no moving average: {generator.place!r} was read, whose pictures are worse")
    parent = re.sub(r"[^.]*\.$", "", generator.prefix)  # of "module.decoder." the siblings are in "module."
    prefixes = tuple(found.prefix for found in networks if found.holder is generator.holder)
    keys = (str(key) for key, value in generator.holder.items() if isinstance(value, Lazy))
    left = (key.removeprefix(parent).partition(".") for key in keys if not key.startswith(prefixes))
    others = {name: None for name, dot, _ in left if dot}  # in the file's order
    used = {id(found.holder) for found in networks}
    for where, holder in dicts:
        tensors = any(isinstance(value, Lazy) for value in holder.values())
        if tensors and where and "." not in where and id(holder) not in used:
            others[where] = None
    if others:
        names = list(others)
        shown = [f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name[:MAX_KEY]}" for name in names[:SHOWN]]
        shown += [f"{len(names) - SHOWN} more"] if len(names) > SHOWN else []
        remarks.append(f"this file also holds {' and '.join(shown)}; its generator was read")
    return remarks


def _instead(dicts: list[tuple[str, dict]]) -> str:
    """What a file without a generator holds, for an error."""
    keys = [str(key)[:MAX_KEY] for _, holder in dicts for key, value in holder.items() if isinstance(value, Lazy)]
    for pattern, what in OTHERS.items():
        if any(re.search(pattern, key) for key in keys):
            return what
    if not keys:
        return "a file without named tensors"
    return f"another network, with {', '.join(map(repr, keys[:SHOWN]))}"


def _is_module(value: object) -> bool:
    """Whether it is a pickled module with a dictionary of submodules."""
    if not isinstance(value, Record) or value.kind != "module" or type(value.state) is not dict:
        return False
    return type(value.state.get("_modules")) is dict
