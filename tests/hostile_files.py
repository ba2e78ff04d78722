"""Weight files that mean harm: pickle attacks by name, and mutations of good files."""

import io
import json
import os
import pickle
import pickletools
import struct
import zipfile

import foreign_files
import torch

from toolkit.gan.files.checkpoints import save_gan
from toolkit.gan.stylegan2 import Discriminator, Generator

TORCH_MAGIC = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."  # magic and version of a legacy stream
SYSTEM = b"\x80\x02}X\x0d\x00\x00\x00little_endian\x88s."
GB = 1 << 30


class _Reduces:
    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call


def text(value):
    """An opcode that pushes a string."""
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def top(value):
    """A pickle whose G_ema is what the opcodes `value` leave on the stack."""
    return b"\x80\x04}" + text("G_ema") + value + b"s."


def tensor(storage, offset=b"K\x00", size=b"K\x01\x85", stride=b"K\x01\x85"):
    """Opcodes of a tensor on a storage."""
    return (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage
        + offset
        + size
        + stride
        + b"\x89ccollections\nOrderedDict\n)Rt"
        + b"R"
    )


def nested(data):
    """Opcodes of a nested stream that torch.storage._load_from_bytes would unpickle."""
    return b"ctorch.storage\n_load_from_bytes\nB" + struct.pack("<I", len(data)) + data + b"\x85R"


def storage(numel, data, declared=None):
    """A legacy stream that is one storage."""
    integer = b"\x8a\x08" + struct.pack("<q", declared if declared is not None else numel)
    pid = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + integer + b"Nt"
    stream = TORCH_MAGIC + SYSTEM + b"\x80\x02" + pid + b"Q." + b"\x80\x02]" + text("0") + b"a."
    return stream + struct.pack("<q", numel) + data


