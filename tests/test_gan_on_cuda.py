"""The trainer for one GPU, on the CPU: without graphs, and with a stand-in that has their traps."""

import csv
from types import SimpleNamespace

import pytest
import torch
from cuda_graphs import replayed
from hypothesis import given, settings
from hypothesis import strategies as st
from small_training import PLAN as SMALL
from small_training import noise

from toolkit.gan.files.checkpoints import load_generator
from toolkit.gan.stylegan2 import Discriminator
from toolkit.training import gan as training
from toolkit.training import gan_on_cuda
from toolkit.training.gan import _GraphedJob
from toolkit.training.gan_on_cuda import READ_EVERY, apart, together

PLAN = SMALL._replace(batch_size=8)
GROWN = PLAN._replace(start_resolution=16)


@pytest.fixture(scope="module")
def pictures():
    return noise()


@pytest.fixture
def new(pictures, tmp_path):
    """A job of a kind, for a plan, in a folder of its own."""

    def make(kind=_GraphedJob, plan=GROWN, precision="no"):
        return kind(pictures, tmp_path / f"job-{kind.__name__}", plan, None, precision)

    return make


def networks(job):
    parts = (("g", job.generator), ("d", job.discriminator), ("ema", job.ema))
    return {f"{name}.{k}": v for name, network in parts for k, v in network.state_dict().items()}


def gradients(network):
    return {name: p.grad for name, p in network.named_parameters() if p.grad is not None}


def assert_close(ours, other, tolerance=1e-5):
    assert ours.keys() == other.keys() and ours
    assert [k for k in ours if not torch.allclose(ours[k], other[k], atol=tolerance, rtol=1e-4)] == []


# ---- one pass for two batches -------------------------------------------------------------
@settings(max_examples=20, deadline=None)
@given(st.integers(1, 4), st.integers(0, 99))
def test_real_and_drawn_pictures_are_not_compared_with_each_other(quarter, seed):
    torch.manual_seed(seed)
    judge, real = Discriminator(8, dict(PLAN.channels)), torch.randn(4 * quarter, 3, 8, 8)
    fake = 3 * torch.randn(4 * quarter, 3, 8, 8)  # of another variety
    with torch.no_grad():
        on_real, on_fake = apart(judge(together(real, fake)))
        assert torch.allclose(on_real.flatten(), judge(real)[:, 0], atol=1e-5)
        assert torch.allclose(on_fake.flatten(), judge(fake)[:, 0], atol=1e-5)
        assert not torch.allclose(judge(torch.cat([real, fake]))[: len(real)], judge(real), atol=1e-4)


def test_a_discriminator_learns_as_the_plain_trainers(new):
    plain, ours = new(training.GANJob), new()
    ours._fade()
    real, fake = torch.randn(2, 8, 3, 16, 16).unbind()
    for was, now in zip(plain._discriminate(real, fake), ours._discriminate(real, fake), strict=True):
        assert torch.allclose(was, now, atol=1e-6)
    assert_close(gradients(ours.discriminator), gradients(plain.discriminator))


def test_a_generator_learns_as_the_plain_trainers(new):
    plain, ours = new(training.GANJob), new()
    ours._fade()
    ws = torch.randn(8, ours.generator.num_ws, PLAN.w_dim)
    for job in (plain, ours):
        job._fake = lambda job=job: job.generator.synthesis(ws, noise_mode="none")
    assert torch.allclose(plain._generate(), ours._generate(), atol=1e-6)
    assert_close(gradients(ours.generator), gradients(plain.generator))


# ---- graphs ---------------------------------------------------------------------------------
@pytest.mark.parametrize("precision", ["no", "bf16"])
@pytest.mark.parametrize("changed", [0.0, 0.5])
def test_nothing_stale_is_used(new, monkeypatch, precision, changed):
    """With memory that every call overwrites, training goes the same way."""
    jobs = [new(precision=precision)]
    jobs[0].changed = changed
    for _ in range(3):
        jobs[0].step()
    monkeypatch.setattr(gan_on_cuda, "graphed", replayed)
    jobs.append(new(precision=precision))
    jobs[1].changed = changed
    for _ in range(3):
        jobs[1].step()
    first, second = map(networks, jobs)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert jobs[0].means.read() == jobs[1].means.read()


def test_graphs_are_made_at_the_start_and_once_a_resolution_has_faded_in(new, monkeypatch):
    job, made = new(plan=PLAN), []

    def note(module, *args):
        made.append((job.generator.resolution, job.discriminator.fade, float(job.generator.synthesis.fade)))
        return replayed(module, *args)

    monkeypatch.setattr(gan_on_cuda, "graphed", note)
    seen = []
    while job.seen < 48:
        job.step()
        seen.append((job.generator.resolution, float(job.ema.synthesis.fade), len(made)))
    assert made == [(8, 1.0, 1.0)] * 3 + [(16, 1.0, 1.0)] * 3
    assert seen == [(8, 1.0, 3), (8, 1.0, 3), (16, 0.0, 3), (16, 0.5, 3), (16, 1.0, 6), (16, 1.0, 6)]


