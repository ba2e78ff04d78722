import csv
import json
import multiprocessing
import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit import experiments, fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.autoshot.unet import UNet
from toolkit.datasets import open_dataset
from toolkit.datasets.reading import split_by_name
from toolkit.errors import LabelError, ToolkitError, WriteError
from toolkit.experiments import (
    baselines,
    cost,
    evaluation,
    features,
    fingerprint,
    imagenet,
    material,
    projection,
    records,
    scoring,
    sources,
    tables,
)
from toolkit.experiments import study as studies
from toolkit.experiments.study import MEAN_MAP, UNET, Cell, Study
from toolkit.parts import fitting, views
from toolkit.pictures.images import to_pil
from toolkit.pictures.labels import PORTRAIT_CLASSES, THREE_CLASSES, default_palette, merge, save_label_png
from toolkit.worlds import portraits

DISTILLATION = {"num_images": 40, "width": 2, "num_epochs": 1, "mixed_precision": "no"}


@pytest.fixture
def quick(monkeypatch):
    """Everything that is trained, trained for two steps; a thousand labels are twenty."""
    monkeypatch.setattr(fitting, "NUM_STEPS", dict.fromkeys(fitting.NUM_STEPS, 2))
    monkeypatch.setattr(views, "VIEWS", 2)
    monkeypatch.setattr(baselines, "NUM_STEPS", (2, 2))
    monkeypatch.setattr(baselines, "BATCH_SIZE", 2)
    monkeypatch.setattr(cost, "STEPS", 20)
    for module in (studies, tables):
        monkeypatch.setattr(module, "MANY", 20)


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """Projections and measured cells, which several tables need, as `experiment all` would keep them."""
    return tmp_path_factory.mktemp("kept")


@pytest.fixture
def study(tiny_gan, tmp_path, kept, quick):
    return Study(
        tiny_gan,
        sources.World("portraits"),
        num_test=3,
        num_steps=1,
        cache=kept / "cache",
        folder=tmp_path / "out",
        distillation=DISTILLATION,
    )


@pytest.fixture
def usual(study, kept):
    """A study that measures nothing twice."""
    return replace(study, folder=kept / "out")


def test_evaluate_follows_the_protocol(tiny_gan, tmp_path, quick):
    options = {"network": "linear", "num_test": 3, "num_steps": 2, "cache": tmp_path}
    report = experiments.evaluate(tiny_gan, num_shots=2, **options)
    assert set(report["per_class"]) == set(PORTRAIT_CLASSES) and 0 <= report["weighted_iou"] <= 100
    assert report["shots"] == 2 and report["num_test"] == 3 and report["seconds"].keys() >= {"fit", "project_test"}
    three = experiments.evaluate(tiny_gan, num_classes=3, **options)
    assert tuple(three["per_class"]) == THREE_CLASSES


def test_a_segmenter_scores_as_when_it_was_taught(tiny_gan, tmp_path, quick):
    options = {"num_test": 3, "num_steps": 2, "cache": tmp_path}
    report = experiments.evaluate(tiny_gan, network="linear", save=tmp_path / "few.safetensors", **options)
    few, world = fewshot.Segmenter.load(tmp_path / "few.safetensors", tiny_gan), sources.World("portraits")
    judged = experiments.judge(few, world, **options)
    assert judged == {name: report[name] for name in judged}
    torch.manual_seed(0)
    auto = AutoShotSegmenter(UNet(3, 2), ["background", "mouth", "hair"], 32)
    image, truth = world.test(3, 32)
    wanted = merge(truth, PORTRAIT_CLASSES, auto.classes)
    judged = experiments.judge(auto, world, **options)
    assert judged.items() >= experiments.score(auto.predict(image).argmax(1), wanted, auto.classes).items()
    assert "psnr" not in judged


@pytest.fixture
def bodies(tmp_path):
    """Portraits as one's own data set, all for scoring, of which only the silhouette is labelled."""
    image, label_map = sources.World("portraits").test(4, 32)
    classes = ("background", "body")
    (tmp_path / "bodies" / "images").mkdir(parents=True)
    (tmp_path / "bodies" / "classes.txt").write_text("\n".join(classes), "utf-8")
    (tmp_path / "bodies" / "test.txt").write_text("0\n1\n2\n3\n", "utf-8")
    for i in range(4):
        to_pil(image[i]).save(tmp_path / "bodies" / "images" / f"{i}.png")
        save_label_png(tmp_path / "bodies" / "masks" / f"{i}.png", (label_map[i] > 0).long(), default_palette(2))
    return open_dataset(tmp_path / "bodies")


