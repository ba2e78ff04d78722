"""GAN files: what is saved comes back, nothing else does, and nothing is half written."""

import json
import os
import subprocess
import sys
from pathlib import Path

import config_f
import foreign_files
import hostile_files
import numpy as np
import pytest
import test_nvidia
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from tests import page
from toolkit import fewshot
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.gan.files import checkpoints
from toolkit.gan.files.checkpoints import convert, load_discriminator, load_generator, load_networks, save_gan
from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.training.encoder import EncoderPlan, train_encoder

CHANNELS = {4: 12, 8: 8, 16: 4}
GOLDEN = Path(__file__).parent / "golden"
BENCHMARK = Path(__file__).parent / "benchmarks" / "benchmark_checkpoints.py"


@pytest.fixture()
def gan():
    torch.manual_seed(0)
    generator = Generator(16, 6, 10, CHANNELS, 3)
    generator.mapping.w_avg.normal_()
    return generator, Discriminator(16, CHANNELS)


@pytest.fixture()
def path(tmp_path, gan):
    save_gan(tmp_path / "gan.safetensors", *gan, {"name": "tiny", "pictures_seen": 7})
    return tmp_path / "gan.safetensors"


def edit(path, change):
    """Rewrite the file's tensors after `change(tensors)`."""
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_a_gan_comes_back_as_it_was(gan, path):
    generator, discriminator = load_generator(path), load_discriminator(path)
    z = torch.randn(4, 6)
    with torch.no_grad():
        image = gan[0](z, truncation_psi=0.5)
        assert torch.allclose(generator(z, truncation_psi=0.5), image, atol=1e-5)
        assert torch.allclose(discriminator(image), gan[1](image), atol=1e-5)
    for ours, original in zip((generator, discriminator), gan):
        state, expected = ours.state_dict(), original.state_dict()
        assert state.keys() == expected.keys()
        assert all(torch.equal(state[k], expected[k]) for k in expected)


def test_sizes_are_read_off_the_tensors(path):
    generator, discriminator = load_generator(path), load_discriminator(path)
    assert (generator.resolution, generator.z_dim, generator.w_dim, generator.num_ws) == (16, 6, 10, 6)
    assert generator.mapping.num_layers == 3
    assert generator.channels == discriminator.channels == CHANNELS


def test_a_loaded_gan_is_ready_for_use_and_not_for_training(path):
    for network in (load_generator(path), load_discriminator(path)):
        assert not network.training
        assert not any(p.requires_grad for p in network.parameters())


def test_metadata_comes_back(path):
    metadata = load_generator(path).metadata
    assert (metadata["name"], metadata["pictures_seen"]) == ("tiny", 7)


def test_float16_halves_the_file_and_loads_as_float32(gan, path, tmp_path):
    half = tmp_path / "half.safetensors"
    save_gan(half, *gan, {}, dtype=torch.float16)
    # Tensors halve exactly; the header with their names stays.
    size = sum(t.numel() for network in gan for t in network.state_dict().values())
    assert sum(t.numel() * t.element_size() for t in load_file(half).values()) == 2 * size
    for name, value in load_generator(half).state_dict().items():
        assert value.dtype == torch.float32
        assert torch.allclose(value, gan[0].state_dict()[name], rtol=1e-3, atol=1e-6)


def test_hash_tells_generators_apart_and_ignores_the_rest(gan, path, tmp_path):
    generator, discriminator = gan
    before = load_generator(path).hash
    again = tmp_path / "again.safetensors"
    save_gan(again, generator, Discriminator(16, CHANNELS), {"name": "other"})
    assert load_generator(again).hash == before
    with torch.no_grad():
        generator.synthesis.b8.conv0.bias[0] += 1e-3
    save_gan(again, generator, discriminator, {})
    assert load_generator(again).hash != before


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.pop("generator.synthesis.b8.conv0.bias"), r"missing \['synthesis.b8.conv0.bias'\], unknown \[\]"),
        (
            lambda t: t.update({"generator.synthesis.extra": torch.zeros(1)}),
            r"missing \[\], unknown \['synthesis.extra'\]",
        ),
        (
            lambda t: t.update({"generator.synthesis.b8.conv0.bias": torch.zeros(3)}),
            r"expected synthesis.b8.conv0.bias \(8,\); got \(3,\)",
        ),
        (lambda t: [t.pop(k) for k in list(t) if ".mapping." in k], "expected a mapping network"),
        (lambda t: [t.pop(k) for k in list(t) if k.startswith("generator.")], "got a discriminator alone"),
        (lambda t: t.pop("generator.synthesis.b4.conv1.weight"), "expected tensor synthesis.b4.conv1.weight"),
        (lambda t: t.pop("generator.mapping.fc0.weight"), "expected a mapping network"),
        (
            lambda t: t.update({"generator.synthesis.b4.conv1.weight": torch.zeros(())}),
            "expected tensor synthesis.b4.conv1.weight",
        ),
        (lambda t: t.pop("generator.synthesis.b4.const"), r"missing \['synthesis.b4.const'\]"),
    ],
)
def test_refuses_a_generator_with_other_tensors(path, change, message):
    edit(path, change)
    with pytest.raises(CheckpointError, match=f"load_generator: .*{message}"):
        load_generator(path)