def test_the_generators_step_leaves_the_discriminator_and_its_switch_alone(new, monkeypatch):
    monkeypatch.setattr(gan_on_cuda, "graphed", replayed)
    job = new()
    job._fade()
    before = {k: v.clone() for k, v in job.discriminator.state_dict().items()}
    job._generate()
    assert gradients(job.discriminator) == {}
    assert all(torch.equal(v, before[k]) for k, v in job.discriminator.state_dict().items())
    assert all(p.requires_grad for p in job.discriminator.parameters())  # the penalty's gradients


# ---- a GPU is not waited for ----------------------------------------------------------------
def test_pictures_lie_where_steps_need_them(pictures, tmp_path):
    job = _GraphedJob(pictures.numpy(), tmp_path, GROWN, None, "no")
    assert torch.equal(job.pictures, pictures) and job.pictures.device == job.rng.device == job.device


@pytest.mark.parametrize("changed", [0.0, 0.5])
def test_steps_read_no_number_but_now_and_then(new, monkeypatch, changed):
    job, read = new(plan=GROWN._replace(batch_size=4)), []
    job.changed = changed
    job.step()
    for name in ("__float__", "__int__", "__bool__", "item", "tolist", "cpu", "numpy", "nonzero"):
        own = getattr(torch.Tensor, name)
        monkeypatch.setattr(
            torch.Tensor, name, lambda *args, own=own, name=name: read.append((job.steps, name)) or own(*args)
        )
    while job.steps < 2 * READ_EVERY + 3:
        job.step()
    assert read == [(READ_EVERY, "tolist"), (2 * READ_EVERY, "tolist")]


def test_changes_follow_the_running_mean(new, monkeypatch):
    job = new(plan=GROWN._replace(batch_size=4))
    monkeypatch.setattr(gan_on_cuda, "next_probability", lambda changed, sign, num: changed + sign * num)
    signs = torch.rand(2 * READ_EVERY).tolist()
    expected, mean, steps = 0.0, signs[0], 0
    for sign in signs:
        mean = 0.99 * mean + 0.01 * sign
        job.steps = steps = steps + 1
        job._note(torch.tensor(0.0), torch.tensor(0.0), torch.tensor(sign))
        expected += mean * 4 * READ_EVERY if steps % READ_EVERY == 0 else 0.0
        assert job.changed == pytest.approx(expected, rel=1e-5)
    assert job.changed > 0


# ---- whole runs -----------------------------------------------------------------------------
@pytest.fixture
def on_cuda(monkeypatch):
    monkeypatch.setattr(training, "_kind", lambda plan: _GraphedJob)
    monkeypatch.setattr(gan_on_cuda, "graphed", replayed)


def test_a_growing_run_leaves_its_files_and_goes_on_with_or_without_a_gpu(pictures, tmp_path, on_cuda, monkeypatch):
    training.train(pictures.numpy(), tmp_path, PLAN, mixed_precision="no", progress=False)
    generator = load_generator(tmp_path / "gan.safetensors")
    assert generator.resolution == 16 and generator.metadata["pictures_seen"] == 48
    with (tmp_path / "log.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert {"loss_d", "loss_g", "real_sign", "changed"} < set(row)
    assert all(abs(float(value)) < 1000 for value in row.values())
    training.train(pictures, tmp_path, PLAN._replace(num_pictures=64), mixed_precision="no", progress=False)
    monkeypatch.setattr(training, "_kind", lambda plan: training.GANJob)
    training.train(pictures, tmp_path, PLAN._replace(num_pictures=80), mixed_precision="no", progress=False)
    again = load_generator(tmp_path / "gan.safetensors")
    assert again.metadata["pictures_seen"] == 80 and again.hash != generator.hash


def test_adversaries_learn_a_single_colour(tmp_path, on_cuda):
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[None, :, None, None].expand(8, 3, 8, 8).contiguous()
    plan = PLAN._replace(resolution=8, num_pictures=400)
    training.train(red, tmp_path, plan, mixed_precision="no", progress=False)
    with torch.no_grad():
        color = load_generator(tmp_path / "gan.safetensors")(torch.randn(16, 6)).mean((0, 2, 3))
    assert float(color[0]) > 0.3 and float(color[1:].max()) < -0.3


@pytest.mark.parametrize(
    "device, num, batch_size, kind",
    [
        ("cuda", 1, 8, _GraphedJob),
        ("cuda", 1, 2, training.GANJob),
        ("cuda", 2, 8, training.GANJob),
        ("mps", 1, 8, training.GANJob),
        ("cpu", 1, 8, training.GANJob),
    ],
)
def test_one_process_with_a_gpu_makes_graphs(monkeypatch, device, num, batch_size, kind):
    place = SimpleNamespace(device=torch.device(device), num_processes=num)
    monkeypatch.setattr(training, "processes", lambda: place)
    assert training._kind(PLAN._replace(batch_size=batch_size)) is kind