def test_where_a_data_set_knows_one_thing_all_parts_together_are_scored_as_it(bodies):
    torch.manual_seed(0)
    auto = AutoShotSegmenter(UNet(3, 2), ["background", "mouth", "hair"], 32)
    image, truth = bodies.read(bodies.split("test"), 32)
    assert truth.unique().tolist() == [0, 1]
    judged = experiments.judge(auto, sources.Collection(bodies))
    wanted = experiments.score((auto.predict(image).argmax(1) > 0).long(), truth, bodies.classes)
    assert judged["num_test"] == 4 and judged.items() >= wanted.items()


def test_examples_teach_and_the_data_set_only_scores(tiny_gan, bodies, quick):
    side, classes = tiny_gan.resolution, ("background", "body")
    maps = [(torch.arange(side) >= start).long().expand(side, side) for start in (2, 5, 9)]
    shots = [fewshot.Shot(tiny_gan.sample(seed, 1), label_map, classes) for seed, label_map in enumerate(maps)]
    source = sources.ScoredOnly(bodies, shots)
    assert source.most_shots == 3 and len(source.test(9, side)[0]) == 4
    image, label_map = source.shots(1, 2, side)
    assert not torch.equal(image, source.shots(2, 2, side)[0])  # another choice
    for picture, parts in zip(image, label_map, strict=True):
        (shot,) = (shot for shot in shots if torch.equal(shot.sample.image[0], picture))
        assert torch.equal(shot.label_map[0], parts)
    options = {"network": "linear", "num_steps": 1, "cache": None}
    report = experiments.evaluate(tiny_gan, source=source, num_shots=3, **options)
    assert report["num_test"] == 4 and set(report["per_class"]) == {"background", "body"}
    with pytest.raises(ToolkitError, match="evaluate: expected at most 3 pictures to learn from in bodies; got 4"):
        source.shots(0, 4, side)


def test_the_cache_changes_nothing(tiny_gan, tmp_path):
    arguments = (tiny_gan, "portraits", experiments.EVALUATION_SEED, 2, 2)
    fresh, _ = experiments.projected(*arguments, cache=None)
    for _ in range(2):  # the second time from the file
        cached, _ = experiments.projected(*arguments, cache=tmp_path)
        assert torch.equal(fresh.ws, cached.ws)
    assert len(list(tmp_path.iterdir())) == 1


def test_half_a_file_in_the_cache_is_made_again(tiny_gan, tmp_path):
    arguments = (tiny_gan, "portraits", 1_000_000, 2, 2)
    whole, _ = experiments.projected(*arguments, cache=tmp_path)
    (file,) = tmp_path.glob("*.safetensors")
    file.write_bytes(file.read_bytes()[:100])
    again, _ = experiments.projected(*arguments, cache=tmp_path)
    assert torch.equal(whole.ws, again.ws)


