"""A GAN small enough for any test: random weights, 16 pixels."""

import os

import pytest
import torch
from small_gan import CHANNELS

from toolkit import fewshot
from toolkit.gan.files.checkpoints import load_networks, save_gan
from toolkit.gan.model import GAN
from toolkit.gan.stylegan2 import Discriminator, Generator

# What takes longest comes first where several processes share the tests, so that in the end none waits for another.
LONGEST = (
    "test_page",
    "test_notebooks",
    "test_experiments",
    "test_autoshot_processes",
    "test_distillation",
    "test_labeller_in_jupyterlab",
)


def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):  # of pytest-xdist
        items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory):
    """No test, nor any process it starts, reads or writes a person's own cache."""
    os.environ["TOOLKIT_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def tiny_gan_file(tmp_path_factory):
    torch.manual_seed(0)
    generator = Generator(16, 8, 12, CHANNELS, 2)
    for layer in generator.synthesis.layers().values():
        layer.noise_strength.data.fill_(0.05)
    path = tmp_path_factory.mktemp("gan") / "tiny.safetensors"
    save_gan(path, generator, Discriminator(16, CHANNELS), {"name": str(path)})
    return path


@pytest.fixture(scope="session")
def tiny_gan(tiny_gan_file):
    return fewshot.load_gan(tiny_gan_file)


@pytest.fixture(scope="session")
def padded_gan_file(tiny_gan_file, tmp_path_factory):
    """The same network, of pictures that became square by padding."""
    path = tmp_path_factory.mktemp("gan") / "padded.safetensors"
    save_gan(path, *load_networks(tiny_gan_file), {"fit": "pad"})
    return path


@pytest.fixture
def padded_gan(padded_gan_file):
    return fewshot.load_gan(padded_gan_file)


class Finds(torch.nn.Module):
    """An encoder that finds the same latents in every picture."""

    calibration = None

    def __init__(self, ws):
        super().__init__()
        self.ws, self.w_avg, self.w_std = ws, ws[0, 0], torch.ones(())

    def forward(self, image):
        return self.ws.expand(len(image), -1, -1)


@pytest.fixture
def seeing(tiny_gan):
    """A GAN that also sees its pictures, with an encoder."""
    gan = GAN(tiny_gan.generator, encoder=Finds(tiny_gan.sample(1).ws))
    gan.imagenet = True
    return gan


@pytest.fixture(scope="session")
def bundled_gan():
    return fewshot.load_gan("portraits-64")


@pytest.fixture(scope="session")
def shot(tiny_gan):
    """A drawn picture of the tiny GAN with two parts beside each other."""
    sample = tiny_gan.sample(seed=1)
    label_map = torch.zeros(16, 16, dtype=torch.int64)
    label_map[4:12, 2:8], label_map[4:12, 8:14] = 1, 2
    return fewshot.Shot(sample, label_map, ["background", "left", "right"], tiny_gan)
