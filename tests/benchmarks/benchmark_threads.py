"""One job alone, and beside a busy loop: with the toolkit's settings for threads, and with torch's own.

    python -m toolkit benchmark threads [--json]

The job projects a picture for 20 steps on two threads. Each runs in a process of its own, turn about, so that a
machine that is busy for a while slows all alike; the ratio is the median over the rounds. On a machine of two cores
the busy loop takes one of them.
"""

import json as json_format
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
LIMIT = 120  # seconds: a job that takes longer is stopped, and counts as so long
BUSY = "while True: pass"
JOB = """
import sys, time
if {ours}:
    from toolkit.threads import share_cores
    share_cores()
import torch
torch.set_num_threads(2)
from toolkit import fewshot
gan = fewshot.load_gan(device="cpu")
image = gan.sample(seed=1).image
gan.project(image, num_steps=2)
started, processor = time.perf_counter(), time.process_time()
gan.project(image, num_steps=20, patience=None)
print(time.perf_counter() - started, time.process_time() - processor)
"""


def seconds(ours, busy):
    """Wall-clock and processor seconds of the job."""
    clean = {k: v for k, v in os.environ.items() if k not in ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")}
    loop = subprocess.Popen([sys.executable, "-c", BUSY]) if busy else None
    try:
        command = [sys.executable, "-c", JOB.format(ours=ours)]
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=clean, timeout=LIMIT, check=True)
        return tuple(map(float, done.stdout.split()))
    except subprocess.TimeoutExpired:
        return LIMIT, LIMIT
    finally:
        if loop is not None:
            loop.kill()
            loop.wait()


def main(json=False, rounds=3):
    """Print the seconds and the ratios; with `json`, one JSON object as the last line."""
    found = {}
    for _ in range(rounds):
        for ours in (True, False):
            for busy in (False, True):
                found.setdefault((ours, busy), []).append(seconds(ours, busy))
    report = {"cpus": os.cpu_count(), "load": round(os.getloadavg()[0], 1), "rounds": rounds}
    for ours, name in ((True, "toolkit"), (False, "torch")):
        alone, beside = (statistics.median(wall for wall, _ in found[ours, busy]) for busy in (False, True))
        processor = statistics.median(used for _, used in found[ours, True])
        report[name] = {
            "alone_s": round(alone, 2),
            "beside_s": round(beside, 2),
            "beside_processor_s": round(processor, 2),
            "ratio": round(beside / alone, 2),
        }
        print(
            f"{name}: alone {alone:.1f} s, beside a busy loop {beside:.1f} s ({processor:.1f} s of processor time), "
            f"{beside / alone:.2f} times as long"
        )
    print(f"{report['cpus']} cores, load {report['load']} at the end; wanted of the toolkit's: at most 2.5 times")
    if json:
        print(json_format.dumps(report))
    return report
