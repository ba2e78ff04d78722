"""Tensors and arrays in files: equal to what torch and numpy read, and never beyond their storage."""

import argparse
import io
import pickle
import zipfile

import numpy as np
import pytest
import torch

from toolkit.gan.files import arrays, pickles
from toolkit.gan.files.arrays import Array, Lazy, Storage, rebuild_tensor
from toolkit.gan.files.pickles import Refused, Source

PICKLED = {**arrays.TENSORS, **arrays.NUMPY, ("torch.storage", "_load_from_bytes"): arrays.load_from_bytes}
SAVED = {**arrays.TENSORS, ("argparse", "Namespace"): lambda: pickles.Record("Namespace")}
TENSORS = {
    "matrix": torch.arange(12.0).reshape(3, 4),
    "transposed": torch.arange(12.0).reshape(3, 4).T,
    "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
    "part of a storage": torch.arange(20.0)[5:9],
    "every second": torch.arange(20.0)[::2],
    "scalar": torch.tensor(3.5),
    "empty": torch.zeros(0, 3),
    "half": torch.randn(3).half(),
    "double": torch.randn(3).double(),
    "bfloat16": torch.randn(3).bfloat16(),
    "long": torch.arange(3),
    "bool": torch.tensor([True, False]),
    "parameter": torch.nn.Parameter(torch.randn(2, 2)),
}


def span(content):
    return Source(io.BytesIO(content)).span()


@pytest.mark.parametrize("name", TENSORS)
def test_pickled_tensors_come_back(name):
    tensor = TENSORS[name]
    for protocol in (3, 4, 5):
        lazy = pickles.load(span(pickle.dumps(tensor, protocol)), PICKLED)[0]
        found = lazy.read()
        assert lazy.shape == tuple(tensor.shape) and found.dtype == tensor.dtype and torch.equal(found, tensor)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_saved_tensors_come_back_from_both_containers(legacy, device, monkeypatch):
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: device)
    shared = torch.randn(10)
    data = {**TENSORS, "left": shared[:5], "args": argparse.Namespace(size=64), "numbers": [1, 2.5, None, ("a",)]}
    file = io.BytesIO()
    torch.save(data, file, _use_new_zipfile_serialization=not legacy)
    read = arrays.read_legacy if legacy else arrays.read_zip
    found = read(span(file.getvalue()), SAVED)
    assert found.keys() == data.keys() and found["numbers"] == data["numbers"]
    assert found["args"].state == {"size": 64}
    for name in (*TENSORS, "left"):
        assert torch.equal(found[name].read(), data[name])


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6.0).reshape(2, 3),
        np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.arange(3, dtype=np.int32),
        np.float32([[1.5]]),
        np.zeros((0, 2), np.float32),
        np.float16([1, 2]),
        np.array([True]),
    ],
)
def test_numpy_arrays_come_back(array):
    for protocol in (3, 4):
        content = pickle.dumps(array, protocol)
        found = pickles.load(span(content), PICKLED)[0]
        assert isinstance(found, Array) and np.array_equal(found.lazy().read().numpy(), array)


def test_numpy_scalars_are_numbers_under_both_names():
    content = pickle.dumps(np.float64(0.1), 3)
    old = content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray")
    assert content != old
    assert pickles.load(span(content), PICKLED)[0] == pickles.load(span(old), PICKLED)[0] == 0.1


def test_other_numpy_arrays_are_refused():
    for array in (np.array([object()]), np.array([1j]), np.array(["text"]), np.arange(3, dtype=">f4")):
        with pytest.raises(Refused):
            pickles.load(span(pickle.dumps(array, 3)), PICKLED)[0].lazy()


@pytest.mark.parametrize(
    "offset, size, stride",
    [
        (0, (11,), (1,)),
        (1, (10,), (1,)),
        (0, (1 << 40,), (0,)),
        (0, (2, 6), (5, 1)),
        (0, (3, 5), (3, 1)),
        (-1, (1,), (1,)),
        (0, (-1,), (1,)),
        (0, (2,), (1, 1)),
        (0, (1,) * 9, (1,) * 9),
        (0, ("a",), (1,)),
        (0, [1], (1,)),
        (10, (1,), (1,)),
        (0, (True,), (1,)),
    ],
)
def test_views_beyond_their_storage_are_refused(offset, size, stride):
    with pytest.raises(Refused):
        rebuild_tensor(Storage(torch.float32, 10, span(b"\0" * 40)), offset, size, stride)


def test_a_view_within_its_storage_reads_only_its_part():
    source = Source(io.BytesIO(np.arange(10, dtype=np.float32).tobytes()))
    lazy = rebuild_tensor(Storage(torch.float32, 10, source.span()), 3, (2, 2), (2, 1))
    assert lazy.read().tolist() == [[3, 4], [5, 6]]
    assert source.unread == 40 - 16


def test_a_storage_has_exactly_its_bytes():
    with pytest.raises(Refused):
        Storage(torch.float32, 10).hold(span(b"\0" * 36))
    for dtype, numel in ((None, 1), (torch.float32, -1), (torch.float32, "1")):
        with pytest.raises(Refused):
            Storage(dtype, numel)


def archive(**changes):
    """A torch.save file, rewritten entry by entry."""
    file, rewritten = io.BytesIO(), io.BytesIO()
    torch.save({"a": torch.zeros(4)}, file)
    with zipfile.ZipFile(file) as old, zipfile.ZipFile(rewritten, "w") as new:
        for info in old.infolist():
            name = info.filename.split("/", 1)[1]
            if changes.get(name, b"") is not None:
                new.writestr(info.filename, changes.get(name) or old.read(info), changes.get("compression"))
    return rewritten.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"compression": zipfile.ZIP_DEFLATED},
        {"data/0": None},
        {"data/0": b"\0" * 15},
        {"data/0": b"\0" * 17},
        {"byteorder": b"bigbig"},
        {"data.pkl": None},
        {"data.pkl": b"\x80\x02."},
    ],
)
def test_archives_that_do_not_fit_are_refused(changes):
    assert arrays.read_zip(span(archive()), SAVED)["a"].read().tolist() == [0] * 4
    with pytest.raises(Refused):
        arrays.read_zip(span(archive(**changes)), SAVED)


def test_a_cut_legacy_stream_is_refused_at_any_length():
    file = io.BytesIO()
    torch.save({"a": torch.zeros(4)}, file, _use_new_zipfile_serialization=False)
    content = file.getvalue()
    assert arrays.read_legacy(span(content), SAVED)["a"].shape == (4,)
    for size in range(len(content)):
        with pytest.raises(Refused):
            arrays.read_legacy(span(content[:size]), SAVED)


def test_what_is_made_of_a_tensor_is_made_when_it_is_read():
    lazy = Lazy((1, 2), lambda: torch.ones(1, 2))
    assert lazy.first().shape == (2,) and lazy.first().read().tolist() == [1, 1]
    assert torch.equal(Lazy.noise((3,), seed=1).read(), Lazy.noise((3,), seed=1).read())
    assert not torch.equal(Lazy.noise((3,), seed=1).read(), Lazy.noise((3,), seed=2).read())
    with pytest.raises(Refused):
        Lazy((2, 2), None).first()
