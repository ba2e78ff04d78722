"""GAN files: what is saved comes back, nothing else does, and nothing is half written."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from toolkit.errors import CheckpointError, ToolkitError
from toolkit.gan import checkpoints, zoo
from toolkit.gan.checkpoints import load_discriminator, load_generator, save_gan
from toolkit.gan.stylegan2 import Discriminator, Generator

CHANNELS = {4: 12, 8: 8, 16: 4}


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


@pytest.mark.parametrize("change, message", [
    (lambda t: t.pop("generator.synthesis.b8.conv0.bias"), r"missing \['synthesis.b8.conv0.bias'\], unknown \[\]"),
    (lambda t: t.update({"generator.synthesis.extra": torch.zeros(1)}),
     r"missing \[\], unknown \['synthesis.extra'\]"),
    (lambda t: t.update({"generator.synthesis.b8.conv0.bias": torch.zeros(3)}),
     r"expected synthesis.b8.conv0.bias \(8,\); got \(3,\)"),
    (lambda t: [t.pop(k) for k in list(t) if ".mapping." in k], "expected a mapping network"),
    (lambda t: [t.pop(k) for k in list(t) if k.startswith("generator.")], "a file with a generator; got none"),
    (lambda t: t.pop("generator.synthesis.b4.conv1.weight"), "expected tensor synthesis.b4.conv1.weight"),
    (lambda t: t.pop("generator.mapping.fc0.weight"), "expected a mapping network"),
    (lambda t: t.update({"generator.synthesis.b4.conv1.weight": torch.zeros(())}),
     "expected tensor synthesis.b4.conv1.weight"),
    (lambda t: t.pop("generator.synthesis.b4.const"), r"missing \['synthesis.b4.const'\]"),
])  # fmt: skip
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


def test_zoo_knows_bundled_names_and_files(path):
    assert zoo.weights_path(path) == path
    assert zoo.weights_path(zoo.DEFAULT).name == f"{zoo.DEFAULT}.safetensors"
    with pytest.raises(ToolkitError, match=f"weights_path: expected one of {zoo.DEFAULT}.*got 'cats-9000'"):
        zoo.weights_path("cats-9000")
