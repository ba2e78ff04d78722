"""One good generator, wrapped in every way people wrap it: read all the same, or named for what it is."""

import argparse
import collections
import datetime
import io
import pathlib
import pickle
import re
import warnings

import foreign_files
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from test_nvidia import pair

from toolkit.errors import CheckpointError
from toolkit.gan.files.checkpoints import convert, load_generator, load_networks
from toolkit.gan.files.info import describe_gan

SETTINGS = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
ENCODER = {"encoder.input_layer.0.weight": torch.zeros(3), "encoder.body.0.bn.num_batches_tracked": torch.tensor(7)}


class Good:
    """What a plain file of rosinality holds, and the hash of its generator; hypothesis prints it short."""

    def __init__(self, path):
        self.data, self.hash = torch.load(path, weights_only=True), load_generator(path).hash
        self.generator, self.average = self.data["g_ema"], self.data["latent_avg"]


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "plain.pt"
    foreign_files.write_rosinality(path, *pair())
    return Good(path)


def write(path, data, legacy=False):
    torch.save(data, path, _use_new_zipfile_serialization=not legacy)
    return path


def prefixed(state, prefix):
    return collections.OrderedDict((prefix + name, tensor) for name, tensor in state.items())


def basicsr(state):
    """rosinality's names -> BasicSR's, the tensors the same."""
    renamed = {}
    for name, tensor in state.items():
        name = re.sub(r"^style\.", "style_mlp.", name).replace("input.input", "constant_input.weight")
        name = re.sub(r"^noises\.noise_", "noises.noise", name)
        name = re.sub(r"^(to_rgb1|to_rgbs\.\d)\.conv\.", r"\1.modulated_conv.", name)
        name = re.sub(r"^(conv1|convs\.\d)\.conv\.", r"style_\1.modulated_conv.", name)
        name = re.sub(r"^(conv1|convs\.\d)\.(noise\.)?", r"style_\1.", name)
        renamed[name.replace(".blur.", ".smooth.")] = tensor
    return renamed


WRAPPINGS = {
    "state dict alone": lambda s, avg: {**s, "latent_avg": avg},
    "g": lambda s, avg: {"g": s, "latent_avg": avg},
    "state_dict": lambda s, avg: {"state_dict": s, "latent_avg": avg},
    "params_ema": lambda s, avg: {"params_ema": s, "params": prefixed(s, ""), "latent_avg": avg},
    "DataParallel": lambda s, avg: {"g_ema": prefixed(s, "module."), "latent_avg": avg},
    "e4e": lambda s, avg: {
        "state_dict": {**ENCODER, **prefixed(s, "decoder.")},
        "latent_avg": avg.repeat(6, 1),
        "opts": {"device": "cuda:0", "lr": 1e-4, "exp_dir": None},
    },
    "average (1, D)": lambda s, avg: {"g_ema": s, "latent_avg": avg[None]},
    "average (1, n, D)": lambda s, avg: {"g_ema": s, "latent_avg": avg.repeat(1, 6, 1)},
    "average among the tensors": lambda s, avg: {"state_dict": {**prefixed(s, "decoder."), "latent_avg": avg}},
    "average below the prefix": lambda s, avg: {"state_dict": prefixed({**s, "latent_avg": avg}, "decoder.")},
    "Lightning": lambda s, avg: {
        "epoch": 3,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": {
            **prefixed({name: t + 1 for name, t in s.items() if "kernel" not in name}, "generator."),
            **prefixed(s, "generator_ema."),
        },
        "latent_avg": avg,
        "hyper_parameters": {"out": pathlib.PurePosixPath("runs"), "when": datetime.date(2021, 1, 1)},
    },
    "things beside": lambda s, avg: {
        "g_ema": s,
        "latent_avg": avg,
        "device": torch.device("cpu"),
        "shape": torch.Size([1, 2]),
        "dtype": torch.float16,
        "args": argparse.Namespace(size=16),
        "scores": collections.defaultdict(list, fid=[np.float64(4.5)]),
        "rng": np.arange(3),
    },
    "BasicSR": lambda s, avg: {"params_ema": basicsr(s), "latent_avg": avg},
}


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", WRAPPINGS)
@pytest.mark.filterwarnings("ignore:.*(also holds|no moving average)")
def test_the_same_generator_comes_out_of_every_wrapping(good, tmp_path, name, legacy):
    wrapped = WRAPPINGS[name](good.generator, good.average)
    assert load_generator(write(tmp_path / "x.pt", wrapped, legacy)).hash == good.hash


