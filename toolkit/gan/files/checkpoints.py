"""GANs on disk: reads any public StyleGAN2 without running its code, and writes our own format.

Reads NVIDIA's .pkl (PyTorch and TensorFlow era), rosinality's .pt (zip and older), .safetensors, and files that
contain such networks (see `wrappings`). Each format's module returns named tensors, not read yet; here the
networks' sizes are inferred from the tensors' shapes, and missing or unknown tensors are an error.
"""

import hashlib
import json
import math
import warnings
from contextlib import contextmanager
from os import PathLike
from typing import Any, NamedTuple

import torch
from safetensors.torch import save_file

from toolkit.devices import check_device
from toolkit.errors import CheckpointError
from toolkit.files import replace_when_done
from toolkit.gan.files import arrays, pickles, wrappings
from toolkit.gan.files.network import Network
from toolkit.gan.files.pickles import Refused, check_kind
from toolkit.gan.layers import MAPPING_LR
from toolkit.gan.stylegan2 import Discriminator, Generator

MAX_RESOLUTION, MAX_LATENT, MAX_MAPPING_LAYERS = 2048, 4096, 64  # far beyond any published network
OPTIONS = {"conv_clamp": None, "mapping_lr": MAPPING_LR, "mbstd_group_size": 4}  # not visible from tensor shapes
OPTION_KINDS = {
    "conv_clamp": (int, float, type(None)),
    "mapping_lr": (int, float),
    "mbstd_group_size": (int, type(None)),
}
NAMED = 5  # how many tensors an error lists
FAULTS = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