@pytest.mark.parametrize(
    "work",
    [
        lambda gan, path: experiments.evaluate(gan, save=path),
        lambda gan, path: experiments.quickstart(gan, path),
        lambda gan, path: experiments.gan_quality(gan, out=path),
        lambda gan, path: experiments.frechet_to_folder(gan, "none", out=path),
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_the_work(tiny_gan, tmp_path, monkeypatch, work):
    monkeypatch.setattr(type(tiny_gan), "projecting", lambda *_, **__: pytest.fail("it went to work"))
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="write: expected to write"):
        work(tiny_gan, tmp_path / "file" / "result")


def test_shots_never_come_from_the_test_seeds(tiny_gan, monkeypatch, quick):
    asked = []

    def spy(num, resolution, seed, device="cpu"):
        asked.append((seed, seed + num))
        return portraits.render(num, resolution, seed)

    world = type("World", (), {"render": staticmethod(spy), "CLASSES": PORTRAIT_CLASSES})
    monkeypatch.setitem(experiments.WORLDS, "portraits", world)
    for seed in (0, 999):
        experiments.evaluate(tiny_gan, seed=seed, num_shots=2, num_test=2, num_steps=1, network="linear", cache=None)
    shots, tests = asked[::2], asked[1::2]
    assert max(end for _, end in shots) <= experiments.EVALUATION_SEED <= min(start for start, _ in tests)
    assert shots[0] != shots[1] and tests[0] == tests[1]
    asked.clear()
    for seed in (0, 99):
        sources.World("portraits").many(seed, 1000, 8)
    assert max(end for _, end in asked) <= sources.PARSER_SEED


def test_the_first_shots_are_the_same_however_many(study):
    one, ten = (material.shot_pictures(study, Cell("mlp", num_shots=k, seed=3))[0] for k in (1, 10))
    assert torch.equal(one, ten) and len(one) == 10
    assert len(material.shot_pictures(study, Cell("mlp", num_shots=100, seed=3))[0]) == 100


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
    assert report["boundary_f"] == {"background": 100.0, "part": 100.0}  # outlines one pixel apart
    absent = experiments.score(prediction, truth, THREE_CLASSES)
    assert absent["per_class"]["nose"] is None and absent["weighted_iou"] == 50.0
    with pytest.raises(LabelError, match="score: expected pixels of background, wing to score on; got none. Label"):
        scoring.score(truth, torch.full_like(truth, 255), ("background", "wing"))


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
        ({"num_shots": 101}, "evaluate: expected 1 to 100 shots"),
        ({"seed": 1000}, "evaluate: expected .* a seed in 0..999; got 10 shots, seed 1000"),
    ],
)
def test_bad_input(tiny_gan, options, message):
    with pytest.raises(ToolkitError, match=message):
        experiments.evaluate(tiny_gan, num_test=1, num_steps=1, cache=None, **options)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("table4",),
            "experiment table4: expected --data DIR of PASCAL-Parts, or of your own cars, and --gan NAME, "
            "e.g. cars-64; got no --data and --gan. ",
        ),
        (("table5", "portraits", "somewhere"), "experiment table5: .* e.g. horses-64; got no --gan. "),
        (("table1", "portraits", "somewhere"), "experiment: expected --gan NAME .*; got no --gan"),
        (("table1", "moon"), "world: expected one of portraits"),
    ],
)
def test_what_is_missing_is_said(arguments, message):
    with pytest.raises(ToolkitError, match=message):
        experiments.source_of(*arguments)


def test_bad_experiments(study):
    with pytest.raises(ToolkitError, match="experiment: expected one of table1, .*; got 'alchemy'"):
        experiments.run(study, "alchemy")
    with pytest.raises(ToolkitError, match="experiment: expected seeds >= 1; got 0"):
        experiments.run(study, "table1", seeds=0)


def test_judges_refuse_too_few_pictures_before_they_train(tiny_gan, monkeypatch):
    for name in ("gan_quality", "gap"):
        monkeypatch.setattr(sys.modules[f"toolkit.experiments.{name}"], "train_parser", None)
    with pytest.raises(ToolkitError, match="gan_quality: expected num >= 2, a whole number; got 1"):
        experiments.gan_quality(tiny_gan, num=1)
    with pytest.raises(ToolkitError, match="gap: expected num_test >= 1, a whole number; got 0"):
        experiments.gap(tiny_gan, num_test=0)


def test_gap_is_of_the_one_shot_segmenter(study):
    options = {"num_test": 3, "num_steps": 1, "cache": study.cache}
    gap = experiments.gap(study.gan, parser_steps=30, **options)
    one = experiments.evaluate(study.gan, **options)
    assert (gap["segmenter"], gap["psnr"]) == (one["weighted_iou"], one["psnr"])
    parser = {f"parser_on_{seen}s{suffix}" for seen in ("image", "reconstruction") for suffix in ("", "_3_class")}
    assert set(gap) == parser | {"segmenter_vs_parser", "segmenter", "psnr"}
    assert gap["parser_on_images"] > gap["parser_on_images_3_class"]


