"""Auto-shot: synthesis against plain generation, pictures a second of the network, peak memory by number of
pictures."""

import json as json_format
import statistics
import subprocess
import sys
import tempfile
import time

import torch

from toolkit import autoshot, fewshot
from toolkit.autoshot.segmenter import AutoShotSegmenter
from toolkit.fewshot import GAN, Segmenter
from toolkit.gan.stylegan2 import Generator
from toolkit.parts import networks
from toolkit.pictures.labels import PORTRAIT_CLASSES
from toolkit.show import plots

MANY, FEW = 5000, 500
# A process of its own for each: what one has allocated does not count for the other.
MEMORY = """
import sys, torch
from toolkit import autoshot, fewshot
from benchmark_autoshot import untrained
segmenter = untrained(fewshot.load_gan("portraits-64"), "mlp")
autoshot.distil(segmenter, int(sys.argv[1]), out_dir=sys.argv[2] or None, width=4, num_epochs=1)
print(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1])
"""


def untrained(gan, network):
    """A segmenter of ten classes that knows nothing, which takes as long as one that does."""
    torch.manual_seed(0)
    net = networks.build(network, gan.hypercolumns(gan.sample()).channels, len(PORTRAIT_CLASSES))
    return Segmenter(gan, net.eval().requires_grad_(False), network, PORTRAIT_CLASSES)


def paper_sized_gan(resolution=256):
    """A GAN with the published numbers of channels and random weights."""
    channels = {4 << i: min(32768 // (4 << i), 512) for i in range(resolution.bit_length() - 2)}
    generator = Generator(resolution, 512, 512, channels, 8).eval().requires_grad_(False)
    generator.metadata, generator.hash = {"name": f"random weights, {resolution} pixels"}, "0" * 64
    return GAN(generator)


def throughput(gan, network, rounds, batch_size):
    """Pictures a second: plain generation, and generation with labels, in turn, with the same batch."""
    pairs = autoshot.Pairs(untrained(gan, network), batch_size, 1.0, 0, None)
    pairs.shard_size = pairs.batch_size = batch_size
    seconds = {"plain": [], "labelled": []}
    with torch.no_grad():
        for _ in range(rounds + 1):
            started = time.perf_counter()
            ws = gan.generator.mapping(torch.randn(pairs.batch_size, gan.generator.z_dim))
            ((gan.generator.synthesis(ws, noise_mode="random") + 1) * 127.5).round().clamp(0, 255).byte()
            between = time.perf_counter()
            pairs._make(0)
            seconds["plain"].append(between - started)
            seconds["labelled"].append(time.perf_counter() - between)
    return {name: pairs.batch_size / statistics.median(values[1:]) for name, values in seconds.items()}


def pace(width, batch_size, rounds=10):
    """Pictures of 128 pixels that the network segments in a second."""
    auto = AutoShotSegmenter(networks.UNet(len(PORTRAIT_CLASSES), width), PORTRAIT_CLASSES, 64)
    image, seconds = torch.zeros(batch_size, 3, 128, 128), []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        auto.predict(image)
        seconds.append(time.perf_counter() - started)
    return batch_size / statistics.median(seconds[1:])


def peak_memory(num_images, on_disk):
    """Megabytes that synthesis and one epoch of training take at most, in a process of their own."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(__file__).rsplit("/", 1)[0]
        command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {path!r})\n{MEMORY}", str(num_images)]
        done = subprocess.run([*command, folder if on_disk else ""], capture_output=True, text=True, check=True)
    return int(done.stdout) / 1024


def main(json=False, rounds=3):
    """Print all three; with `json`, one JSON object as the last line."""
    report = {"threads": torch.get_num_threads(), "throughput": [], "pace": [], "memory": []}
    cases = (
        (fewshot.load_gan("portraits-64"), ("linear", "mlp", "cnn-l"), 32),
        (paper_sized_gan(), ("linear", "mlp", "cnn-l"), 2),
    )
    for gan, names, batch_size in cases:
        for network in names:
            rate = throughput(gan, network, rounds, batch_size)
            report["throughput"].append(
                {
                    "gan": gan.metadata["name"],
                    "segmenter": network,
                    "plain pictures/s": rate["plain"],
                    "labelled pictures/s": rate["labelled"],
                    "ratio": rate["labelled"] / rate["plain"],
                }
            )
    for width in (8, 16, 32, 64):
        report["pace"].append({"width": width, **{f"batch of {n}, pictures/s": pace(width, n) for n in (1, 16)}})
    for on_disk in (True, False):
        few, many = (peak_memory(n, on_disk) for n in (FEW, MANY))
        report["memory"].append(
            {
                "pairs": "on disk" if on_disk else "made anew",
                f"MB of {FEW}": few,
                f"MB of {MANY}": many,
                "ratio": many / few,
            }
        )
    print(f"{report['threads']} threads; wanted: throughput ratio >= 0.8, 20 pictures/s, memory ratio <= 1.1")
    for name in ("throughput", "pace", "memory"):
        rows = report[name]
        print(f"{name}\n{plots.table([tuple(rows[0]), *(tuple(row.values()) for row in rows)])}")
    if json:
        print(json_format.dumps(report))
    return report
