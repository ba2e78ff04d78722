import pytest
import torch

from toolkit.errors import ShapeError, ToolkitError
from toolkit.projector import _autocorrelation, _ramp, project


def test_it_comes_closer_and_keeps_the_best(tiny_gan):
    image = tiny_gan.sample(seed=5, num=3, truncation_psi=1.0).image
    losses = [project(tiny_gan.generator, image, num_steps=n).loss for n in (1, 10, 60)]
    assert (losses[1] <= losses[0]).all() and (losses[2] < losses[1]).all()


def test_the_result_is_what_its_latent_synthesises(tiny_gan):
    image = tiny_gan.sample(seed=5, num=2).image
    for noise in (False, True):
        found = project(tiny_gan.generator, image, num_steps=12, noise=noise)
        again = tiny_gan.generator.synthesis(found.ws, noise=found.noise)
        assert torch.allclose(again, found.image, atol=1e-5)
        assert torch.allclose((again - image).square().mean((1, 2, 3)), found.loss, atol=1e-6)
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
    with pytest.raises(ToolkitError, match='project: expected space "w" or "w\\+" and num_steps >= 1; got space \'z\''):
        project(tiny_gan.generator, torch.zeros(1, 3, 16, 16), space="z")