def attacks(marker):
    """(name, file contents): every one would run code, write `marker`, or exhaust memory, time or the stack."""
    shell = f"touch {marker}"
    found = []
    calls = {
        "system": (os.system, shell),
        "exec": (exec, f"open({marker!r}, 'w').close()"),
        "eval": (eval, f"open({marker!r}, 'w').close()"),
        "open": (open, marker, "w"),
        "import": (__import__, "os"),
    }
    for protocol in range(6):
        for name, (function, *args) in calls.items():
            data = {"G_ema": _Reduces(function, *args), "D": None}
            found.append((f"reduce {name}, protocol {protocol}", pickle.dumps(data, protocol)))
    run = text(shell) + b"\x85R"
    found += [
        ("dotted global under an allowed module", top(text("dnnlib.util") + text("os.system") + b"\x93" + run)),
        ("dotted global of torch", top(text("torch._utils") + text("torch.os.system") + b"\x93" + run)),
        ("global by a prefix", top(b"ctorch_utils.persistence.os\nsystem\n" + run)),
        ("global with a space", top(b"ctorch._utils \n_rebuild_tensor_v2\n" + run)),
        ("global not a string", top(b"K\x01K\x02\x93" + run)),
        ("global endless name", top(b"c" + b"a" * 5_000_000)),
        ("inst", b"(" + f"S'{shell}'\niposix\nsystem\n.".encode()),
        ("obj", b"(cposix\nsystem\n" + text(shell) + b"o."),
        ("newobj ex", top(b"cposix\nsystem\n" + text(shell) + b"\x85}\x92")),
        ("extension registry", top(b"\x82\x01" + run)),
        ("build on a module", top(b"cdnnlib.util\nEasyDict\n" + b"}" + text("__setstate__") + b"cposix\nsystem\nsb")),
        ("build with slots", top(b"cdnnlib.util\nEasyDict\n)R" + b"N}" + text("x") + b"K\x01s\x86b")),
        ("build a dict's class", top(b"}}" + text("__class__") + b"K\x01sb")),
        ("reduce a dtype", top(b"ctorch\nFloatStorage\n)R")),
        ("call the result of a call", top(b"cdnnlib.util\nEasyDict\n)R)R")),
        ("persistent id", top(text("storage") + b"\x85Q")),
        ("persistent id as text", b"Pstorage\n."),
        ("nested stream runs", top(tensor(nested(TORCH_MAGIC + SYSTEM + b"\x80\x02cposix\nsystem\n" + run + b".")))),
        ("nested stream with a rebuild", top(tensor(nested(TORCH_MAGIC + SYSTEM + b"\x80\x02" + tensor(b"N") + b".")))),
        ("nested stream in another", top(tensor(nested(TORCH_MAGIC + SYSTEM + b"\x80\x02" + nested(b"x") + b".")))),
        (
            "source code in module_src",
            top(
                b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}("
                + text("type")
                + text("class")
                + text("version")
                + b"K\x06"
                + text("module_src")
                + text(f"import os; os.system({shell!r})")
                + text("class_name")
                + text("Generator")
                + text("state")
                + b"}u\x85R"
            ),
        ),
        (
            "TensorFlow build source",
            b"\x80\x04"
            + 3
            * (
                b"cdnnlib.tflib.network\nNetwork\n)\x81}"
                + text("build_module_src")
                + text(f"import os; os.system({shell!r})")
                + b"sb"
            )
            + b"\x87.",
        ),
        (
            "numpy object array",
            top(
                b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
                b"(K\x01K\x01\x85cnumpy\ndtype\n" + text("O8") + b"\x89\x88\x87R\x89]cposix\nsystem\natb"
            ),
        ),
    ]
    one = storage(1, b"\0\0\0\0")
    huge = b"\x8a\x08" + struct.pack("<q", 1 << 40)
    found += [
        ("stride 0 view of 2^40", top(tensor(nested(one), size=huge + b"\x85", stride=b"K\x00\x85"))),
        (
            "stride 0 view, many dimensions",
            top(tensor(nested(one), size=b"(" + b"M\xff\xff" * 8 + b"t", stride=b"(" + b"K\x00" * 8 + b"t")),
        ),
        ("view beyond its storage", top(tensor(nested(one), offset=b"K\x01"))),
        ("view before its storage", top(tensor(nested(one), offset=b"J\xff\xff\xff\xff"))),
        ("negative size", top(tensor(nested(one), size=b"J\xff\xff\xff\xff\x85"))),
        ("size of objects", top(tensor(nested(one), size=b"]\x85"))),
        (
            "thousand dimensions",
            top(tensor(nested(one), size=b"(" + b"K\x01" * 1000 + b"t", stride=b"(" + b"K\x01" * 1000 + b"t")),
        ),
        ("storage larger than the file", top(tensor(nested(storage(1 << 40, b""))))),
        ("storage declared larger", top(tensor(nested(storage(1, b"\0" * 4, declared=1 << 40))))),
        ("storage of negative length", top(tensor(nested(storage(-1, b""))))),
        ("bytes of 2^63", top(b"\x8e" + struct.pack("<Q", (1 << 63) - 1))),
        ("string of 2^63", top(b"\x8d" + struct.pack("<Q", (1 << 63) - 1))),
        ("bytearray of 2^60", top(b"\x96" + struct.pack("<Q", 1 << 60))),
        ("string of 4 GB", top(b"X\xff\xff\xff\xff")),
        ("integer of 2 GB", top(b"\x8b\xff\xff\xff\x7f")),
        ("integer of 255 bytes", top(b"\x8a\xff" + b"\xff" * 255)),
        ("integer as text", b"I" + b"9" * 2_000_000 + b"\n."),
        ("frame of 2^63", b"\x80\x04\x95" + struct.pack("<Q", (1 << 63) - 1) + b"."),
        ("memo at 2^32 - 1", top(b"Nr\xff\xff\xff\xff")),
        ("memo bomb", top(b"]\x94" + b"".join(b"(" + b"h%c" % (i % 200) * 50 + b"e\x94" for i in range(5000)))),
        ("ever larger tuples", top(b")" + b"\x94h\x00\x86" * 200_000)),
        ("list in itself", top(b"]q\x00h\x00a")),
        ("dictionary in itself", top(b"}q\x00" + text("_modules") + b"h\x00s")),
        ("module in itself", top(_module("x", text("m") + b"h\xfe"))),
        ("modules that fan out", top(_fan(12, 12))),
        ("70,000 nested lists", top(b"]" * 70_000 + b"a" * 69_999)),
        ("140,000 nested tuples", top(b")" + b"\x85" * 140_000)),
        ("140,000 marks", b"\x80\x04" + b"(" * 140_000 + b"."),
        ("5,000,000 dictionaries", b"\x80\x04" + b"}" * 5_000_000 + b"."),
        ("5,000,000 sets", b"\x80\x04" + b"\x8f" * 5_000_000 + b"."),
        ("50,000 nested streams", top(b"]" + (nested(one) + b"a") * 50_000)),
        ("the same stream again and again", _again(one)),
        ("recursive key", top(b")q\x00\x85q\x01}h\x01Ns0")),
        ("key of many tuples", top(b"}" + b")" + b"\x85" * 100_000 + b"Ns")),
        ("pops of nothing", b"\x80\x040000."),
        ("stop at once", b"\x80\x04."),
        ("no stop", b"\x80\x04N" * 100),
        ("append to a string", top(text("x") + b"Na")),
        ("odd items", top(b"}(" + text("x") + b"u")),
        ("out-of-band buffers", top(b"\x97\x98")),
        ("names of unpaired surrogates", top(b"X\x03\x00\x00\x00\xed\xa0\x80")),
    ]
    return found + _small_and_dear() + _archives(run) + _headers()


