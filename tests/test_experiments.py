import pytest
import torch

from toolkit import experiments
from toolkit.errors import ToolkitError
from toolkit.labels import PORTRAIT_CLASSES, THREE_CLASSES


def test_evaluate_follows_the_protocol(tiny_gan, tmp_path):
    options = {"network": "linear", "num_test": 3, "num_steps": 2, "cache": tmp_path}
    report = experiments.evaluate(tiny_gan, num_shots=2, **options)
    assert set(report["per_class"]) == set(PORTRAIT_CLASSES) and 0 <= report["weighted_iou"] <= 100
    assert report["shots"] == 2 and report["num_test"] == 3 and report["seconds"].keys() >= {"fit", "project_test"}
    three = experiments.evaluate(tiny_gan, num_classes=3, **options)
    assert tuple(three["per_class"]) == THREE_CLASSES


def test_the_cache_changes_nothing(tiny_gan, tmp_path):
    arguments = (tiny_gan, "portraits", experiments.EVALUATION_SEED, 2, 2)
    fresh, _ = experiments.projected(*arguments, cache=None)
    for _ in range(2):  # the second time from the file
        cached, _ = experiments.projected(*arguments, cache=tmp_path)
        assert torch.equal(fresh.ws, cached.ws)
    assert len(list(tmp_path.iterdir())) == 1


def test_shots_never_come_from_the_test_seeds(tiny_gan, monkeypatch):
    asked = []

    def spy(num, resolution, seed, device="cpu"):
        asked.append((seed, seed + num))
        return experiments.portraits.render(num, resolution, seed)

    world = type("World", (), {"render": staticmethod(spy), "CLASSES": PORTRAIT_CLASSES})
    monkeypatch.setitem(experiments.WORLDS, "portraits", world)
    for seed in (0, 999):
        experiments.evaluate(tiny_gan, seed=seed, num_shots=2, num_test=2, num_steps=1, network="linear", cache=None)
    shots, tests = asked[::2], asked[1::2]
    assert max(end for _, end in shots) <= experiments.EVALUATION_SEED <= min(start for start, _ in tests)
    assert shots[0] != shots[1] and tests[0] == tests[1]


def test_ranges_may_not_cross_into_the_test_seeds(tiny_gan):
    with pytest.raises(ToolkitError, match="projected: expected seeds on one side of 1000000; got 999999..1000000"):
        experiments.projected(tiny_gan, "portraits", 999_999, 2, 1)


def test_score_by_hand():
    """Two classes over four pixels: background 2/3, part 1/2; weights 3 and 1."""
    truth = torch.tensor([[[0, 0, 0, 1]]])
    prediction = torch.tensor([[[0, 0, 1, 1]]])
    report = experiments.score(prediction, truth, ("background", "part"))
    assert report["per_class"] == {"background": 66.67, "part": 50.0}
    assert report["weighted_iou"] == 62.5 and report["mean_iou"] == 58.33
    absent = experiments.score(prediction, truth, THREE_CLASSES)
    assert absent["per_class"]["nose"] is None and absent["weighted_iou"] == 50.0


def test_gan_quality_finds_a_random_gan_far_from_its_world(tiny_gan):
    report = experiments.gan_quality(tiny_gan, num=48, parser_steps=30)
    assert report["frechet"] > 2 * report["frechet_renders"] > 0
    assert abs(sum(report["area"]["renders"].values()) - 100) < 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"world": "moon"}, "world: expected one of portraits; got 'moon'"),
        ({"num_classes": 7}, r"evaluate: expected classes of \[10, 3\]; got 7"),
        ({"num_shots": 0}, "evaluate: expected 1 to 100 shots"),
        ({"seed": 1000}, "evaluate: expected .* a seed in 0..999; got 1 shots, seed 1000"),
    ],
)
def test_bad_input(tiny_gan, options, message):
    with pytest.raises(ToolkitError, match=message):
        experiments.evaluate(tiny_gan, num_test=1, num_steps=1, cache=None, **options)


def test_networks_and_gap_report_every_case(tiny_gan, tmp_path, monkeypatch):
    monkeypatch.setattr(experiments.fewshot, "NUM_STEPS", dict.fromkeys(experiments.fewshot.NUM_STEPS, 2))
    report = experiments.networks(tiny_gan, shots=(1, 2), seeds=1, num_test=2, cache=tmp_path)
    assert [(r["network"], r["shots"]) for r in report["10-class"]] == [
        (network, shots) for shots in (1, 2) for network in experiments.fewshot.NUM_STEPS
    ]
    assert "clothes" in report["10-class"][0] and "clothes" not in report["3-class"][0]
    gap = experiments.gap(tiny_gan, num_test=2, parser_steps=30, cache=tmp_path)
    one_shot = next(r for r in report["10-class"] if r["network"] == experiments.fewshot.DEFAULT_NETWORK)
    assert gap["segmenter"] == pytest.approx(one_shot["weighted"], abs=0.06)
    assert gap["psnr"] == report["psnr"]


def test_table2_compares_both_on_the_same_portraits_and_goes_on(tiny_gan, tmp_path):
    options = {"num_shots": 2, "num_test": 3, "num_images": 40, "width": 2, "num_epochs": 1,
               "out_dir": tmp_path / "out", "cache": tmp_path / "cache"}  # fmt: skip
    report = experiments.table2(tiny_gan, **options)
    for name in ("as they are", "moved"):
        assert [row["segmenter"] for row in report[name]] == ["2-shot, projected", "auto-shot"]
        assert all(0 <= row["weighted"] <= 100 and set(PORTRAIT_CLASSES) < set(row) for row in report[name])
    usual = experiments.evaluate(tiny_gan, num_shots=2, num_test=3, cache=tmp_path / "cache")
    assert report["as they are"][0]["weighted"] == usual["weighted_iou"]
    assert report["cost"][0]["seconds"] > report["cost"][1]["seconds"] > 0
    assert any("ahead, moved" in name for name in report["more"])
    again = experiments.table2(tiny_gan, **options)
    assert again["as they are"] == report["as they are"] and again["moved"] == report["moved"]


def test_moved_portraits_keep_their_labels_and_know_nothing_of_outside():
    image, truth = experiments.portraits.render(6, 32, 0)
    coloured = (truth.float() / 5 - 1)[:, None].expand(-1, 3, -1, -1)  # pictures that show their own labels
    moved, labels = experiments._move(coloured, truth, 0)
    known = labels != 255
    assert 0.3 < known.float().mean() < 0.95
    shown = ((moved[:, 0] + 1) * 5).round().long()
    assert (shown == labels)[known].float().mean() > 0.8  # but where colours blend along edges
