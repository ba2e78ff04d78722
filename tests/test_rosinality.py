"""rosinality's .pt files: both containers, with and without what older ones lack."""

import foreign_files
import pytest
import torch
from test_nvidia import assert_same, pair

from toolkit.errors import CheckpointError
from toolkit.gan.files.checkpoints import load_generator, load_networks


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"legacy": True},
        {"args": True},
        {"legacy": True, "args": True, "device": "cuda:0"},
        {"device": "cuda:0"},
    ],
    ids=str,
)
def test_both_networks_come_back(tmp_path, options, monkeypatch):
    generator, discriminator = pair()
    foreign_files.write_rosinality(tmp_path / "gan.pt", generator, discriminator, monkeypatch=monkeypatch, **options)
    content = (tmp_path / "gan.pt").read_bytes()
    assert (b"cuda:0" in content) == ("device" in options) and (b"Namespace" in content) == ("args" in options)
    ours, judge = load_networks(tmp_path / "gan.pt")
    assert_same(ours, generator)
    assert_same(judge, discriminator)


def test_noise_and_average_that_a_file_lacks_are_made_and_named(tmp_path):
    """550000.pt is such a file."""
    generator, _ = pair()
    foreign_files.write_rosinality(tmp_path / "gan.pt", generator, noises=False, latent_avg=False, legacy=True)
    ours, again = load_generator(tmp_path / "gan.pt"), load_generator(tmp_path / "gan.pt")
    assert_same(ours, again)
    assert set(ours.metadata["derived"]) == {
        "mapping.w_avg",
        *(f"synthesis.{name}.noise_const" for name in ours.synthesis.layers()),
    }
    w = generator.mapping(torch.randn(20_000, 6))[:, 0]
    assert torch.allclose(ours.mapping.w_avg, w.mean(0), atol=0.1 * float(w.std()))
    noise = torch.cat([layer.noise_const.flatten() for layer in ours.synthesis.layers().values()])
    assert abs(float(noise.mean())) < 0.1 and abs(float(noise.std()) - 1) < 0.1
    ws = generator.mapping(torch.randn(2, 6))
    assert torch.allclose(ours.synthesis(ws, "none"), generator.synthesis(ws, "none"), atol=1e-4)


def test_the_hash_is_of_what_the_file_has(tmp_path):
    generator, _ = pair()
    foreign_files.write_rosinality(tmp_path / "gan.pt", generator, noises=False, latent_avg=False)
    before = load_generator(tmp_path / "gan.pt")
    before.mapping.w_avg.zero_()
    generator.synthesis.b8.conv0.bias[0] += 1
    foreign_files.write_rosinality(tmp_path / "other.pt", generator, noises=False, latent_avg=False)
    assert load_generator(tmp_path / "gan.pt").hash == before.hash != load_generator(tmp_path / "other.pt").hash


@pytest.mark.parametrize(
    "part, change, message",
    [
        ("g_ema", lambda s: s.pop("convs.0.activate.bias"), r"missing \['synthesis.b8.conv0.bias'\]"),
        ("g_ema", lambda s: s.update({"convs.0.extra": torch.zeros(1)}), "got 'convs.0.extra' too"),
        ("g_ema", lambda s: s.update({"convs.0.conv.blur.kernel": torch.ones(4, 4)}), "another in 'convs.0.conv.blur"),
        ("g_ema", lambda s: s.update({"convs.0.conv.blur.kernel": torch.ones(3, 3)}), "another in 'convs.0.conv.blur"),
        ("g_ema", lambda s: s.update({"convs.98.conv.weight": torch.zeros(1, 1, 1, 3, 3)}), "unknown"),
        ("d", lambda s: s.update({"extra.weight": torch.zeros(1)}), "discriminator; got 'extra.weight' too"),
        ("d", lambda s: s.pop("convs.1.skip.1.weight"), r"missing \['b16.skip.weight'\]|StyleGAN2"),
    ],
)
def test_a_tensor_too_many_or_too_few_is_named(tmp_path, part, change, message):
    path = tmp_path / "gan.pt"
    foreign_files.write_rosinality(path, *pair(), args=False)
    data = torch.load(path, weights_only=True)
    change(data[part])
    torch.save(data, path)
    with pytest.raises(CheckpointError, match=f"load_networks: .*{message}"):
        load_networks(path)


def test_another_file_of_torch_is_refused_in_one_line(tmp_path):
    torch.save({"state_dict": {"layer1.weight": torch.zeros(3)}}, tmp_path / "resnet.pt")
    with pytest.raises(CheckpointError, match="a StyleGAN2 generator, .*; got another network, with 'layer1.weight'"):
        load_networks(tmp_path / "resnet.pt")
