"""Pictures changed at random: closed forms for each change alone, and how often changes come."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toolkit.training import augmentation
from toolkit.training.augmentation import HIGHEST, PICTURES, TARGET, augment, next_probability

SIZES = ("SHIFT", "SCALE", "STRETCH", "TURN", "BRIGHTNESS", "CONTRAST", "SATURATION")
MANY = 3000


@pytest.fixture
def only(monkeypatch):
    """Call it with the name of a change, and its size if not its own, to switch all others off."""

    def switch(change, size=None):
        for name in SIZES:
            own = getattr(augmentation, name) if size is None else size
            monkeypatch.setattr(augmentation, name, own if name == change else 0.0)

    return switch


@pytest.fixture
def at_most(monkeypatch):
    """Uniform draws come out at their upper end."""
    monkeypatch.setattr(augmentation, "_spread", lambda n, rng: torch.ones(n))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def some(num=4, side=16):
    return torch.rand(num, 3, side, side, generator=rng(1)) * 2 - 1


def ramps(num, side=8):
    """Pictures whose first colour says where a pixel is from left to right, the second from top to bottom."""
    at = (torch.arange(side) + 0.5) * 2 / side - 1
    image = torch.stack([at.expand(side, side), at[:, None].expand(side, side), torch.zeros(side, side)])
    return image.expand(num, -1, -1, -1)


def slopes(moved):
    """(N,) each: how fast the ramps rise in the middle, from left to right and from top to bottom."""
    side = moved.shape[-1]
    low, high = side // 2 - 1, side // 2
    across = (moved[:, 0, low, high] - moved[:, 0, low, low]) * side / 2
    down = (moved[:, 1, high, low] - moved[:, 1, low, low]) * side / 2
    return across, down


def test_no_change_draws_nothing():
    image, generator = some(), rng()
    before = generator.get_state()
    assert augment(image, 0.0, generator) is image
    assert torch.equal(generator.get_state(), before)
    assert not torch.equal(augment(image, 0.5, generator), image)
    assert not torch.equal(generator.get_state(), before)


def test_changes_of_no_size_change_nothing(only):
    only("none of them")
    assert torch.allclose(augment(some(), 1.0, rng()), some(), atol=1e-5)


def test_a_picture_is_changed_with_the_probability_by_itself(only):
    only("BRIGHTNESS")
    image = some(1, 4).expand(MANY, -1, -1, -1)
    changed = ~torch.isclose(augment(image, 0.3, rng()), image, atol=1e-6).flatten(1).all(1)
    assert float(changed.float().mean()) == pytest.approx(0.3, abs=0.03)


def test_gradients_reach_the_picture():
    image = some().requires_grad_()
    augment(image, 1.0, rng()).square().sum().backward()
    assert bool(image.grad.isfinite().all())
    assert bool((image.grad.flatten(1).abs().sum(1) > 0).all())


def test_the_same_draws_change_pictures_alike():
    image = some()
    assert torch.equal(augment(image, 0.7, rng(3)), augment(image, 0.7, rng(3)))
    assert not torch.equal(augment(image, 0.7, rng(3)), augment(image, 0.7, rng(4)))


# ---- moves --------------------------------------------------------------------------------
def test_a_shift_moves_by_a_share_of_the_side_and_mirrors_the_edge(only, at_most):
    only("SHIFT")
    image = some()
    where = torch.tensor([*range(2, 16), 15, 14])  # an eighth of 16 pixels; beyond the last comes the last again
    assert torch.allclose(augment(image, 1.0, rng()), image[:, :, where][..., where], atol=1e-5)


def test_a_quarter_turn_turns_by_a_quarter(only, at_most):
    only("TURN", math.pi / 2)
    image = some()
    turned = augment(image, 1.0, rng())
    assert torch.allclose(turned, image.rot90(1, (2, 3)), atol=1e-4)
    assert torch.allclose(augment(turned, 1.0, rng()), image.flip(2, 3), atol=1e-4)


def test_a_turn_keeps_lengths(only):
    only("TURN")
    moved = augment(ramps(MANY), 1.0, rng())
    low, high = 3, 4
    steps = (moved[:, :2, low, high] - moved[:, :2, low, low]) * 4  # one step to the right, in the picture
    assert torch.allclose(steps.square().sum(1), torch.ones(MANY), atol=1e-3)
    angle = torch.atan2(steps[:, 1], steps[:, 0])
    assert float(angle.abs().max()) <= math.pi / 12 + 1e-3 and float(angle.std()) == pytest.approx(
        math.pi / 12 / 3**0.5, rel=0.05
    )


def test_scaling_keeps_the_shape(only):
    only("SCALE")
    across, down = slopes(augment(ramps(MANY), 1.0, rng()))
    assert torch.allclose(across, down, atol=1e-4)
    assert float(across.log2().std()) == pytest.approx(augmentation.SCALE, rel=0.05)


def test_stretching_keeps_the_area(only):
    only("STRETCH")
    across, down = slopes(augment(ramps(MANY), 1.0, rng()))
    assert torch.allclose(across * down, torch.ones(MANY), atol=1e-3)
    assert float(across.log2().std()) == pytest.approx(augmentation.STRETCH, rel=0.05)


# ---- colours ------------------------------------------------------------------------------
def test_brightness_adds_the_same_to_every_pixel(only):
    only("BRIGHTNESS")
    image = some(MANY, 4)
    added = (augment(image, 1.0, rng()) - image).flatten(1)
    assert torch.allclose(added, added[:, :1].expand_as(added), atol=1e-5)
    assert float(added[:, 0].std()) == pytest.approx(0.2, rel=0.05)


def test_contrast_multiplies_every_pixel(only):
    only("CONTRAST")
    image = some(MANY, 4)
    times = augment(image, 1.0, rng())[:, 0, 0, 0] / image[:, 0, 0, 0]
    assert torch.allclose(augment(image, 1.0, rng()), image * times[:, None, None, None], atol=1e-4)
    assert float(times.log2().std()) == pytest.approx(0.5, rel=0.05)


def test_saturation_leaves_grey_and_the_mean_colour_alone(only):
    only("SATURATION")
    image = some(MANY, 4)
    grey = image.mean(1, keepdim=True).expand_as(image)
    assert torch.allclose(augment(grey, 1.0, rng()), grey, atol=1e-5)
    away = augment(image, 1.0, rng()) - grey
    assert torch.allclose(away.mean(1), torch.zeros(()), atol=1e-5)
    times = away[:, 0, 0, 0] / (image - grey)[:, 0, 0, 0]
    assert torch.allclose(away, (image - grey) * times[:, None, None, None], atol=1e-3)
    assert float(times.log2().std()) == pytest.approx(1.0, rel=0.05)


# ---- how often ----------------------------------------------------------------------------
@given(st.floats(0, HIGHEST), st.floats(-1, 1), st.integers(1, 2 * PICTURES))
def test_the_probability_follows_the_verdicts_and_stays_within_bounds(probability, sign, num):
    after = next_probability(probability, sign, num)
    assert 0 <= after <= HIGHEST
    way = num / PICTURES if sign > TARGET else -num / PICTURES
    assert after == pytest.approx(min(HIGHEST, max(0.0, probability + way)))


def test_it_rises_to_its_highest_in_four_fifths_of_its_pictures_and_falls_again():
    probability, way = 0.0, []
    for sign in [0.9] * 100 + [0.3] * 100:
        probability = next_probability(probability, sign, PICTURES // 100)
        way.append(probability)
    assert way[39] == pytest.approx(0.4) and way[79] == pytest.approx(HIGHEST) == way[99]
    assert way[139] == pytest.approx(0.4) and way[-1] == 0
