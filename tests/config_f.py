"""NVIDIA's largest published network with random weights: 1024 pixels, 30 million parameters a network.

python tests/config_f.py FILE    prints, as JSON, what loading FILE and using it costs in memory
"""

import json
import os
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

import torch
from memory import peak_mb

from toolkit.gan.files.checkpoints import load_networks
from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.parts import hypercolumns

CHANNELS = {4 << i: min(32768 // (4 << i), 512) for i in range(9)}


def networks():
    """Generator and Discriminator of config-f."""
    torch.manual_seed(0)
    generator, discriminator = Generator(1024, 512, 512, CHANNELS, 8), Discriminator(1024, CHANNELS)
    for layer in generator.synthesis.layers().values():
        layer.noise_strength.data.fill_(0.1)
    return generator.eval().requires_grad_(False), discriminator.eval().requires_grad_(False)


def measure(path):
    """Load a file, synthesise a picture, build its hypercolumns: peak memory in MB along the way, and seconds."""
    start, before = time.perf_counter(), peak_mb()
    generator, _ = load_networks(path)
    loaded, seconds = peak_mb(), time.perf_counter() - start
    ws = generator.mapping(torch.randn(1, 512))
    image, columns = hypercolumns.from_generator(generator, ws)
    columns.mix(torch.randn(8, columns.num_channels))
    return {
        "file_mb": os.path.getsize(path) / 2**20,
        "load_mb": loaded - before,
        "all_mb": peak_mb(),
        "seconds": seconds,
        "image": list(image.shape),
        "channels": columns.num_channels,
    }


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