@pytest.mark.parametrize("name", ["table1", "table3", "networks", "layers", "upsampling", "noise"])
def test_each_experiment_measures_prints_and_writes(usual, name):
    seeds = 2 if name == "table1" else 1
    report = experiments.run(usual, name, seeds=seeds)[name]
    assert json.loads(json.dumps(report)) == report
    assert report["about"]["seeds"] == list(range(seeds)) and report["about"]["torch"] == torch.__version__
    titles = [key for key in report if key not in ("experiment", "about", "files")]
    text = (usual.folder / f"{name}.md").read_text("utf-8")
    assert text.startswith("### ") and torch.__version__ in text and "(0, 1)" not in text
    tables_written = [file for file in report["files"].values() if file.endswith(".csv")]
    for title, file in zip(titles, tables_written, strict=True):
        with open(file, encoding="utf-8") as text:
            rows = list(csv.DictReader(text))
        assert [list(row.values())[0] for row in rows] == [str(next(iter(row.values()))) for row in report[title]]
    assert (usual.folder / f"{name}.png").stat().st_size > 5000


def test_table1_is_the_mean_and_deviation_of_evaluate(usual):
    row = next(
        r
        for r in experiments.run(usual, "table1", seeds=2)["table1"]["IoU"]
        if (r["network"], r["shots"]) == ("mlp", 5)
    )
    a, b = (
        experiments.evaluate(usual.gan, network="mlp", num_shots=5, seed=s, num_test=3, num_steps=1, cache=usual.cache)[
            "weighted_iou"
        ]
        for s in range(2)
    )
    assert row["10-class"] == round((a + b) / 2, 1) and 0 < row["10-class, mean"] < row["10-class"]
    assert row["10-class ±"] == pytest.approx(abs(a - b) / 2**0.5, abs=0.051)
    assert (row["10-class, paper"], row["3-class, paper"]) == (79.6, 77.8)


