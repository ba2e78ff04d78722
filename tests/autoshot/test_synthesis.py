"""Pairs: pictures and what a few-shot segmenter says of them."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from small_autoshot import CLASSES, everything

from toolkit import autoshot, fewshot
from toolkit.autoshot import synthesis
from toolkit.errors import ToolkitError
from toolkit.pictures import images


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