@st.composite
def wrappings(draw):
    """(keys around the state dict, prefix of its tensors, what lies beside): as a person's own code would have it."""
    word = st.from_regex(r"\A[A-Za-z_][A-Za-z0-9_]{0,11}\Z").filter(lambda w: w not in ("latent_avg", "w_avg"))
    keys = draw(st.lists(word, max_size=3))
    prefix = "".join(f"{part}." for part in draw(st.lists(word, max_size=2)))
    plain = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.binary(max_size=9))
    beside = draw(st.dictionaries(word, st.one_of(plain, st.lists(plain, max_size=3)), max_size=3))
    return keys, prefix, beside


@SETTINGS
@given(wrapping=wrappings(), rows=st.sampled_from([(), (1,), (6,), (1, 6)]), legacy=st.booleans())
def test_the_names_around_a_generator_do_not_matter(good, tmp_path, wrapping, rows, legacy):
    keys, prefix, beside = wrapping
    wrapped = prefixed(good.generator, prefix)
    for key in reversed(keys):
        wrapped = {**{k: v for k, v in beside.items() if k != key}, key: wrapped}
    wrapped["latent_avg"] = good.average.expand(*rows, -1).clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert load_generator(write(tmp_path / "x.pt", wrapped, legacy)).hash == good.hash


@SETTINGS
@given(names=st.lists(st.text(max_size=30), min_size=1, max_size=5, unique=True), depth=st.integers(0, 3))
def test_a_file_without_a_generator_is_refused_in_one_line_that_names_what_it_holds(tmp_path, names, depth):
    data = {name: torch.zeros(2) for name in names}
    for _ in range(depth):
        data = {"state": data}
    with pytest.raises(
        CheckpointError, match="expected a StyleGAN2 generator, .*; got another network, with "
    ) as error:
        load_networks(write(tmp_path / "x.pt", data))
    assert str(error.value).isprintable() and len(str(error.value)) < 700


def test_an_average_that_differs_by_layer_is_their_mean(good, tmp_path):
    rows = torch.stack([good.average - 1, good.average + 1])
    generator = load_generator(write(tmp_path / "x.pt", {"g_ema": good.generator, "latent_avg": rows}))
    assert torch.allclose(generator.mapping.w_avg, good.average, atol=1e-6)


def test_the_moving_average_is_read_where_there_are_both(good, tmp_path):
    raw = {name: tensor if "kernel" in name else tensor + 1 for name, tensor in good.generator.items()}
    for key in ("ema", "G_ema", "model_ema", "ema_model", "g_running", "netG_ema"):
        path = write(tmp_path / "x.pt", {"g": raw, key: good.generator, "latent_avg": good.average})
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # nothing to say: this is the usual file
            assert load_generator(path).hash == good.hash


