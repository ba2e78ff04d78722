"""Auto-shot: pairs, views, training, the network, its files; and that a kill loses nothing."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from command_line import run
from PIL import Image
from torch import nn

from toolkit import autoshot, fewshot
from toolkit.autoshot import augmentation, distillation, synthesis
from toolkit.autoshot.distillation import UNetPlan, soft_cross_entropy
from toolkit.autoshot.segmenter import AutoShotSegmenter
from toolkit.autoshot.unet import ImageNetUNet, UNet
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.pictures import images
from toolkit.projection.imagenet import ImageNetFeatures, imagenet_features

ROOT = Path(__file__).parent.parent
CLASSES = ("background", "bright", "brighter")
SMALL = {"width": 2, "num_epochs": 2, "batch_size": 16, "mixed_precision": "no"}


@pytest.fixture(scope="module")
def segmenter(tiny_gan):
    """Three classes by brightness, learned from one generated picture."""
    sample = tiny_gan.sample(seed=1)
    brightness = sample.image.mean(1)
    label_map = torch.bucketize(brightness, brightness.quantile(torch.tensor([0.4, 0.7])))
    shot = fewshot.Shot(sample, label_map, CLASSES, tiny_gan)
    return fewshot.fit(tiny_gan, [shot], network="linear", num_steps=60)


@pytest.fixture(scope="module")
def segmenter_file(segmenter, tmp_path_factory):
    path = tmp_path_factory.mktemp("segmenter") / "few.safetensors"
    segmenter.save(path)
    return path


@pytest.fixture(scope="module")
def pairs(segmenter):
    return autoshot.synthesize(segmenter, 100)


@pytest.fixture
def unet():
    torch.manual_seed(0)
    network = UNet(3, width=2)
    network(torch.randn(8, 3, 32, 32))  # so that batch norm has statistics
    return AutoShotSegmenter(network, CLASSES, 32)


class ByBrightness(nn.Module):
    """Background where a picture is dark, class 1 where it is bright."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, image):
        brightness = image.mean(1, keepdim=True)
        return torch.cat([-brightness, brightness, torch.full_like(brightness, -9)], 1)


def everything(pairs):
    """All pairs, dropped ones included: image, soft."""
    chosen = torch.ones(pairs.num_images, dtype=torch.bool)
    return tuple(map(torch.cat, zip(*(pairs.read(i, chosen) for i in range(pairs.num_shards)))))


# ---- synthesis ---------------------------------------------------------------------------------
def test_a_pair_is_a_generated_picture_and_the_segmenters_probabilities(segmenter, monkeypatch):
    seen = []

    def spy(*arguments, **options):
        seen.append(original(*arguments, **options))
        return seen[-1]

    original = segmenter.gan.drawn
    monkeypatch.setattr(segmenter.gan, "drawn", spy)
    pairs = autoshot.synthesize(segmenter, 40)
    seen.clear()
    image, soft = everything(pairs)
    expected = torch.cat([picture for picture, _ in seen])[:40].clamp(-1, 1)
    logits = torch.cat([segmenter.network(columns) for _, columns in seen])[:40]
    torch.testing.assert_close(image / 127.5 - 1, expected, rtol=0, atol=0.5 / 127.5 + 1e-6)
    torch.testing.assert_close(soft / 255, logits.softmax(1), rtol=0, atol=0.5 / 255 + 1e-6)
    assert len({picture.numpy().tobytes() for picture in image}) == 40


def test_photographs_are_labelled_as_the_encoder_sees_them(seeing, shot):
    few = fewshot.fit(seeing, [shot], num_steps=3)
    photographs = np.random.default_rng(0).integers(0, 256, (90, 3, 16, 16), dtype=np.uint8)
    pairs = autoshot.synthesize(few, 70, photographs=photographs)
    image, soft = everything(pairs)
    given = {one.tobytes() for one in photographs}
    assert len({one.numpy().tobytes() for one in image} & given) == 70
    logits = few.predict(seeing.project(image / 127.5 - 1, num_steps=0, judge=False))
    torch.testing.assert_close(soft / 255, logits.softmax(1), rtol=0, atol=0.5 / 255 + 1e-6)
    keys = [autoshot.synthesize(few, 70, **options).key for options in ({"photographs": photographs[::-1]}, {})]
    assert len({pairs.key, *keys}) == 3  # the same folder would not take others


