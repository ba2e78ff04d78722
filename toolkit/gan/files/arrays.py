"""Tensors and arrays inside weight files: checked when the file is parsed, read when they are needed.

Source: the layouts of torch.save (zip, and the older stream of pickles), pickled NumPy arrays, safetensors.
"""

from __future__ import annotations

import io
import json
import math
import re
import struct
import zipfile
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from toolkit.gan.files.pickles import Record, Refused, Source, Span, load

MAGIC = 0x1950A86A20F9469CFC6C  # opens a torch.save file from before the zip container
LEGACY_START = b"\x80\x02\x8a\x0a" + MAGIC.to_bytes(10, "little") + b"."
MAX_DIMENSIONS = 8
MAX_DIRECTORY = 1 << 20  # bytes of an archive's table of contents
STORAGES = {
    ("torch", f"{name}Storage"): dtype
    for name, dtype in {
        "Float": torch.float32,
        "Half": torch.float16,
        "BFloat16": torch.bfloat16,
        "Double": torch.float64,
        "Long": torch.int64,
        "Int": torch.int32,
        "Short": torch.int16,
        "Char": torch.int8,
        "Byte": torch.uint8,
        "Bool": torch.bool,
    }.items()
}
NUMPY_DTYPES = {
    "f8": torch.float64,
    "f4": torch.float32,
    "f2": torch.float16,
    "i8": torch.int64,
    "i4": torch.int32,
    "i2": torch.int16,
    "i1": torch.int8,
    "u1": torch.uint8,
    "b1": torch.bool,
}

SAFETENSORS_DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}


class Lazy(NamedTuple):
    """A tensor not read from its file yet: its shape, and how to read it."""

    shape: tuple
    read: Callable

    def then(self, shape: Sequence[int], function: Callable[[Tensor], Tensor]) -> Lazy:
        """`function` of this tensor, applied when it is read; `shape` is that of the result."""
        return Lazy(tuple(shape), lambda: function(self.read()))

    def first(self) -> Lazy:
        """This tensor without its leading dimension, which must be 1."""
        if not self.shape or self.shape[0] != 1:
            raise Refused("a leading dimension of 1", f"shape {self.shape}")
        return self.then(self.shape[1:], lambda t: t[0])

    @classmethod
    def zeros(cls, shape: tuple[int, ...]) -> Lazy:
        """Zeros, not from a file."""
        return cls(shape, lambda: torch.zeros(shape))

    @classmethod
    def noise(cls, shape: tuple[int, ...], seed: int) -> Lazy:
        """Normal noise, not from a file: the same for the same seed."""
        return cls(shape, lambda: torch.randn(shape, generator=torch.Generator().manual_seed(seed)))

    @classmethod
    def number(cls, value: float) -> Lazy:
        """A single number."""
        return cls((), lambda: torch.tensor(float(value)))


class Storage:
    """`numel` elements of a file; where their bytes are may be known only later (`hold`)."""

    def __init__(self, dtype: Any, numel: Any, span: Span | None = None) -> None:
        if type(dtype) is not torch.dtype or type(numel) is not int or numel < 0:
            raise Refused("a storage of numbers", "something else")
        self.dtype, self.numel, self.span = dtype, numel, span

    def hold(self, span: Span) -> Storage:
        """Set where the bytes are; their number must match."""
        if span.size != self.numel * self.dtype.itemsize:
            raise Refused(f"{self.numel} numbers of {self.dtype.itemsize} bytes", f"{span.size} bytes")
        self.span = span
        return self


def _numel(shape):
    """The product of sizes, checked first: a hostile file may put anything there, even a string to repeat."""
    if type(shape) is not tuple or len(shape) > MAX_DIMENSIONS or not all(type(n) is int and n >= 0 for n in shape):
        raise Refused(f"at most {MAX_DIMENSIONS} sizes and strides >= 0", "others")
    return math.prod(shape)


def rebuild_tensor(
    storage: Any, offset: Any, size: Any, stride: Any, requires_grad: Any = False, hooks: Any = None, *_: Any
) -> Lazy:
    """`torch._utils._rebuild_tensor_v2`, but refuses views that exceed their storage, in reach or in elements."""
    if not isinstance(storage, Storage):
        raise Refused("a tensor on a storage", "something else")
    numel = _numel(size)
    _numel(stride), _numel((offset,))
    if len(size) != len(stride):
        raise Refused("a stride for every size", "another number of them")
    reach = 0 if 0 in size else 1 + sum((n - 1) * s for n, s in zip(size, stride))
    if numel > storage.numel or offset + reach > storage.numel:
        raise Refused(f"a view within its storage of {storage.numel} numbers", "one beyond it")

    def read():
        width = storage.dtype.itemsize
        flat = torch.empty(reach, dtype=storage.dtype)
        if reach:
            part = storage.span.part(offset * width, reach * width)
            part.read_into(memoryview(flat.view(torch.uint8).numpy()))
        return flat.as_strided(size, stride)

    return Lazy(size, read)


def rebuild_parameter(tensor: Any, requires_grad: Any = False, hooks: Any = None) -> Lazy:
    """`torch._utils._rebuild_parameter`."""
    if not isinstance(tensor, Lazy):
        raise Refused("a parameter around a tensor", "something else")
    return tensor


TENSORS = {
    ("torch._utils", "_rebuild_tensor_v2"): rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): rebuild_parameter,
    ("collections", "OrderedDict"): lambda: {},
}


def read_zip(span: Span, allowed: dict[tuple[str, str], Any]) -> Any:
    """What a zip file of torch.save holds.

    Args:
        span: `Span` of the file.
        allowed: as `pickles.load` takes it; `STORAGES` are added.
    Raises:
        Refused: not a zip file, compressed, or its table of contents does not match.
    """
    try:
        with zipfile.ZipFile(_Directory(span)) as archive:
            entries = {re.sub(r"^[^/]*/", "", info.filename): info for info in archive.infolist()}
    except (zipfile.BadZipFile, NotImplementedError, ValueError, UnicodeDecodeError, struct.error, OSError) as error:
        raise Refused("a whole zip file", f"a broken one ({type(error).__name__})") from error

    def record(name):
        info = entries.get(name)
        if info is None or info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise Refused(f"an uncompressed {name}", "none")
        header = span.part(info.header_offset, 30).read()
        skip = 30 + sum(struct.unpack("<HH", header[26:]))
        return span.part(info.header_offset + skip, info.file_size)

    if "byteorder" in entries and record("byteorder").part(0, 6).read() != b"little":
        raise Refused("little-endian numbers", "another order")
    storages = {}

    def persistent(pid):
        dtype, key, numel = _storage_id(pid)
        if key not in storages:
            storages[key] = Storage(dtype, numel).hold(record(f"data/{key}"))
        return storages[key]

    return load(record("data.pkl"), allowed | STORAGES, persistent)[0]


class _Directory:
    """A file object for `zipfile` that refuses to read more than a table of contents."""

    def __init__(self, span):
        self.file, self.size = span.source.file, span.size
        self.seek, self.tell, self.seekable = self.file.seek, self.file.tell, self.file.seekable

    def read(self, size=-1):
        size = self.size if size is None or size < 0 else size
        if min(size, self.size - self.tell()) > MAX_DIRECTORY:
            raise Refused(f"a zip directory of at most {MAX_DIRECTORY} bytes", "a larger one")
        return self.file.read(size)


def read_legacy(span: Span, allowed: dict[tuple[str, str], Any]) -> Any:
    """What a stream of torch.save from before the zip container holds.

    Args, raises: as `read_zip`.
    """
    storages, values, at = {}, [], 0

    def persistent(pid):
        dtype, key, numel = _storage_id(pid)
        return storages.setdefault(key, Storage(dtype, numel))

    for part in range(5):  # magic, version, system, the object, the storages' keys in the order of their bytes
        table, ids = (allowed | STORAGES, persistent) if part == 3 else ({}, None)
        value, size = load(span.part(at, span.size - at), table, ids)
        values.append(value)
        at += size
    magic, version, system, value, keys = values
    if magic != MAGIC or version != 1001 or type(system) is not dict or system.get("little_endian") is not True:
        raise Refused("a little-endian file of torch.save", "another")
    if type(keys) is not list or not all(type(key) is str for key in keys) or sorted(keys) != sorted(storages):
        raise Refused("a list of the file's storages", "another list")
    for key in keys:
        storage = storages[key]
        (numel,) = struct.unpack("<q", span.part(at, 8).read())
        if numel != storage.numel:
            raise Refused(f"a storage of {storage.numel} numbers", numel)
        size = numel * storage.dtype.itemsize
        storage.hold(span.part(at + 8, size))
        at += 8 + size
    return value