def save_gan(
    path: str | PathLike,
    generator: Generator,
    discriminator: Discriminator | None,
    metadata: dict[str, Any],
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write a GAN, atomically.

    Args:
        path: the .safetensors file.
        generator, discriminator: `Generator`, and `Discriminator` or None.
        metadata: JSON-serialisable dict.
        dtype: of the stored tensors; float16 halves the file.
    """
    parts: dict[str, torch.nn.Module] = {"generator": generator}
    if discriminator is not None:
        parts["discriminator"] = discriminator
    _save(path, "gan", parts, metadata, dtype)


def save_discriminator(
    path: str | PathLike, discriminator: Discriminator, metadata: dict[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write a discriminator alone, atomically, for `load_discriminator`: its GAN can be trained further with it.

    Args:
        path: the .safetensors file.
        discriminator: `Discriminator`.
        metadata, dtype: as of `save_gan`.
    """
    _save(path, "discriminator", {"discriminator": discriminator}, metadata, dtype)


def _save(path, kind, parts, metadata, dtype):
    # Tensor by tensor: copying both networks would double the memory of a large GAN.
    tensors = {
        f"{part}.{k}": v.detach().to("cpu", dtype).contiguous()
        for part, network in parts.items()
        for k, v in network.state_dict().items()
    }
    options = {part: _options_of(network) for part, network in parts.items()}
    metadata = {**metadata, "format": kind, "options": {part: o for part, o in options.items() if o}}
    with replace_when_done(path) as temporary:
        save_file(tensors, temporary, {"toolkit": json.dumps(metadata)})


def convert(source: str | PathLike, path: str | PathLike, metadata: dict[str, Any] | None = None) -> Generator:
    """Write any file that `load_networks` reads as .safetensors.

    Args:
        source: the file to read.
        path: the .safetensors file to write.
        metadata: dict of entries to add to its metadata, e.g. licence.
    Returns:
        `Generator` of the source; loaded from the written file, it has the same `hash`.
    Raises:
        CheckpointError: as `load_networks`.
    """
    generator, discriminator = load_networks(source, call="convert")
    save_gan(path, generator, discriminator, {**generator.metadata, **(metadata or {})})
    return generator


def load_networks(
    path: str | PathLike, device: str | torch.device = "cpu", call: str = "load_networks"
) -> tuple[Generator, Discriminator | None]:
    """Read both networks of a file.

    Args:
        path: NVIDIA's .pkl, rosinality's .pt, or .safetensors of `save_gan`; told apart by content.
        device: where to put them.
        call: the public call to name in errors.
    Returns:
        `Generator`, and `Discriminator` or None; float32, eval mode, without gradients. The generator's
        `.metadata` is a dict (of our own files, what `save_gan` was given) and its `.hash` a sha256 of
        the parameters read from the file, which identifies the GAN, e.g. of a shot.
    Raises:
        CheckpointError: not a StyleGAN2, damaged, or a tensor is missing, unknown or of the wrong shape.
        ToolkitError: no such device here.
    """
    device = check_device(device, call)
    with _opened(path, call) as (networks, metadata):
        generator = _generator(networks, metadata)
        judge = _discriminator(networks) if "discriminator" in networks else None
    return generator.to(device), judge and judge.to(device)


def load_generator(path: str | PathLike, device: str | torch.device = "cpu") -> Generator:
    """Read only the generator of a file; as `load_networks`."""
    device = check_device(device, "load_generator")
    with _opened(path, "load_generator") as (networks, metadata):
        generator = _generator(networks, metadata)
    return generator.to(device)


def load_discriminator(path: str | PathLike, device: str | torch.device = "cpu") -> Discriminator:
    """Read only the discriminator of a file; as `load_networks`, but a file without one is an error."""
    device = check_device(device, "load_discriminator")
    with _opened(path, "load_discriminator") as (networks, _):
        if "discriminator" not in networks:
            raise Refused("a file with a discriminator", "none", "Use a GAN's whole weights file")
        discriminator = _discriminator(networks)
    return discriminator.to(device)


# ---- which format
@contextmanager
def _opened(path, call):
    """Gives ({"generator": `Network`, ...}, metadata) while the file is open; any fault is a CheckpointError."""
    try:
        with open(path, "rb") as file:
            span = pickles.Source(file).span()
            head = span.part(0, min(span.size, 64)).read()
            networks, metadata, remark = _safetensors(span) if head[8:9] == b"{" else _foreign(span, head)
            if remark:
                warnings.warn(f"{path}: {remark}", stacklevel=4)
            yield networks, metadata
    except Refused as error:
        raise CheckpointError(call, one_line(error.expected), f"{one_line(error.got)} in {path}", error.fix) from error
    except OSError as error:
        raise CheckpointError(call, "a readable file", f"{path} ({error.strerror})", "Check the path") from error
    # Any of these errors is caused by the file's contents.
    except FAULTS as error:
        raise CheckpointError(
            call,
            "a whole StyleGAN2 file",
            f"{path} ({type(error).__name__}: {one_line(error)})",
            "Check the file, or download it again",
        ) from error


def _foreign(span, head):
    """The networks in a pickle or a torch.save file, metadata with the source format, and a remark or None."""
    if head[:4] == b"PK\x03\x04":
        data = arrays.read_zip(span, wrappings.ALLOWED)
    elif head.startswith(arrays.LEGACY_START):
        data = arrays.read_legacy(span, wrappings.ALLOWED)
    elif head[:1] == b"\x80":
        data = pickles.load(span, wrappings.ALLOWED)[0]
    else:
        raise Refused(
            "a StyleGAN2 file (.pkl of NVIDIA, .pt of rosinality, .safetensors of this toolkit)",
            "another kind of file",
            "Check the path",
        )
    return _unwrapped(data)


def _unwrapped(data):
    networks, facts = wrappings.networks(data)
    return networks, {"format": "gan", **facts}, facts.get("remark")


def _safetensors(span):
    tensors, metadata = arrays.read_safetensors(span)
    metadata, networks = json.loads(metadata.get("toolkit", "{}")), {}
    kind = metadata.get("format", "gan")
    if kind not in ("gan", "discriminator"):
        raise Refused("a GAN's weights file", f"a file of kind {kind!r}", "Check the path")
    if kind == "gan" and not any(key.startswith(("generator.synthesis.", "generator.mapping.")) for key in tensors):
        return _unwrapped(tensors)
    for key, lazy in tensors.items():
        part, _, name = key.partition(".")
        network = Network({}, metadata.get("options", {}).get(part, {}), tuple(metadata.get("derived", ())))
        networks.setdefault(part, network).tensors[name] = lazy
    return networks, metadata, None


# ---- sizes from shapes
class _Shapes(NamedTuple):
    """A network's tensors, to infer its sizes from."""

    tensors: dict

    def of(self, name, dims):
        """The shape of a tensor that must exist and have `dims` dimensions."""
        if name not in self.tensors or len(self.tensors[name].shape) != dims:
            raise Refused(f"tensor {name} of {dims} dimensions", "none", "Only StyleGAN2 networks can be read")
        return self.tensors[name].shape

    def resolutions(self, pattern, start):
        """start, 2 * start, ... as long as the pattern, filled in with them, names a tensor."""
        found = []
        while (r := start << len(found)) <= MAX_RESOLUTION and pattern.format(r) in self.tensors:
            found.append(r)
        if len(found) < (2 if start == 4 else 1):
            self.of(pattern.format(start << len(found)), 4)
        return found

    def mapping(self):
        """Keyword arguments of `Mapping`, its depth and z_dim."""
        depth = 0
        while f"mapping.fc{depth}.weight" in self.tensors:
            depth += 1
        if not 1 <= depth <= MAX_MAPPING_LAYERS:
            raise Refused("a mapping network", f"one of {depth} layers")
        hidden, width = self.of("mapping.fc0.weight", 2)
        labels = "mapping.embed.weight" in self.tensors
        embed_dim, c_dim = self.of("mapping.embed.weight", 2) if labels else (0, 0)
        options = {"c_dim": c_dim, "embed_dim": embed_dim, "hidden_dim": hidden} if labels else {"hidden_dim": hidden}
        if max(hidden, width, embed_dim, c_dim) > MAX_LATENT:
            raise Refused(f"latents of at most {MAX_LATENT} numbers", max(hidden, width, embed_dim, c_dim))
        return options, depth, width - embed_dim


def _generator(networks, metadata):
    if "generator" not in networks:
        want, got = "a file with a generator", "a discriminator alone"
        raise Refused(want, got, "Take the GAN's own file, which lies beside it")
    network = networks["generator"]
    shapes = _Shapes(network.tensors)
    resolutions = shapes.resolutions("synthesis.b{}.conv1.weight", 4)
    channels = {r: shapes.of(f"synthesis.b{r}.conv1.weight", 4)[0] for r in resolutions}
    mapping, depth, z_dim = shapes.mapping()
    w_dim = shapes.of("synthesis.b4.conv1.affine.weight", 2)[1]
    img_channels = shapes.of(f"synthesis.b{resolutions[-1]}.torgb.weight", 4)[0]
    residual = "synthesis.b8.skip.weight" in network.tensors
    architecture = "resnet" if residual else "skip" if "synthesis.b4.torgb.weight" in network.tensors else "orig"
    options = _checked_options(network)
    with torch.device("meta"):  # no memory allocated yet: each tensor comes straight from the file
        generator = Generator(
            resolutions[-1],
            z_dim,
            w_dim,
            channels,
            depth,
            options["conv_clamp"],
            architecture,
            img_channels,
            lr=options["mapping_lr"],
            **mapping,
        )
    sampled = "mapping.w_avg" in network.derived and "mapping.w_avg" not in network.tensors
    if sampled:
        network.tensors["mapping.w_avg"] = arrays.Lazy.zeros((w_dim,))
    generator.hash = _fill(generator, network)
    generator.metadata = dict(metadata)
    if network.derived:
        generator.metadata["derived"] = list(network.derived)
    if sampled:
        generator.mapping.w_avg.copy_(generator.w_statistics()[0])
    return generator


def _discriminator(networks):
    network = networks["discriminator"]
    shapes = _Shapes(network.tensors)
    resolutions = shapes.resolutions("b{}.conv1.weight", 8)
    channels = {r: shapes.of(f"b{r}.conv1.weight", 4)[1] for r in resolutions}
    channels[4] = shapes.of("b8.conv1.weight", 4)[0]
    finest = resolutions[-1]
    residual = f"b{finest}.skip.weight" in network.tensors
    architecture = "resnet" if residual else "skip" if "b4.fromrgb.weight" in network.tensors else "orig"
    mbstd = shapes.of("b4.conv.weight", 4)[1] - channels[4]
    options, mapping = _checked_options(network), {}
    if "mapping.embed.weight" in network.tensors:
        mapping, depth, _ = shapes.mapping()
        mapping |= {"num_mapping_layers": depth, "lr": options["mapping_lr"]}
        mapping["cmap_dim"] = shapes.of("b4.out.weight", 2)[0]
    img_channels = shapes.of(f"b{finest}.fromrgb.weight", 4)[1]
    with torch.device("meta"):
        discriminator = Discriminator(
            finest,
            channels,
            options["mbstd_group_size"],
            mbstd,
            options["conv_clamp"],
            architecture,
            img_channels,
            **mapping,
        )
    _fill(discriminator, network)
    return discriminator


def _fill(module, network):
    """Read every tensor into the module; returns the sha256 of those that are not derived."""
    own, given = module.state_dict(), network.tensors
    missing, extra = sorted(own.keys() - given.keys()), sorted(given.keys() - own.keys())
    if missing or extra:
        raise Refused("exactly the tensors of a StyleGAN2", f"missing {_some(missing)}, unknown {_some(extra)}")
    for name, value in own.items():
        if tuple(value.shape) != tuple(given[name].shape):
            raise Refused(f"{name} {tuple(value.shape)}", tuple(given[name].shape))
    digest = hashlib.sha256()
    module.eval().requires_grad_(False)
    # One scratch tensor for all: temporary tensors, freed between those kept, would fragment memory.
    scratch = torch.empty(max(math.prod(lazy.shape) for lazy in given.values()))
    for name in sorted(own):
        tensor = given[name].read()
        rows = scratch[: tensor.numel()].view(tensor.shape).copy_(tensor)
        if name not in network.derived:
            digest.update(name.encode())
            digest.update(rows.numpy())
        tensor = _empty_like(tensor).copy_(rows)
        where, _, last = name.rpartition(".")
        owner = module.get_submodule(where)
        if last in owner._buffers:
            owner._buffers[last] = tensor
        else:
            setattr(owner, last, torch.nn.Parameter(tensor, requires_grad=False))
    return digest.hexdigest()


def _empty_like(tensor):
    """An uninitialised float32 tensor of the same shape, channels last; reuses the tensor's memory where it can."""
    layout = torch.channels_last if tensor.dim() == 4 else torch.contiguous_format
    if tensor.dtype != torch.float32 or tensor.untyped_storage().nbytes() != 4 * tensor.numel():
        return torch.empty(tensor.shape, memory_format=layout)
    strides = torch.empty(tensor.shape, memory_format=layout, device="meta").stride()
    return tensor.as_strided(tensor.shape, strides, 0)


def _checked_options(network):
    """A network's options, completed by the defaults; raises `Refused` for one out of range."""
    options = {**OPTIONS, **network.options}
    for name, kinds in OPTION_KINDS.items():
        value = check_kind(options[name], kinds, f"a number as {name}")
        if value is not None and not 0 < value < math.inf:
            raise Refused(f"{name} above 0", value)
    return options


def _options_of(network):
    """A network's options that differ from the defaults."""
    found = {"conv_clamp": getattr(network, "synthesis", network).conv_clamp}
    if network.mapping is not None:
        found["mapping_lr"] = network.mapping.lr
    if isinstance(network, Discriminator):
        found["mbstd_group_size"] = network.b4.group_size
    return {name: value for name, value in found.items() if value != OPTIONS[name]}


def _some(names):
    shown = ", ".join(repr(name[:60]) for name in names[:NAMED])
    return f"[{shown}{f', and {len(names) - NAMED} more' if len(names) > NAMED else ''}]"


def one_line(value: object) -> str:
    """Text from a file as one printable line, without line breaks and terminal control characters."""
    line = " ".join(str(value).split())[:400]
    return "".join(c if c.isprintable() else "?" for c in line)