def test_quickstart_of_a_gan_with_labelled_pictures_teaches_with_one_and_scores_on_the_others(
    tiny_gan, shot, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(fewshot, "examples", lambda gan: [shot] * 3)
    taught = []
    fit = fewshot.fit
    monkeypatch.setattr(fewshot, "fit", lambda gan, shots, **o: taught.append(shots) or fit(gan, shots, num_steps=2))
    report = experiments.quickstart(tiny_gan, tmp_path / "q.png", num_test=8)
    assert [len(one) for one in taught] == [1] and "psnr" not in report
    assert set(report["per_class"]) == set(shot.classes) and (tmp_path / "q.png").is_file()
    assert "fit on one label" in capsys.readouterr().out


def test_tables_of_cars_and_horses_take_a_data_set_of_ones_own(tiny_gan, bodies, study):
    halves = (torch.arange(tiny_gan.resolution) >= 8).long().expand(tiny_gan.resolution, -1)
    shots = [fewshot.Shot(tiny_gan.sample(0, 1), halves, bodies.classes)]
    study = replace(study, source=sources.ScoredOnly(bodies, shots))
    rows = experiments.run(study, "table4", seeds=1)["table4"]["by part"]
    found = {row["model"]: row for row in rows}
    ours = ("auto-shot", "1-shot, projected", "ImageNet MLP, 1 label", "U-Net from scratch, 1 label")
    assert all(found[model]["body"] is not None for model in ours)
    assert [model for model in found if model.startswith("U-Net from scratch")] == [ours[-1]]  # there are no more
    command = (study.folder / "table4.md").read_text("utf-8").split("`")[-2]
    images, epochs = study.distillation["num_images"], study.distillation["num_epochs"]
    assert f" --examples --num-images {images} --epochs {epochs} --num-steps 1" in command
    assert found["paper: auto-shot"]["body"] == 75.5 and found["OIParts, one shot"]["mean"] == 65.2
    assert experiments.source_of("table4", data=bodies.folder, gan="cars-64").name == "bodies"


def test_table2_compares_both_on_the_same_portraits(usual, monkeypatch):
    # Without ONNX, whose export takes longest: "all tables" below has it, and auto-shot's own tests.
    nothing = SimpleNamespace(util=SimpleNamespace(find_spec=lambda name: None))
    monkeypatch.setattr(cost, "importlib", nothing)
    report = experiments.run(usual, "table2", seeds=1, num_shots=2)["table2"]
    assert [row["segmenter"] for row in report["as they are"]] == [
        "2-shot, projected",
        "auto-shot",
        "ImageNet MLP, 2 labels",
        "U-Net from ImageNet, 2 labels",
        "U-Net from scratch, 2 labels",
        "U-Net from ImageNet, 20 labels",
        "U-Net from scratch, 20 labels",
        "paper: 10-shot",
        "paper: auto-shot",
    ]
    assert [row["segmenter"] for row in report["moved"]] == ["2-shot, projected", "auto-shot"]
    assert report["moved"][0] != report["as they are"][0]
    few, auto = (row["weighted"] for row in report["moved"])
    assert report["auto-shot ahead, in points"]["moved (wanted: 15)"] == round(auto - few, 1)
    assert report["cost"][0]["seconds"] > report["cost"][1]["seconds"] > 0
    assert report["more"]["times faster than 20 steps (wanted: 100)"] > 1


def test_a_second_run_measures_nothing_and_a_stopped_one_goes_on(study, monkeypatch):
    measured, usual, stops = [], evaluation.measure, [5]

    def spy(study, cell, save=None):
        if len(measured) in stops:
            stops.remove(len(measured))
            raise KeyboardInterrupt
        measured.append(cell)
        return usual(study, cell, save)

    monkeypatch.setattr(evaluation, "measure", spy)
    with pytest.raises(KeyboardInterrupt):
        experiments.run(study, "table3", seeds=1)
    assert len(measured) == 5
    report = experiments.run(study, "table3", seeds=1)
    assert len(measured) == len(set(measured)) == len(list((study.folder / "cells").glob("*.json"))) > 5
    assert experiments.run(study, "table3", seeds=1) == report
    shared = [c for c in tables.table1(study, 1).cells if c in measured]
    experiments.run(study, "table1", seeds=1)
    assert len(measured) == len(set(measured)) and len(shared) > 5  # what two tables share is measured once
    other = replace(study, num_test=2)
    cell = Cell("mlp", 3, 1, 0)
    assert cell in measured and fingerprint.key_of(other, cell) != fingerprint.key_of(study, cell)
    records.results(other, [cell])
    assert measured[-1] == cell


def test_baselines_project_nothing(study, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("projected")

    for module in (evaluation, material, projection):
        monkeypatch.setattr(module, "project", refuse)
    cells = [Cell(MEAN_MAP, 10, 1, 0), Cell(MEAN_MAP, 10, 1, 0, moved=True)]
    plain, moved = records.results(study, cells).values()
    assert plain["psnr"] is None and plain["per_class"] == moved["per_class"] and "moved" in moved
    with pytest.raises(AssertionError, match="projected"):
        records.results(study, [Cell("linear", 10, 1, 0)])


class Deadly(sources.World):
    """Whose pictures of seed 7 kill a worker that asks for them, as too little memory would."""

    def shots(self, seed, num, resolution):
        if seed == 7 and multiprocessing.parent_process():
            os._exit(9)
        return super().shots(seed, num, resolution)


def test_several_processes_find_the_same_and_one_that_dies_costs_its_cell(study, tmp_path, monkeypatch):
    cells = [Cell("mean label map", 10, 1, 7), Cell("mean label map", 10, 5, 0), Cell("linear", 3, 1, 0)]
    alone = records.results(study, cells)
    elsewhere = replace(study, folder=tmp_path / "together", source=Deadly("portraits"))
    died = "experiment: expected 3 cells .*; got 1 whose process died: mean-label-map-10-class-1-shot-seed-7. Free"
    with pytest.raises(ToolkitError, match=died):
        records.results(elsewhere, cells, workers=2)
    measured, usual = [], evaluation.measure
    monkeypatch.setattr(evaluation, "measure", lambda study, cell: measured.append(cell) or usual(study, cell))
    together = records.results(elsewhere, cells)
    assert measured == cells[:1]
    for cell in cells[:2]:
        assert alone[cell]["per_class"] == together[cell]["per_class"]
    assert torch.equal(records.shown(study, cells[1]), records.shown(elsewhere, cells[1]))


def test_keys_are_of_settings_pictures_and_weights(study, tiny_gan):
    cell = Cell("mlp", 10, 1, 0)
    key = fingerprint.key_of(study, cell)
    assert json.loads(json.dumps(key)) == key and key["gan"] == tiny_gan.hash

    class Relabelled(sources.World):
        def test(self, num, resolution):
            image, label_map = super().test(num, resolution)
            label_map[0, 0, 0] = 9 - label_map[0, 0, 0]
            return image, label_map

    others = [replace(study, num_steps=2), replace(study, num_test=2), replace(study, source=Relabelled("portraits"))]
    keys = [fingerprint.key_of(other, cell) for other in others]
    keys += [fingerprint.key_of(study, c) for c in (cell._replace(seed=1), cell._replace(layers=("b4.conv1",)))]
    assert len({fingerprint.hash_of(k) for k in (key, *keys)}) == 6
    assert fingerprint.key_of(replace(study, distillation={}), cell) == key  # of which only auto-shot knows
    baseline = cell._replace(method=UNET)  # uses neither GAN nor projection: another GAN's table may have it too
    assert fingerprint.key_of(others[0], baseline) == fingerprint.key_of(study, baseline)
    assert fingerprint.key_of(others[1], baseline) != fingerprint.key_of(study, baseline)


def test_moved_portraits_keep_their_labels_and_know_nothing_of_outside():
    image, truth = portraits.render(6, 32, 0)
    coloured = (truth.float() / 5 - 1)[:, None].expand(-1, 3, -1, -1)  # pictures that show their own labels
    moved, labels = material.move(coloured, truth)
    known = labels != 255
    assert 0.3 < known.float().mean() < 0.95
    shown = ((moved[:, 0] + 1) * 5).round().long()
    assert (shown == labels)[known].float().mean() > 0.8  # but where colours blend along edges


def test_mean_label_map_by_hand():
    label_map = torch.tensor([[[0, 1, 2]], [[0, 255, 1]], [[2, 255, 1]]])
    predict = baselines.fit_mean_map(label_map, 3)
    assert predict(torch.zeros(2, 3, 1, 3)).tolist() == [[[0, 1, 1]]] * 2


def test_a_unet_learns_its_own_picture_and_nothing_from_unlabelled_pixels(monkeypatch):
    monkeypatch.setattr(baselines, "BATCH_SIZE", 4)
    image, truth = portraits.render(1, 32, 0)
    predict = baselines.fit_unet(image, truth, PORTRAIT_CLASSES, num_steps=60)
    assert scoring.score(predict(image), truth, PORTRAIT_CLASSES)["weighted_iou"] > 60
    blocks = torch.arange(32) // 8 % 2
    blank = blocks[:, None] == blocks  # a chequerboard of which nothing is said
    predict = baselines.fit_unet(image, truth.where(~blank, 255), PORTRAIT_CLASSES, num_steps=60)
    assert scoring.score(predict(image), truth.where(blank, 255), PORTRAIT_CLASSES)["weighted_iou"] > 50


def test_imagenet_features_learn_their_own_picture():
    image, truth = portraits.render(1, 32, 0)
    finer, _ = portraits.render(1, 64, 0)
    truth = truth.where(torch.rand(truth.shape, generator=torch.Generator().manual_seed(0)) < 0.8, 255)
    for picture in (image, finer):  # the labels are of 32 pixels either way
        predict = imagenet.fit_imagenet(picture, truth, PORTRAIT_CLASSES, num_steps=60)
        assert scoring.score(predict(picture), truth, PORTRAIT_CLASSES)["weighted_iou"] > 60
        columns = imagenet.columns_of(picture, 32)
        assert columns.num_channels == 496 and columns.resolution == 32


@pytest.fixture(scope="module")
def leaves(tmp_path_factory):
    """A folder of one's own: seven pictures of coloured squares to learn from, three to score on."""
    folder = tmp_path_factory.mktemp("leaves")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    names = [f"leaf{i}" for i in range(60)]
    parts = split_by_name(names)
    for name in parts["train"][:7] + parts["test"][:3]:
        picture, mask = np.full((24, 32, 3), 40, np.uint8), np.zeros((24, 32), np.uint8)
        left = 6 + int(name[4:]) % 8
        picture[6:16, left : left + 10] = (30, 180, 60)
        mask[6:16, left : left + 10] = 1
        mask[0, 4] = 255
        Image.fromarray(picture).save(folder / "images" / f"{name}.png")
        Image.fromarray(mask).save(folder / "masks" / f"{name}.png")
    (folder / "classes.txt").write_text("background\nleaf\n", "utf-8")
    return folder


@pytest.mark.slow
def test_all_tables_of_a_folder_of_ones_own(study, leaves):
    source = experiments.source_of("all", data=leaves, gan="tiny")
    study = replace(study, source=source)
    reports = experiments.run(study, "all", seeds=1)
    assert set(reports) == {"table1", "table2", "table3", "networks", "layers"}
    rows = reports["table3"]["by class"]
    assert {row["shots"] for row in rows} == {1, 5, 7} and {"weighted", "mean", "leaf"} <= rows[0].keys()
    assert {"mlp", "ImageNet MLP", "U-Net", "U-Net from ImageNet", "mean label map"} <= {row["network"] for row in rows}
    assert set(reports["table3"]["boundary F"][0]) == {"network", "shots", "background", "leaf"}
    text = (study.folder / "table1.md").read_text("utf-8")
    assert f"experiment table1 --data {source.name} --gan" in text and study.source.name in text


def test_gap_of_a_folder_of_ones_own(study, leaves, monkeypatch):
    seen = []
    monkeypatch.setattr(sys.modules["toolkit.experiments.gap"], "train_parser", lambda *a: seen.append(a[0]))
    parse = lambda net, image: (None, (image[:, 1] > image[:, 1].median()).long())  # noqa: E731
    monkeypatch.setattr(sys.modules["toolkit.experiments.gap"], "parse", parse)
    source = experiments.source_of("gap", data=leaves, gan="tiny")
    gap = experiments.gap(study.gan, source=source, num_test=3, num_steps=1, cache=None)
    assert set(gap) == {"parser_on_images", "parser_on_reconstructions", "segmenter_vs_parser", "segmenter", "psnr"}
    assert seen == [source] and len(source.for_parser(4000, 16)[0]) == source.most_shots == 7


def test_other_features(tiny_gan):
    sample = tiny_gan.sample(0, 2)
    usual = tiny_gan.hypercolumns(sample)
    first, *_ = names = list(usual.channels)
    one = features.OtherFeatures(tiny_gan, layers=(first, names[-1]))
    assert list(one.hypercolumns(sample).channels) == [first, names[-1]]
    mean, std = one.statistics
    assert torch.equal(mean[: usual.channels[first]], tiny_gan.statistics[0][: usual.channels[first]])
    assert len(mean) == len(std) == one.hypercolumns(sample).num_channels
    for upsampling in features.UPSAMPLINGS:
        dense = features.OtherFeatures(tiny_gan, upsampling=upsampling).hypercolumns(sample).dense()
        assert torch.equal(dense, usual.dense()) == (upsampling == "bilinear")
        assert torch.allclose(dense[:, -8:], usual.dense()[:, -8:])  # the finest layer needs no upsampling
    none, own, random = (features.with_noise(tiny_gan, sample, kind).noise for kind in features.NOISES)
    assert own == {} and all(not n.any() for n in none.values()) and all(n.std() > 0.5 for n in random.values())
    fewshot.fit(one, [fewshot.Shot(sample[0], portraits.render(1, 16, 0)[1], PORTRAIT_CLASSES)], num_steps=1)


def test_tables_go_into_the_readme(tmp_path):
    readme = tmp_path / "README.md"
    text = "before\n<!-- experiment {} -->\nold\n<!-- end -->\nafter\n"
    readme.write_text(text.format("table1"), "utf-8")
    assert experiments.into_readme(readme, tmp_path) == [] and "old" in readme.read_text("utf-8")
    (tmp_path / "table1.md").write_text("new ± \\1\n", "utf-8")
    for _ in range(2):
        assert experiments.into_readme(readme, tmp_path) == ["table1"]
        assert readme.read_text("utf-8") == text.format("table1").replace("old", "new ± \\1")
    readme.write_text(text.format("table1") + text.format("photographs/table1"), "utf-8")
    assert experiments.into_readme(readme, tmp_path) == ["table1"]  # what was not run again stays
    assert readme.read_text("utf-8").endswith(text.format("photographs/table1"))


def test_every_plan_has_its_name(study):
    for name in ("table1", "table2", "table3", "networks", "layers", "upsampling", "noise"):
        plan = experiments.PLANS[name](study, 1)
        assert plan.name == name and plan.cells and plan.sheet
