"""Recipes of GANs, each for the same processor time."""

from itertools import count
from types import SimpleNamespace

import pytest
import torch

from toolkit.errors import ToolkitError
from toolkit.experiments import gan_recipes as module
from toolkit.training.plan import Plan
from toolkit.worlds import portraits

SIDE = 16  # a quarter of what recipes are compared at


@pytest.fixture(scope="module")
def pictures():
    image, _ = portraits.render(300, SIDE, 0)
    return ((image + 1) * 127.5).round().to(torch.uint8).numpy()


def test_a_training_stops_when_its_time_is_used_and_plans_for_what_is_left(monkeypatch):
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(module.time, "process_time", lambda: clock.now)
    job, shares, planned = SimpleNamespace(seen=0, plan=Plan()), [], []

    def step():  # four pictures in two seconds
        planned.append(job.plan.num_pictures)
        job.seen, clock.now = job.seen + 4, clock.now + 2

    job.step = step
    recipe = module.Recipe("any", job, lambda job, share: shares.append(share))
    recipe.train(10, 20)
    assert (recipe.used, job.seen) == (10, 20)
    recipe.train(20, 20)
    assert (recipe.used, job.seen) == (20, 40)
    assert shares == pytest.approx([i / 10 for i in range(10)])
    assert planned[1:] == [41] * 9  # one more, so that the last step is of the plan


def test_all_recipes_train_grow_half_way_and_are_measured(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SIDE", SIDE)
    monkeypatch.setattr(module, "START_SIDE", SIDE // 2)
    kept, made, seconds = [], module._recipes, count()
    monkeypatch.setattr(module.time, "process_time", lambda: next(seconds))  # a second a step
    monkeypatch.setattr(module, "_recipes", lambda *args: kept.extend(made(*args)) or kept)
    found = module.recipes(pictures, pictures[:20], tmp_path, minutes=4 / 60, marks=1, num=10)
    assert [row["recipe"] for row in found["recipes"]] == [recipe.name for recipe in kept]
    alone, judged, redrawn = (recipe.job for recipe in kept)
    assert alone.generator.resolution == judged.generator.resolution == SIDE
    assert alone.grown_at > 0 and judged.share < module.SHARE and redrawn.judges is not None
    for row, recipe in zip(found["recipes"], kept, strict=True):
        assert recipe.used == 4 and row["pictures after 0.0666667 min"] == recipe.job.seen
        assert row["distance after 0.0666667 min"] > found["frechet_photographs"]
    assert all(recipe.name in (tmp_path / "recipes.md").read_text() for recipe in kept)
    sheets = sorted(file.name for file in tmp_path.glob("*.png"))
    assert sheets == ["alone-1.png", "judged-1.png", "redrawn-1.png"]


def test_too_few_unseen_pictures_are_refused(pictures, tmp_path):
    with pytest.raises(ToolkitError, match="at least 4 unseen pictures"):
        module.recipes(pictures, pictures[:3], tmp_path)