@pytest.mark.parametrize("name", ["b8.conv0.weight", "b8.conv1.weight", "b4.conv.weight", "b4.out.bias"])
def test_refuses_a_discriminator_without_a_tensor(path, name):
    edit(path, lambda tensors: tensors.pop(f"discriminator.{name}"))
    with pytest.raises(CheckpointError, match="load_discriminator: expected"):
        load_discriminator(path)


@pytest.mark.parametrize("content", [b"", b"hello", b"\xff" * 64, None])
def test_refuses_what_is_no_gan_file_in_one_line(path, content):
    path.write_bytes(path.read_bytes()[:200] if content is None else content)
    want = "load_generator: expected (a (whole )?StyleGAN2 file|[0-9]+ bytes to hold)"
    with pytest.raises(CheckpointError, match=want) as error:
        load_generator(path)
    assert "\n" not in str(error.value)


def test_refuses_a_missing_file(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere.safetensors"):
        load_generator(tmp_path / "nowhere.safetensors")


def test_a_failed_save_leaves_the_old_file(gan, path, monkeypatch):
    before = path.read_bytes()

    def fail(tensors, file, metadata):
        with open(file, "wb") as half:
            half.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(checkpoints, "save_file", fail)
    with pytest.raises(OSError, match="disk full"):
        save_gan(path, *gan, {})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


# ---- other publishers' files: equal to what their own code computes ---------------------------
FILES = {
    "nvidia_a_r32.pkl": "stylegan2_r32.npz",
    "nvidia_c_cond3.pkl": "nvidia_c_cond3.npz",
    "nvidia_tf_j.pkl": "nvidia_tf_j.npz",
    "rosinality_s32.pt": "rosinality_s32.npz",
}
ROSINALITY_LAYERS = ["conv1", *(f"convs.{i}" for i in range(6))]


@pytest.fixture(scope="module", params=FILES)
def published(request):
    """generator, discriminator, reference outputs, class labels or None."""
    with np.load(GOLDEN / FILES[request.param]) as file:
        references = {name.removeprefix("out/"): torch.tensor(file[name]) for name in file.files}
    label = references.get("c")
    return *load_networks(GOLDEN / request.param), references, label if label is not None and label.numel() else None


def assert_agrees(ours, reference):
    """To 1e-5 of the reference's largest magnitude; as many pictures as the reference has."""
    ours = ours[: len(reference)]
    ours = ours[:, 0] if ours.dim() == 3 and reference.dim() == 2 else ours
    assert ours.shape == reference.shape
    assert float((ours - reference).abs().max()) <= 1e-5 * float(reference.abs().max())


def test_latents_agree_with_published(published):
    generator, _, references, label = published
    for name, truncation in {
        "w": {},
        "w_psi0.7": {"truncation_psi": 0.7},
        "w_psi0.7_cutoff4": {"truncation_psi": 0.7, "truncation_cutoff": 4},
    }.items():
        if name in references:
            assert_agrees(generator.mapping(references["z"], label, **truncation), references[name])


@pytest.mark.parametrize("inference", [True, False])
def test_pictures_and_activations_agree_with_published(published, inference):
    generator, _, references, label = published
    near = generator.mapping(references["z"], label, truncation_psi=0.7)
    ws = generator.mapping(references["z"], label)
    calls = {
        "image_const": (ws, "const"),
        "image_none": (ws, "none"),
        "image_psi0.7_const": (near, "const"),
        "image_psi07_const": (near, "const"),
        "image_wplus_const": (references.get("wplus"), "const"),
    }
    with torch.set_grad_enabled(not inference):
        for name, (latent, noise_mode) in calls.items():
            if name in references:
                assert_agrees(generator.synthesis(latent[: len(references[name])], noise_mode), references[name])
        _, activations = generator.synthesis(ws[:1], return_activations=True)
    theirs = [f"act/{name}" for name in (ROSINALITY_LAYERS if "act/conv1" in references else activations)]
    assert len(theirs) == len(activations) == 7
    for name, activation in zip(theirs, activations.values()):
        assert_agrees(activation, references[name][:1])


def test_logits_agree_with_published(published):
    _, discriminator, references, label = published
    image = references["image_const"]
    label = label if label is not None else torch.zeros(len(image), 0)
    assert_agrees(discriminator(image, label), references["logits"])
    if "logits_n1" in references:
        alone = [discriminator(image[i : i + 1], label[i : i + 1]) for i in range(len(image))]
        assert_agrees(torch.cat(alone), references["logits_n1"])
    if "logits_n2" in references:
        assert_agrees(discriminator(image[:2], label[:2]), references["logits_n2"])
    if "logits_n8" in references:
        mirrored = torch.cat([image, image.flip(3) / 2])
        assert_agrees(discriminator(mirrored, torch.cat([label, label])), references["logits_n8"])


# ---- convert ----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FILES)
def test_a_converted_file_is_the_same_gan_with_the_same_hash(name, tmp_path):
    converted = tmp_path / "gan.safetensors"
    assert convert(GOLDEN / name, converted, {"licence": "mine"}).hash == load_generator(converted).hash
    for ours, original in zip(load_networks(converted), load_networks(GOLDEN / name)):
        test_nvidia.assert_same(ours, original)
    assert load_generator(converted).metadata["licence"] == "mine"


def test_a_converted_file_keeps_what_tensors_cannot_tell(tmp_path):
    generator, discriminator = test_nvidia.pair("resnet", "skip", c_dim=3, clamp=0.7, group=None, lr=0.5)
    foreign_files.write_nvidia(tmp_path / "gan.pkl", generator, discriminator)
    convert(tmp_path / "gan.pkl", tmp_path / "gan.safetensors")
    ours, judge = load_networks(tmp_path / "gan.safetensors")
    assert (ours.synthesis.conv_clamp, ours.mapping.lr, ours.synthesis.architecture) == (0.7, 0.5, "resnet")
    assert (judge.conv_clamp, judge.b4.group_size, judge.architecture) == (0.7, None, "skip")
    z = torch.randn(2, 6)
    assert torch.allclose(ours(z), generator(z), atol=1e-5)


def test_what_was_made_up_stays_out_of_the_converted_file_s_hash(tmp_path):
    generator, _ = test_nvidia.pair()
    foreign_files.write_rosinality(tmp_path / "gan.pt", generator, noises=False, latent_avg=False)
    convert(tmp_path / "gan.pt", tmp_path / "gan.safetensors")
    ours, original = load_generator(tmp_path / "gan.safetensors"), load_generator(tmp_path / "gan.pt")
    assert ours.hash == original.hash and ours.metadata["derived"] == original.metadata["derived"]
    test_nvidia.assert_same(ours, original)


# ---- at the front door ------------------------------------------------------------------------
@pytest.mark.parametrize("options", [{}, {"c_dim": 3, "img_channels": 1}], ids=["colours", "conditional grayscale"])
@pytest.mark.parametrize("judged", [True, False], ids=["with discriminator", "without"])
@pytest.mark.filterwarnings("ignore:this picture is unlike")
def test_any_gan_is_sampled_projected_fitted_and_distilled(options, judged, tmp_path, monkeypatch):
    generator, discriminator = test_nvidia.pair("resnet", **options)
    foreign_files.write_nvidia(tmp_path / "gan.pkl", generator, discriminator if judged else None)
    gan = fewshot.load_gan(tmp_path / "gan.pkl", class_index=2 if options else None)
    assert (gan.discriminator is not None) == judged
    sample = gan.sample(seed=1)
    assert sample.image.shape == (1, 3, 16, 16)
    label_map = torch.zeros(16, 16, dtype=torch.int64)
    label_map[4:12] = 1
    segmenter = fewshot.fit(
        gan, [fewshot.Shot(sample, label_map, ["background", "middle"], gan)], network="linear", num_steps=2
    )
    projected = gan.project(sample.image, num_steps=2)
    assert segmenter.predict(projected).shape == (1, 2, 16, 16) and projected.trust is None
    assert segmenter.segment(np.zeros((20, 30, 3), np.uint8), num_steps=2).full_label_map.shape == (20, 30)
    student = segmenter.autoshot(num_images=4, num_epochs=1, batch_size=2, out_dir=tmp_path / "autoshot")
    assert student.segment(sample.image).label_map.shape == (16, 16)
    segmenter.save(tmp_path / "segmenter.safetensors")
    again = fewshot.Segmenter.load(tmp_path / "segmenter.safetensors")
    assert again.gan.hash == gan.hash and again.gan.class_index == gan.class_index == (2 if options else None)


@pytest.mark.parametrize("judge", test_nvidia.ARCHITECTURES)
@pytest.mark.parametrize("img_channels", [1, 3])
def test_any_gan_gets_an_encoder(img_channels, judge, tmp_path):
    foreign_files.write_nvidia(tmp_path / "gan.pkl", *test_nvidia.pair("skip", judge, 2, img_channels))
    gan = fewshot.load_gan(tmp_path / "gan.pkl")
    encoder = train_encoder(gan.generator, gan.discriminator, tmp_path, EncoderPlan(16, 8), progress=False)
    encoder.rename(tmp_path / "gan-encoder.safetensors")
    sample = fewshot.load_gan(tmp_path / "gan.pkl").project(gan.sample().image, num_steps=0, judge=False)
    assert sample.reconstruction.shape == (1, 3, 16, 16)


@pytest.mark.slow
def test_the_page_takes_any_gan(tmp_path):
    from gradio_client import Client, handle_file

    foreign_files.write_nvidia(tmp_path / "odd.pkl", *test_nvidia.pair("orig", "skip", 3, 1))
    label_map = np.full((16, 16), 255, np.uint8)
    label_map[:4], label_map[8:10] = 0, 1
    Image.fromarray(label_map).save(tmp_path / "labels.png")
    with page.server("--gan", str(tmp_path / "odd.pkl")) as (address, _):
        client = Client(address, verbose=False, download_files=str(tmp_path))
        drawn = client.predict(7, 0.7, api_name="/generate")
        client.predict(handle_file(tmp_path / "labels.png"), "background, middle", "linear", api_name="/fit")
        _, report = client.predict(handle_file(drawn), 2, api_name="/segment")
    assert report["size"] == [16, 16] and report["classes"] == ["background", "middle"]


def test_a_conditional_gan_takes_a_class(tmp_path):
    foreign_files.write_nvidia(tmp_path / "gan.pkl", *test_nvidia.pair(c_dim=3))
    first, last = (fewshot.load_gan(tmp_path / "gan.pkl", class_index=i) for i in (0, 2))
    assert torch.equal(last.sample().image, first.sample(class_index=2).image)
    assert not torch.allclose(last.sample().image, first.sample().image)
    assert last.discriminator.mapping.class_index == 2 and first.hash == last.hash
    for index in (3, -1):
        with pytest.raises(ToolkitError, match=f"GAN.sample: expected class_index below 3; got {index}"):
            first.sample(class_index=index)


def test_a_gan_without_classes_takes_none(tiny_gan):
    with pytest.raises(ToolkitError, match="GAN.sample: expected no class_index; got 0"):
        tiny_gan.sample(class_index=0)


# ---- files that mean harm ---------------------------------------------------------------------
@pytest.mark.parametrize(
    "name, message",
    [
        ("bad_oob_view.pkl", "expected a view within its storage of 256 numbers; got one beyond it"),
        ("mal_reduce.pkl", "got the name 'posix.system'"),
    ],
)
def test_stored_hostile_files_are_refused(name, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CheckpointError, match=message):
        load_networks(GOLDEN / name)
    assert list(tmp_path.iterdir()) == []


def test_a_good_file_with_one_hostile_storage_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = (GOLDEN / "nvidia_a_r32.pkl").read_bytes()
    start = good.index(b"_load_from_bytes\n") + len(b"_load_from_bytes\nq;")
    size = int.from_bytes(good[start + 1 : start + 5], "little")
    stream = hostile_files.TORCH_MAGIC + hostile_files.SYSTEM + b"\x80\x02cposix\nsystem\nX\x05\0\0\0touch\x85R."
    bad = good[: start + 1] + len(stream).to_bytes(4, "little") + stream + good[start + 5 + size :]
    Path("bad.pkl").write_bytes(bad)
    with pytest.raises(CheckpointError, match="posix.system"):
        load_networks("bad.pkl")


def test_a_file_cut_anywhere_is_refused(tmp_path):
    for path in hostile_files.small_files(tmp_path):
        content = path.read_bytes()
        for size in [*range(0, len(content), len(content) // 40), len(content) - 1]:
            (tmp_path / "cut").write_bytes(content[:size])
            with pytest.raises(CheckpointError) as error:
                load_networks(tmp_path / "cut")
            assert "\n" not in str(error.value)


def test_attacks_and_mutations_come_to_nothing_but_an_error(tmp_path):
    """The whole list of attacks, and some of the mutations that `benchmark checkpoints` counts in thousands."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARK), "--json", "--num", "150"], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    for counts in json.loads(done.stdout.splitlines()[-1]).values():
        assert counts["files"] >= 100 and counts["refused"] >= 0.7 * counts["files"]
        assert counts["refused"] + counts["loaded"] == counts["files"], counts["other"]
        assert counts["markers"] == 0 and counts["large"] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "part, name, value, message",
    [
        ("generator", "conv_clamp", [1], "a number as conv_clamp; got a list"),
        ("generator", "mapping_lr", None, "a number as mapping_lr; got a NoneType"),
        ("generator", "mapping_lr", float("nan"), "mapping_lr above 0; got nan"),
        ("discriminator", "mbstd_group_size", 0, "mbstd_group_size above 0; got 0"),
        ("discriminator", "mbstd_group_size", 2.5, "a number as mbstd_group_size; got a float"),
    ],
)
def test_options_that_are_none_are_refused(path, part, name, value, message):
    save_file(load_file(path), path, {"toolkit": json.dumps({"options": {part: {name: value}}})})
    with pytest.raises(CheckpointError, match=f"load_networks: expected {message}"):
        load_networks(path)


def test_an_error_is_one_printable_line_whatever_the_names_in_the_file(tmp_path):
    def change(where, state):
        if where == "synthesis.b8":
            state["_modules"]["\x1b[2J\n"] = state["_modules"].pop("conv0")
        if where == "synthesis.b8.conv0":
            state["activation"] = "relu"

    foreign_files.write_nvidia(tmp_path / "gan.pkl", *test_nvidia.pair(), change=change)
    with pytest.raises(CheckpointError) as error:
        load_networks(tmp_path / "gan.pkl")
    assert str(error.value).isprintable()


def test_an_error_s_message_is_short_whatever_the_names_in_the_file(tmp_path):
    path = tmp_path / "gan.safetensors"
    save_gan(path, *test_nvidia.pair(), {})
    edit(path, lambda tensors: tensors.update({f"generator.{'x' * 5000}{i}": torch.zeros(1) for i in range(50)}))
    with pytest.raises(CheckpointError, match="and 45 more") as error:
        load_generator(path)
    assert len(str(error.value)) < 1000


# ---- at full size -----------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("name", ["nvidia.pkl", "tensorflow.pkl", "zip.pt", "legacy.pt", "ours.safetensors"])
def test_a_large_gan_is_loaded_and_used_in_little_memory(name, tmp_path):
    path, networks = tmp_path / name, config_f.networks()
    write = {
        "nvidia.pkl": foreign_files.write_nvidia,
        "tensorflow.pkl": foreign_files.write_tensorflow,
        "zip.pt": foreign_files.write_rosinality,
        "ours.safetensors": lambda *args: save_gan(*args, {}),
        "legacy.pt": lambda *args: foreign_files.write_rosinality(*args, legacy=True),
    }[name]
    write(path, *networks)
    done = subprocess.run(
        [sys.executable, config_f.__file__, str(path)],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "2"},
    )
    assert done.returncode == 0, done.stderr
    cost = json.loads(done.stdout)
    print(name, cost)
    assert cost["file_mb"] > 200 and cost["image"] == [1, 3, 1024, 1024]
    # A figure below the generator's own size would be a measurement gone wrong.
    assert 0.4 * cost["file_mb"] < cost["load_mb"] < 1.5 * cost["file_mb"]
    assert cost["all_mb"] < 3000
