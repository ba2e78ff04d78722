"""How much memory this process has taken at most."""

import resource
import sys
from pathlib import Path


def peak_mb():
    """Peak resident memory in MB since the program began.

    Linux's own counter where there is one: what getrusage says there begins with the peak of the process that
    started this one, and hides whatever stays below it.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
