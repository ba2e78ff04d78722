"""The first photograph through a GAN of one's own: NVIDIA's .pkl at config-f's size, 256 pixels, random weights.

    python -m toolkit benchmark own-gan [--json]

Writes the .pkl, then runs `python -m toolkit project` on one picture with 50 steps and no encoder, as a person would,
and says after how many seconds it announced time and memory, and when it was done. Processor time is that of the
command, which other programs on the machine do not lengthen.
"""

import json as json_format
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT / "tests")]

import foreign_files  # noqa: E402

from toolkit.gan.stylegan2 import Discriminator, Generator  # noqa: E402
from toolkit.pictures.images import save_png  # noqa: E402
from toolkit.worlds import portraits  # noqa: E402

SIDE, STEPS, WANTED = 256, 50, 180.0
CHANNELS = {4 << i: min(32768 // (4 << i), 512) for i in range(7)}


def main(json=False):
    """Print what the command said, and when; with `json`, one JSON object as the last line."""
    with tempfile.TemporaryDirectory() as folder:
        folder, out = Path(folder), Path(folder) / "out"
        write(folder / "own.pkl")
        save_png(folder / "photo.png", portraits.render(1, SIDE, 1_500_000)[0])
        command = ["-m", "toolkit", "project", folder / "photo.png", "--gan", folder / "own.pkl", "--out", out]
        started, lines = time.perf_counter(), []
        process = subprocess.Popen(
            [sys.executable, *map(str, command), "--num-steps", str(STEPS)], cwd=ROOT, stderr=subprocess.PIPE, text=True
        )
        for line in process.stderr:
            lines += [(time.perf_counter() - started, part.strip()) for part in line.split("\r") if part.strip()]
        seconds = time.perf_counter() - started
        if process.wait():
            raise SystemExit(lines[-1][1])
        size = os.path.getsize(folder / "own.pkl")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    said = [(when, line) for when, line in lines if re.search("memory|trust", line)]
    for when, line in said:
        print(f"{when:6.1f} s  {line.replace(str(folder), '')}")
    report = {
        "file_mb": round(size / 1e6),
        "announced_s": round(said[0][0], 1),
        "seconds": round(seconds, 1),
        "processor_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_gb": round(used.ru_maxrss / 2**20, 2),
        "cpus": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
    }
    print(", ".join(f"{name} {value}" for name, value in report.items()))
    print(f"wanted: done within {WANTED:.0f} s on two cores of their own")
    if json:
        print(json_format.dumps(report))
    return report


def write(path):
    """The .pkl of a generator and a discriminator with random weights."""
    torch.manual_seed(0)
    generator, discriminator = Generator(SIDE, 512, 512, CHANNELS, 8), Discriminator(SIDE, CHANNELS)
    for layer in generator.synthesis.layers().values():
        layer.noise_strength.data.fill_(0.1)
    foreign_files.write_nvidia(path, generator, discriminator)
