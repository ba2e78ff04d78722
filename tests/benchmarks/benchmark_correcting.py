"""What it takes until other open pictures follow a correction: taught again and segmented anew, against from scratch.

    python -m toolkit benchmark correcting [--json]

As on the page: one shot was taught, a second is corrected and taught too, and three pictures that are projected already
are segmented anew. The bundled GAN and its labelled examples, the default network.
"""

import argparse
import json as json_format
import time

import torch

from toolkit import fewshot
from toolkit.parts import fitting
from toolkit.parts.views import views_of
from toolkit.show import plots

OPEN = 3  # pictures that follow
WANTED = 2.0  # seconds


def seconds(work):
    """What work() takes, after one that does not count, and what it gives."""
    work()
    started = time.perf_counter()
    made = work()
    return time.perf_counter() - started, made


def main(json=False):
    """Print the seconds of each step, as a table or as one JSON object."""
    gan = fewshot.load_gan()
    examples, _ = fewshot.examples(gan), gan.statistics  # known before anybody corrects
    shots, others = examples[:2], [shot.sample for shot in examples[2 : 2 + OPEN]]
    started = time.perf_counter()
    before = fewshot.fit(gan, shots)
    anew = time.perf_counter() - started
    seen, _ = seconds(lambda: views_of(gan, shots, torch.Generator(gan.device).manual_seed(0), fitting.VIEWS_AGAIN))
    again, segmenter = seconds(lambda: fewshot.fit(gan, shots, start=before))
    follow, _ = seconds(lambda: [segmenter.segment(sample) for sample in others])
    report = {
        "from scratch": round(anew, 2),
        "taught again": round(again, 2),
        "of which views": round(seen, 2),
        f"{OPEN} pictures follow": round(follow, 2),
        "in all": round(again + follow, 2),
        "times faster than from scratch": round((anew + follow) / (again + follow), 1),
    }
    if json:
        print(json_format.dumps(report | {"threads": torch.get_num_threads(), "wanted": WANTED}))
        return
    print(plots.table([("", "seconds"), *report.items()]))
    print(f"wanted: under {WANTED:.0f} s in all; {torch.get_num_threads()} threads")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--json", action="store_true")
    main(**vars(parser.parse_args()))
