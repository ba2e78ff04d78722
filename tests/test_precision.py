"""Which precision a training takes, with a clock and a device of the test's own."""

from types import SimpleNamespace

import pytest
import torch

from toolkit.errors import ToolkitError
from toolkit.training import precision
from toolkit.training.precision import check_precision, dtype_of

CPU = torch.device("cpu")


class Device:
    """Trials on it take so many seconds, the first of each dtype longer; bfloat16 may be missing."""

    def __init__(self, monkeypatch, plain, half, warm_up=0.0):
        self.seconds, self.warm_up = {torch.float32: plain, torch.bfloat16: half}, warm_up
        self.now, self.trials = 0.0, []
        monkeypatch.setattr(precision, "time", SimpleNamespace(perf_counter=lambda: self.now))

    def trial(self, dtype):
        if self.seconds[dtype] is None:
            raise RuntimeError("not implemented for this dtype")
        self.now += self.seconds[dtype] + (0 if dtype in self.trials else self.warm_up)
        self.trials.append(dtype)


@pytest.mark.parametrize("plain, half, taken", [(2.0, 1.0, "bf16"), (1.0, 5.0, "no"), (1.0, 0.95, "no"), (1, 1, "no")])
def test_auto_takes_the_faster_and_float32_when_in_doubt(monkeypatch, plain, half, taken):
    for warm_up in (0.0, 30.0):
        device = Device(monkeypatch, plain, half, warm_up)
        assert dtype_of("auto", device.trial, CPU) == precision.DTYPES[taken]


def test_a_hopeless_one_is_tried_once(monkeypatch):
    device = Device(monkeypatch, 1.0, 5.0)
    dtype_of("auto", device.trial, CPU)
    assert device.trials == [torch.float32, torch.bfloat16]


def test_one_interruption_decides_nothing(monkeypatch):
    device, clock = Device(monkeypatch, 1.0, 0.5), iter([0, 0, 0, 9, 0, 0])

    def trial(dtype):
        device.trial(dtype)
        device.now += next(clock)

    assert dtype_of("auto", trial, CPU) == torch.bfloat16


def test_a_device_without_bfloat16_computes_in_float32(monkeypatch):
    assert dtype_of("auto", Device(monkeypatch, 1.0, None).trial, CPU) == torch.float32
    with pytest.raises(RuntimeError, match="not implemented"):
        dtype_of("auto", Device(monkeypatch, None, 1.0).trial, CPU)


def test_a_choice_is_not_tried(monkeypatch):
    device = Device(monkeypatch, 1.0, 5.0)
    assert dtype_of("bf16", device.trial, CPU) == torch.bfloat16
    assert dtype_of("no", device.trial, CPU) == torch.float32
    assert device.trials == []


@pytest.mark.parametrize("unknown", ["fp16", "", None, True, torch.bfloat16])
def test_unknown_precisions_are_refused(unknown):
    with pytest.raises(
        ToolkitError, match=r'train: expected mixed_precision "auto", "bf16" or "no"; got .*faster one\.'
    ):
        check_precision("train", unknown)
    for known in ("auto", "bf16", "no"):
        check_precision("train", known)


@pytest.mark.parametrize("capability, taken", [((7, 5), "no"), ((8, 0), "bf16"), ((9, 0), "bf16")])
def test_with_graphs_a_gpu_that_computes_in_bfloat16_does(monkeypatch, capability, taken):
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    gpu = torch.device("cuda")
    assert precision.dtype_in_graphs("auto", gpu) == precision.DTYPES[taken]
    assert precision.dtype_in_graphs("auto", CPU) == torch.float32
    for chosen, dtype in precision.DTYPES.items():
        assert precision.dtype_in_graphs(chosen, gpu) == dtype
