"""What a framer learns from, and its training."""

import pytest
import torch

from toolkit.errors import ToolkitError
from toolkit.projection.framing import Framer, load_framer, placed
from toolkit.training import framer as training
from toolkit.training import scenes
from toolkit.training.framer import FramerPlan, drawn, losses, train_framer


def coordinates(num, side=32):
    """Pictures whose red and green are x and y."""
    unit = (torch.arange(side) + 0.5) / side * 1.6 - 0.8
    y, x = torch.meshgrid(unit, unit, indexing="ij")
    return torch.stack([x, y, torch.zeros_like(x)]).expand(num, 3, side, side).contiguous()


def test_a_scene_shows_the_object_where_its_target_says(monkeypatch):
    monkeypatch.setattr(scenes, "_mask", lambda where, margin, rng: torch.ones(where.shape[:3]))
    monkeypatch.setattr(scenes, "_relit", lambda image, rng: image)
    monkeypatch.setattr(scenes, "_camera", lambda image, rng: image)
    rng = torch.Generator().manual_seed(0)
    scene = scenes.draw(coordinates(40), torch.zeros(40, 3, 64, 64), rng)
    unit = torch.tensor([[0.5, 0.5, 1.0, 0.0]]).expand(40, 4)
    frames, seen = placed(unit, scene.target), 0
    for image, frame, there in zip(scene.image, frames, scene.target[:, 0], strict=True):
        if not there:
            assert (image == 0).all()
            continue
        column, row = ((frame[:2] * 64).long()).tolist()
        if 1 <= column < 63 and 1 <= row < 63:  # the middle of the object lies at its frame's centre
            assert image[:2, row, column].abs().max() < 0.1 / frame[2]
            seen += 1
    assert seen > 20


def test_absent_objects_are_absent_and_scenes_are_pictures():
    rng = torch.Generator().manual_seed(0)
    some = coordinates(64)
    pool = scenes.backgrounds(some, scenes.clutter(64, rng), rng)
    scene = scenes.draw(some, pool, rng)
    assert scene.image.shape == (64, 3, 64, 64) and scene.image.abs().max() <= 1
    assert 0.1 < 1 - scene.target[:, 0].mean() < 0.6
    side = scene.target[:, 3].exp2()
    assert side.min() > 0.2 and side.max() < 1.6


def test_repeated_edges_are_no_part_of_the_object():
    """Else a framer learns to look for stripes, which no photograph has."""
    unit = (torch.arange(40) + 0.5) / 40
    where = torch.stack(torch.meshgrid(unit, unit, indexing="xy"), 2).expand(200, 40, 40, 2)
    mask = scenes._mask(where, torch.tensor([[0.0, 0.25]]).expand(200, 2), torch.Generator().manual_seed(0))
    assert not mask[:, :10].any() and not mask[:, -10:].any()
    assert mask[:, 19:21, 19:21].mean() > 0.95 and mask[:, 20, 2].max() > 0.9


def test_losses_are_zero_for_the_truth_alone():
    target = torch.tensor([[1.0, 0.1, -0.2, -0.5, 0.3], [0.0, 9.0, 9.0, 9.0, 9.0]])
    right = target.clone()
    right[:, 0] = torch.tensor([20.0, -20.0])
    assert sum(losses(right, target).values()) < 1e-6
    for i, name in ((1, "place"), (2, "place"), (3, "zoom"), (4, "turn")):
        wrong = right.clone()
        wrong[0, i] += 0.5
        assert losses(wrong, target)[name] > 0.1
    # Nine small turns and a large one: to tell none is not the best that can be said without looking.
    turned = target[:1].repeat(10, 1)
    turned[:, 4] = torch.tensor([0.0] * 9 + [0.8])
    none, mean = turned.clone(), turned.clone()
    none[:, 4], mean[:, 4] = 0.0, turned[:, 4].mean()
    assert losses(mean, turned)["turn"] < losses(none, turned)["turn"]
    right[1, 0] = 20
    assert losses(right, target)["there"] > 5


def test_training_learns_resumes_and_refuses_others(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "POOL", 64)
    pictures = ((coordinates(8) + 1) * 127.5).to(torch.uint8)
    train_framer(pictures, "a", tmp_path / "whole", FramerPlan(64, 16), progress=False)
    path = train_framer(pictures, "a", tmp_path / "parts", FramerPlan(32, 16), progress=False)
    assert load_framer(path).metadata["windows_seen"] == 32
    train_framer(pictures, "a", tmp_path / "parts", FramerPlan(64, 16), progress=False)
    assert load_framer(path).metadata["windows_seen"] == 64 and len(load_framer(path).metadata["off"]) == 4
    assert {p.name for p in path.parent.iterdir()} == {"framer.safetensors", "checkpoint.pt", "windows.png", "log.csv"}
    with pytest.raises(ToolkitError, match="train_framer: expected a training for b; got one for a in"):
        train_framer(pictures, "b", tmp_path / "parts", FramerPlan(96, 16), progress=False)


@pytest.mark.parametrize("plan", [FramerPlan(num_windows=-1), FramerPlan(batch_size=1), FramerPlan(seed=-1)])
def test_plans_are_checked(plan, tmp_path):
    with pytest.raises(ToolkitError, match="train_framer: expected"):
        train_framer(torch.zeros(1, 3, 8, 8, dtype=torch.uint8), "a", tmp_path, plan)


def test_pictures_are_checked(tmp_path):
    with pytest.raises(ToolkitError, match=r"train_framer: expected pictures \(N, 3, R, R\) uint8, N >= 1; got"):
        train_framer(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), "a", tmp_path)


def test_drawn_pictures_are_the_gans(tiny_gan):
    found = drawn(tiny_gan.generator, 3, seed=5)
    assert found.shape == (3, 3, 16, 16) and found.dtype == torch.uint8
    assert torch.equal(found, drawn(tiny_gan.generator, 3, seed=5)) and not torch.equal(found[0], found[1])


def test_the_network_is_small():
    assert sum(p.numel() for p in Framer().parameters()) < 600_000  # about a megabyte in float16
