"""A mapping set in closed form: it draws latents as given codes are distributed, and no picture changes."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.gan.stylegan2 import Generator
from toolkit.training.codes import draw_like

CHANNELS = {4: 8, 8: 8, 16: 4}


def codes_of(seed, w_dim, num=4000):
    rng = torch.Generator().manual_seed(seed)
    turn = torch.randn(w_dim, w_dim, generator=rng)
    return torch.randn(num, w_dim, generator=rng) @ turn + 3 * torch.randn(w_dim, generator=rng)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 1000), num_layers=st.integers(2, 5))
def test_no_picture_changes(seed, num_layers):
    torch.manual_seed(seed)
    generator, codes = Generator(16, 12, 12, CHANNELS, num_layers), codes_of(seed, 12)

    def drawn(w):
        return generator.synthesis(w[:, None].repeat(1, generator.num_ws, 1), noise_mode="none")

    with torch.no_grad():
        before = drawn(codes[:3])
        after = drawn(codes[:3] + draw_like(generator, codes))
    assert torch.allclose(before, after, atol=1e-4 * float(before.abs().max()))


@pytest.mark.parametrize("num_layers", [2, 4])
def test_it_draws_what_the_codes_are(num_layers):
    generator, codes = Generator(16, 12, 12, CHANNELS, num_layers), codes_of(1, 12)
    shift = draw_like(generator, codes)
    with torch.no_grad():
        z = torch.randn(40_000, 12, generator=torch.Generator().manual_seed(2))
        w = generator.mapping(z)[:, 0] - shift
    deviation = codes.std(0)
    assert ((w.mean(0) - codes.mean(0)).abs() < 0.05 * deviation).all()
    # z is brought to length sqrt(12), so that what is drawn has a normal distribution's covariance, not its tails.
    assert (w.T.cov() - codes.T.cov()).norm() < 0.05 * codes.T.cov().norm()
    assert torch.allclose(generator.mapping.w_avg - shift, codes.mean(0), atol=1e-4)
