"""A generator that learns to redraw pictures: it does, resumes to the bit, and its GAN draws like them."""

import csv

import numpy as np
import pytest
import torch

from toolkit import fewshot
from toolkit.errors import ToolkitError
from toolkit.gan.encoder import load_encoder
from toolkit.pictures.images import as_float
from toolkit.training import autoencoder
from toolkit.training.autoencoder import AutoencoderPlan, train_autoencoder
from toolkit.training.judges import verdict
from toolkit.worlds import portraits

CHANNELS = ((4, 32), (8, 32), (16, 16))
PLAN = AutoencoderPlan(16, 1600, batch_size=4, num_components=24, w_dim=24, channels=CHANNELS)


@pytest.fixture(scope="module")
def pictures():
    image, _ = portraits.render(64, 16, 0)
    return ((image + 1) * 127.5).round().to(torch.uint8).numpy()


@pytest.fixture(scope="module")
def trained(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("autoencoder")
    train_autoencoder(pictures, folder, PLAN, fit="pad", progress=False)
    return folder


def test_it_comes_near_the_pictures(trained, pictures):
    gan = fewshot.load_gan(trained / "gan.safetensors")
    encoder = load_encoder(trained / "encoder.safetensors")
    assert encoder.metadata["gan_hash"] == gan.hash and gan.metadata["pictures_seen"] == 1600
    assert gan.fit == "pad" and gan.imagenet
    image = as_float(pictures)
    with torch.no_grad():
        again = gan.generator.synthesis(encoder(image), noise_mode="none")
    # Nearer than the average picture is, which no generator draws before it has learned something.
    assert (again - image).square().mean() < 0.9 * (image - image.mean(0)).square().mean()
    w = encoder(image)[:, 0]
    found, known = (x for x in (gan.generator.mapping(torch.randn(500, 24))[:, 0], w))
    assert (found.mean(0) - known.mean(0)).norm() < 0.5 * known.std(0).norm()


def test_a_resumed_run_is_an_unbroken_one(pictures, tmp_path):
    plan = PLAN._replace(num_pictures=40, judged_after=24)
    train_autoencoder(pictures, tmp_path / "whole", plan, progress=False)
    for num in (16, 32, 40):  # before the judges join, and while they judge
        train_autoencoder(pictures, tmp_path / "broken", plan._replace(num_pictures=num), progress=False)
    one, other = (torch.load(tmp_path / f / "checkpoint.pt", weights_only=True) for f in ("whole", "broken"))
    for network in ("generator", "encoder", "generator_ema", "judges"):
        for name, value in one[network].items():
            assert torch.equal(value, other[network][name]), name
    rows = list(csv.DictReader((tmp_path / "broken" / "log.csv").open()))
    assert [row["pictures"] for row in rows] == ["16", "32", "40"]
    assert {path.name for path in (tmp_path / "broken").iterdir()} >= {"pairs.png", "samples.png", "gan.safetensors"}


@pytest.mark.parametrize(
    "pictures_, plan, said",
    [
        (np.zeros((4, 3, 8, 8), np.uint8), PLAN, "Resize them"),
        (np.zeros((4, 3, 16, 16), np.float32), PLAN, "uint8"),
        (np.zeros((4, 3, 16, 16), np.uint8), PLAN, "num_components <= 8 for 4 pictures"),
        (np.zeros((4, 3, 16, 16), np.uint8), PLAN._replace(num_mapping_layers=1), "num_mapping_layers"),
        (np.zeros((4, 3, 16, 16), np.uint8), PLAN._replace(resolution=24), "power of two"),
        (np.zeros((4, 3, 16, 16), np.uint8), PLAN._replace(batch_size=1), "batch_size"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(pictures_, plan, said, tmp_path):
    with pytest.raises(ToolkitError, match=said):
        train_autoencoder(pictures_, tmp_path / "none", plan, progress=False)
    assert not (tmp_path / "none").exists()


def test_the_judges_ask_for_no_more_than_their_share(pictures, tmp_path, monkeypatch):
    """Whatever the judges' verdict is multiplied by, the step is the same."""
    drawn = []
    for factor in (1, 1000):
        monkeypatch.setattr(autoencoder, "verdict", lambda on_fake, factor=factor: factor * verdict(on_fake))
        plan = PLAN._replace(num_pictures=8, judged_after=0)
        train_autoencoder(pictures, tmp_path / str(factor), plan, progress=False)
        drawn.append(torch.load(tmp_path / str(factor) / "checkpoint.pt", weights_only=True)["generator"])
    for name, value in drawn[0].items():
        assert torch.allclose(value, drawn[1][name], atol=1e-5), name


def test_a_training_of_other_networks_is_refused_in_one_line(trained):
    for change, said in (({"w_dim": 16}, "another encoder, at "), ({"num_components": 8}, "another encoder, at basis")):
        with pytest.raises(ToolkitError, match=said) as error:
            autoencoder.check(PLAN._replace(**change), trained)
        assert "\n" not in str(error.value)


def test_judges_that_joined_early_keep_their_rate_under_a_later_plan(pictures, tmp_path):
    """The rate rises from when they joined, not from when a later plan says that they should have."""
    plan = PLAN._replace(num_pictures=8, judged_after=0)
    train_autoencoder(pictures, tmp_path, plan, progress=False)
    train_autoencoder(pictures, tmp_path, plan._replace(num_pictures=12, judged_after=1_000_000), progress=False)
    optimizer = torch.load(tmp_path / "checkpoint.pt", weights_only=True)["optimizers"][0]
    assert optimizer["param_groups"][0]["lr"] > 0