def _module(name, children=b"", attributes=b"", parameters=b"}"):
    """Opcodes of an NVIDIA module; `children` are pairs of a name and a module, `attributes` of a name and a value."""
    state = (
        b"}("
        + text("_parameters")
        + parameters
        + text("_buffers")
        + b"}"
        + text("_modules")
        + b"}("
        + children
        + b"u"
        + attributes
        + b"u"
    )
    return (
        b"ctorch_utils.persistence\n_reconstruct_persistent_obj\n}("
        + text("class_name")
        + text(name)
        + text("state")
        + b"}u\x85R"
        + b"q\xfe"
        + state
        + b"b"
    )


def _fan(depth, width):
    """Modules that each hold the next one many times: width ** depth of them, in a file of a few KB."""
    if depth == 0:
        return _module("leaf")
    again = b"".join(text(f"m{i}") + b"h" + bytes([depth]) for i in range(width))
    return _module("x", text("m") + _fan(depth - 1, width) + b"q" + bytes([depth]) + again)


def _small_and_dear():
    """Values of a few KB that would take for ever, or all memory, to hash, compare, print, copy or visit."""
    deep = b")" + b"\x85" * 100_000
    wide = b")" + b"".join(b"q%ch%c\x86" % (i, i) for i in range(60))  # 2^60 empty tuples, in 300 bytes

    def network(variables=b"]", kwargs=b"}"):
        return (
            b"cdnnlib.tflib.network\nNetwork\n)\x81}("
            + text("version")
            + b"K\x04"
            + text("static_kwargs")
            + kwargs
            + text("components")
            + b"}("
            + text("mapping")
            + b"N"
            + text("synthesis")
            + b"Nu"
            + text("variables")
            + variables
            + b"ub"
        )

    def array(shape):
        dtype = b"cnumpy\ndtype\n" + text("f4") + b"\x89\x88\x87R"
        made = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85C\x01b\x87R"
        return b"](" + text("lod") + made + b"(K\x01" + shape + dtype + b"\x89C\x04\0\0\0\0tb\x86e"

    def tensorflow(network):
        return b"\x80\x04" + network + b"qdhdhd\x87."

    found = []
    one = tensor(nested(storage(1, b"\0" * 4)))
    weight = b"}" + text("weight") + one + b"s"
    for kind, value in {"deep": deep, "wide": wide}.items():
        for name in ("conv_clamp", "activation", "weight_gain"):
            found.append((f"{kind} {name}", top(_module("x", attributes=text(name) + value, parameters=weight))))
        clamped = _module("y", attributes=text("conv_clamp") + value)
        silent = _module("y", attributes=text("use_noise") + b"\x89" + text("resolution") + value)
        found += [
            (f"{kind} clamp of a layer without one", top(_module("x", text("skip") + clamped))),
            (f"{kind} resolution", top(_module("x", text("conv0") + silent))),
            (f"{kind} name of a variable", tensorflow(network(b"](" + value + b"N\x86e"))),
            (f"{kind} option", tensorflow(network(kwargs=b"}" + text("nonlinearity") + value + b"s"))),
        ]
    colliding = b"".join(b"\x8a\x10" + ((i << 61) - i).to_bytes(16, "little") + b"N" for i in range(1, 70_000))
    table = b"}(" + text("x") + one + b"q\x01" + b"".join(text(f"{i}") + b"h\x01" for i in range(20_000)) + b"uq\x00"
    shared = _module("x", b"".join(text(f"m{i}") + _module("y", parameters=b"h\x00") for i in range(1000)))
    long = b"](" + b"N" * 60_000 + b"e\x85q\x00" + text("b") + b"cbuiltins\nset\nq\x01"
    return found + [
        ("keys that collide", top(b"}(" + colliding + b"u")),
        ("a thousand modules with one large table", b"\x80\x04}(" + text("a") + table + text("G_ema") + shared + b"u."),
        (
            "copies of a long list",
            b"\x80\x04}(" + text("a") + long + text("G_ema") + b"](" + b"h\x01h\x00R" * 25_000 + b"eu.",
        ),
        ("array of repeated text", tensorflow(network(array(text("a") + b"J\x00\x00\x00\x40\x86")))),
        ("array of repeated lists", tensorflow(network(array(b"]NaJ\x00\x00\x00\x40\x86")))),
        ("array of 100,000 dimensions", tensorflow(network(array(b"(" + b"K\x01" * 100_000 + b"t")))),
    ]


