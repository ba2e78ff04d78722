"""Latents whose finer layers take another w."""

import pytest
import torch

from toolkit.gan.stylegan2 import Generator
from toolkit.training.styles import mixed_styles

NUM = 2000


@pytest.fixture(scope="module")
def generator():
    torch.manual_seed(0)
    return Generator(16, 5, 6, {4: 2, 8: 2, 16: 2}, 2).requires_grad_(False)


def draw(generator, share, seed=0):
    return mixed_styles(generator, NUM, share, torch.Generator().manual_seed(seed), torch.device("cpu"))


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_a_share_is_mixed_of_two_each_from_any_row_but_the_first(generator, share):
    ws = draw(generator, share)
    assert ws.shape == (NUM, 6, 6)
    changes = (ws[:, 1:] != ws[:, :-1]).any(2)
    assert int(changes.sum(1).max()) <= 1
    assert float(changes.any(1).float().mean()) == pytest.approx(share, abs=0.04)
    assert changes.float().mean(0).tolist() == pytest.approx([share / 5] * 5, abs=0.03)
    assert torch.equal(ws[:, 0], draw(generator, 0.0)[:, 0])


def test_both_are_the_mappings_own(generator, monkeypatch):
    z = torch.randn(2, NUM, 5, generator=torch.Generator().manual_seed(0))
    w, other = generator.mapping(z[0])[:, 0], generator.mapping(z[1])[:, 0]
    plain = draw(generator, 1.0)
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)  # a GPU maps both at once
    for ws in (plain, draw(generator, 1.0)):
        assert torch.allclose(ws[:, 0], w, atol=1e-5) and torch.allclose(ws[:, -1], other, atol=1e-5)
