"""The trainer: closed forms for its parts, and small real runs for the whole."""

import csv

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small_training import PLAN, noise
from torch import nn

from toolkit.errors import CheckpointError, ToolkitError
from toolkit.gan.files.checkpoints import (
    load_discriminator,
    load_generator,
    load_networks,
    save_discriminator,
    save_gan,
)
from toolkit.gan.stylegan2 import Discriminator, Generator, upsample
from toolkit.training import gan as training
from toolkit.training.gan import Plan, check, r1_penalty
from toolkit.training.growth import GrowingDiscriminator, grow

CHANNELS = dict(PLAN.channels)


@pytest.fixture(scope="module")
def pictures():
    return noise()


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    """The folder of one uninterrupted training that grows from 8 to 16 pixels."""
    folder = tmp_path_factory.mktemp("run")
    train(pictures, folder, PLAN)
    return folder


def train(pictures, folder, plan, mixed_precision="no", **options):
    """Without a bar, and in float32, as runs are compared bit by bit."""
    return training.train(pictures, folder, plan, mixed_precision=mixed_precision, progress=False, **options)


def tensors(folder):
    state = torch.load(folder / "checkpoint.pt", weights_only=True)
    return {f"{part}.{k}": v for part in ("generator", "discriminator", "ema") for k, v in state[part].items()}


def assert_same(ours, other):
    assert ours.keys() == other.keys()
    assert [name for name in ours if not torch.equal(ours[name], other[name])] == []


def new_job(pictures, folder, **changes):
    return training.GANJob(pictures, folder, PLAN._replace(**changes), None, "no")


def growing_pair(resolution):
    torch.manual_seed(0)
    generator = Generator(resolution, 6, 8, CHANNELS, 2)
    for layer in generator.synthesis.layers().values():
        layer.noise_strength.data.fill_(0.2)
    return generator, GrowingDiscriminator(resolution, CHANNELS)


# ---- closed forms -------------------------------------------------------------------------
def test_penalty_of_a_linear_discriminator_is_the_square_of_its_slope():
    slope = torch.randn(3 * 4 * 4, 1)
    linear = nn.Sequential(nn.Flatten(), nn.Linear(48, 1))
    linear[1].weight.data.copy_(slope.T)
    real = torch.randn(5, 3, 4, 4, requires_grad=True)
    penalty = r1_penalty(linear, real, gamma=0.3)
    assert float(penalty.detach()) == pytest.approx(0.3 / 2 * float(slope.square().sum()), rel=1e-5)
    penalty.backward()
    assert torch.allclose(linear[1].weight.grad, 0.3 * slope.T, atol=1e-5)


