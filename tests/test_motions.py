import pytest
import torch

from toolkit import fewshot
from toolkit.parts import motions
from toolkit.parts.shots import Shot


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def blocks(num, resolution=32, classes=4):
    """Label maps of large blocks, and their one-hot features."""
    small = torch.randint(classes, (num, 1, 4, 4), generator=rng())
    label_map = small.repeat_interleave(resolution // 4, 2).repeat_interleave(resolution // 4, 3)[:, 0]
    return label_map, torch.nn.functional.one_hot(label_map, classes).permute(0, 3, 1, 2).float()


def test_labels_move_with_the_features():
    label_map, features = blocks(40)
    grid = motions.draw(40, 32, rng())
    moved, truth = motions.move(features, grid), motions.move_labels(label_map, grid)
    sure = moved.amax(1) > 0.99
    assert 0.3 < sure.float().mean() < 0.95
    assert torch.equal(moved.argmax(1)[sure], truth[sure])
    outside = moved.sum(1) < 0.01
    assert 0.05 < outside.float().mean() and (truth[outside] == 255).all()
    assert ((truth != 255) | (moved.sum(1) < 1)).all()  # nothing inside becomes unlabelled


def test_unlabelled_stays_unlabelled():
    label_map = torch.full((3, 16, 16), 255)
    assert (motions.move_labels(label_map, motions.draw(3, 16, rng())) == 255).all()


def test_no_motion_is_larger_than_it_says():
    matrix = torch.linalg.lstsq(  # the affine map of each picture, from its grid
        torch.cat(
            [
                torch.nn.functional.affine_grid(torch.eye(2, 3)[None], [1, 1, 8, 8], align_corners=False),
                torch.ones(1, 8, 8, 1),
            ],
            3,
        )
        .view(1, 64, 3)
        .expand(500, 64, 3),
        motions.draw(500, 8, rng()).view(500, 64, 2),
    ).solution.mT
    zoom = torch.linalg.det(matrix[:, :, :2]).abs().sqrt()
    assert 1 / motions.SCALE - 1e-4 < zoom.min() < 0.75 and 1.35 < zoom.max() < motions.SCALE + 1e-4
    assert 0.35 * 2 < matrix[:, :, 2].abs().max() / motions.SHIFT < 2 + 1e-4
    angle = torch.rad2deg(torch.atan2(matrix[:, 1, 0], matrix[:, 1, 1])).abs()
    assert motions.ROTATION * 0.9 < angle.max() < motions.ROTATION + 1e-3
    mirrored = (torch.linalg.det(matrix[:, :, :2]) < 0).float().mean()
    assert 0.4 < mirrored < 0.6


def test_the_same_state_draws_the_same():
    assert torch.equal(motions.draw(2, 8, rng(3)), motions.draw(2, 8, rng(3)))
    assert not torch.equal(motions.draw(2, 8, rng(3)), motions.draw(2, 8, rng(4)))


@pytest.mark.parametrize(("network", "moves"), [("cnn-s", 3), ("cnn-l", 3), ("mlp", 0), ("linear", 0)])
def test_fitting_moves_what_cnns_see_and_nothing_else(tiny_gan, network, moves, monkeypatch):
    label_map = torch.zeros(16, 16, dtype=torch.int64)
    label_map[4:12, 4:12] = 1
    calls, draw = [], motions.draw
    monkeypatch.setattr(motions, "draw", lambda *args: calls.append(args[:2]) or draw(*args))
    fewshot.fit(tiny_gan, [Shot(tiny_gan.sample(1), label_map, ["background", "part"])], network=network, num_steps=3)
    assert calls == [(1, 16)] * moves


def test_a_few_strokes_may_leave_the_frame(tiny_gan):
    label_map = torch.full((16, 16), 255)
    label_map[0, 0], label_map[0, 1] = 0, 1
    shot = Shot(tiny_gan.sample(1), label_map, ["background", "part"])
    losses = [loss for _, _, loss, _ in fewshot.fitting(tiny_gan, [shot], network="cnn-s", num_steps=20, every=1)]
    assert torch.tensor(losses).isfinite().all()


def test_a_coarser_grid_is_the_same_motion():
    fine, coarse = (motions.draw(3, side, torch.Generator().manual_seed(0)) for side in (24, 8))
    torch.testing.assert_close(motions.coarser(fine, 8), coarse)
    torch.testing.assert_close(motions.coarser(fine, 24), fine)