@pytest.mark.parametrize(
    "wrap, remark",
    [
        (lambda s: {"g": s}, "this file has no moving average: 'g' was read, whose pictures are worse"),
        (lambda s: {"state_dict": {**ENCODER, **prefixed(s, "decoder.")}}, "this file also holds an encoder; its gen"),
        (lambda s: {"state_dict": prefixed({**ENCODER, **prefixed(s, "decoder.")}, "module.")}, "also holds an encod"),
        (lambda s: {"g_ema": s, "e": ENCODER, "regressor": {"fc": torch.zeros(2)}}, "an e and a regressor; its gen"),
        (lambda s: {**prefixed(s, "g."), **{f"{c}.w": torch.zeros(1) for c in "abcdef"}}, "a d and 2 more; its gen"),
    ],
)
def test_what_was_left_is_told_once_and_noted(good, tmp_path, wrap, remark):
    path = write(tmp_path / "x.pt", wrap(good.generator))
    with pytest.warns(UserWarning, match=rf"x\.pt: .*{remark}"):
        generator = convert(path, tmp_path / "x.safetensors")
    assert remark in describe_gan(generator)["remark"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert remark in load_generator(tmp_path / "x.safetensors").metadata["remark"]


def test_the_discriminator_comes_along(good, tmp_path):
    state = {**prefixed(good.generator, "g_ema."), **prefixed(good.data["d"], "d.")}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, discriminator = load_networks(write(tmp_path / "x.pt", {"state_dict": state}))
    image = torch.randn(2, 3, 16, 16)
    foreign_files.write_rosinality(tmp_path / "plain.pt", *pair())
    assert torch.equal(discriminator(image), load_networks(tmp_path / "plain.pt")[1](image))


# ---- NVIDIA's
@pytest.mark.parametrize("prefix", ["", "module.", "G_ema.", "decoder.synthesis_network."])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.filterwarnings("ignore:.*also holds")
def test_nvidia_s_state_dict_alone_is_read(tmp_path, prefix, suffix):
    generator, discriminator = pair(clamp=None)
    foreign_files.write_nvidia(tmp_path / "gan.pkl", generator, discriminator)
    state = {name: t for name, t in generator.state_dict().items() if name != "synthesis.fade"}
    state["synthesis.b8.conv0.resample_filter"] = foreign_files.FIR
    state, path = prefixed(state, prefix), tmp_path / f"x{suffix}"
    save_file(state, path) if suffix == ".safetensors" else torch.save({"G_ema": state}, path)
    assert load_generator(path).hash == load_generator(tmp_path / "gan.pkl").hash


def test_nvidia_s_modules_are_read_alone_and_from_torch_save(tmp_path):
    generator, discriminator = pair()
    foreign_files.write_nvidia(tmp_path / "gan.pkl", generator, discriminator)
    expected = load_generator(tmp_path / "gan.pkl").hash
    with foreign_files.published_modules():
        data = _module_of(tmp_path / "gan.pkl")
        for name, content in {
            "alone": data,
            "raw": {"G": data, "G_ema": None},
            "deeper": {"nets": {"G_ema": data}},
        }.items():
            (tmp_path / f"{name}.pkl").write_bytes(pickle.dumps(content, 4))
            torch.save(content, tmp_path / f"{name}.pt")
    for name in ("alone", "raw", "deeper"):
        for suffix in (".pkl", ".pt"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore" if name == "raw" else "error")
                assert load_generator(tmp_path / (name + suffix)).hash == expected


def _module_of(path):
    """G_ema of a file that `foreign_files` wrote a moment ago, as something that pickles the same again."""
    from torch_utils.persistence import _reconstruct_persistent_obj as reconstruct

    class Again:
        def __init__(self, meta):
            self.meta = meta

        def __reduce__(self):
            return reconstruct, (self.meta,)

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            return Again if name == "_reconstruct_persistent_obj" else super().find_class(module, name)

    return Unpickler(io.BytesIO(path.read_bytes())).load()["G_ema"]


@pytest.mark.parametrize(
    "names, what",
    [
        (["synthesis.input.freqs", "synthesis.L0_36_512.weight"], "a StyleGAN3 generator"),
        (["g_ema.progression.0.weight"], "a StyleGAN1 generator"),
        (["generator_ema.style_mapping.1.weight"], "a generator under MMGeneration's names"),
        (["convs.0.0.weight", "final_linear.1.weight"], "a discriminator alone"),
        (["encoder.body.0.weight"], "an encoder without its generator"),
    ],
)
def test_other_networks_are_named(tmp_path, names, what):
    path = write(tmp_path / "x.pt", {"state_dict": {name: torch.zeros(2, 2) for name in names}})
    with pytest.raises(CheckpointError, match=f"got {what} in .*Only StyleGAN2 generators can be read"):
        load_networks(path)


def test_this_toolkit_s_other_files_are_named(tiny_gan, tmp_path):
    save_file({"weight": torch.zeros(1)}, tmp_path / "x.safetensors", {"toolkit": '{"format": "segmenter"}'})
    with pytest.raises(CheckpointError, match="expected a GAN's weights file; got a file of kind 'segmenter'"):
        load_networks(tmp_path / "x.safetensors")


def test_many_generators_and_many_tables_cost_little(good, tmp_path):
    """Thousands of marks, each of which would be a generator with all others left over."""
    tensor = torch.zeros(1)
    data = {f"{i}.{mark}": tensor for i in range(2000) for mark in ("input.input", "b4.out.weight")}
    with pytest.raises(CheckpointError), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        load_networks(write(tmp_path / "x.pt", {f"table{i}": data for i in range(500)}))