def test_penalty_weight_follows_resolution_and_batch(pictures, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr(training, "r1_penalty", lambda d, real, gamma: seen.append(gamma) or d(real).sum() * 0)
    job = new_job(pictures, tmp_path)
    job._penalise(torch.zeros(4, 3, 8, 8))
    assert seen == [pytest.approx(0.0002 * 8**2 / 4)]


def test_the_learning_rate_cools_down_at_the_end(pictures, tmp_path):
    job = new_job(pictures, tmp_path, num_pictures=1000)
    job.seen = 850
    job.step()
    rates = [learner.adam.param_groups[0]["lr"] for learner in (job.drawing, job.judging)]
    assert rates == pytest.approx([0.5 * 2.5e-3, 0.5 * 2.5e-3 * 16 / 17])


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_its_file_says_how_the_pictures_were_made_square(pictures, tmp_path, fit):
    path = train(pictures, tmp_path, PLAN._replace(num_pictures=4), fit=fit)
    assert load_generator(path).metadata["fit"] == fit


def test_another_fit_is_refused_before_anything_is_trained(pictures, tmp_path):
    with pytest.raises(ToolkitError, match="train: expected fit to be crop or pad; got 'zoom'"):
        train(pictures, tmp_path / "run", PLAN, fit="zoom")
    assert not (tmp_path / "run").exists()


# ---- growth -------------------------------------------------------------------------------
def test_growth_keeps_what_the_generator_draws():
    generator, discriminator = growing_pair(8)
    bigger, _ = grow(generator, discriminator, CHANNELS)
    bigger.synthesis.fade.fill_(0.0)
    z = torch.randn(3, 6)
    with torch.no_grad():
        assert torch.equal(bigger(z), upsample(generator(z)))
        bigger.synthesis.fade.fill_(1.0)
        assert not torch.allclose(bigger(z), upsample(generator(z)), atol=0.1)


@pytest.mark.parametrize("times", [1, 2])
def test_growth_keeps_what_the_discriminator_says(times):
    generator, discriminator = growing_pair(8)
    for _ in range(times):
        smaller = discriminator
        smaller.fade = 1.0
        generator, discriminator = grow(generator, smaller, CHANNELS)
    image = torch.randn(4, 3, discriminator.resolution, discriminator.resolution)
    with torch.no_grad():
        discriminator.fade = 0.0
        assert torch.allclose(discriminator(image), smaller(F.avg_pool2d(image, 2)), atol=1e-6)


def test_a_faded_in_discriminator_is_a_plain_one():
    _, discriminator = grow(*growing_pair(8), CHANNELS)
    plain = Discriminator(16, CHANNELS)
    plain.load_state_dict({k: v for k, v in discriminator.state_dict().items() if "stem" not in k})
    image = torch.randn(4, 3, 16, 16)
    discriminator.fade = 1.0
    with torch.no_grad():
        assert torch.equal(discriminator(image), plain(image))
        discriminator.fade = 0.5
        assert not torch.allclose(discriminator(image), plain(image), atol=1e-3)


def test_a_job_grows_on_time_and_fades_over_its_plan(pictures, tmp_path):
    job, seen = new_job(pictures, tmp_path), []
    while job.seen < 40:
        job.step()
        seen.append((job.generator.resolution, float(job.generator.synthesis.fade)))
    assert seen == [(8, 1.0)] * 4 + [(16, 0.0), (16, 0.25), (16, 0.5), (16, 0.75), (16, 1.0), (16, 1.0)]
    assert float(job.ema.synthesis.fade) == job.discriminator.fade == 1.0


# ---- whole runs ---------------------------------------------------------------------------
def test_a_run_leaves_its_files(run):
    generator, discriminator = load_generator(run / "gan.safetensors"), load_discriminator(run / "gan.safetensors")
    assert generator.resolution == discriminator.resolution == 16
    assert generator.metadata["pictures_seen"] == PLAN.num_pictures
    assert generator.channels == {r: CHANNELS[r] for r in (4, 8, 16)}
    ema = torch.load(run / "checkpoint.pt", weights_only=True)["ema"]
    assert all(torch.equal(v, ema[k]) for k, v in generator.state_dict().items() if k != "mapping.w_avg")
    w = generator.mapping(torch.randn(20_000, PLAN.z_dim))[:, 0]
    assert torch.allclose(generator.mapping.w_avg, w.mean(0), atol=0.05 * float(w.std()))
    assert Image.open(run / "samples-0000048.png").size[0] >= 8 * 16
    with (run / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["pictures"] for row in rows] == ["48"]
    assert all(np.isfinite(float(value)) for value in rows[0].values())


def test_training_moves_both_networks_and_the_average(run):
    start, end = Generator(16, 6, 8, CHANNELS, 2).state_dict(), tensors(run)
    still = [
        k
        for k in start
        if k.startswith("synthesis") and "noise" not in k and torch.equal(end[f"generator.{k}"], end[f"ema.{k}"])
    ]
    assert still == []
    assert float(end["generator.mapping.w_avg"].abs().sum()) > 0
    assert float(end["discriminator.b4.out.bias"].abs()) > 0


def test_same_seed_same_gan_other_seed_other_gan(pictures, run, tmp_path):
    train(pictures, tmp_path / "again", PLAN)
    assert_same(tensors(tmp_path / "again"), tensors(run))
    train(pictures, tmp_path / "other", PLAN._replace(seed=1))
    assert not torch.equal(
        tensors(tmp_path / "other")["ema.mapping.fc0.weight"], tensors(run)["ema.mapping.fc0.weight"]
    )


@pytest.mark.parametrize("stop", [8, 24, 40])  # before growth, while fading, after
def test_a_resumed_run_equals_one_without_a_break(pictures, run, tmp_path, stop):
    job = new_job(pictures, tmp_path)
    while job.seen < stop:
        job.step()
    job.save()
    torch.manual_seed(99)  # whatever else the new process drew before
    train(pictures, tmp_path, PLAN)
    assert_same(tensors(tmp_path), tensors(run))


def test_a_finished_run_stays_finished(pictures, run, tmp_path):
    before = tensors(run)
    train(pictures, run, PLAN)
    assert_same(tensors(run), before)


def test_a_crash_while_saving_leaves_the_last_checkpoint(pictures, tmp_path, monkeypatch):
    job = new_job(pictures, tmp_path)
    job.step()
    job.save()
    before = (tmp_path / "checkpoint.pt").read_bytes()

    def fail(state, path):
        with open(path, "wb") as half:
            half.write(b"half")
        raise OSError("disk full")

    job.step()
    monkeypatch.setattr(torch, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        job.save()
    assert (tmp_path / "checkpoint.pt").read_bytes() == before
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


def test_a_gan_saved_while_fading_draws_what_training_drew(pictures, tmp_path):
    job = new_job(pictures, tmp_path)
    while job.seen < 28:
        job.step()
    job.save()
    assert float(job.ema.synthesis.fade) == 0.5
    z = torch.randn(2, 6)
    with torch.no_grad():
        assert torch.allclose(load_generator(tmp_path / "gan.safetensors")(z), job.ema(z), atol=1e-5)


def test_training_starts_from_an_earlier_gan(pictures, run, tmp_path):
    plan = PLAN._replace(start_resolution=16)
    job = training.GANJob(pictures, tmp_path, plan, run / "gan.safetensors", "no")
    saved = load_generator(run / "gan.safetensors").state_dict()
    assert_same(dict(job.generator.state_dict().items()), saved)
    assert_same(dict(job.ema.state_dict().items()), saved)
    judge = load_discriminator(run / "gan.safetensors").state_dict()
    assert all(torch.equal(judge[k], v) for k, v in job.discriminator.state_dict().items())


def test_bfloat16_trains_and_keeps_its_weights_float32(pictures, tmp_path):
    train(pictures, tmp_path, PLAN._replace(num_pictures=8), mixed_precision="bf16")
    state = tensors(tmp_path)
    assert all(v.dtype == torch.float32 and bool(v.isfinite().all()) for v in state.values())


def test_adversaries_learn_a_single_colour(tmp_path):
    """All pictures are the same red: a few hundred pictures are enough for the samples to follow."""
    red = torch.tensor([255, 0, 0], dtype=torch.uint8)[None, :, None, None].expand(8, 3, 8, 8).contiguous()
    plan = PLAN._replace(resolution=8, num_pictures=1200, batch_size=8)
    train(red, tmp_path, plan)
    with torch.no_grad():
        color = load_generator(tmp_path / "gan.safetensors")(torch.randn(16, 6)).mean((0, 2, 3))
    assert float(color[0]) > 0.3
    assert float(color[1]) < -0.3
    assert float(color[2]) < -0.3


# ---- what it is fed -----------------------------------------------------------------------
def test_batches_are_the_pictures_some_mirrored_and_averaged_down(tmp_path):
    ramp = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16).expand(1, 3, -1, -1).contiguous()
    job = new_job(ramp, tmp_path)
    small = F.avg_pool2d(ramp.float() / 127.5 - 1, 2)
    mirrored = [torch.allclose(x, small[0].flip(2), atol=1e-5) for x in torch.cat([job._real() for _ in range(8)])]
    straight = [torch.allclose(x, small[0], atol=1e-5) for x in torch.cat([job._real() for _ in range(8)])]
    assert 0 < sum(mirrored) < 32
    assert 0 < sum(straight) < 32


@pytest.mark.parametrize(
    "bad", [torch.zeros(4, 3, 8, 8, dtype=torch.uint8), torch.zeros(4, 3, 16, 16), torch.zeros(0, 3, 16, 16).byte()]
)
def test_refuses_pictures_that_do_not_fit(bad, tmp_path):
    with pytest.raises(ToolkitError, match=r"train: expected pictures \(N, 3, 16, 16\) uint8, N >= 1; got .*Resize"):
        train(bad, tmp_path, PLAN)


# ---- going on from a finished GAN ---------------------------------------------------------
def test_a_finished_gan_can_be_trained_on(pictures, run, tmp_path):
    plan = PLAN._replace(start_resolution=16, num_pictures=0)
    train(pictures, tmp_path, plan, init_from=run / "gan.safetensors")
    old, new = (load_generator(folder / "gan.safetensors") for folder in (run, tmp_path))
    assert new.hash == old.hash and new.metadata["pictures_seen"] == old.metadata["pictures_seen"]
    train(pictures, tmp_path, plan._replace(num_pictures=8), init_from=run / "gan.safetensors")
    new = load_generator(tmp_path / "gan.safetensors")
    assert new.hash != old.hash and new.metadata["pictures_seen"] == old.metadata["pictures_seen"] + 8


def test_auto_precision_trains_and_is_chosen_again_after_growth(pictures, tmp_path, monkeypatch):
    chosen = []

    def dtype_of(mixed_precision, trial, device):
        trial(torch.bfloat16)
        chosen.append(mixed_precision)
        return torch.float32

    monkeypatch.setattr(training, "dtype_of", dtype_of)
    train(pictures, tmp_path / "tried", PLAN, mixed_precision="auto")
    assert chosen == ["auto", "auto"]
    monkeypatch.setattr(training, "dtype_of", lambda *_: torch.float32)
    train(pictures, tmp_path / "plain", PLAN)
    assert_same(tensors(tmp_path / "tried"), tensors(tmp_path / "plain"))  # trying leaves no trace


# ---- what cannot be done is refused before it begins -----------------------------------------
@pytest.mark.parametrize(
    "changes, message",
    [
        ({"resolution": 96, "start_resolution": 32}, "resolution a power of two; got 96. Use 64 or 128."),
        ({"start_resolution": 12}, "start_resolution a power of two; got 12. Use 8 or 16."),
        ({"start_resolution": 4}, "start_resolution >= 8, a whole number; got 4."),
        ({"resolution": 8, "start_resolution": 16}, "resolution >= 16, a whole number; got 8."),
        ({"resolution": 16.0}, "resolution >= 8, a whole number; got 16.0."),
        ({"resolution": 64}, "channels at 64 pixels >= 1, a whole number; got None."),
        ({"channels": ((4, 8), (8, 0), (16, 8))}, "channels at 8 pixels >= 1, a whole number; got 0."),
        ({"channels": 256}, "channels as pairs (resolution, number); got 256."),
        ({"batch_size": 0}, "batch_size >= 1, a whole number; got 0."),
        ({"batch_size": 6}, "batch_size up to 4, or a multiple of it: the discriminator compares 4 pictures; got 6. "),
        ({"batch_size": np.int64(8)}, "batch_size >= 1, a whole number; got np.int64(8)."),
        ({"fade": 0}, "fade >= 1, a whole number; got 0."),
        ({"grow_after": 0}, "grow_after >= 1, a whole number; got 0."),
        ({"z_dim": 0}, "z_dim >= 1, a whole number; got 0."),
        ({"num_mapping_layers": 0}, "num_mapping_layers >= 1, a whole number; got 0."),
        ({"num_pictures": -1}, "num_pictures >= 0, a whole number; got -1."),
        ({"seed": 2**70}, "seed from 0 to 4294967295, a whole number; got 1180591620717411303424."),
    ],
)
def test_a_plan_that_cannot_be_carried_out_is_one_line(pictures, tmp_path, changes, message):
    for call in (lambda plan: train(pictures, tmp_path, plan), lambda plan: check(plan, tmp_path)):
        with pytest.raises(ToolkitError) as error:
            call(PLAN._replace(**changes))
        assert str(error.value).startswith(f"train: expected {message}")
    assert list(tmp_path.iterdir()) == []


@settings(max_examples=12, deadline=None)
@given(
    resolution=st.sampled_from([8, 16, 20, 32]),
    start=st.sampled_from([8, 12, 16]),
    batch=st.integers(0, 9),
    sizes=st.tuples(*[st.integers(0, 3)] * 3),
    widths=st.lists(st.integers(0, 3), min_size=2, max_size=4),
)
def test_a_plan_is_refused_or_carried_out(tmp_path_factory, resolution, start, batch, sizes, widths):
    folder, channels = tmp_path_factory.mktemp("plan"), tuple((4 << i, n) for i, n in enumerate(widths))
    z_dim, w_dim, layers = sizes
    plan = Plan(resolution, start, batch, 1, 4 * batch, batch, z_dim, w_dim, layers, channels)
    try:
        check(plan, folder)
    except ToolkitError as error:
        assert "\n" not in str(error)
        return
    train(torch.zeros(2, 3, resolution, resolution, dtype=torch.uint8), folder, plan)
    assert load_generator(folder / "gan.safetensors").resolution == resolution


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"z_dim": 7}, "a GAN of z_dim 7, as planned; got z_dim 6 in "),
        ({"w_dim": 9, "num_mapping_layers": 3}, "a GAN of w_dim 9, num_mapping_layers 3, as planned; got w_dim 8, num"),
        (
            {"channels": ((4, 8), (8, 6), (16, 8))},
            "a GAN of channels {4: 8, 8: 6, 16: 8}, as planned; got channels {4: ",
        ),
        ({"resolution": 8}, "a training that grows from 8 to 8 pixels; got one at 16 that grew, "),
        ({"start_resolution": 16}, "a training that grows from 16 to 16 pixels; got one at 16 that grew, "),
    ],
)
def test_a_training_of_another_plan_is_refused(run, changes, message):
    before = tensors(run)
    with pytest.raises(ToolkitError) as error:
        check(PLAN._replace(**changes), run)
    assert str(error.value).startswith(f"train: expected {message}")
    assert_same(tensors(run), before)


def test_a_training_may_go_on_longer_larger_and_in_other_batches(pictures, run):
    larger = torch.zeros(4, 3, 32, 32, dtype=torch.uint8)
    plan = PLAN._replace(resolution=32, batch_size=8, num_pictures=1000, channels=(*PLAN.channels, (64, 4)))
    check(plan, run)
    job = training.GANJob(larger, run, plan, None, "no")
    assert job.seen == 48 and job.generator.resolution == 16
    job.step()
    assert job.generator.resolution == 32


def test_a_resumed_training_that_is_over_keeps_its_fade(pictures, tmp_path):
    train(pictures, tmp_path, PLAN._replace(num_pictures=28))  # grown at 16: half of its fade
    before = load_generator(tmp_path / "gan.safetensors").state_dict()
    train(pictures, tmp_path, PLAN._replace(num_pictures=28))
    assert_same(load_generator(tmp_path / "gan.safetensors").state_dict(), before)


@pytest.mark.parametrize(
    "changes, message",
    [
        (
            {},
            "a GAN of resolution 8, channels {4: 8, 8: 8}, as planned; got resolution 16, channels {4: 8, ",
        ),
        ({"start_resolution": 16, "z_dim": 5}, "a GAN of z_dim 5, as planned; got z_dim 6 in "),
    ],
)
def test_a_finished_gan_of_other_sizes_is_refused(run, tmp_path, changes, message):
    with pytest.raises(ToolkitError) as error:
        check(PLAN._replace(**changes), tmp_path, init_from=run / "gan.safetensors")
    assert str(error.value).startswith(f"train: expected {message}")


@pytest.mark.parametrize("options", [{"img_channels": 1}, {"c_dim": 2}, {"architecture": "resnet"}])
def test_a_finished_gan_of_another_kind_is_refused(tmp_path, options):
    generator = Generator(8, 6, 8, CHANNELS, 2, **options)
    judge = Discriminator(8, CHANNELS, img_channels=generator.img_channels)
    save_gan(tmp_path / "gan.safetensors", generator, judge, {})
    with pytest.raises(ToolkitError, match="train: expected a GAN of ") as error:
        check(PLAN._replace(resolution=8), tmp_path / "run", init_from=tmp_path / "gan.safetensors")
    assert "\n" not in str(error.value)


def test_a_generator_without_a_discriminator_is_a_start_with_a_warning(pictures, run, tmp_path):
    old = load_generator(run / "gan.safetensors")
    save_gan(tmp_path / "alone.safetensors", old, None, {})
    plan = PLAN._replace(start_resolution=16, num_pictures=0)
    with pytest.warns(UserWarning, match="alone.safetensors has no discriminator"):
        train(pictures, tmp_path / "new", plan, init_from=tmp_path / "alone.safetensors")
    assert load_generator(tmp_path / "new" / "gan.safetensors").hash == old.hash


def test_a_discriminator_beside_the_generator_goes_on_with_it(pictures, run, tmp_path, recwarn):
    generator, judge = load_networks(run / "gan.safetensors")
    save_gan(tmp_path / "a.safetensors", generator, None, {})
    save_discriminator(tmp_path / "a-discriminator.safetensors", judge, {})
    plan = PLAN._replace(start_resolution=16, num_pictures=0)
    train(pictures, tmp_path / "new", plan, init_from=tmp_path / "a.safetensors")
    again = load_networks(tmp_path / "new" / "gan.safetensors")[1].state_dict()
    assert all(torch.equal(again[name], value) for name, value in judge.state_dict().items()) and not recwarn.list
    with pytest.raises(CheckpointError, match="expected a file with a generator; got a discriminator alone in"):
        load_networks(tmp_path / "a-discriminator.safetensors")


def test_a_gan_to_start_from_is_needed_only_once(pictures, run, tmp_path):
    (tmp_path / "first.safetensors").write_bytes((run / "gan.safetensors").read_bytes())
    plan, start = PLAN._replace(start_resolution=16, num_pictures=4), {"init_from": tmp_path / "first.safetensors"}
    train(pictures, tmp_path / "new", plan, **start)
    start["init_from"].unlink()
    train(pictures, tmp_path / "new", plan._replace(num_pictures=8), **start)
    metadata = load_generator(tmp_path / "new" / "gan.safetensors").metadata
    assert metadata["pictures_seen"] == PLAN.num_pictures + 8


def test_precision_is_checked_at_the_start(pictures, tmp_path):
    for call in (
        lambda: train(pictures, tmp_path, PLAN, "fp16"),
        lambda: check(PLAN, tmp_path, mixed_precision="fp16"),
    ):
        with pytest.raises(ToolkitError, match="train: expected mixed_precision .*; got 'fp16'"):
            call()
    assert list(tmp_path.iterdir()) == []


# ---- changes against overfitting ----------------------------------------------------------
def test_a_resumed_run_changes_as_many_pictures(pictures, tmp_path):
    whole, broken = (new_job(pictures, tmp_path / name) for name in ("whole", "broken"))
    whole.changed = broken.changed = 0.4
    while broken.seen < 24:
        broken.step()
    broken.save()
    assert 0.3 < broken.changed != 0.4
    again = new_job(pictures, tmp_path / "broken")
    assert again.changed == broken.changed
    for job in (again, whole):
        while job.seen < 48:
            job.step()
        job.save()
    assert again.changed == whole.changed
    assert_same(tensors(tmp_path / "broken"), tensors(tmp_path / "whole"))
    with (tmp_path / "broken" / "log.csv").open() as file:
        assert float(list(csv.DictReader(file))[-1]["changed"]) == round(whole.changed, 4)


def test_changes_follow_the_verdicts_of_all_processes(pictures, tmp_path, monkeypatch):
    job = new_job(pictures, tmp_path)
    for mean, changed in ((0.9, 4e-5), (0.9, 8e-5), (0.1, 4e-5)):  # 4 of 100,000 pictures a step
        monkeypatch.setattr(training, "share_mean", lambda tensors, mean=mean: [t.fill_(mean) for t in tensors])
        job.step()
        assert job.changed == pytest.approx(changed)
