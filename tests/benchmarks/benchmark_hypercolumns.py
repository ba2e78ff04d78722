"""Lazy hypercolumns against built ones, at the paper's size: time, memory and equality in one run.

    python tests/benchmarks/benchmark_hypercolumns.py [--json]

Each side runs in a process of its own, so that its peak memory is its own, and the sides take
turns, so that whatever else the machine does falls on both. Activations and weights are random.
One step is what fitting one picture costs: forward, and backward to the weights.
- dense: upsample every layer, concatenate (5.3 GB at the paper's size), then the network's 1x1
  convolution and the rest, in PyTorch's own layout, as published implementations do. `kept` is
  the same step for those who can afford to keep F and do not build it again.
- lazy: the toolkit's network on `Hypercolumns`, which it keeps; making them is `prepare`.
Needs Linux (it reads /proc) and, at the paper's size, 16 GB.
"""

import argparse
import json as json_format
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch
import torch.nn.functional as F

from toolkit.parts import networks
from toolkit.parts.hypercolumns import Hypercolumns

GENERATOR_RESOLUTION, RESOLUTION = 1024, 512
NUM_CLASSES = 10
NETWORKS = ("mix", "linear", "mlp", "cnn-l")  # mix: F to 128 channels, without the rest of a network
TARGET_TIME, TARGET_MEMORY = 9, 10


def main(json=False, networks=NETWORKS, generator_resolution=GENERATOR_RESOLUTION, resolution=RESOLUTION, rounds=2):
    """Print the table of ratios; with `json`, also one JSON object as the last line.

    Args:
        json: print the JSON object.
        networks: names among "mix", "linear", "mlp", "cnn-s", "cnn-m", "cnn-l".
        generator_resolution: side of the generator's pictures, a power of two.
        resolution: side of the hypercolumns.
        rounds: turns of each side; figures are medians of the pairs.
    Returns:
        dict, what the JSON object holds.
    """
    result = {
        "generator_resolution": generator_resolution,
        "resolution": resolution,
        "num_channels": sum(shape[1] for shape in _shapes(generator_resolution).values()),
        "threads": torch.get_num_threads(),
        "machine": f"{platform.machine()}, torch {torch.__version__}",
        "networks": {},
    }
    print(f"{result['num_channels']} channels at {resolution}x{resolution}, {result['threads']} threads")
    print(
        f"{'':8}{'dense s':>9}{'kept s':>8}{'lazy s':>8}{'prepare':>9}{'ratio':>7}{'kept':>6}"
        f"{'dense MB':>10}{'lazy MB':>9}{'ratio':>7}{'logits':>9}"
    )
    for name in networks:
        row = result["networks"][name] = _compare(name, generator_resolution, resolution, rounds)
        print(
            f"{name:8}{row['dense_seconds']:9.2f}{row['dense_kept_seconds']:8.2f}{row['lazy_seconds']:8.2f}"
            f"{row['lazy_prepare_seconds']:9.2f}{row['time_ratio']:7.1f}{row['time_ratio_kept']:6.1f}"
            f"{row['dense_megabytes']:10.0f}{row['lazy_megabytes']:9.0f}{row['memory_ratio']:7.1f}"
            f"{row['logits_error']:9.0e}",
            flush=True,
        )
    print(f"wanted: time ratio >= {TARGET_TIME}, memory ratio >= {TARGET_MEMORY}, logits within 1e-4 of max")
    if json:
        print(json_format.dumps(result))
    return result


