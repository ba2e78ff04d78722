"""Principal components, against those of a whole singular value decomposition; and the encoder that reads them."""

import pytest
import torch

from toolkit.errors import ShapeError
from toolkit.gan.encoder import PrincipalEncoder, load_encoder, save_encoder
from toolkit.pictures.images import as_float
from toolkit.training.principal import principal_components


@pytest.fixture(scope="module")
def pictures():
    """Fifty pictures that vary along eight directions, and a little along all."""
    rng = torch.Generator().manual_seed(0)
    ways = torch.randn(8, 3 * 64, generator=rng) * torch.linspace(30, 3, 8)[:, None]
    x = 128 + torch.randn(50, 8, generator=rng) @ ways / 3 + torch.randn(50, 192, generator=rng)
    return x.clamp(0, 255).round().to(torch.uint8).view(50, 3, 8, 8)


def test_they_are_those_of_the_singular_value_decomposition(pictures):
    mean, basis, variance = principal_components(pictures, 6, side=8)
    x = as_float(pictures)
    rows = torch.cat([x, x.flip(3)]).flatten(1)
    assert torch.allclose(mean, rows.mean(0), atol=1e-5)
    _, values, right = torch.linalg.svd(rows - rows.mean(0), full_matrices=False)
    assert torch.allclose(variance, values[:6].square() / len(rows), rtol=1e-3)
    assert torch.allclose((right[:6] @ basis).abs(), torch.eye(6), atol=0.02)


def test_larger_pictures_are_averaged_down(pictures):
    large = pictures.repeat_interleave(2, 2).repeat_interleave(2, 3)
    for one, other in zip(principal_components(large, 3, side=8), principal_components(pictures, 3, side=8)):
        assert torch.allclose(one, other, atol=1e-5)


def test_an_untrained_encoder_answers_with_the_first_components(pictures):
    encoder = PrincipalEncoder(8, 6, num_ws=4, w_dim=5)
    encoder.start(*principal_components(pictures, 6, side=8))
    x = as_float(pictures)
    components = encoder.components(torch.cat([x, x.flip(3)]))
    assert torch.allclose(components.square().mean(0), torch.ones(6), atol=1e-3)
    ws = encoder(x)
    assert ws.shape == (50, 4, 5) and torch.equal(ws[:, 0], ws[:, 3])
    ratio = ws[:, 0] / encoder.components(x)[:, :5]
    assert torch.allclose(ratio, ratio[:1].expand_as(ratio), rtol=1e-3)


def test_its_file_holds_all_of_it(pictures, tmp_path):
    encoder = PrincipalEncoder(8, 6, num_ws=4, w_dim=5)
    encoder.start(*principal_components(pictures, 6, side=8))
    torch.nn.init.normal_(encoder.out.weight)
    save_encoder(tmp_path / "e.safetensors", encoder, {"gan_hash": "x"}, torch.rand(7, 2))
    again = load_encoder(tmp_path / "e.safetensors")
    assert isinstance(again, PrincipalEncoder) and again.calibration.shape == (7, 2)
    assert torch.equal(again(as_float(pictures)), encoder(as_float(pictures)).detach())
    with pytest.raises(ShapeError, match="Encoder"):
        again(torch.zeros(1, 3, 16, 16))
