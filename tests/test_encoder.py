"""The encoder: what it starts as, what training teaches it, and its file."""

import numpy as np
import pytest
import torch
from conftest import CHANNELS

from toolkit import fewshot
from toolkit.errors import CheckpointError, ShapeError, ToolkitError
from toolkit.gan.encoder import Encoder, load_encoder, save_encoder
from toolkit.training.encoder import EncoderPlan, _Job, train_encoder

PLAN = EncoderPlan(num_pictures=64, batch_size=8)


def train(gan, folder, plan=PLAN, **options):
    return train_encoder(gan.generator, gan.discriminator, folder, plan, progress=False, **options)


@pytest.fixture(scope="module")
def run(tiny_gan, tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder")
    train(tiny_gan, folder)
    return folder


def test_untrained_it_answers_with_the_average(tiny_gan):
    encoder = Encoder(16, CHANNELS, 6, 12)
    encoder.w_avg.copy_(torch.arange(12.0))
    ws = encoder(tiny_gan.sample(num=2).image)
    assert torch.equal(ws, torch.arange(12.0).expand(2, 6, 12))


def test_large_pictures_are_averaged_first():
    encoder = Encoder(512, {4 << i: 2 for i in range(8)}, 16, 4)
    torch.nn.init.normal_(encoder.out.weight)
    image = torch.rand(1, 3, 256, 256).repeat_interleave(2, 2).repeat_interleave(2, 3)
    flicker = torch.tensor([[0.1, -0.1], [-0.1, 0.1]]).repeat(256, 256)
    with torch.no_grad():
        assert torch.allclose(encoder(image), encoder(image + flicker), atol=1e-4)


def test_it_starts_from_the_discriminators_eyes(tiny_gan, tmp_path):
    job = _Job(tiny_gan.generator, tiny_gan.discriminator, tmp_path, PLAN, None, "no")
    image = tiny_gan.sample(num=2).image
    x = image
    for block in job.encoder.blocks:
        x = block(x)
    assert torch.allclose(x, tiny_gan.discriminator.features(image)[-1], atol=1e-6)


def test_training_brings_the_guess_closer(tiny_gan, tmp_path):
    image = tiny_gan.sample(seed=9, num=16, truncation_psi=1.0).image
    encoder = load_encoder(train(tiny_gan, tmp_path, EncoderPlan(1600, 16)))
    before, after = (
        (tiny_gan.generator.synthesis(ws, noise_mode="none") - image).square().mean()
        for ws in (encoder.w_avg.expand(16, encoder.num_ws, -1), encoder(image))
    )
    assert after < 0.7 * before


def test_a_stopped_training_goes_on_as_if_it_never_stopped(tiny_gan, run, tmp_path):
    job = _Job(tiny_gan.generator, tiny_gan.discriminator, tmp_path, PLAN, None, "no")
    for _ in range(3):
        job.step()
    job.save()
    train(tiny_gan, tmp_path)
    ours, whole = (torch.load(f / "checkpoint.pt", weights_only=True) for f in (tmp_path, run))
    assert ours["seen"] == whole["seen"] == 64
    assert all(torch.equal(v, whole["encoder"][k]) for k, v in ours["encoder"].items())
    assert all(torch.equal(v, whole["ema"][k]) for k, v in ours["ema"].items())


def test_real_pictures_count_too(tiny_gan, run, tmp_path):
    pictures = torch.randint(0, 256, (10, 3, 16, 16), dtype=torch.uint8)
    with_real = load_encoder(train(tiny_gan, tmp_path, pictures=pictures))
    without = load_encoder(run / "encoder.safetensors")
    assert not torch.equal(with_real.out.weight, without.out.weight)
    with pytest.raises(ToolkitError, match=r"train_encoder: expected pictures \(N, 3, 16, 16\) uint8; got"):
        train(tiny_gan, tmp_path, pictures=np.zeros((2, 3, 8, 8), np.uint8))


def test_the_networks_are_left_alone(tiny_gan, tmp_path):
    before = {k: v.clone() for k, v in tiny_gan.discriminator.state_dict().items()}
    before |= {k: v.clone() for k, v in tiny_gan.generator.state_dict().items()}
    train(tiny_gan, tmp_path, EncoderPlan(8, 8))
    after = {**tiny_gan.discriminator.state_dict(), **tiny_gan.generator.state_dict()}
    assert all(torch.equal(after[k], v) for k, v in before.items())


def test_the_file_gives_back_the_encoder(tiny_gan, run, tmp_path):
    encoder, image = load_encoder(run / "encoder.safetensors"), tiny_gan.sample(num=2).image
    calibration = torch.rand(5, 2)
    save_encoder(tmp_path / "e.safetensors", encoder, encoder.metadata, calibration)
    again = load_encoder(tmp_path / "e.safetensors")
    assert torch.equal(again(image), encoder(image)) and torch.equal(again.calibration, calibration)
    assert again.hash == encoder.hash and again.metadata["gan_hash"] == tiny_gan.hash and encoder.calibration is None


def test_the_front_door_finds_it_beside_the_gan(tiny_gan, tiny_gan_file, run, tmp_path):
    (tmp_path / "tiny.safetensors").write_bytes(tiny_gan_file.read_bytes())
    (tmp_path / "tiny-encoder.safetensors").write_bytes((run / "encoder.safetensors").read_bytes())
    gan = fewshot.load_gan(tmp_path / "tiny.safetensors")
    image = gan.sample(seed=1).image
    assert torch.equal(gan.project(image, num_steps=0).ws, gan.encoder(image))
    save_encoder(tmp_path / "tiny-encoder.safetensors", gan.encoder, {"gan_hash": "0" * 64})
    with pytest.raises(CheckpointError, match="load_gan: expected an encoder of GAN .*; got one of GAN 000000000000"):
        fewshot.load_gan(tmp_path / "tiny.safetensors")


def test_bad_input(tmp_path, tiny_gan_file):
    with pytest.raises(ShapeError, match=r"Encoder: expected image \(N, 3, 16, 16\) in \[-1, 1\]; got Tensor"):
        Encoder(16, CHANNELS, 6, 12)(torch.zeros(1, 3, 8, 8))
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    for path in (tmp_path / "no.safetensors", tiny_gan_file, tmp_path / "absent"):
        with pytest.raises(CheckpointError, match="load_encoder: expected an encoder's file; got .*Check the path"):
            load_encoder(path)
