"""A device that is not there is one line, at every door that takes one."""

import pytest
import torch

from toolkit import fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.devices import best_device, check_device, peak_memory
from toolkit.errors import ToolkitError
from toolkit.gan.encoder import load_encoder
from toolkit.gan.files import zoo
from toolkit.gan.files.checkpoints import load_discriminator, load_generator

DOORS = {
    "load_gan": lambda device: fewshot.load_gan(device=device),
    "load_generator": lambda device: load_generator(zoo.weights_path(zoo.DEFAULT), device),
    "load_discriminator": lambda device: load_discriminator(zoo.weights_path(zoo.DEFAULT), device),
    "load_encoder": lambda device: load_encoder(zoo.folder() / f"{zoo.DEFAULT}-encoder.safetensors", device),
    "AutoShotSegmenter.load": lambda device: AutoShotSegmenter.load(
        zoo.folder() / "portraits-64-autoshot.safetensors", device
    ),
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("device", ["cuda:99", "gpu", "meta", "xla", "", 3.5])
def test_a_device_that_is_not_there_is_one_line(door, device):
    with pytest.raises(
        ToolkitError, match=f"{door}: expected a device that is there, one of cpu.*; got '.*Use dev"
    ) as e:
        DOORS[door](device)
    assert "\n" not in str(e.value) and "Torch" not in str(e.value)


def test_one_that_is_there_is_taken_by_name_or_as_it_is():
    assert check_device("cpu", "x") == check_device(torch.device("cpu"), "x") == torch.device("cpu")


@pytest.mark.parametrize(("cuda", "mps", "best"), [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")])
def test_the_best_device_is_cuda_then_mps_then_the_cpu(cuda, mps, best, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert best_device() == best


def test_without_a_name_the_doors_take_the_best(monkeypatch):
    monkeypatch.setattr("toolkit.devices.best_device", lambda: "cuda:99")
    for door, load in DOORS.items():
        if door in ("load_gan", "AutoShotSegmenter.load"):
            with pytest.raises(ToolkitError, match=f"{door}: expected a device that is there"):
                load(None)
    assert check_device("cpu", "x").type == "cpu"


def test_the_memory_of_this_process_is_known():
    before = peak_memory(torch.device("cpu"))
    kept = torch.ones(30_000_000)
    assert before > 50e6 and peak_memory(torch.device("cpu")) >= before and len(kept)
