import sys
import types

import pytest
import torch
from small_gan import CHANNELS

from toolkit.errors import ShapeError, ToolkitError
from toolkit.gan.encoder import Encoder
from toolkit.projection.perceptual import PERCEPTUAL_WEIGHT
from toolkit.projection.projector import _autocorrelation, _ramp, project, projecting


def test_it_comes_closer_and_keeps_the_best(tiny_gan):
    image = tiny_gan.sample(seed=5, num=3, truncation_psi=1.0).image
    losses = [project(tiny_gan.generator, image, num_steps=n, patience=None).loss for n in (0, 10, 60)]
    assert (losses[1] < losses[0]).all() and (losses[2] < losses[1]).all()


def test_the_history_tells_every_iterate_and_the_best_is_kept(tiny_gan):
    image = tiny_gan.sample(seed=5, num=3, truncation_psi=1.0).image
    found = project(tiny_gan.generator, image, discriminator=tiny_gan.discriminator, num_steps=12)
    assert found.history.shape == (3, 13) and torch.equal(found.history.amin(1), found.loss)
    assert torch.allclose(found.errors @ torch.tensor([1.0, PERCEPTUAL_WEIGHT]), found.loss)
    start = project(tiny_gan.generator, image, discriminator=tiny_gan.discriminator, num_steps=0)
    assert torch.allclose(start.errors[:, 0], (start.image - image).square().mean((1, 2, 3)), atol=1e-6)
    assert torch.equal(start.errors, start.first_errors)


def test_going_on_from_a_result_is_never_worse(tiny_gan):
    image = tiny_gan.sample(seed=5, num=5, truncation_psi=1.0).image
    first = project(tiny_gan.generator, image, num_steps=15, noise=True, batch_size=2)
    again = project(tiny_gan.generator, image, num_steps=0, noise=True, start=first, batch_size=2)
    assert torch.equal(again.ws, first.ws) and torch.allclose(again.loss, first.loss, rtol=1e-4)
    more = project(tiny_gan.generator, image, num_steps=15, noise=True, start=first, batch_size=2)
    assert (more.loss <= first.loss + 1e-6).all() and (more.loss < first.loss).any()
    assert torch.equal(more.first_errors, first.first_errors)


def test_step_by_step_is_the_same_and_can_be_stopped(tiny_gan):
    image = tiny_gan.sample(seed=5, num=3, truncation_psi=1.0).image
    seen = list(projecting(tiny_gan.generator, image, num_steps=7, every=3, batch_size=2))
    assert [(done, total) for done, total, _ in seen] == [
        *((2, 21), (6, 21), (12, 21)),  # the first of each batch after one step
        *((15, 21), (17, 21), (20, 21), (21, 21)),
    ]
    assert all(found.ws.shape[0] == 3 for _, _, found in seen)
    whole = project(tiny_gan.generator, image, num_steps=7, batch_size=2)
    assert torch.equal(seen[-1][2].ws, whole.ws) and torch.equal(seen[-1][2].image, whole.image)
    steps = projecting(tiny_gan.generator, image, num_steps=10**6, every=1)
    next(steps)
    steps.close()  # or this test would not end


def test_it_stops_when_nothing_improves(tiny_gan, monkeypatch):
    monkeypatch.setattr("toolkit.projection.projector.LEARNING_RATE", 0.0)
    monkeypatch.setattr("toolkit.projection.projector.START_JITTER", 0.0)
    image = tiny_gan.sample(seed=5, num=3).image
    found = project(tiny_gan.generator, image, num_steps=50, patience=4, batch_size=2)
    assert found.history.shape == (3, 6)  # the start, what four more steps could not better, and where they led
    assert project(tiny_gan.generator, image, num_steps=12, patience=None).history.shape == (3, 13)


def test_the_search_starts_from_the_encoders_guess(tiny_gan):
    encoder = Encoder(16, CHANNELS, tiny_gan.generator.num_ws, tiny_gan.generator.w_dim)
    torch.manual_seed(1)
    torch.nn.init.normal_(encoder.out.weight)
    image = tiny_gan.sample(seed=5, num=3).image
    found = project(tiny_gan.generator, image, encoder=encoder, num_steps=0)
    assert torch.equal(found.ws, encoder(image))
    one_row = project(tiny_gan.generator, image, encoder=encoder, num_steps=0, space="w")
    assert torch.allclose(one_row.ws, encoder(image).mean(1, keepdim=True).expand_as(one_row.ws))


