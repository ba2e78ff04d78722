"""Threads: settings that torch reads once, made before it is there and never against a person's own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit import threads

ROOT = Path(__file__).parent.parent
NAMES = ("OMP_WAIT_POLICY", "OMP_NUM_THREADS")


def environment_after(code, **settings):
    """What a new process has in its environment after some code."""
    clean = {name: value for name, value in os.environ.items() if name not in NAMES}
    code += f"; import os, sys; print([os.environ.get(n) for n in {NAMES}], 'torch' in sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean | settings, cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.mark.parametrize("code", ["import toolkit.cli", "import sys; sys.path[0] = 'demos'; import app"])
def test_commands_and_page_set_them_before_torch(code):
    assert environment_after(code).startswith("['PASSIVE', ")


def test_the_library_alone_sets_nothing_and_loads_no_torch():
    assert environment_after("import toolkit, toolkit.threads") == "[None, None] False"


def test_a_persons_own_settings_stay():
    code = "from toolkit.threads import share_cores; share_cores()"
    assert environment_after(code, OMP_WAIT_POLICY="ACTIVE", OMP_NUM_THREADS="3") == "['ACTIVE', '3'] False"


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "250000 100000"}, 2),
        ({"cpu.max": "50000 100000"}, 1),
        ({"cpu.max": "what?"}, None),
        ({"cpu.cfs_quota_us": "400000", "cpu.cfs_period_us": "100000"}, 4),
        ({"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"}, None),
        ({}, None),
    ],
)
def test_a_containers_limit_is_read(files, quota, tmp_path, monkeypatch):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(threads, "QUOTAS", tuple(str(tmp_path / Path(name).name) for name in threads.QUOTAS))
    assert threads.cpu_quota() == quota