def read_safetensors(span: Span) -> tuple[dict[str, Lazy], dict[str, str]]:
    """What a safetensors file holds: its tensors by name, and its metadata, a dict of strings.

    Not read by the safetensors library, which memory-maps the file: its pages would add to the copies in memory.

    Raises:
        Refused: a header too long, or tensors beyond the file.
    """
    (size,) = struct.unpack("<Q", span.part(0, 8).read())
    if size > MAX_DIRECTORY:
        raise Refused(f"a safetensors header of at most {MAX_DIRECTORY} bytes", size)
    header, data = json.loads(span.part(8, size).read()), span.part(8 + size, span.size - 8 - size)
    metadata, tensors = header.pop("__metadata__", {}), {}
    for name, entry in header.items():
        shape, (start, stop) = tuple(entry["shape"]), entry["data_offsets"]
        storage = Storage(SAFETENSORS_DTYPES[entry["dtype"]], _numel(shape)).hold(data.part(start, stop - start))
        tensors[name] = rebuild_tensor(storage, 0, shape, _strides(shape))
    return tensors, metadata


def load_from_bytes(data: Any) -> Storage:
    """`torch.storage._load_from_bytes`, for a torch.save stream that holds one storage."""
    storage = read_legacy(data, {}) if isinstance(data, Span) else None
    if not isinstance(storage, Storage):
        raise Refused("a nested storage", "something else")
    return storage


def _storage_id(pid):
    if type(pid) is not tuple or len(pid) not in (5, 6) or pid[0] != "storage" or pid[5:] not in ((), (None,)):
        raise Refused("the id of a storage", "something else")
    _, kind, key, _, numel = pid[:5]
    if type(key) is not str:
        raise Refused("a storage's key", "something else")
    return getattr(kind, "value", None), key, numel


def _strides(shape):
    """Strides of a contiguous (row-major) tensor."""
    return tuple(math.prod(shape[i + 1 :]) for i in range(len(shape)))


# ---- NumPy
class _Dtype(Record):
    """`numpy.dtype` of little-endian numbers."""

    def __init__(self, code, align=False, copy=True):
        super().__init__("dtype")
        if type(code) is not str or code.lstrip("<|=") not in NUMPY_DTYPES:
            raise Refused("an array of numbers", "another")
        self.torch = NUMPY_DTYPES[code.lstrip("<|=")]

    def check(self):
        if self.state is not None and self.state[1] not in ("<", "|", "="):
            raise Refused("little-endian numbers", "another order")
        return self.torch


class Array(Record):
    """A pickled NumPy array; `lazy()` works once its state is set."""

    def __init__(self, kind: Any = None, shape: Any = None, code: Any = None) -> None:
        super().__init__("array")

    def lazy(self) -> Lazy:
        """The array as `Lazy`."""
        _, shape, dtype, fortran, data = self.state
        if not isinstance(dtype, _Dtype) or not isinstance(data, Span):
            raise Refused("an array of numbers", "another")
        storage = Storage(dtype.check(), _numel(shape)).hold(data)
        return rebuild_tensor(storage, 0, shape, _strides(shape[::-1])[::-1] if fortran else _strides(shape))


def scalar(dtype: Any, data: Any) -> float | int:
    """`numpy.core.multiarray.scalar`: a float or an int."""
    if not isinstance(dtype, _Dtype) or not isinstance(data, Span) or data.size != dtype.torch.itemsize:
        raise Refused("a number", "something else")
    return torch.frombuffer(bytearray(data.read()), dtype=dtype.check()).item()


def encoded(text: object, encoding: object) -> Span | Record:
    """`_codecs.encode`, which older pickles use for bytes: kept in memory; long ones, never weights, are not."""
    if type(text) is not str or encoding != "latin1":
        return Record("bytes")
    data = text.encode("latin1", "replace")
    return Span(Source(io.BytesIO(data)), 0, len(data))


NUMPY = {
    (f"numpy.{core}.multiarray", name): value
    for core in ("core", "_core")
    for name, value in {"scalar": scalar, "_reconstruct": Array}.items()
} | {("numpy", "dtype"): _Dtype, ("numpy", "ndarray"): None, ("_codecs", "encode"): encoded}