def test_photographs_of_more_pixels_are_labelled_by_what_these_show(seeing, shot):
    few = fewshot.fit(seeing, [shot], num_steps=3)
    finer = np.random.default_rng(0).integers(0, 256, (20, 3, 32, 32), dtype=np.uint8)
    image, soft = everything(autoshot.synthesize(few, 16, photographs=finer))
    given = {one.tobytes() for one in finer}
    assert len({one.numpy().tobytes() for one in image} & given) == 16  # the U-Net sees as much as its teacher
    detail = images.as_float(image)
    sample = seeing.project(F.avg_pool2d(detail, 2), num_steps=0, judge=False)
    coarse, sample.detail = few.predict(sample), detail
    fine = few.predict(sample)
    wanted = F.interpolate(fine, size=(32, 32), mode="bilinear", align_corners=False).softmax(1)
    torch.testing.assert_close(soft / 255, wanted, rtol=0, atol=0.5 / 255 + 1e-6)
    assert (coarse - fine).abs().max() > 0.01
    assert autoshot.train(autoshot.synthesize(few, 16, photographs=finer), width=2, num_epochs=1).resolution == 32


def test_photographs_that_do_not_suit_are_refused(seeing, shot, segmenter):
    few, photographs = fewshot.fit(seeing, [shot], num_steps=3), np.zeros((9, 3, 16, 16), np.uint8)
    for wrong in (photographs, photographs[:, :, 1:], photographs.astype(np.float32)):
        with pytest.raises(
            ToolkitError, match=r"synthesize: expected photographs \(N, 3, 16, 16\) uint8, N >= 10; got"
        ):
            autoshot.synthesize(few, 10, photographs=wrong)
    with pytest.raises(ToolkitError, match="synthesize: expected a GAN with an encoder for photographs; got none"):
        autoshot.synthesize(segmenter, 9, photographs=photographs)


