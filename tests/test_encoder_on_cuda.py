"""The encoder's trainer for one GPU, on the CPU: without graphs, and with a stand-in that has their traps."""

import csv
from types import SimpleNamespace

import pytest
import torch
from cuda_graphs import replayed

from toolkit.gan.encoder import load_encoder
from toolkit.training import encoder as training
from toolkit.training import encoder_on_cuda
from toolkit.training.encoder import EncoderPlan, _GraphedJob, train_encoder

PLAN = EncoderPlan(num_pictures=64, batch_size=8)
PICTURES = torch.randint(0, 256, (10, 3, 16, 16), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def new(gan, folder, kind=_GraphedJob, pictures=None, precision="no"):
    return kind(gan.generator, gan.discriminator, folder, PLAN, pictures, precision)


@pytest.mark.parametrize("pictures", [None, PICTURES, PICTURES.numpy()])
@pytest.mark.parametrize("precision", ["no", "bf16"])
def test_it_learns_what_the_plain_trainer_learns(tiny_gan, tmp_path, monkeypatch, pictures, precision):
    """On a CPU both draw the same, so that encoders agree to the last bit; so with memory that calls overwrite."""
    jobs = [new(tiny_gan, tmp_path, kind, pictures, precision) for kind in (training._Job, _GraphedJob)]
    monkeypatch.setattr(encoder_on_cuda, "graphed", replayed)
    jobs.append(new(tiny_gan, tmp_path, _GraphedJob, pictures, precision))
    for job in jobs:
        for _ in range(3):
            job.step()
    plain, *others = (
        job.encoder.state_dict() | {f"ema.{k}": v for k, v in job.ema.state_dict().items()} for job in jobs
    )
    for other in others:
        assert [name for name in plain if not torch.equal(plain[name], other[name])] == []
    assert jobs[1].means.read() == jobs[2].means.read()
    expected = jobs[0].means["pixel"] + 0.5 * jobs[0].means["perceptual"] + 0.03 * jobs[0].means["latent"]
    assert jobs[1].means.read()["loss"] == pytest.approx(expected, rel=1e-4 if precision == "no" else 1e-2)


def test_the_networks_get_no_gradients(tiny_gan, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_on_cuda, "graphed", replayed)
    job = new(tiny_gan, tmp_path)
    assert {id(p) for p in job.loss.parameters()} == {id(p) for p in job.encoder.parameters()}
    job.step()
    assert all(p.grad is None for net in (tiny_gan.generator, tiny_gan.discriminator) for p in net.parameters())


def test_pictures_lie_where_steps_need_them(tiny_gan, tmp_path):
    job = new(tiny_gan, tmp_path, pictures=PICTURES.numpy())
    assert torch.equal(job.pictures, PICTURES) and job.pictures.device == job.rng.device == job.device


def test_steps_read_no_number(tiny_gan, tmp_path, monkeypatch):
    job, read = new(tiny_gan, tmp_path, pictures=PICTURES), []
    job.step()
    for name in ("__float__", "__bool__", "item", "tolist", "numpy", "nonzero"):
        own = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda *args, own=own, name=name: read.append(name) or own(*args))
    job.step()
    assert read == []


def test_a_run_leaves_its_files_and_goes_on(tiny_gan, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "_kind", lambda generator, discriminator: _GraphedJob)
    monkeypatch.setattr(encoder_on_cuda, "graphed", replayed)
    for num in (32, 64):
        plan = PLAN._replace(num_pictures=num)
        file = train_encoder(
            tiny_gan.generator,
            tiny_gan.discriminator,
            tmp_path,
            plan,
            pictures=PICTURES.numpy(),
            mixed_precision="no",
            progress=False,
        )
        assert load_encoder(file).metadata["pictures_seen"] == num
    with (tmp_path / "log.csv").open() as log:
        rows = list(csv.DictReader(log))
    assert [row["pictures"] for row in rows] == ["32", "64"] and all(float(row["loss"]) > 0 for row in rows)


@pytest.mark.parametrize(
    "is_cuda, num, architecture, kind",
    [
        (True, 1, "resnet", _GraphedJob),
        (True, 1, "orig", _GraphedJob),
        (True, 1, None, _GraphedJob),
        (True, 1, "skip", training._Job),
        (True, 2, "resnet", training._Job),
        (False, 1, "resnet", training._Job),
    ],
)
def test_one_process_with_a_gpu_makes_graphs(monkeypatch, is_cuda, num, architecture, kind):
    monkeypatch.setattr(training, "processes", lambda: SimpleNamespace(num_processes=num))
    generator = SimpleNamespace(mapping=SimpleNamespace(w_avg=SimpleNamespace(is_cuda=is_cuda)))
    discriminator = architecture and SimpleNamespace(architecture=architecture)
    assert training._kind(generator, discriminator) is kind