def _compare(name, generator_resolution, resolution, rounds):
    """Both sides in turn, each in a fresh process, on the same activations and weights."""
    runs = {"dense": [], "lazy": []}
    with tempfile.TemporaryDirectory() as folder:
        paths = {side: Path(folder) / side for side in runs}
        for _ in range(rounds):
            for side, path in paths.items():
                runs[side].append(_in_fresh_process(side, name, generator_resolution, resolution, path))
        dense, lazy = (torch.load(path, weights_only=True) for path in paths.values())

    def median(function):
        return statistics.median(function(d, q) for d, q in zip(runs["dense"], runs["lazy"]))

    return {
        "dense_seconds": median(lambda d, q: d["seconds"]),
        "dense_kept_seconds": median(lambda d, q: d["seconds"] - d["build_seconds"]),
        "lazy_seconds": median(lambda d, q: q["seconds"]),
        "lazy_prepare_seconds": median(lambda d, q: q["prepare_seconds"]),
        "time_ratio": median(lambda d, q: d["seconds"] / q["seconds"]),
        "time_ratio_kept": median(lambda d, q: (d["seconds"] - d["build_seconds"]) / q["seconds"]),
        "dense_megabytes": median(lambda d, q: d["megabytes"]),
        "lazy_megabytes": median(lambda d, q: q["megabytes"]),
        "memory_ratio": median(lambda d, q: d["megabytes"] / q["megabytes"]),
        "logits_error": float((dense - lazy).abs().max() / dense.abs().max()),
    }


def _in_fresh_process(*arguments):
    environment = os.environ | {"PYTHONPATH": str(Path(networks.__file__).parents[2])}
    command = [sys.executable, __file__, "--measure", *map(str, arguments)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return json_format.loads(done.stdout.splitlines()[-1])


def _measure(side, name, generator_resolution, resolution, path):
    """Seconds of the second of two steps (the first one warms up), peak memory over both, logits."""
    shapes = _shapes(int(generator_resolution))
    rng = torch.Generator().manual_seed(0)
    activations = {layer: torch.randn(shape, generator=rng) for layer, shape in shapes.items()}
    channels = {layer: shape[1] for layer, shape in shapes.items()}
    torch.manual_seed(0)
    network = (
        networks.Mix(channels, networks.MIX_CHANNELS) if name == "mix" else networks.build(name, channels, NUM_CLASSES)
    )
    if side == "dense":
        network.to(memory_format=torch.contiguous_format)
    before = _peak_megabytes()
    start = time.perf_counter()
    columns = {"dense": _Dense, "lazy": Hypercolumns}[side](activations, int(resolution))
    prepared = time.perf_counter()
    for _ in range(2):
        network.zero_grad()
        logits = None  # frees the first step's memory, as a training loop does
        start_step = time.perf_counter()
        logits = network(columns)
        logits.square().mean().backward()
        seconds = time.perf_counter() - start_step
    result = {
        "seconds": seconds,
        "build_seconds": columns.build_seconds if side == "dense" else 0.0,
        "prepare_seconds": prepared - start,
        "megabytes": _peak_megabytes() - before,
    }
    torch.save(logits.detach().contiguous(), path)
    print(json_format.dumps(result))


class _Dense:
    """Stands in for Hypercolumns: `mix` builds F and convolves it, as published."""

    def __init__(self, activations, resolution):
        self._activations, self._resolution = activations, resolution
        self.channels = {name: a.shape[1] for name, a in activations.items()}

    def mix(self, weight, bias):
        start = time.perf_counter()
        features = torch.cat([self._resize(a) for a in self._activations.values()], 1)
        self.build_seconds = time.perf_counter() - start
        return F.conv2d(features, weight[:, :, None, None], bias)

    def _resize(self, activation):
        size = (self._resolution, self._resolution)
        if activation.shape[-1] > self._resolution:
            return F.interpolate(activation, size=size, mode="area")
        return F.interpolate(activation, size=size, mode="bilinear", align_corners=False)


def _shapes(generator_resolution):
    """A config-f StyleGAN2's synthesis layers, two convolutions a block, without b4.conv1."""
    shapes, side = {}, 8
    while side <= generator_resolution:
        for conv in ("conv0", "conv1"):
            shapes[f"b{side}.{conv}"] = (1, min(32768 // side, 512), side, side)
        side *= 2
    return shapes


def _peak_megabytes():
    """The most resident memory this process has had."""
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM"))
    return int(line.split()[1]) / 1e3


if __name__ == "__main__":
    if sys.argv[1:2] == ["--measure"]:
        _measure(*sys.argv[2:])
    else:
        parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
        parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
        main(**vars(parser.parse_args()))