def test_a_folder_changes_nothing(segmenter, pairs, tmp_path):
    kept = autoshot.synthesize(segmenter, 100, out_dir=tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["shard-00000.safetensors", "shard-00001.safetensors"]
    assert all(map(torch.equal, everything(kept), everything(pairs)))
    assert torch.equal(kept.kept, pairs.kept) and kept.balance == pairs.balance
    other = autoshot.synthesize(segmenter, 100, seed=1)
    assert not torch.equal(everything(other)[0], everything(pairs)[0])


def test_only_missing_damaged_and_halved_shards_are_made_again(segmenter, tmp_path):
    whole = everything(autoshot.synthesize(segmenter, 250, out_dir=tmp_path))
    missing, damaged, *fine = sorted(tmp_path.iterdir())
    before = [path.stat().st_mtime_ns for path in fine]
    missing.unlink()
    damaged.write_bytes(damaged.read_bytes()[:-100])
    half = tmp_path / ".shard-00000-abc.safetensors"
    half.write_bytes(b"half")
    again = autoshot.synthesize(segmenter, 250, out_dir=tmp_path)
    assert all(map(torch.equal, everything(again), whole))
    assert [path.stat().st_mtime_ns for path in fine] == before and not half.exists()


def test_more_pictures_keep_the_full_shards(segmenter, pairs, tmp_path):
    autoshot.synthesize(segmenter, 100, out_dir=tmp_path)
    first = tmp_path / "shard-00000.safetensors"
    before = first.stat().st_mtime_ns
    more = autoshot.synthesize(segmenter, 130, out_dir=tmp_path)
    assert first.stat().st_mtime_ns == before and more.num_shards == 3
    assert torch.equal(everything(more)[0][:100], everything(pairs)[0])


def test_a_folder_of_other_pairs_is_left_alone(segmenter, tmp_path):
    autoshot.synthesize(segmenter, 2, out_dir=tmp_path)
    for options in ({"seed": 1}, {"truncation_psi": 0.5}):
        with pytest.raises(ToolkitError, match="synthesize: expected pairs of this segmenter, seed .* got other ones"):
            autoshot.synthesize(segmenter, 2, out_dir=tmp_path, **options)


@pytest.mark.parametrize(
    "num_images, drop, kept", [(10, 0.0, 10), (10, 0.3, 7), (10, 0.8, 2), (2, 0.4, 2), (3, 0.33, 3)]
)
def test_drop_leaves_out_the_most_uncertain(segmenter, num_images, drop, kept):
    pairs = autoshot.synthesize(segmenter, num_images, drop=drop)
    soft = everything(pairs)[1].double().clamp(min=1e-9) / 255
    entropy = -(soft * soft.log()).sum(1).mean((1, 2))
    assert int(pairs.kept.sum()) == kept
    if kept < num_images:
        assert entropy[pairs.kept].max() <= entropy[~pairs.kept].min() + 1e-3


def test_drop_counts_pictures_that_are_equally_uncertain(pairs):
    other = synthesis.Pairs(pairs.segmenter, 10, 1.0, 0, None)
    other.judge(torch.full((10, 4), 0.25), 0.5)
    assert int(other.kept.sum()) == 5


@pytest.mark.parametrize("num_images, drop", [(1, 0.0), (0, 0.0), (10, 1.0), (10, -0.1), (10, 0.9), (2, 0.5), (9, "0")])
def test_synthesize_refuses_to_leave_nothing(segmenter, num_images, drop):
    with pytest.raises(
        ToolkitError, match="synthesize: expected (num_images >= 2|0 <= drop < 1 and two pictures left)"
    ):
        autoshot.synthesize(segmenter, num_images, drop=drop)


def test_some_pictures_validate_and_some_do_not(pairs):
    for num in (*range(2, 45), 100, 1000):
        other = synthesis.Pairs(pairs.segmenter, num, 1.0, 0, None)
        other.judge(torch.rand(num, 4), 0.0)
        assert 1 <= int(other.validation.sum()) == math.ceil(num / 20) < num
        assert not (other.validation & ~other.kept).any()


def test_balance_is_the_share_of_each_class(pairs):
    soft = everything(pairs)[1].float().mean((0, 2, 3)) / 255
    assert tuple(pairs.balance) == CLASSES and sum(pairs.balance.values()) == pytest.approx(1)
    torch.testing.assert_close(torch.tensor(list(pairs.balance.values())), soft, rtol=0, atol=2e-3)


# ---- views -------------------------------------------------------------------------------------
STILL = {"flip": 0.0, "scale": (1.0, 1.0), "rotation": 0.0, "shift": 0.0}


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


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


# ---- training ----------------------------------------------------------------------------------
def clouds(num, seed):
    """Pictures (num, 3, 16, 16) of soft light and dark, and three classes by brightness."""
    light = F.interpolate(torch.rand(num, 1, 4, 4, generator=rng(seed)) * 2 - 1, size=16, mode="bilinear")
    return light.expand(-1, 3, -1, -1), torch.bucketize(light[:, 0], torch.tensor([-0.2, 0.2]))


def test_it_learns_its_labels_whatever_the_view(segmenter, monkeypatch):
    def make(pairs, i):
        image, label_map = clouds(pairs.size(i), i)
        soft = F.one_hot(label_map, 3).permute(0, 3, 1, 2)
        return {"image": ((image + 1) * 127.5).byte(), "soft": 255 * soft.byte(), "summary": torch.zeros(len(image), 4)}

    monkeypatch.setattr(synthesis.Pairs, "_make", make)
    auto = segmenter.autoshot(192, width=8, num_epochs=6, batch_size=8)
    image, truth = clouds(40, 99)
    assert (auto.predict(image).argmax(1) == truth).float().mean() > 0.85
    moved = augmentation.warp(image, augmentation.draw(40, (16, 16), rng()), padding_mode="border")
    truth = torch.bucketize(moved[:, 0].contiguous(), torch.tensor([-0.2, 0.2]))
    assert (auto.predict(moved.clamp(-1, 1)).argmax(1) == truth).float().mean() > 0.8


def test_a_training_goes_on_exactly_where_it_stopped(pairs, tmp_path):
    unbroken = autoshot.train(pairs, **SMALL, out_dir=tmp_path / "a")
    steps = autoshot.training(pairs, **SMALL, out_dir=tmp_path / "b")
    first = next(steps)
    assert (first.stage, first.done, first.total) == ("train", 1, 12) and first.loss > 0
    while next(steps).done < 9:  # into the second epoch
        pass
    steps.close()
    resumed = [step.done for step in autoshot.training(pairs, **SMALL, out_dir=tmp_path / "b")]
    assert resumed[0] == 7  # the second epoch anew
    paths = [tmp_path / name / "best.safetensors" for name in "ab"]
    a, b = (AutoShotSegmenter.load(path).network.state_dict() for path in paths)
    assert all(torch.equal(a[k], b[k]) and torch.equal(a[k], unbroken.network.state_dict()[k]) for k in a)
    rows = (tmp_path / "b" / "log.csv").read_text().splitlines()
    assert rows[0] == "epoch,loss,val_loss,val_iou,seconds" and [row[0] for row in rows[1:]] == ["1", "2"]
    assert [step.done for step in autoshot.training(pairs, **SMALL, out_dir=tmp_path / "b")] == [12]  # all done


def test_it_has_the_terms_of_its_gan(pairs, monkeypatch):
    plan = SMALL | {"num_epochs": 1}
    assert "licence" not in autoshot.train(pairs, **plan).about()
    monkeypatch.setitem(pairs.segmenter.gan.metadata, "licence", "research use only")
    assert autoshot.train(pairs, **plan).licence == "research use only"


def test_it_has_the_fit_of_its_gan(pairs, monkeypatch):
    plan = SMALL | {"num_epochs": 1}
    assert autoshot.train(pairs, **plan).about()["fit"] == "crop"
    monkeypatch.setattr(pairs.segmenter.gan, "fit", "pad")
    assert autoshot.train(pairs, **plan).fit == "pad"


def test_a_folder_of_another_training_is_left_alone(pairs, tmp_path):
    autoshot.train(pairs, **SMALL | {"num_epochs": 1}, out_dir=tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(ToolkitError, match="train: expected a training with these pairs and options .* another one"):
        autoshot.train(pairs, **SMALL, out_dir=tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_it_stops_early_and_keeps_the_best(pairs, monkeypatch, tmp_path):
    losses = iter([0.5, 0.3, 0.4, 0.4, 0.4])
    monkeypatch.setattr(distillation._Job, "_validate", lambda job: (next(losses), 0.5))
    options = {**SMALL, "num_epochs": 9, "patience": 2}
    steps, after_two = autoshot.training(pairs, **options, out_dir=tmp_path), None
    for step in steps:
        if step.done == 13:  # the first of the third epoch
            after_two = AutoShotSegmenter.load(tmp_path / "best.safetensors").network.state_dict()
    assert (step.done, step.total, step.eta) == (54, 54, 0.0)
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + 4
    assert all(torch.equal(value, after_two[name]) for name, value in step.result.network.state_dict().items())


def test_few_pictures_make_full_batches(segmenter):
    """One picture to learn from, one to validate on: batch norm would refuse a batch of one."""
    pairs = autoshot.synthesize(segmenter, 2)
    job = distillation._Job(pairs, UNetPlan(**SMALL), None)
    batches = list(job._batches())
    assert [len(image) for image, _ in batches] == [16]
    assert autoshot.train(pairs, **SMALL).classes == CLASSES


def test_an_epoch_shows_every_picture_to_learn_from_and_no_other(segmenter):
    pairs = autoshot.synthesize(segmenter, 700, drop=0.1)
    job = distillation._Job(pairs, UNetPlan(**SMALL), None)
    known = {picture.tobytes(): i for i, picture in enumerate(everything(pairs)[0].numpy())}
    orders = []
    for job.epoch in (0, 1):
        shown = torch.cat([image for image, _ in job._batches()])
        shown = ((shown + 1) * 127.5).round().byte().numpy()
        orders.append([known[picture.tobytes()] for picture in shown])
        assert len(orders[-1]) == 16 * job.num_steps
        assert set(orders[-1]) == set((pairs.kept & ~pairs.validation).nonzero()[:, 0].tolist())
    assert orders[0] != orders[1]


def test_bfloat16_and_jitter_train_too(pairs):
    auto = autoshot.train(pairs, **SMALL | {"mixed_precision": "bf16"}, color_jitter=True)
    assert all(value.isfinite().all() for value in auto.network.state_dict().values())


def test_trying_precisions_leaves_no_trace(pairs, monkeypatch):
    def dtype_of(mixed_precision, trial, device):
        for dtype in (torch.float32, torch.bfloat16):
            trial(dtype)
        return torch.float32

    plain = autoshot.train(pairs, **SMALL).network.state_dict()
    monkeypatch.setattr(distillation, "dtype_of", dtype_of)
    tried = autoshot.train(pairs, **SMALL | {"mixed_precision": "auto"}).network.state_dict()
    assert all(torch.equal(value, plain[name]) for name, value in tried.items())


@pytest.mark.parametrize(
    "options, message",
    [
        ({"num_images": 0}, "synthesize: expected num_images >= 2, a whole number; got 0."),
        ({"num_images": 2.5}, "synthesize: expected num_images >= 2, a whole number; got 2.5."),
        ({"drop": 1.0}, "synthesize: expected 0 <= drop < 1 and two pictures left to learn from; got drop 1.0 of 10."),
        ({"num_epochs": 0}, "train: expected num_epochs >= 1, a whole number; got 0."),
        ({"width": 0}, "train: expected width >= 1, a whole number; got 0."),
        ({"patience": 0.5}, "train: expected patience >= 1, a whole number; got 0.5."),
        ({"batch_size": 1}, "train: expected batch_size >= 2, a whole number; got 1."),
        ({"start": "afresh"}, "train: expected start scratch or imagenet; got 'afresh'."),
        ({"seed": -1}, "train: expected seed from 0 to 4294967295, a whole number; got -1."),
        ({"mixed_precision": "fp16"}, 'train: expected mixed_precision "auto", "bf16" or "no"; got \'fp16\'.'),
    ],
)
def test_what_cannot_be_done_is_refused_before_any_picture_is_made(segmenter, tmp_path, options, message):
    with pytest.raises(ToolkitError) as error:
        next(autoshot.distilling(segmenter, **{"num_images": 10, "out_dir": tmp_path, **options}))
    assert str(error.value).startswith(message)
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_option_is_refused_before_any_picture_is_made(segmenter, tmp_path):
    with pytest.raises(TypeError, match="epochs"):
        next(autoshot.distilling(segmenter, 10, out_dir=tmp_path, epochs=3))
    assert list(tmp_path.iterdir()) == []


def test_small_pictures_and_single_ones_train(segmenter, monkeypatch):
    """Eight pixels are fewer than a U-Net halves; and one picture of 32 is enough for a step."""
    for side, batch_size in ((8, 2), (32, 1)):
        shard = {
            "image": torch.zeros(10, 3, side, side, dtype=torch.uint8),
            "soft": torch.full((10, 3, side, side), 85, dtype=torch.uint8),
            "summary": torch.zeros(10, 4),
        }
        monkeypatch.setattr(synthesis.Pairs, "_make", lambda pairs, i, shard=shard: shard)
        small = autoshot.synthesize(segmenter, 10)
        small.resolution = side
        auto = autoshot.train(small, **SMALL | {"batch_size": batch_size, "num_epochs": 1})
        assert auto.predict(torch.zeros(1, 3, side, side)).shape == (1, 3, side, side)


def test_a_page_sees_both_stages_and_may_stop(segmenter, tmp_path):
    steps = list(autoshot.distilling(segmenter, 100, **SMALL))
    assert [step.stage for step in steps] == ["synthesise"] * 3 + ["train"] * 13
    assert [step.done for step in steps[:3]] == [0, 64, 100] and steps[-1].result.classes == CLASSES
    assert all(step.result is None and step.eta >= 0 for step in steps[:-1])
    stopped = autoshot.distilling(segmenter, 100, out_dir=tmp_path, **SMALL)
    assert [next(stopped).done for _ in range(2)] == [0, 64]
    stopped.close()
    assert [path.name for path in (tmp_path / "pairs").iterdir()] == ["shard-00000.safetensors"]


# ---- the network -------------------------------------------------------------------------------
@pytest.mark.parametrize("size", [(1, 1), (17, 40), (64, 64), (300, 20)])
def test_any_size_of_picture_in_its_own_pixels(unet, size):
    picture = Image.effect_noise(size, 60)
    result = unet.segment(picture)
    assert result.label_map.shape == result.full_label_map.shape == size[::-1] == result.image.shape[1:]
    assert torch.equal(result.label_map, result.full_label_map) and result.full_image.size == size
    assert (result.psnr, result.trust, result.reconstruction) == (None, None, None)
    assert sum(result.areas().values()) == size[0] * size[1]


def test_a_large_upload_keeps_its_size_and_its_parts_their_place():
    auto = AutoShotSegmenter(ByBrightness(), CLASSES, 32)
    pixels = np.zeros((1000, 1500, 3), np.uint8)
    pixels[:, :500] = pixels[900:] = 255
    result = auto.segment(pixels)
    assert result.label_map.numel() <= 1 << 20 and result.full_label_map.shape == (1000, 1500)
    wrong = result.full_label_map != torch.from_numpy(pixels[..., 0] // 255)
    assert wrong.float().mean() < 0.01  # along the edges: the network saw 32 rows


def test_a_long_picture_is_seen_smaller(unet, monkeypatch):
    seen = []
    monkeypatch.setattr(AutoShotSegmenter, "predict", lambda self, x: seen.append(x) or torch.zeros(len(x), 3, 2, 2))
    unet.segment(Image.new("RGB", (4000, 2)))
    unet.segment(Image.new("RGB", (400, 200)))
    unet.segment(Image.new("RGB", (400, 200)), resolution=128)
    assert [tuple(x.shape[2:]) for x in seen] == [(1, 512), (32, 64), (128, 256)]


def test_predict_adds_nothing_where_nothing_is_missing(unet):
    picture = torch.rand(2, 3, 32, 48, generator=rng()) * 2 - 1
    assert torch.equal(unet.predict(picture), unet.network(picture))
    assert unet.predict(picture[:, :, :31, :33]).shape == (2, 3, 31, 33)


def test_a_list_is_its_pictures_one_by_one(unet, tmp_path):
    Image.effect_noise((50, 40), 60).save(tmp_path / "a.png")
    Image.effect_noise((40, 50), 60).save(tmp_path / "b.png")
    a, b = tmp_path / "a.png", tmp_path / "b.png"
    sources = [a, b, Image.open(a), images.load_image(b)]
    together = unet.segment(sources)
    assert len(together) == 4 and isinstance(unet.segment(sources[:1]), list)
    for source, result in zip(sources, together):
        assert torch.equal(unet.segment(source).label_map, result.label_map)
    assert len(unet.segment(torch.zeros(3, 3, 20, 20))) == 3


@pytest.mark.parametrize("resolution", [0, 2.5, "64"])
def test_segment_refuses_other_resolutions(unet, resolution):
    with pytest.raises(ToolkitError, match="segment: expected resolution >= 1, an int"):
        unet.segment(Image.new("RGB", (8, 8)), resolution=resolution)


def test_save_and_load_keep_everything(unet, segmenter_file, tmp_path):
    unet.palette, unet.licence = unet.palette[::-1].copy(), "research use only"
    unet.save(tmp_path / "a.safetensors")
    again = fewshot.load_segmenter(tmp_path / "a.safetensors")
    picture = torch.rand(1, 3, 32, 32, generator=rng()) * 2 - 1
    assert torch.equal(again.predict(picture), unet.predict(picture))
    assert again.licence == "research use only" and again.about()["licence"] == again.licence
    assert again.classes == CLASSES and again.resolution == 32 and (again.palette == unet.palette).all()
    unet.save(tmp_path / "half.safetensors", torch.float16)
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("a", "half")]
    assert sizes[1] < 0.7 * sizes[0]
    torch.testing.assert_close(
        AutoShotSegmenter.load(tmp_path / "half.safetensors").predict(picture), unet.predict(picture), rtol=0, atol=2e-2
    )
    assert isinstance(fewshot.load_segmenter(segmenter_file), fewshot.Segmenter)


def test_a_network_that_starts_from_imagenet(pairs, tmp_path):
    torch.manual_seed(0)
    fresh, photograph = ImageNetUNet(3, width=4), torch.rand(1, 3, 33, 50, generator=rng()) * 2 - 1
    parts = [parameter for part in fresh.rates() for parameter in part.parameters()]
    assert {id(p) for p in parts} == {id(p) for p in fresh.parameters()} and len(parts) == len(list(fresh.parameters()))
    assert fresh.eval()(photograph).shape == (1, 3, 33, 50)
    # It learns on from ImageNet's weights, at half the rate of what is new; nobody else's weights change.
    theirs = ImageNetFeatures().state_dict()
    fixed = {k: v.clone() for k, v in imagenet_features().state_dict().items()}
    auto = autoshot.train(pairs, **SMALL | {"start": "imagenet", "num_epochs": 1}, out_dir=tmp_path)
    moved = {k: v for k, v in auto.network.features.state_dict().items() if not torch.equal(v, theirs[k])}
    assert moved and all("running" not in name for name in moved)
    assert all(torch.equal(v, fixed[k]) for k, v in imagenet_features().state_dict().items())
    again = AutoShotSegmenter.load(tmp_path / "best.safetensors")
    assert torch.equal(again.predict(photograph), auto.predict(photograph))
    onnxruntime = pytest.importorskip("onnxruntime")
    auto.export_onnx(tmp_path / "parts.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "parts.onnx", providers=["CPUExecutionProvider"])
    logits = session.run(["logits"], {"image": photograph.numpy()})[0]
    torch.testing.assert_close(torch.from_numpy(logits), auto.predict(photograph), rtol=0, atol=1e-4)


def test_batch_norm_knows_pictures_as_they_are(pairs, monkeypatch):
    """Not views of them, however these look: after an epoch its statistics are the clean pictures' own."""
    monkeypatch.setattr(distillation, "augment", lambda image, soft, *_, **__: (image * 0 - 1, soft, soft[:, 0] >= 0))
    auto = autoshot.train(pairs, **SMALL | {"num_epochs": 1, "batch_size": 100})
    first = auto.network.down[0][0]
    norm = auto.network.down[0][1]
    learned = pairs.kept & ~pairs.validation
    seen = torch.cat([pairs.read(i, learned)[0] for i in range(pairs.num_shards)]).float() / 127.5 - 1
    with torch.no_grad():
        found = first(seen)
    torch.testing.assert_close(norm.running_mean, found.mean((0, 2, 3)), rtol=0.1, atol=0.02)
    torch.testing.assert_close(norm.running_var, found.var((0, 2, 3)), rtol=0.15, atol=0.02)


def test_a_network_is_gone_on_from_at_another_resolution(pairs, unet, tmp_path):
    """Its weights are where the training begins: with no step to speak of they are what comes out."""
    unet.save(tmp_path / "known.safetensors")
    few = SMALL | {
        "width": unet.network.classify.in_channels,
        "num_epochs": 1,
        "init_from": tmp_path / "known.safetensors",
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(distillation, "LEARNING_RATE", 1e-9)
        auto = autoshot.train(pairs, **few)
    assert auto.resolution == pairs.resolution
    for name, parameter in auto.network.named_parameters():
        torch.testing.assert_close(parameter, dict(unet.network.named_parameters())[name], rtol=0, atol=1e-5)
    for other in ({"width": 3}, {"start": "imagenet"}, {"init_from": tmp_path / "nothing.safetensors"}):
        with pytest.raises(CheckpointError, match="an init_from of start|an autoshot file"):
            autoshot.train(pairs, **few | other)
    with pytest.raises(CheckpointError, match="classes background, leaf; got start scratch, width .*Start without it"):
        autoshot.check(64, classes=("background", "leaf"), **few)


def test_files_that_are_no_auto_shot_network(unet, segmenter_file, tmp_path):
    (tmp_path / "text").write_text("text")
    for path in (tmp_path / "nowhere", tmp_path / "text", segmenter_file):
        with pytest.raises(CheckpointError, match="AutoShotSegmenter.load: expected an autoshot file; got"):
            AutoShotSegmenter.load(path)
    with pytest.raises(CheckpointError, match="load_segmenter: expected a segmenter or autoshot file; got"):
        fewshot.load_segmenter(tmp_path / "text")
    unet.network.classify = nn.Conv2d(2, 4, 1)
    unet.save(tmp_path / "torn")
    with pytest.raises(CheckpointError, match="AutoShotSegmenter.load: expected a whole auto-shot file; got"):
        AutoShotSegmenter.load(tmp_path / "torn")


def test_onnx_is_one_file_of_any_size_that_says_what_pytorch_says(unet, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    unet.save(tmp_path / "parts.safetensors")
    done = run("export", tmp_path / "parts.safetensors", "--onnx")
    assert done.returncode == 0 and "parts.onnx" in done.stdout, done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["parts.onnx", "parts.safetensors"]
    alone = tmp_path / "alone" / "parts.onnx"
    alone.parent.mkdir()
    (tmp_path / "parts.onnx").rename(alone)
    session = onnxruntime.InferenceSession(alone, providers=["CPUExecutionProvider"])
    about = {name: json.loads(value) for name, value in session.get_modelmeta().custom_metadata_map.items()}
    assert about["classes"] == list(CLASSES) and about["palette"] == unet.palette.tolist() and about["resolution"] == 32
    for shape in ((1, 3, 32, 32), (3, 3, 128, 128), (2, 3, 45, 77), (1, 3, 1, 200)):
        picture = torch.rand(shape, generator=rng()) * 2 - 1
        logits = session.run(["logits"], {"image": picture.numpy()})[0]
        torch.testing.assert_close(torch.from_numpy(logits), unet.predict(picture), rtol=0, atol=1e-4)


# ---- real processes ----------------------------------------------------------------------------
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


def test_killed_twice_it_finishes_and_nothing_written_is_lost(segmenter_file, tmp_path):
    """The same command killed while it synthesises, killed while it trains, then left alone."""

    def command(name):
        return [
            "autoshot",
            "--segmenter",
            segmenter_file,
            "--num-images",
            1500,
            "--width",
            2,
            "--epochs",
            3,
            "--out",
            tmp_path / name / "parts.safetensors",
            "--mixed-precision",
            "no",
        ]

    def kill_when(is_time):
        process = subprocess.Popen(
            [sys.executable, "-m", "toolkit", *map(str, command("killed"))],
            env=ENVIRONMENT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + 300
        while not is_time():
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    work = tmp_path / "killed" / "parts-work"
    kill_when(lambda: len(list(work.glob("pairs/shard-*"))) >= 2)
    shards = {path: path.stat().st_mtime_ns for path in work.glob("pairs/shard-*")}
    assert 2 <= len(shards) < 24  # of 24: it was killed half-way
    kill_when(lambda: (work / "log.csv").is_file())
    epochs = len((work / "log.csv").read_text().splitlines()) - 1
    assert 1 <= epochs < 3
    assert {path: path.stat().st_mtime_ns for path in shards} == shards
    shards = {path: path.stat().st_mtime_ns for path in work.glob("pairs/shard-*")}
    first_row = (work / "log.csv").read_text().splitlines()[1].rpartition(",")[0]

    done = run(*command("killed"))
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in work.glob("pairs/shard-*")} == shards and len(shards) == 24
    assert (work / "log.csv").read_text().splitlines()[1].rpartition(",")[0] == first_row
    assert run(*command("unbroken")).returncode == 0
    paths = [tmp_path / name / "parts.safetensors" for name in ("killed", "unbroken")]
    killed, unbroken = map(AutoShotSegmenter.load, paths)
    picture = torch.rand(4, 3, 16, 16, generator=rng()) * 2 - 1
    torch.testing.assert_close(killed.predict(picture), unbroken.predict(picture), rtol=0, atol=1e-4)


TWO_PROCESSES = """
import sys
from toolkit import autoshot, fewshot
from toolkit.autoshot import synthesis
from toolkit.training.processes import processes

made, make = [], synthesis.Pairs._make
synthesis.Pairs._make = lambda pairs, i: made.append(i) or make(pairs, i)
segmenter = fewshot.load_segmenter(sys.argv[1])
pairs = autoshot.synthesize(segmenter, 600, out_dir=sys.argv[2] + "/pairs", drop=0.1)
auto = autoshot.train(pairs, width=2, num_epochs=2, out_dir=sys.argv[2])
rank = processes().process_index
auto.save(f"{sys.argv[2]}/rank-{rank}.safetensors")
open(f"{sys.argv[2]}/rank-{rank}.txt", "w").write(" ".join(map(str, made)))
"""


def test_two_processes_make_disjoint_shards_and_one_network(segmenter, segmenter_file, tmp_path):
    (tmp_path / "script.py").write_text(TWO_PROCESSES)
    launch = [
        sys.executable,
        "-m",
        "accelerate.commands.launch",
        "--multi_gpu",
        "--num_processes",
        "2",
        "--num_machines",
        "1",
        "--mixed_precision",
        "no",
        "--dynamo_backend",
        "no",
        "--main_process_port",
        "0",
    ]
    done = subprocess.run(
        [*launch, tmp_path / "script.py", segmenter_file, tmp_path],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    made = [set(map(int, (tmp_path / f"rank-{rank}.txt").read_text().split())) for rank in (0, 1)]
    assert made[0] and made[1] and not made[0] & made[1] and made[0] | made[1] == set(range(10))
    networks = [AutoShotSegmenter.load(tmp_path / f"rank-{rank}.safetensors").network.state_dict() for rank in (0, 1)]
    assert all(torch.equal(networks[0][name], networks[1][name]) for name in networks[0])
    alone = autoshot.synthesize(segmenter, 600, drop=0.1)
    together = autoshot.synthesize(segmenter, 600, drop=0.1, out_dir=tmp_path / "pairs")
    assert all(map(torch.equal, everything(alone), everything(together)))
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert len(rows) == 3 and float(rows[2].split(",")[2]) < float(rows[1].split(",")[2])  # the loss fell


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["autoshot", "--segmenter", "nowhere", "--out", "x"], "expected a segmenter file; got nowhere"),
        (["export", "nowhere", "--onnx"], "AutoShotSegmenter.load: expected an autoshot file; got nowhere"),
        (["export", "nowhere"], "export: expected --onnx or --html; got no format."),
    ],
)
def test_a_wrong_command_is_one_line_and_status_2(arguments, message, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr
