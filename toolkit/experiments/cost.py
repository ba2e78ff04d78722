"""Seconds per picture and model size of auto-shot, against the few-shot segmenter with projection."""

import importlib.util
import statistics
import time
from typing import Any

import torch

from toolkit import fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.experiments.fingerprint import key_of, work_folder
from toolkit.experiments.material import test_images
from toolkit.experiments.records import kept
from toolkit.experiments.study import AUTO_SHOT, Cell, Study

STEPS = 200  # of projection: as many as is usual


def cost(study: Study, num_shots: int = 10) -> dict[str, Any]:
    """Seconds and size of the few-shot segmenter with `STEPS` steps of projection, and of its auto-shot network.

    Args:
        study: a `Study` whose auto-shot cell of seed 0 has been measured.
        num_shots: of that cell.
    Returns:
        dict: "cost", two rows; "more", threads, speed-up, and auto-shot's speed at 128 pixels.
    """
    cell = Cell(AUTO_SHOT, max(study.source.class_sets), num_shots, 0, moved=True)
    key = {**key_of(study, cell), "threads": torch.get_num_threads()}
    return kept(study, "cost", key, lambda: _measure(study, work_folder(study, cell), num_shots))


def _measure(study, folder, num_shots):
    few = fewshot.Segmenter.load(folder / "segmenter.safetensors", study.gan)
    auto = AutoShotSegmenter.load(folder / "autoshot.safetensors", study.gan.device)
    one = test_images(study)[0][:1]
    seconds = [
        _seconds(lambda: few.predict(study.gan.project(one, num_steps=STEPS, judge=False, patience=None)), 2),
        _seconds(lambda: auto.predict(one), 20),
    ]
    networks = (study.gan.generator, few.network), (auto.network,)
    sizes = [sum(p.numel() for network in group for p in network.parameters()) for group in networks]
    names = f"{num_shots}-shot, projected", "auto-shot"
    rows = [
        {"segmenter": n, "seconds": round(t, 4), "million parameters": round(k / 1e6, 2), "MB": round(k * 4e-6, 1)}
        for n, t, k in zip(names, seconds, sizes, strict=True)
    ]
    more = {
        "threads": torch.get_num_threads(),
        f"times faster than {STEPS} steps (wanted: 100)": seconds[0] / seconds[1],
        **_pace(auto, folder / "autoshot.onnx"),
    }
    return {"cost": rows, "more": {name: round(value, 2) for name, value in more.items()}}


def _pace(auto, onnx_file):
    """Pictures per second at 128 pixels, in PyTorch and, if installed, in ONNX Runtime."""
    picture = torch.zeros(1, 3, 128, 128)
    pace = {"pictures a second at 128 pixels, PyTorch (wanted: 20)": 1 / _seconds(lambda: auto.predict(picture), 20)}
    if importlib.util.find_spec("onnxruntime") and importlib.util.find_spec("onnxscript"):
        import onnxruntime

        auto.export_onnx(onnx_file)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = onnxruntime.InferenceSession(onnx_file, options, providers=["CPUExecutionProvider"])
        seconds = _seconds(lambda: session.run(None, {"image": picture.numpy()}), 20)
        pace["the same, ONNX Runtime (wanted: 20)"] = 1 / seconds
    return pace


def _seconds(job, rounds):
    """Median wall-clock seconds, after one call to warm up."""
    times = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        job()
        times.append(time.perf_counter() - started)
    return statistics.median(times[1:])
