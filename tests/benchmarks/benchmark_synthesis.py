"""Synthesis at 1024 pixels two ways: the toolkit's, or one grouped kernel a sample.

    python tests/benchmarks/benchmark_synthesis.py [--json]

The generator has config-f's sizes and random weights. Ours is `synthesis`: one picture after the other, all
factors in the weights. Grouped is how it was published: a modulated copy of the weights for every sample, and
as many groups as samples. Same latents, turn about in one run, in seconds of processor time; the ratio is the
median over the pairs. Each in the memory layout that suits it.
"""

import argparse
import contextlib
import json as json_format
import platform
import statistics
import sys
import time
from pathlib import Path

import torch
import torch.nn.functional as F

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

import config_f  # noqa: E402
from benchmark_modulated_conv import _grouped  # noqa: E402

from toolkit.gan import generator as module  # noqa: E402

BATCH = 8


def main(json=False, rounds=2):
    """Print both times and their ratio; with `json`, one JSON object as the last line.

    Args:
        json: print the JSON object.
        rounds: pairs of measurements, >= 1.
    Returns:
        dict, what the JSON object holds.
    """
    generator, _ = config_f.networks()
    with torch.no_grad():
        ws = generator.mapping(torch.randn(BATCH, generator.z_dim))
        (_, image), (_, published) = ours(generator, ws), grouped(generator, ws)  # also warms up
        pairs = [(ours(generator, ws)[0], grouped(generator, ws)[0]) for _ in range(rounds)]
    result = {
        "ours_s": statistics.median(a for a, _ in pairs),
        "grouped_s": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(b / a for a, b in pairs),
        "batch": BATCH,
        "threads": torch.get_num_threads(),
        "difference": float((image - published).abs().max() / published.abs().max()),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
    }
    print(
        f"{BATCH} pictures of 1024 pixels: ours {result['ours_s']:.2f} s, grouped {result['grouped_s']:.2f} s, "
        f"ratio {result['ratio']:.2f}, largest difference {result['difference']:.0e} of max "
        f"({result['threads']} threads, {result['machine']})"
    )
    if json:
        print(json_format.dumps(result))
    return result


def ours(generator, ws):
    """Seconds, and the pictures, as the toolkit draws them."""
    generator.to(memory_format=torch.channels_last)
    start = time.process_time()
    image = generator.synthesis(ws)
    return time.process_time() - start, image


def grouped(generator, ws):
    """Seconds, and the pictures, with a kernel of its own for every sample."""
    generator.to(memory_format=torch.contiguous_format)
    with _as_published():
        start = time.process_time()
        image = generator.synthesis(ws)
        return time.process_time() - start, image


@contextlib.contextmanager
def _as_published():
    """All pictures as one batch, through grouped convolutions."""
    kept = module.SynthesisConv.forward, module.ToRGB.forward, module.ONE_BY_ONE_FROM
    module.SynthesisConv.forward = lambda layer, x, w, noise: _grouped(layer, x.contiguous(), w, noise)
    module.ToRGB.forward, module.ONE_BY_ONE_FROM = _grouped_rgb, float("inf")
    try:
        yield
    finally:
        module.SynthesisConv.forward, module.ToRGB.forward, module.ONE_BY_ONE_FROM = kept


def _grouped_rgb(layer, x, w):
    n, c, h, side = x.shape
    kernel = layer.weight * (layer.affine(w) / c**0.5)[:, None, :, None, None]
    x = F.conv2d(x.reshape(1, n * c, h, side), kernel.reshape(-1, c, 1, 1), groups=n)
    return x.reshape(n, -1, h, side) + layer.bias[:, None, None]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    main(**vars(parser.parse_args()))
