"""Random views of pictures and their labels, and the loss on them."""

import torch
import torch.nn.functional as F
from small_autoshot import rng

from toolkit.autoshot import augmentation
from toolkit.autoshot.distillation import soft_cross_entropy

STILL = {"flip": 0.0, "scale": (1.0, 1.0), "rotation": 0.0, "shift": 0.0}


def test_a_still_view_is_the_picture_and_a_flip_its_mirror_image():
    picture = torch.rand(2, 3, 16, 16, generator=rng())
    torch.testing.assert_close(augmentation.warp(picture, augmentation.draw(2, (16, 16), rng(), **STILL)), picture)
    flip = augmentation.draw(2, (16, 16), rng(), **STILL | {"flip": 1.0})
    torch.testing.assert_close(augmentation.warp(picture, flip), picture.flip(3))


def test_picture_and_labels_move_as_one_and_what_comes_in_from_outside_is_unknown():
    soft = torch.rand(32, 3, 24, 24, generator=rng()).softmax(1)
    image, moved, known = augmentation.augment(soft * 2 - 1, soft, rng())
    known = known[:, None].expand_as(soft)
    torch.testing.assert_close((image / 2 + 0.5)[known], moved[known], rtol=0, atol=3e-3)
    torch.testing.assert_close(moved.sum(1)[known[:, 0]], torch.ones(int(known[:, 0].sum())), rtol=0, atol=2e-3)
    assert 0.3 < known.float().mean() < 0.9
    assert image.abs().max() <= 1 and (image[~known].abs() > 0).all()  # the edge is repeated


def test_a_shift_makes_the_uncovered_columns_unknown():
    matrix = torch.eye(3)[None].clone()
    matrix[0, 0, 2] = 5
    seen = augmentation.warp(torch.ones(1, 1, 8, 8), matrix)[0, 0]
    assert torch.equal(seen, (torch.arange(8) >= 5).float().expand(8, 8))


def test_views_are_drawn_from_the_papers_ranges():
    matrix = augmentation.draw(2000, (40, 20), rng())
    scale = torch.linalg.det(matrix[:, :2, :2]).abs().sqrt()
    mirrored = torch.linalg.det(matrix[:, :2, :2]) < 0
    angle = torch.atan2(matrix[:, 0, 1], matrix[:, 1, 1]).rad2deg()
    centre = (matrix @ torch.tensor([9.5, 19.5, 1]))[:, :2] - torch.tensor([9.5, 19.5])
    assert 0.5 <= scale.min() < 0.55 and 1.9 < scale.max() <= 2
    assert 0.45 < mirrored.float().mean() < 0.55 and 0.45 < (scale < 1).float().mean() < 0.55
    assert 9 < angle.abs().max() <= 10.001
    assert (centre.abs().amax(0) <= torch.tensor([10.01, 20.01])).all() and (centre.abs().amax(0) > 9).all()


def test_views_follow_from_the_seed_and_jitter_changes_colours_only():
    soft = torch.rand(4, 3, 16, 16, generator=rng()).softmax(1)
    picture = torch.rand(4, 3, 16, 16, generator=rng(1)) * 2 - 1
    plain, again, other = (augmentation.augment(picture, soft, rng(seed))[0] for seed in (3, 3, 4))
    assert torch.equal(plain, again) and not torch.equal(plain, other)
    before = torch.get_rng_state()
    jittered, moved, known = augmentation.augment(picture, soft, rng(3), color_jitter=True)
    assert torch.equal(torch.get_rng_state(), before)
    assert jittered.abs().max() <= 1 + 1e-5 and 0.01 < (jittered - plain).abs().mean() < 0.4
    _, expected, expected_known = augmentation.augment(picture, soft, rng(3))
    assert torch.equal(moved, expected) and torch.equal(known, expected_known)


def test_soft_cross_entropy_of_certain_labels_is_the_usual_one():
    logits, target = torch.randn(2, 3, 4, 4, generator=rng()), torch.randint(3, (2, 4, 4), generator=rng())
    known = torch.rand(2, 4, 4, generator=rng()) < 0.6
    soft = F.one_hot(target, 3).permute(0, 3, 1, 2).float()
    expected = F.cross_entropy(logits, target.where(known, torch.tensor(-100)))
    torch.testing.assert_close(soft_cross_entropy(logits, soft, known), expected)
    assert soft_cross_entropy(logits, soft, known & False) == 0


def test_soft_cross_entropy_is_least_at_the_soft_labels_and_blind_where_nothing_is_known():
    soft = torch.rand(1, 3, 4, 4, generator=rng()).softmax(1)
    logits = soft.log().requires_grad_()
    known = torch.zeros(1, 4, 4, dtype=torch.bool)
    known[:, 1:] = True
    soft_cross_entropy(logits, soft, known).backward()
    torch.testing.assert_close(logits.grad, torch.zeros_like(logits), rtol=0, atol=1e-7)
    logits = torch.randn(1, 3, 4, 4, generator=rng(), requires_grad=True)
    soft_cross_entropy(logits, soft, known).backward()
    assert (logits.grad[:, :, 0] == 0).all() and (logits.grad[:, :, 1:] != 0).all()
