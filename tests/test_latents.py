"""Latents from elsewhere: every file and form people have them in gives the same pictures, or one line."""

import io
import pickle
import warnings
import zipfile

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from toolkit import fewshot
from toolkit.errors import CheckpointError, ShapeError

SETTINGS = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(scope="module")
def ws(tiny_gan):
    """(2, 6, 12): w+ of two pictures."""
    return tiny_gan.sample(seed=3, num=2).ws + 0.1 * torch.arange(6)[None, :, None]


WRITERS = {
    "npy": lambda path, ws: np.save(path, ws.numpy()),
    "npy, float64, Fortran": lambda path, ws: np.save(path, np.asfortranarray(ws.double().numpy())),
    "npy, big-endian": lambda path, ws: np.save(path, ws.numpy().astype(">f4")),
    "npz of NVIDIA's projector": lambda path, ws: np.savez(path, w=ws.numpy()),
    "npz, compressed, more beside": lambda path, ws: np.savez_compressed(path, latents=ws.numpy(), loss=np.zeros(100)),
    "npz, one of any name": lambda path, ws: np.savez(path, ws.numpy()),
    "pt": lambda path, ws: torch.save(ws, path),
    "pt, older": lambda path, ws: torch.save(ws, path, _use_new_zipfile_serialization=False),
    "pt, double": lambda path, ws: torch.save({"w": ws.double(), "noise": torch.zeros(1, 1, 4, 4)}, path),
    "pt of rosinality's projector": lambda path, ws: torch.save(
        {
            f"{i}.jpg": {"img": torch.zeros(3, 16, 16), "latent": w, "noise": [torch.zeros(1, 1, 4, 4)]}
            for i, w in enumerate(ws)
        },
        path,
    ),
    "pt, a list": lambda path, ws: torch.save(list(ws), path),
    "pt, a list of batches": lambda path, ws: torch.save([w[None] for w in ws], path),
    "pt, NumPy in it": lambda path, ws: torch.save({"latents": ws.numpy()}, path),
    "pickle": lambda path, ws: path.write_bytes(pickle.dumps({"latents": ws.numpy()})),
    "safetensors": lambda path, ws: save_file({"w": ws}, path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_every_file_of_latents_gives_the_same_pictures(tiny_gan, ws, tmp_path, name):
    path = tmp_path / f"x.{name.split()[0].strip(',')}"
    WRITERS[name](path, ws)
    sample = tiny_gan.from_latents(path)
    assert torch.equal(sample.ws, ws)
    assert torch.allclose(sample.image, tiny_gan.generator.synthesis(ws).clamp(-1, 1), atol=1e-5)


@SETTINGS
@given(
    num=st.integers(1, 4),
    rows=st.sampled_from([None, 1, 6]),
    kind=st.sampled_from(["float16", "float32", "float64"]),
    flipped=st.booleans(),
    suffix=st.sampled_from([None, ".npy", ".npz", ".pt"]),
)
@example(num=1, rows=None, kind="float32", flipped=True, suffix=None)
def test_any_float_type_and_both_forms_of_w_are_taken(tiny_gan, tmp_path, num, rows, kind, flipped, suffix):
    rng = np.random.default_rng(0)
    latents = rng.normal(size=(num, 12) if rows is None else (num, rows, 12)).astype(kind)
    latents = latents[::-1] if flipped else latents
    source = latents
    if suffix:
        source = tmp_path / f"x{suffix}"
        write = {".npy": np.save, ".npz": lambda path, a: np.savez(path, w=a)}
        write.get(suffix, lambda path, a: torch.save(torch.tensor(a.copy()), path))(source, latents)
    sample = tiny_gan.from_latents(source)
    expected = torch.tensor(latents.astype(np.float32)).reshape(num, -1, 12).expand(-1, 6, -1)
    assert sample.ws.dtype == torch.float32 and torch.equal(sample.ws, expected) and len(sample) == num


def test_a_segmenter_takes_them_and_a_gan_s_own_come_back(tiny_gan, ws, tmp_path):
    label_map = np.zeros((16, 16), int)
    label_map[:8] = 1
    shot = fewshot.Shot(tiny_gan.from_latents(ws[:1]), label_map, ["background", "top"], tiny_gan)
    segmenter = fewshot.fit(tiny_gan, [shot], network="linear", num_steps=2)
    assert len(segmenter.segment(tiny_gan.from_latents(ws.half()))) == 2
    sample = tiny_gan.sample(seed=1)
    sample.noise = {"b16.conv1": torch.ones(1, 1, 16, 16)}
    fewshot.save_sample(tmp_path / "x.safetensors", sample, tiny_gan)
    again = tiny_gan.from_latents(tmp_path / "x.safetensors")
    assert torch.equal(again.ws, sample.ws) and torch.equal(again.noise["b16.conv1"], sample.noise["b16.conv1"])


def test_rows_that_may_be_one_picture_s_are_said_to_be_many(tiny_gan):
    with pytest.warns(
        UserWarning, match=r"latents \(6, 12\) are taken for 6 pictures; .* pass them as latents\[None\]"
    ):
        assert len(tiny_gan.from_latents(np.zeros((6, 12), np.float32))) == 6
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(tiny_gan.from_latents(np.zeros((1, 6, 12), np.float32))) == 1


@pytest.mark.parametrize(
    "latents, message",
    [
        (np.zeros((2, 18, 12)), r"w \(N, 12\), or w\+ \(N, 1 or 6, 12\); got Tensor \(2, 18, 12\)"),
        (np.zeros((2, 512)), r"got Tensor \(2, 512\) .*Load the GAN they were found with"),
        (np.zeros((0, 12)), "got Tensor"),
        (np.zeros(()), "an array of floats; got ndarray"),
        (np.zeros((2, 12), int), r"an array of floats; got ndarray \(2, 12\) int64 in \[0, 0\]. Convert it to float32"),
        (torch.zeros(2, 12, dtype=torch.long), "an array of floats; got Tensor"),
        (np.full((1, 12), np.nan), "finite numbers; got some that are nan or infinite"),
        ([["a"] * 12], "an array of floats"),
        (None, "an array of floats; got None"),
    ],
)
def test_other_arrays_are_refused_in_one_line(tiny_gan, latents, message):
    with pytest.raises(ShapeError, match=f"GAN.from_latents: expected .*{message}") as error:
        tiny_gan.from_latents(latents)
    assert "\n" not in str(error.value)


class _Runs:
    def __reduce__(self):
        return open, ("marker", "w")


def _object_array(path):
    np.save(path, np.array([_Runs()], object), allow_pickle=True)


def _false_header(path):
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": (1 << 40, 12)})
    path.write_bytes(file.getvalue() + b"\0" * 48)


def _false_member(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + b"\0" * 1000)


@pytest.mark.parametrize(
    "write, message",
    [
        (_object_array, "an array of numbers; got one of object"),
        (lambda path: path.write_bytes(pickle.dumps({"w": _Runs()})), "names of data only; got the name '(_)?io.open'"),
        (lambda path: torch.save({"w": _Runs()}, path), "names of data only; got the name '(_)?io.open'"),
        (_false_header, r"the numbers of an array \(1099511627776, 12\)"),
        (_false_member, "a whole file of latents"),
        (lambda path: path.write_bytes(b""), "got another kind of file"),
        (lambda path: path.write_bytes(b"PK\x03\x04" + b"x" * 50), "a whole file of latents|a whole zip"),
        (lambda path: np.savez(path, a=np.zeros(3), b=np.zeros(4)), r"called w; got 'a' \(3,\), 'b' \(4,\) in "),
        (lambda path: np.savez(path, w=np.zeros((1, 12)), latent=np.zeros((1, 12))), "one array of latents"),
        (lambda path: np.savez(path, w=np.zeros((1, 12), int)), "latents in floats; got int64"),
        (lambda path: torch.save({}, path), "called w; got none"),
        (lambda path: None, "a file of latents; got .*No such file"),
    ],
)
def test_other_files_are_refused_in_one_line_and_run_nothing(tiny_gan, tmp_path, monkeypatch, write, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "x.npz")
    for path in tmp_path.glob("x.npz.npy"):
        path.rename(tmp_path / "x.npz")
    with pytest.raises(CheckpointError, match=f"GAN.from_latents: expected .*{message}") as error:
        tiny_gan.from_latents(tmp_path / "x.npz")
    assert str(error.value).isprintable() and not (tmp_path / "marker").exists()


def test_a_small_file_that_names_one_list_again_and_again_costs_little(tiny_gan, tmp_path):
    value = [torch.zeros(12)]
    for _ in range(3):
        value = [value] * 2000
    torch.save(value, tmp_path / "x.pt")
    with pytest.raises(CheckpointError, match="at most 100000 things beside the latents; got more"):
        tiny_gan.from_latents(tmp_path / "x.pt")