def _again(stream):
    load = b"ctorch.storage\n_load_from_bytes\nq\x00B" + struct.pack("<I", len(stream)) + stream + b"q\x01"
    return b"\x80\x04" + load + b"h\x00h\x01\x85R" * 400_000 + b"."


def _archives(run):
    """Zip containers and legacy streams."""
    found = []

    def archive(name, entries, compression=zipfile.ZIP_STORED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", compression) as file:
            for entry, data in entries.items():
                file.writestr(entry, data)
        found.append((name, buffer.getvalue()))

    big = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + b"J\x00\x00\x00\x10" + b"tQ"
    good = b"\x80\x02}" + text("g_ema") + b"}" + text("a") + tensor(big) + b"ss."
    archive("zip that runs", {"a/data.pkl": b"\x80\x02}" + text("g_ema") + b"cposix\nsystem\n" + run + b"s."})
    archive("zip bomb", {"a/data.pkl": good, "a/data/0": b"\0" * GB}, zipfile.ZIP_DEFLATED)
    archive("zip bomb of opcodes", {"a/data.pkl": b"\x80\x02" + b"N" * (1 << 28)}, zipfile.ZIP_DEFLATED)
    archive("zip without its data", {"a/data.pkl": good})
    archive("zip with paths", {"../../x": b"", "/etc/x": b"", "a/data.pkl": good})
    archive("zip of 60,000 entries", {f"a/data/{i}": b"" for i in range(60_000)} | {"a/data.pkl": good})
    archive("zip of no pickle", {"a/other": b"x"})
    found.append(("zip of rubbish", b"PK\x03\x04" + b"\xff" * 5000))
    legacy = TORCH_MAGIC + SYSTEM + b"\x80\x02}" + text("g_ema") + b"cposix\nsystem\n" + run + b"s." + b"\x80\x02]."
    found.append(("legacy stream that runs", legacy))
    found.append(
        (
            "legacy stream without its data",
            TORCH_MAGIC + SYSTEM + good + b"\x80\x02]" + text("0") + b"a." + struct.pack("<q", 0x10000000),
        )
    )
    found.append(
        (
            "legacy stream of negative length",
            TORCH_MAGIC + SYSTEM + good + b"\x80\x02]" + text("0") + b"a." + struct.pack("<q", -5),
        )
    )
    found.append(("big-endian legacy stream", TORCH_MAGIC + SYSTEM.replace(b"\x88", b"\x89") + good + b"\x80\x02]."))
    return found


def _headers():
    """Safetensors."""

    def file(header, data=b""):
        encoded = json.dumps(header).encode()
        return struct.pack("<Q", len(encoded)) + encoded + data

    def entry(start, stop, shape=(1,)):
        return {"dtype": "F32", "shape": shape, "data_offsets": [start, stop]}

    beyond = {"a": entry(0, 1 << 42, [1 << 40])}
    zeros = b"\0" * 4
    return [
        ("safetensors of 2^63 bytes of header", struct.pack("<Q", (1 << 63) - 1) + b"{}"),
        ("safetensors with a tensor beyond it", file(beyond)),
        ("safetensors of deep metadata", file({"__metadata__": {"toolkit": "[" * 50_000}})),
        ("safetensors with overlaps", file({"a": entry(0, 4), "b": entry(0, 4)}, b"\0" * 4)),
        (
            "safetensors of options that are none",
            file({"__metadata__": {"toolkit": '{"options": 3}'}, "generator.x": entry(0, 4)}, b"\0" * 4),
        ),
        ("safetensors of repeated text", file({"a": entry(0, 4, ["a", 1 << 30])}, zeros)),
        ("safetensors of endless text", file({"a": entry(0, 4, ["a", 1 << 60])}, zeros)),
        ("safetensors of 300,000 dimensions", file({"a": entry(0, 4, [1] * 300_000)}, zeros)),
        ("safetensors of many large dimensions", file({"a": entry(0, 4, [9999] * 170_000)}, zeros)),
        ("safetensors of nothing", file({})),
    ]


# ---- mutations
OPCODE_BYTES = [op.code.encode("latin-1") for op in pickletools.opcodes]


def positions(data):
    """Where the opcodes of a good file's pickle are, as far as one can be followed."""
    start = max(data.find(b"\x80"), 0) if data[:2] != b"PK" else data.find(b"\x80\x02}")
    found = []
    try:
        for _, _, position in pickletools.genops(data[start:]):
            found.append(start + position)
    except ValueError:
        pass
    return found or [0]


def mutate(data, spots, rng):
    """One mutation of a good file: flipped bytes, a cut, swapped opcodes, a removed or a doubled stretch.

    Args:
        data: bytes of the file.
        spots: its `positions`.
        rng: random.Random.
    """
    changed, kind = bytearray(data), rng.randrange(5)
    if kind == 0:
        for _ in range(rng.choice((1, 2, 8, 64))):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    elif kind == 1:
        del changed[rng.randrange(len(changed)) :]
    elif kind == 2:
        for _ in range(rng.choice((1, 1, 3, 10))):
            changed[rng.choice(spots)] = rng.choice(OPCODE_BYTES)[0]
    else:
        start = rng.choice(spots)
        stretch = changed[start : start + rng.choice((1, 4, 64, 4096))]
        if kind == 3:
            del changed[start : start + len(stretch)]
        else:
            changed[start:start] = stretch * rng.choice((1, 50))
    return bytes(changed)


def small_files(folder):
    """Good files of every format, a few KB each: list of paths."""
    torch.manual_seed(0)
    generator, discriminator = Generator(8, 4, 4, {4: 3, 8: 2}, 1), Discriminator(8, {4: 3, 8: 2})
    paths = [folder / name for name in ("a.pkl", "b.pkl", "c.pt", "d.pt", "e.safetensors")]
    foreign_files.write_nvidia(paths[0], generator, discriminator)
    foreign_files.write_tensorflow(paths[1], generator, discriminator)
    foreign_files.write_rosinality(paths[2], generator, discriminator)
    foreign_files.write_rosinality(paths[3], generator, discriminator, legacy=True, args=True)
    save_gan(paths[4], generator, discriminator, {})
    return paths
