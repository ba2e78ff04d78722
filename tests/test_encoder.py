"""The encoder: what it starts as, what training teaches it, and its file."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_gan import CHANNELS

from toolkit import fewshot
from toolkit.errors import CheckpointError, ShapeError, ToolkitError
from toolkit.gan.encoder import Encoder, load_encoder, save_encoder
from toolkit.gan.loading import install_encoder
from toolkit.gan.model import GAN
from toolkit.projection.imagenet import imagenet_features
from toolkit.training import encoder as training
from toolkit.training.encoder import EncoderPlan, _Job, check, train_encoder

PLAN = EncoderPlan(num_pictures=64, batch_size=8)


def train(gan, folder, plan=PLAN, **options):
    options = {"mixed_precision": "no", **options}  # runs are compared bit by bit
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
    with pytest.raises(ToolkitError, match=r"train_encoder: expected pictures \(N, 3, 16, 16\) uint8, N >= 1; got"):
        train(tiny_gan, tmp_path, pictures=np.zeros((2, 3, 8, 8), np.uint8))


def test_without_a_discriminator_imagenets_features_compare(tiny_gan, tmp_path, monkeypatch):
    """The distance's gradient is ImageNet's, too: with no weight on it an encoder learns something else."""
    files = []
    for weight in (training.IMAGENET_WEIGHT, 0.0):
        monkeypatch.setattr(training, "IMAGENET_WEIGHT", weight)
        files.append(train_encoder(tiny_gan.generator, None, tmp_path / str(weight), PLAN, progress=False))
    seen, unseen = (load_encoder(file) for file in files)
    assert not torch.equal(seen.out.weight, unseen.out.weight)
    job = _Job(tiny_gan.generator, None, tmp_path / "new", PLAN, None, "no")
    image = tiny_gan.sample(num=2).image
    _, parts = job._compare(image, job.encoder(image))
    again = tiny_gan.generator.synthesis(job.encoder(image), noise_mode="none")
    large = [F.interpolate(picture, size=(128, 128), mode="bilinear") for picture in (image, again)]
    first, second = ([F.normalize(f, dim=1) for f in imagenet_features()(picture)[:4]] for picture in large)
    expected = sum((a - b).square().sum(1).mean() for a, b in zip(first, second, strict=True))
    assert float(parts["perceptual"].detach().mean()) == pytest.approx(float(expected.detach()), rel=1e-4)


def test_it_goes_on_from_another_of_the_same_gan(tiny_gan, bundled_gan, run, tmp_path):
    first = load_encoder(run / "encoder.safetensors")
    same = load_encoder(train(tiny_gan, tmp_path / "same", EncoderPlan(0, 8), init_from=run / "encoder.safetensors"))
    assert same.hash == first.hash and same.metadata["pictures_seen"] == first.metadata["pictures_seen"] == 64
    more = load_encoder(train(tiny_gan, tmp_path / "more", EncoderPlan(8, 8), init_from=run / "encoder.safetensors"))
    assert more.hash != first.hash and more.metadata["pictures_seen"] == 72
    train(tiny_gan, tmp_path / "more", EncoderPlan(16, 8))  # goes on, and knows what was before
    assert load_encoder(tmp_path / "more" / "encoder.safetensors").metadata["pictures_seen"] == 80
    with pytest.raises(
        ToolkitError, match=r"expected a convolutional encoder of GAN .*; got Encoder of [0-9a-f]{12}, "
    ):
        check(bundled_gan.generator, PLAN, tmp_path / "new", init_from=run / "encoder.safetensors")
    with pytest.raises(CheckpointError, match="load_encoder: expected an encoder's file; got"):
        check(tiny_gan.generator, PLAN, tmp_path / "new", init_from=run / "log.csv")


def test_trying_precisions_leaves_no_trace(tiny_gan, run, tmp_path, monkeypatch):
    def dtype_of(mixed_precision, trial, device):
        for dtype in (torch.float32, torch.bfloat16):
            trial(dtype)
        return torch.float32

    monkeypatch.setattr(training, "dtype_of", dtype_of)
    train(tiny_gan, tmp_path, mixed_precision="auto")
    tried, plain = (load_encoder(folder / "encoder.safetensors") for folder in (tmp_path, run))
    assert tried.hash == plain.hash


def test_any_batch_size_trains_with_real_pictures(tiny_gan, tmp_path):
    pictures = torch.randint(0, 256, (10, 3, 16, 16), dtype=torch.uint8)
    for batch_size in (1, 2, 3):
        file = train(tiny_gan, tmp_path / str(batch_size), EncoderPlan(4, batch_size), pictures=pictures)
        assert all(tensor.isfinite().all() for tensor in load_encoder(file).state_dict().values())


@pytest.mark.parametrize(
    "plan, message",
    [
        (EncoderPlan(batch_size=0), "batch_size >= 1, a whole number; got 0."),
        (EncoderPlan(num_pictures=-1), "num_pictures >= 0, a whole number; got -1."),
        (EncoderPlan(num_pictures=1.5), "num_pictures >= 0, a whole number; got 1.5."),
        (EncoderPlan(seed=-1), "seed from 0 to 4294967295, a whole number; got -1."),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_one_line(tiny_gan, tmp_path, plan, message):
    with pytest.raises(ToolkitError) as error:
        train(tiny_gan, tmp_path, plan)
    assert str(error.value).startswith(f"train_encoder: expected {message}")
    with pytest.raises(ToolkitError, match="train_encoder: expected mixed_precision .*; got 'fp16'"):
        train(tiny_gan, tmp_path, mixed_precision="fp16")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_of_another_gans_encoder_is_left_alone(tiny_gan, bundled_gan, run):
    before = (run / "checkpoint.pt").read_bytes()
    with pytest.raises(ToolkitError, match=f"expected a training for GAN .*; got one for GAN {tiny_gan.hash[:12]} in "):
        check(bundled_gan.generator, PLAN, run)
    with pytest.raises(ToolkitError, match="expected an encoder as .* has it; got another GAN's, or one without its"):
        train_encoder(tiny_gan.generator, None, run, PLAN, progress=False)
    assert (run / "checkpoint.pt").read_bytes() == before


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


def test_a_trained_encoder_is_put_where_load_gan_looks(tiny_gan_file, run, tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path / "cache"))
    (tmp_path / "mine.safetensors").write_bytes(tiny_gan_file.read_bytes())
    gan = fewshot.load_gan(tmp_path / "mine.safetensors")
    assert gan.project(gan.sample(1).image, num_steps=1).trust is None
    assert install_encoder(gan, run / "encoder.safetensors") == tmp_path / "mine-encoder.safetensors"
    again = fewshot.load_gan(tmp_path / "mine.safetensors")
    for one in (gan, again):  # at once, and from now on; nothing is left to measure
        assert (
            one.calibration(5).shape == (64, 2) and 0 <= float(one.project(gan.sample(1).image, num_steps=1).trust) <= 1
        )
    assert torch.equal(gan.encoder(gan.sample(1).image), again.encoder(gan.sample(1).image))
    assert not (tmp_path / "cache").exists()
    seen = gan.sample(9, 3).image
    install_encoder(gan, run / "encoder.safetensors", seen)
    assert torch.equal(fewshot.load_gan(gan.path).encoder.calibration, gan.measure(seen, 0))


def test_an_encoder_goes_only_beside_its_own_gan(bundled_gan, tiny_gan, run, tmp_path):
    with pytest.raises(
        ToolkitError, match="expected a GAN of your own; got the bundled portraits-64. Use bundle-encod"
    ):
        install_encoder(bundled_gan, run / "encoder.safetensors")
    bare = GAN(tiny_gan.generator)
    with pytest.raises(ToolkitError, match="got one that was not loaded from a file"):
        install_encoder(bare, run / "encoder.safetensors")
    save_encoder(tmp_path / "e.safetensors", load_encoder(run / "encoder.safetensors"), {"gan_hash": "0" * 64})
    with pytest.raises(CheckpointError, match="install_encoder: expected an encoder of GAN .*; got one of GAN 0000"):
        install_encoder(tiny_gan, tmp_path / "e.safetensors")
    assert tiny_gan.encoder is None


def test_bad_input(tmp_path, tiny_gan_file):
    with pytest.raises(ShapeError, match=r"Encoder: expected image \(N, 3, 16, 16\) in \[-1, 1\]; got Tensor"):
        Encoder(16, CHANNELS, 6, 12)(torch.zeros(1, 3, 8, 8))
    (tmp_path / "no.safetensors").write_bytes(b"nothing")
    for path in (tmp_path / "no.safetensors", tiny_gan_file, tmp_path / "absent"):
        with pytest.raises(CheckpointError, match="load_encoder: expected an encoder's file; got .*Check the path"):
            load_encoder(path)
