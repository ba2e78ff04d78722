"""A kill loses nothing; two processes share the work; the command refuses in one line."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from command_line import run
from small_autoshot import everything, rng

from toolkit import autoshot
from toolkit.autoshot.segmenter import AutoShotSegmenter

ROOT = Path(__file__).parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_killed_twice_it_finishes_and_nothing_written_is_lost(segmenter_file, tmp_path):
    """The same command killed while it synthesises, killed while it trains, then left alone."""

    def command(name):
        return [
            "autoshot",
            "--segmenter",
            segmenter_file,
            "--num-images",
            1500,
            "--width",
            2,
            "--epochs",
            3,
            "--out",
            tmp_path / name / "parts.safetensors",
            "--mixed-precision",
            "no",
        ]

    def kill_when(is_time):
        process = subprocess.Popen(
            [sys.executable, "-m", "toolkit", *map(str, command("killed"))],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 300
        while not is_time():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    work = tmp_path / "killed" / "parts-work"
    kill_when(lambda: len(list(work.glob("pairs/shard-*"))) >= 2)
    shards = {path: path.stat().st_mtime_ns for path in work.glob("pairs/shard-*")}
    assert 2 <= len(shards) < 24  # of 24: it was killed half-way
    kill_when(lambda: (work / "log.csv").is_file())
    epochs = len((work / "log.csv").read_text().splitlines()) - 1
    assert 1 <= epochs < 3
    assert {path: path.stat().st_mtime_ns for path in shards} == shards
    shards = {path: path.stat().st_mtime_ns for path in work.glob("pairs/shard-*")}
    first_row = (work / "log.csv").read_text().splitlines()[1].rpartition(",")[0]

    done = run(*command("killed"))
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in work.glob("pairs/shard-*")} == shards and len(shards) == 24
    assert (work / "log.csv").read_text().splitlines()[1].rpartition(",")[0] == first_row
    assert run(*command("unbroken")).returncode == 0
    paths = [tmp_path / name / "parts.safetensors" for name in ("killed", "unbroken")]
    killed, unbroken = map(AutoShotSegmenter.load, paths)
    picture = torch.rand(4, 3, 16, 16, generator=rng()) * 2 - 1
    torch.testing.assert_close(killed.predict(picture), unbroken.predict(picture), rtol=0, atol=1e-4)


TWO_PROCESSES = """
import sys
from toolkit import autoshot, fewshot
from toolkit.autoshot import synthesis
from toolkit.training.processes import processes

made, make = [], synthesis.Pairs._make
synthesis.Pairs._make = lambda pairs, i: made.append(i) or make(pairs, i)
segmenter = fewshot.load_segmenter(sys.argv[1])
pairs = autoshot.synthesize(segmenter, 600, out_dir=sys.argv[2] + "/pairs", drop=0.1)
auto = autoshot.train(pairs, width=2, num_epochs=2, out_dir=sys.argv[2])
rank = processes().process_index
auto.save(f"{sys.argv[2]}/rank-{rank}.safetensors")
open(f"{sys.argv[2]}/rank-{rank}.txt", "w").write(" ".join(map(str, made)))
"""


def test_two_processes_make_disjoint_shards_and_one_network(segmenter, segmenter_file, tmp_path):
    (tmp_path / "script.py").write_text(TWO_PROCESSES)
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        "0",
    ]
    done = subprocess.run(
        [*launch, tmp_path / "script.py", segmenter_file, tmp_path],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    made = [set(map(int, (tmp_path / f"rank-{rank}.txt").read_text().split())) for rank in (0, 1)]
    assert made[0] and made[1] and not made[0] & made[1] and made[0] | made[1] == set(range(10))
    networks = [AutoShotSegmenter.load(tmp_path / f"rank-{rank}.safetensors").network.state_dict() for rank in (0, 1)]
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
    alone = autoshot.synthesize(segmenter, 600, drop=0.1)
    together = autoshot.synthesize(segmenter, 600, drop=0.1, out_dir=tmp_path / "pairs")
    assert all(map(torch.equal, everything(alone), everything(together)))
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert len(rows) == 3 and float(rows[2].split(",")[2]) < float(rows[1].split(",")[2])  # the loss fell


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["autoshot", "--segmenter", "nowhere", "--out", "x"], "expected a segmenter file; got nowhere"),
        (["export", "nowhere", "--onnx"], "AutoShotSegmenter.load: expected an autoshot file; got nowhere"),
        (["export", "nowhere"], "export: expected --onnx or --html; got no format."),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr
