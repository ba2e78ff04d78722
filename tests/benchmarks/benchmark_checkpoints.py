"""The reader of foreign weight files against files that mean harm.

    python tests/benchmarks/benchmark_checkpoints.py [--json]

Loads pickle attacks and thousands of mutated good files of every format, each attack in a process of its
own, and counts what happened. Nothing but a `CheckpointError` may come of a bad file: no marker file, no other
exception, no crash, never more than 2 seconds of processor time or 300 MB.
"""

import argparse
import collections
import json as json_format
import os
import random
import resource
import sys
import tempfile
import time
import warnings
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS.parent), str(TESTS)]

import hostile_files  # noqa: E402
from memory import peak_mb  # noqa: E402

from toolkit.errors import CheckpointError  # noqa: E402
from toolkit.gan.files import checkpoints  # noqa: E402

NUM_MUTATIONS = 5000
GOLDEN_SHARE = 0.1  # of mutations done to the larger stored examples
LIMIT_SECONDS, LIMIT_MB = 2.0, 300.0


def main(json=False, num=NUM_MUTATIONS, seed=0):
    """Print the counts, and what was outside the limits; with `json`, one JSON object as the last line.

    Args:
        json: print the JSON object.
        num: mutations, >= 1.
        seed: of the mutations.
    Returns:
        dict, what the JSON object holds.
    """
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        # Mutations first: building some attacks takes a gigabyte, and peak memory never falls again.
        result = {"mutations": fuzz(folder, num, seed), "attacks": attack_all(folder)}
    for name, counts in result.items():
        print(
            f"{name}: {counts['files']} files, {counts['refused']} refused with CheckpointError, {counts['loaded']} "
            f"loaded, {len(counts['other'])} anything else, {counts['markers']} marker files; at most "
            f"{counts['seconds']:.2f} s ({len(counts['slow'])} over {LIMIT_SECONDS:g} s) and "
            f"{counts['megabytes']:.0f} MB ({len(counts['large'])} over {LIMIT_MB:g} MB)"
        )
        for line in counts["other"] + counts["slow"] + counts["large"]:
            print(f"  {line}")
    if json:
        print(json_format.dumps(result))
    return result


def attack_all(folder):
    """Every attack of `hostile_files`, each in its own process: dict of counts."""
    marker, path = folder / "MARKER", folder / "attack.bin"
    outcomes = []
    for name, data in hostile_files.attacks(str(marker)):
        path.write_bytes(data)
        outcomes.append((name, *isolated(path)))
    return _counts(outcomes, int(marker.exists()))


def isolated(path):
    """`attempt` in a process of its own, which may die."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        resource.setrlimit(resource.RLIMIT_CPU, (10, 10))  # one that never ends is killed, and reported
        os.chdir(Path(path).parent)
        os.write(writer, json_format.dumps(attempt(path)).encode())
        os._exit(0)
    os.close(writer)
    _, status = os.waitpid(child, 0)
    with os.fdopen(reader, "rb") as pipe:
        report = pipe.read()
    return json_format.loads(report) if report else (f"died with status {status}", 0.0, 0.0)


def fuzz(folder, num, seed):
    """Mutations of good files, in this process: dict of counts."""
    rng = random.Random(seed)
    small = hostile_files.small_files(folder)
    golden = [TESTS / "golden" / name for name in ("nvidia_c_cond3.pkl", "nvidia_tf_j.pkl", "rosinality_s32.pt")]
    good = {path: path.read_bytes() for path in (*small, *golden)}
    spots = {path: hostile_files.positions(data) for path, data in good.items()}
    outcomes, path = [], folder / "mutated.bin"
    for i in range(num):
        source = rng.choice(golden if rng.random() < GOLDEN_SHARE else small)
        path.write_bytes(hostile_files.mutate(good[source], spots[source], rng))
        outcomes.append((f"{source.name}, mutation {i}", *attempt(path)))
    return _counts(outcomes, 0)


def attempt(path):
    """Load a file: what came of it, seconds of processor time, and by how many MB peak memory rose."""
    before, start = peak_mb(), time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            checkpoints.load_networks(path)
        outcome = "loaded"
    except CheckpointError as error:
        outcome = "refused" if "\n" not in str(error) and len(str(error)) < 1000 else f"long message: {error}"
    except BaseException as error:  # noqa: B036 whatever it is, it is a failure to report
        outcome = f"{type(error).__name__}: {error}"
    return outcome, time.process_time() - start, peak_mb() - before


def _counts(outcomes, markers):
    kinds = collections.Counter(outcome for _, outcome, _, _ in outcomes)
    return {
        "files": len(outcomes),
        "refused": kinds["refused"],
        "loaded": kinds["loaded"],
        "markers": markers,
        "other": [f"{name}: {what[:200]}" for name, what, _, _ in outcomes if what not in ("refused", "loaded")],
        "slow": [f"{name}: {seconds:.2f} s" for name, _, seconds, _ in outcomes if seconds > LIMIT_SECONDS],
        "large": [f"{name}: {megabytes:.0f} MB" for name, *_, megabytes in outcomes if megabytes > LIMIT_MB],
        "seconds": max(seconds for *_, seconds, _ in outcomes),
        "megabytes": max(mb for *_, mb in outcomes),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print one JSON object as the last line")
    parser.add_argument("--num", type=int, default=NUM_MUTATIONS, help="mutations of good files")
    main(**vars(parser.parse_args()))
