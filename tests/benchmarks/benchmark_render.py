"""How fast the portraits are rendered: pictures a second on one core, at several sizes."""

import json as json_format
import statistics
import time

import torch

from toolkit.worlds import portraits


def main(json=False, rounds=5):
    """Print pictures per second and core; with `json`, one JSON object as the last line."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    result = {}
    for resolution in (32, 64, 128):
        num = 64 * 64**2 // resolution**2
        portraits.render(num // 4, resolution, 0)  # warm up
        times = []
        for i in range(rounds):
            start = time.perf_counter()
            portraits.render(num, resolution, i * num)
            times.append(time.perf_counter() - start)
        result[str(resolution)] = round(num / statistics.median(times), 1)
        print(f"{resolution} pixels: {result[str(resolution)]} pictures a second on one core", flush=True)
    torch.set_num_threads(threads)
    if json:
        print(json_format.dumps({"pictures_per_second": result}))
    return result
