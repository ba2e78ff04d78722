import pytest
import torch

from toolkit.projection.trust import trust


@pytest.fixture
def calibration():
    return torch.rand(500, 2, generator=torch.Generator().manual_seed(0)).add(0.1)


def test_in_world_pictures_are_spread_evenly(calibration):
    """Of the calibration itself a share t has a trust of at most t, for any t."""
    value = trust(calibration, calibration)
    for t in (0.05, 0.25, 0.5, 0.9):
        assert float((value <= t).float().mean()) == pytest.approx(t, abs=0.005)


def test_worse_than_all_is_zero_and_better_than_all_is_one(calibration):
    errors = torch.tensor([[10.0, 10.0], [0.5, 10.0], [10.0, 0.5], [1e-9, 1e-9], [0.0, 0.0]])
    assert trust(errors, calibration).tolist() == [0, 0, 0, 1, 1]


def test_more_error_never_means_more_trust(calibration):
    errors = torch.linspace(0.05, 2, 50)
    for column in (0, 1):
        rows = torch.full((50, 2), 0.4)
        rows[:, column] = errors
        assert (trust(rows, calibration).diff() <= 0).all()


def test_the_unit_of_the_errors_does_not_matter(calibration):
    errors = torch.rand(20, 2, generator=torch.Generator().manual_seed(1))
    scale = torch.tensor([7.0, 0.01])
    assert torch.allclose(trust(errors * scale, calibration * scale), trust(errors, calibration), atol=0.004)


def test_one_constant_calibration_still_answers():
    calibration = torch.ones(10, 2)
    assert trust(torch.tensor([[2.0, 1.0], [0.5, 1.0]]), calibration).tolist() == [0, 1]