def test_the_result_is_what_its_latent_synthesises(tiny_gan):
    image = tiny_gan.sample(seed=5, num=2).image
    for noise in (False, True):
        found = project(tiny_gan.generator, image, num_steps=12, noise=noise)
        again = tiny_gan.generator.synthesis(found.ws, noise=found.noise)
        assert torch.allclose(again, found.image, atol=1e-5)
        assert torch.allclose((again - image).square().mean((1, 2, 3)), found.loss, atol=1e-5)
        assert any(n.any() for n in found.noise.values()) == noise


def test_w_is_one_row_and_w_plus_fits_better(tiny_gan):
    image = tiny_gan.sample(seed=8, num=2, truncation_psi=1.0).image
    w, wplus = (project(tiny_gan.generator, image, space=s, num_steps=60) for s in ("w", "w+"))
    assert torch.equal(w.ws, w.ws[:, :1].expand_as(w.ws))
    assert not torch.equal(wplus.ws, wplus.ws[:, :1].expand_as(wplus.ws))
    assert (wplus.loss < w.loss).all()


def test_same_seed_same_result(tiny_gan):
    image = tiny_gan.sample(seed=1, num=2).image
    a, b, c = (project(tiny_gan.generator, image, num_steps=4, seed=s) for s in (0, 0, 1))
    assert torch.equal(a.ws, b.ws) and not torch.equal(a.ws, c.ws)


def test_batches_are_put_together_in_order(tiny_gan):
    image = tiny_gan.sample(seed=1, num=5).image
    found = project(tiny_gan.generator, image, num_steps=30, batch_size=2)
    error = (found.image[:, None] - image[None]).square().mean((2, 3, 4))
    assert torch.equal(error.argmin(1), torch.arange(5))


def test_the_perceptual_distance_counts(tiny_gan):
    image = tiny_gan.sample(seed=1).image
    with_d = project(tiny_gan.generator, image, discriminator=tiny_gan.discriminator, num_steps=3)
    assert (with_d.loss > project(tiny_gan.generator, image, num_steps=3).loss).all()


def test_the_generator_is_left_alone(tiny_gan):
    before = {k: v.clone() for k, v in tiny_gan.generator.state_dict().items()}
    project(tiny_gan.generator, tiny_gan.sample().image, num_steps=2, noise=True)
    assert all(torch.equal(v, before[k]) for k, v in tiny_gan.generator.state_dict().items())


def test_the_learning_rate_rises_stays_and_falls():
    assert _ramp(0.0) < 0.1 and _ramp(0.1) == _ramp(0.6) == 1 and 0 < _ramp(0.95) < 0.2


def test_autocorrelation_tells_noise_from_pictures():
    noise = torch.randn(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    stripes = torch.ones(1, 1, 64, 64)
    stripes[..., 32:] = -1
    assert _autocorrelation({"a": noise}) < 0.1 < 1 < _autocorrelation({"a": stripes})


def test_bad_input(tiny_gan):
    with pytest.raises(ShapeError, match=r"project: expected image \(N, 3, 16, 16\) float in \[-1, 1\]; got Tensor"):
        project(tiny_gan.generator, torch.zeros(1, 3, 32, 32))
    for options in ({"space": "z"}, {"num_steps": -1}, {"every": 0}, {"batch_size": 0}):
        with pytest.raises(ToolkitError, match='project: expected space "w" or "w\\+", num_steps >= 0, every and'):
            project(tiny_gan.generator, torch.zeros(1, 3, 16, 16), **options)
    start = project(tiny_gan.generator, torch.zeros(1, 3, 16, 16), num_steps=0)
    with pytest.raises(ShapeError, match="project: expected a start of 2 pictures; got Tensor"):
        project(tiny_gan.generator, torch.zeros(2, 3, 16, 16), start=start)


def test_lpips_is_asked_for_and_not_there(tiny_gan, monkeypatch):
    monkeypatch.setitem(sys.modules, "lpips", None)
    with pytest.raises(ToolkitError, match="project: expected the package lpips .*; got it is not installed. pip inst"):
        project(tiny_gan.generator, torch.zeros(1, 3, 16, 16), lpips=True)


def test_lpips_is_used_when_it_is_there(tiny_gan, monkeypatch):
    class LPIPS(torch.nn.Module):
        def __init__(self, net, verbose):
            super().__init__()

        def forward(self, a, b):
            return (a - b).abs().mean((1, 2, 3), keepdim=True)

    monkeypatch.setitem(sys.modules, "lpips", types.SimpleNamespace(LPIPS=LPIPS))
    image = tiny_gan.sample(seed=3, num=2).image
    found = project(tiny_gan.generator, image, lpips=True, num_steps=2)
    assert torch.allclose(found.errors[:, 1], (found.image - image).abs().mean((1, 2, 3)), atol=1e-6)
