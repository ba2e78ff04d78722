"""Threads that share a machine: how they wait, and how many they are. Set before torch is imported.

OpenMP's threads wait for one another in a busy loop. Where another program has one of the cores, that loop takes the
time which the thread it waits for would need, and the work takes many times longer. Threads that sleep while they wait
cost next to nothing, alone or in company.
"""

import os
import sys
from pathlib import Path

__all__ = ["cpu_quota", "share_cores"]

QUOTAS = ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us")  # of a container: cgroup version 2, 1


def share_cores() -> None:
    """Let threads sleep while they wait, and start no more of them than there is processor time for.

    The commands, the page and the notebooks call this first. A program of your own calls it before anything imports
    torch, which reads these settings once; afterwards it does nothing. What the environment says already
    (OMP_WAIT_POLICY, OMP_NUM_THREADS) is left as it is.
    """
    if "torch" in sys.modules:
        return
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    quota = cpu_quota()
    if quota is not None and quota < (os.cpu_count() or 1):
        os.environ.setdefault("OMP_NUM_THREADS", str(quota))


def cpu_quota() -> int | None:
    """Whole processors' worth of time that a container may use, at least 1; None where there is no limit."""
    for name in QUOTAS:
        try:
            text = Path(name).read_text("ascii").split()
            period = text[1] if len(text) > 1 else Path(name).with_name("cpu.cfs_period_us").read_text("ascii")
            if text[0] not in ("max", "-1"):
                return max(1, int(text[0]) // int(period))
        except (OSError, ValueError, IndexError, ZeroDivisionError):  # another system, or another version
            continue
    return None
