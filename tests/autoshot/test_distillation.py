"""Training: what is learned, from where, and how it goes on."""

import pytest
import torch
import torch.nn.functional as F
from small_autoshot import CLASSES, SMALL, everything, rng

from toolkit import autoshot
from toolkit.autoshot import augmentation, distillation, synthesis
from toolkit.autoshot.distillation import UNetPlan
from toolkit.autoshot.segmenter import AutoShotSegmenter
from toolkit.autoshot.unet import untrained
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.projection.imagenet import ImageNetFeatures, imagenet_features


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


@pytest.mark.parametrize("fine", [16, 17])
def test_a_network_that_starts_from_imagenet(pairs, tmp_path, monkeypatch, fine):
    """From so many pixels on its logits are of every second one, enlarged."""
    monkeypatch.setattr("toolkit.autoshot.unet.FINE", fine)
    torch.manual_seed(0)
    fresh, photograph = untrained("imagenet", 3, 4, 16), torch.rand(1, 3, 33, 50, generator=rng()) * 2 - 1
    sides = []
    fresh.classify.register_forward_hook(lambda module, given, logits: sides.append(logits.shape[2:]))
    parts = [parameter for part in fresh.rates() for parameter in part.parameters()]
    assert {id(p) for p in parts} == {id(p) for p in fresh.parameters()} and len(parts) == len(list(fresh.parameters()))
    assert fresh.eval()(photograph).shape == (1, 3, 33, 50)
    assert sides == [(32, 32) if fine == 16 else (64, 64)]
    # It learns on from ImageNet's weights, at half the rate of what is new; nobody else's weights change.
    theirs = ImageNetFeatures().state_dict()
    fixed = {k: v.clone() for k, v in imagenet_features().state_dict().items()}
    auto = autoshot.train(pairs, **SMALL | {"start": "imagenet", "num_epochs": 1}, out_dir=tmp_path)
    assert (auto.network.stem is None) == (fine == 16)
    moved = {k: v for k, v in auto.network.features.state_dict().items() if not torch.equal(v, theirs[k])}
    assert moved and all("running" not in name for name in moved)
    assert all(torch.equal(v, fixed[k]) for k, v in imagenet_features().state_dict().items())
    again = AutoShotSegmenter.load(tmp_path / "best.safetensors")
    assert torch.equal(again.predict(photograph), auto.predict(photograph))
    if fine == 17:
        return  # ONNX takes the longest, and what follows is one more layer of the same kinds
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
