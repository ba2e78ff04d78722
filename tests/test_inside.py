"""Looking at activations: what must hold for any features."""

import pytest
import torch

from toolkit.errors import ShapeError
from toolkit.show.inside import heat, likeness, principal_colours


@pytest.fixture
def features():
    return torch.randn(2, 8, 5, 6, generator=torch.Generator().manual_seed(0))


def test_pixels_of_three_kinds_get_three_colours():
    kinds = torch.randint(0, 3, (2, 5, 6), generator=torch.Generator().manual_seed(0))
    looks = torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    colours = principal_colours(looks[kinds].permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
    assert len({tuple(c) for c in (colours.reshape(-1, 3) * 100).round().tolist()}) == 3


def test_colours_do_not_depend_on_the_scale_of_a_channel_or_their_order(features):
    scaled = features * torch.logspace(-2, 2, 8)[:, None, None] + 0.5
    assert torch.allclose(principal_colours(features), principal_colours(scaled), atol=1e-4)
    assert torch.allclose(principal_colours(features), principal_colours(features.flip(1)), atol=1e-4)


def test_components_are_uncorrelated_and_the_strongest_first():
    # Pairs of equal channels: the more channels share a signal, the stronger its component.
    signals = torch.randn(3, 1, 400, generator=torch.Generator().manual_seed(0)) / 3
    features = torch.cat([signals[0].expand(5, -1), signals[1].expand(3, -1), signals[2].expand(2, -1)])
    colours = principal_colours(features.view(1, 10, 20, 20))[0].flatten(1)
    for component, signal in zip(colours, signals[:, 0]):
        assert torch.corrcoef(torch.stack([component, signal]))[0, 1].abs() > 0.95


def test_a_pixel_is_most_like_itself_and_unlike_its_opposite(features):
    features[1, :, 2, 3] = 2 * features.mean((0, 2, 3)) - features[0, :, 1, 4]  # before standardising, still opposite
    values = likeness(features, 4, 1)
    assert values.shape == (2, 5, 6) and values[0, 1, 4] == pytest.approx(1) and values.max() == values[0, 1, 4]
    assert values[1, 2, 3] == values.min() and values.min() < -0.9


def test_heat_is_darkest_at_0_and_brightest_at_1():
    colours = heat(torch.tensor([[[-1.0, 0.0, 0.5, 1.0, 2.0]]]))
    brightness = colours.mean(1)[0, 0]
    assert colours.shape == (1, 3, 1, 5) and colours.abs().max() <= 1
    assert brightness[0] == brightness[1] < brightness[2] < brightness[3] == brightness[4]


def test_what_is_not_features_is_refused(features):
    with pytest.raises(ShapeError, match="principal_colours: expected features"):
        principal_colours(features[:, :2])
    with pytest.raises(ShapeError, match=r"likeness: expected a pixel within 2 pictures of 6x5; got \(6, 0\)"):
        likeness(features, 6, 0)
