"""Thousands of photographs by auto-shot: pace, memory, and a run that is killed and goes on."""

import json as json_
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from toolkit.gan.files import zoo
from toolkit.pictures.images import save_png
from toolkit.show import plots
from toolkit.worlds import portraits

SIDE = 96  # of the photographs
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.getcwd()}
PEAK = (
    "import resource, sys; from toolkit.cli import main; sys.argv = ['toolkit', *sys.argv[1:]]\n"
    "try: main()\n"
    "finally: print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024, file=sys.stderr)"
)


def photographs(folder, num):
    """Copies of a few rendered portraits."""
    folder.mkdir(parents=True)
    image, _ = portraits.render(8, SIDE, 1_500_000)
    for i, one in enumerate(image):
        save_png(folder / f"{i:05d}.png", one)
    for i in range(8, num):
        shutil.copy(folder / f"{i % 8:05d}.png", folder / f"{i:05d}.png")
    return folder


def command(folder, out, *, num_processes=1):
    """`segment` of a folder, as a person types it."""
    network = zoo.folder() / "portraits-64-autoshot.safetensors"
    arguments = ["segment", str(folder), "--segmenter", str(network), "--out", str(out), "--coco", f"{out}.json"]
    if num_processes == 1:
        return [sys.executable, "-c", PEAK, *arguments]
    launch = ["accelerate.commands.launch", "--multi_gpu", "--num_processes", str(num_processes)]
    return [sys.executable, "-m", *launch, "-m", "toolkit", *arguments]


def run(arguments):
    """Seconds, and what it said."""
    started = time.perf_counter()
    done = subprocess.run(arguments, capture_output=True, text=True, env=ENVIRONMENT)
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return time.perf_counter() - started, done.stderr


def measure(place, num):
    """Rows of the table, each once it is known: they take minutes."""
    place = Path(place)
    for count in (num // 10, num):
        folder = photographs(place / f"in-{count}", count)
        seconds, said = run(command(folder, place / f"out-{count}"))
        peak = int(said.split("peak ")[-1].split()[0])
        yield {"run": f"{count} pictures, one process", "a second": round(count / seconds, 1), "MB": peak}
    folder = place / f"in-{num}"
    seconds, _ = run(command(folder, place / "out-two", num_processes=2))
    yield {"run": f"{num} pictures, two processes", "a second": round(num / seconds, 1), "MB": ""}
    out = place / "out-killed"
    process = subprocess.Popen(command(folder, out), stderr=subprocess.DEVNULL, env=ENVIRONMENT)
    while len(list(out.glob("*.json"))) < num // 2 and process.poll() is None:
        time.sleep(0.1)
    process.kill()
    process.wait()
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
    run(command(folder, out))
    after = {path: path.stat().st_mtime_ns for path in out.glob("*.json")}
    again = sum(after[path] != when for path, when in before.items())
    listed = [picture["file_name"] for picture in json_.loads(Path(f"{out}.json").read_text())["images"]]
    missing = {path.name for path in folder.iterdir()} - set(listed)
    twice = len(listed) - len(set(listed))
    yield {"run": f"killed after {len(before)}, started again: {again} done again", "a second": "", "MB": ""}
    yield {"run": f"then in the COCO file: {len(missing)} missing, {twice} twice", "a second": "", "MB": ""}


def main(json=False, num=2000):
    """Print the table, and on stderr each of its rows as soon as it is known."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for row in measure(place, num):
            print(*row.values(), file=sys.stderr)
            rows.append(row)
    if json:
        print(json_.dumps(rows))
        return
    print(plots.table([tuple(rows[0]), *(tuple(row.values()) for row in rows)]))
