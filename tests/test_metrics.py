import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics import JaccardIndex

from toolkit.errors import LabelError, ShapeError
from toolkit.metrics import ConfusionMatrix, boundary_f_score, frechet_distance, psnr


def label_maps(num_classes, seed, unlabelled=0.2, used=None):
    """Prediction and truth (2, 5, 6) in which only the first `used` classes occur."""
    rng = torch.Generator().manual_seed(seed)
    prediction, truth = torch.randint(used or num_classes, (2, 2, 5, 6), generator=rng)
    truth[torch.rand(truth.shape, generator=rng) < unlabelled] = 255
    return prediction, truth


def matrix_of(prediction, truth, num_classes):
    matrix = ConfusionMatrix(num_classes)
    matrix.update(prediction, truth)
    return matrix


@settings(max_examples=40, deadline=None)
@given(num_classes=st.integers(2, 11), seed=st.integers(0, 999), data=st.data())
def test_iou_agrees_with_torchmetrics(num_classes, seed, data):
    used = data.draw(st.integers(1, num_classes))
    prediction, truth = label_maps(num_classes, seed, data.draw(st.sampled_from([0, 0.3])), used)
    matrix = matrix_of(prediction, truth, num_classes)
    theirs = {
        average: JaccardIndex("multiclass", num_classes=num_classes, average=average, ignore_index=255)
        for average in ("none", "weighted", "macro")
    }
    theirs = {average: metric(prediction, truth).double() for average, metric in theirs.items()}
    torch.testing.assert_close(matrix.iou().nan_to_num(), theirs["none"], atol=1e-6, rtol=0)
    assert matrix.weighted_iou() == pytest.approx(float(theirs["weighted"]), abs=1e-6)
    assert matrix.mean_iou() == pytest.approx(float(theirs["macro"]), abs=1e-6)


@settings(max_examples=40, deadline=None)
@given(num_classes=st.integers(2, 6), data=st.data())
def test_iou_agrees_where_classes_are_only_predicted_or_only_true(num_classes, data):
    """Every pixel drawn on its own: classes that only one of the maps has, or neither, and hardly a pixel labelled."""
    values = st.integers(0, num_classes - 1)
    prediction = torch.tensor([[data.draw(st.lists(values, min_size=6, max_size=6))]])
    truth = torch.tensor([[data.draw(st.lists(values | st.just(255), min_size=6, max_size=6))]])
    matrix = matrix_of(prediction, truth, num_classes)
    theirs = JaccardIndex("multiclass", num_classes=num_classes, average="none", ignore_index=255)
    each = theirs(prediction, truth).double()
    torch.testing.assert_close(matrix.iou().nan_to_num(), each, atol=1e-6, rtol=0)
    known = truth != 255
    present = torch.tensor([((prediction == c) & known).any() or (truth == c).any() for c in range(num_classes)])
    assert torch.equal(~matrix.iou().isnan(), present)  # an absent class has no IoU, a missed one has 0
    support = torch.tensor([(truth == c).sum() for c in range(1, num_classes)]).double()
    if support.sum():  # as in the paper's 3-class tables: the parts alone
        parts = float((each[1:] * support).sum() / support.sum())
        assert matrix.weighted_iou(include_background=False) == pytest.approx(parts, abs=1e-6)


def test_iou_by_hand():
    truth = torch.tensor([[[0, 0, 0, 1, 1, 255]]])
    prediction = torch.tensor([[[0, 0, 1, 1, 2, 2]]])
    matrix = matrix_of(prediction, truth, 4)
    assert matrix.counts.sum() == 5
    assert matrix.iou()[:3].tolist() == pytest.approx([2 / 3, 1 / 3, 0]) and matrix.iou()[3].isnan()
    assert matrix.weighted_iou() == pytest.approx((3 * 2 / 3 + 2 * 1 / 3) / 5)
    assert matrix.weighted_iou(include_background=False) == pytest.approx(1 / 3)
    assert matrix.mean_iou() == pytest.approx((2 / 3 + 1 / 3 + 0) / 3)
    assert matrix.mean_iou(include_background=False) == pytest.approx((1 / 3 + 0) / 2)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_updates_add_up(seed):
    prediction, truth = label_maps(5, seed)
    matrix = ConfusionMatrix(5)
    for p, t in zip(prediction, truth):
        matrix.update(p, t)
    assert torch.equal(matrix.counts, matrix_of(prediction, truth, 5).counts)


def test_perfect_and_empty():
    _, truth = label_maps(4, 0, unlabelled=0)
    assert matrix_of(truth, truth, 4).weighted_iou() == matrix_of(truth, truth, 4).mean_iou() == 1
    empty = ConfusionMatrix(3)
    assert empty.iou().isnan().all() and math.isnan(empty.weighted_iou()) and math.isnan(empty.mean_iou())


def test_what_cannot_be_counted_is_refused():
    matrix, zeros = ConfusionMatrix(3), torch.zeros(1, 2, 2, dtype=torch.int64)
    with pytest.raises(ShapeError, match=r"ConfusionMatrix.update: expected prediction like truth, Tensor \(1, 2, 2\)"):
        matrix.update(zeros[0], zeros)
    with pytest.raises(ShapeError, match="both integers; got Tensor .* float32"):
        matrix.update(zeros.float(), zeros)
    with pytest.raises(LabelError, match="expected truth in 0..2; got Tensor"):
        matrix.update(zeros, zeros + 3)
    with pytest.raises(LabelError, match="expected prediction in 0..2; got Tensor"):
        matrix.update(zeros + 255, zeros)
    with pytest.raises(LabelError, match="expected 2 to 255 classes; got 1"):
        ConfusionMatrix(1)
    assert matrix.counts.sum() == 0


