"""What the first `make demo` of a bare clone fetches, and how long it takes, now and before.

    python -m toolkit benchmark install [--json]

`BEFORE` is the Makefile of the time when PyTorch came from PyPI, with CUDA, and nothing was said of it. Each gets a
clone, an environment and no cache of its own; the page is not started. pip's configuration counts: where PyTorch's own
index is not to be reached, `PIP_FIND_LINKS` may name a folder with its wheel. Bytes are those of the files that pip
names in its log, as fetched or found there.
"""

import json as json_format
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
BEFORE = "6385242^"
UNITS = {"kB": 1e3, "MB": 1e6, "GB": 1e9}
FETCHED = re.compile(r"Downloading (\S+) \(([\d.]+) ([kMG]B)\)")
FOUND = re.compile(r"Processing (/\S+\.whl)")


def fetched(log):
    """Bytes that pip's log tells of."""
    total = sum(float(number) * UNITS[unit] for _, number, unit in set(FETCHED.findall(log)))
    return round(total + sum(Path(file).stat().st_size for file in set(FOUND.findall(log))))


def installed(revision, environment):
    """Seconds of `make`, bytes fetched and bytes on the disk."""
    with tempfile.TemporaryDirectory() as folder:
        clone, log = Path(folder, "clone"), Path(folder, "pip.log")
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        subprocess.run(["git", "checkout", "--quiet", revision], cwd=clone, check=True)
        alone = environment | {"PIP_LOG": str(log), "PIP_NO_CACHE_DIR": "1"}
        started = time.perf_counter()
        subprocess.run(["make", ".venv/demo.stamp"], cwd=clone, env=alone, check=True)
        seconds = time.perf_counter() - started
        disk = subprocess.run(["du", "-sb", ".venv"], cwd=clone, capture_output=True, text=True, check=True).stdout
        return {
            "seconds": round(seconds, 1),
            "fetched_MB": round(fetched(log.read_text()) / 1e6),
            "installed_MB": round(int(disk.split()[0]) / 1e6),
        }


def main(json=False):
    """Print seconds and bytes of both; with `json`, one JSON object as the last line."""
    now = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    plain = {name: value for name, value in now.items() if not name.startswith("PIP_")}
    report = {
        "now": installed("HEAD", now),
        "before": installed(BEFORE, plain | {"PIP_CONFIG_FILE": os.devnull}),
    }
    for name, found in report.items():
        print(f"{name}: {found['seconds']} s, {found['fetched_MB']} MB fetched, {found['installed_MB']} MB installed")
    if json:
        print(json_format.dumps(report))
    return report