def test_psnr_of_a_constant_error():
    a = torch.zeros(3, 3, 4, 4)
    b = torch.tensor([0.0, 0.2, 2.0]).view(3, 1, 1, 1).expand_as(a)
    torch.testing.assert_close(psnr(a, b), torch.tensor([math.inf, 20.0, 0.0]))
    with pytest.raises(ShapeError, match="psnr: expected two images"):
        psnr(a, b[:1])


def gaussian(size, seed):
    rng = torch.Generator().manual_seed(seed)
    root = torch.randn(size, size, generator=rng, dtype=torch.float64)
    return torch.randn(size, generator=rng, dtype=torch.float64), root @ root.T


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 8), seed=st.integers(0, 999))
def test_frechet_with_equal_covariance_is_the_squared_distance_of_means(size, seed):
    (m1, cov), (m2, _) = gaussian(size, seed), gaussian(size, seed + 1)
    assert frechet_distance(m1, cov, m2, cov) == pytest.approx(float((m1 - m2).square().sum()), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(size=st.integers(1, 8), seed=st.integers(0, 999))
def test_frechet_of_commuting_covariances(size, seed):
    mean, cov = gaussian(size, seed)
    basis = torch.linalg.eigh(cov).eigenvectors
    rng = torch.Generator().manual_seed(seed)
    a, b = torch.rand(2, size, generator=rng, dtype=torch.float64)
    cov1, cov2 = (basis @ torch.diag(s**2) @ basis.T for s in (a, b))
    assert frechet_distance(mean, cov1, mean, cov2) == pytest.approx(float((a - b).square().sum()), abs=1e-6)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_frechet_is_symmetric_and_rotation_invariant(seed):
    (m1, c1), (m2, c2) = gaussian(5, seed), gaussian(5, seed + 1)
    q = torch.linalg.qr(gaussian(5, seed + 2)[1]).Q
    distance = frechet_distance(m1, c1, m2, c2)
    assert distance > 0
    assert frechet_distance(m2, c2, m1, c1) == pytest.approx(distance)
    assert frechet_distance(q @ m1, q @ c1 @ q.T, q @ m2, q @ c2 @ q.T) == pytest.approx(distance)


def test_frechet_refuses_sizes_that_do_not_match():
    (m1, c1), (m2, c2) = gaussian(3, 0), gaussian(4, 0)
    with pytest.raises(ShapeError, match=r"expected means \(D,\) and covariances .*; got \(3,\), \(3, 3\), \(4,\)"):
        frechet_distance(m1, c1, m2, c2)


@pytest.mark.parametrize(("size", "tolerance"), [(16, 1), (188, 1), (400, 4)])
def test_an_outline_counts_as_met_up_to_the_tolerance(size, tolerance):
    """A square moved down: its two level edges leave the true ones, the upright ones stay but for their ends."""
    truth = torch.zeros(1, size, size, dtype=torch.int64)
    truth[:, 4:10, 4:10] = 1
    for step in range(tolerance + 1):
        assert (boundary_f_score(truth.roll(step, 1), truth, 2) == 1).all()
    far = boundary_f_score(truth.roll(tolerance + 1, 1), truth, 2)
    assert (far < 1).all() and (far > 0.3).all()


def test_boundary_f_by_hand():
    """Of a 3-pixel square's eight boundary pixels half are predicted, all rightly: F = 2 (1 * 7/8) / (1 + 7/8)."""
    truth = torch.zeros(1, 9, 9, dtype=torch.int64)
    truth[:, 3:6, 3:6] = 1
    prediction = truth.clone()
    prediction[:, 5, 5] = 0
    assert boundary_f_score(prediction, truth, 3).tolist()[1] == 1  # the lost corner is within a pixel
    prediction[:, 5, 3:6] = prediction[:, 3:6, 5] = 0  # leaves 2 x 2; only the far corner is not within a pixel
    assert boundary_f_score(prediction, truth, 3)[1].item() == pytest.approx(14 / 15)
    assert boundary_f_score(prediction, truth, 3)[2].isnan()
    assert boundary_f_score(truth * 0, truth, 2).tolist() == [0, 0]
    blank = truth.masked_fill(truth == 1, 255)
    assert boundary_f_score(prediction, blank, 2).isnan().all()  # no two known pixels differ
    with pytest.raises(LabelError, match="expected prediction in 0..1"):
        boundary_f_score(truth + 2, truth, 2)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 999))
def test_boundary_f_is_symmetric_blind_to_turns_and_one_only_near(seed):
    prediction, truth = label_maps(3, seed, unlabelled=0)
    score = boundary_f_score(prediction, truth, 3)
    assert (boundary_f_score(truth, truth, 3).nan_to_num(1) == 1).all() and ((0 <= score) & (score <= 1)).all()
    torch.testing.assert_close(boundary_f_score(truth, prediction, 3), score)
    torch.testing.assert_close(boundary_f_score(prediction.rot90(1, (1, 2)), truth.rot90(1, (1, 2)), 3), score)
