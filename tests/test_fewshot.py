import numpy as np
import pytest
import torch
from PIL import Image

from toolkit import fewshot
from toolkit.errors import CheckpointError, ImageError, LabelError, ShapeError, ToolkitError
from toolkit.fewshot import Sample, Segmenter, Shot, fit
from toolkit.files import load_tensors, save_tensors

CLASSES = ["background", "left", "right"]


@pytest.fixture(scope="module")
def shot(tiny_gan):
    sample = tiny_gan.sample(seed=1)
    label_map = torch.zeros(16, 16, dtype=torch.int64)
    label_map[4:12, 2:8], label_map[4:12, 8:14] = 1, 2
    return Shot(sample, label_map, CLASSES, tiny_gan)


def test_sampling_is_seeded_and_truncation_reaches_the_mean(tiny_gan):
    assert torch.equal(tiny_gan.sample(3).image, tiny_gan.sample(3).image)
    assert not torch.equal(tiny_gan.sample(3).ws, tiny_gan.sample(4).ws)
    ws = tiny_gan.sample(3, num=2, truncation_psi=0.0).ws
    assert torch.allclose(ws, tiny_gan.generator.mapping.w_avg.expand_as(ws))


def test_a_network_learns_its_shot(tiny_gan, shot):
    segmenter = fit(tiny_gan, [shot], network="mlp", num_steps=400)
    assert (segmenter.predict(shot.sample).argmax(1) == shot.label_map).float().mean() > 0.95


@pytest.mark.parametrize("network", ["cnn-l", "cnn-m", "cnn-s", "mlp", "linear"])
def test_same_seed_same_segmenter(tiny_gan, shot, network):
    a, b, other = (fit(tiny_gan, [shot], network=network, num_steps=3, seed=s) for s in (5, 5, 6))
    assert torch.equal(a.predict(shot.sample), b.predict(shot.sample))
    assert not torch.equal(a.predict(shot.sample), other.predict(shot.sample))


def test_fit_leaves_the_callers_random_numbers_alone(tiny_gan, shot):
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    fit(tiny_gan, [shot], num_steps=1)
    assert torch.equal(torch.rand(3), expected)


def test_unlabelled_pixels_teach_nothing(tiny_gan, shot):
    """What lies under 255 must not matter, nor may it become background."""
    scribble = shot.label_map.clone()
    scribble[:, :, 8:] = 255
    scribble[:, 0, :8] = 0
    segmenter = fit(tiny_gan, [Shot(shot.sample, scribble, CLASSES[:2], tiny_gan)], network="mlp", num_steps=400)
    inside = shot.label_map == 1
    assert (segmenter.predict(shot.sample).argmax(1)[inside] == 1).float().mean() > 0.9


def test_a_segmenter_survives_its_file(tiny_gan, shot, tmp_path):
    segmenter = fit(tiny_gan, [shot], network="cnn-s", num_steps=5)
    segmenter.save(tmp_path / "parts.safetensors")
    for gan in (tiny_gan, None):  # the file names its GAN
        loaded = Segmenter.load(tmp_path / "parts.safetensors", gan)
        assert loaded.classes == tuple(CLASSES)
        assert torch.equal(loaded.predict(shot.sample), segmenter.predict(shot.sample))


@pytest.mark.parametrize("kind", ["generated", "projected"])
def test_a_shot_survives_its_file(tiny_gan, shot, tmp_path, kind):
    sample = shot.sample
    if kind == "projected":
        sample = tiny_gan.project(sample.image, num_steps=2, noise=True)
    Shot(sample, shot.label_map, CLASSES, tiny_gan).save(tmp_path / "shot.safetensors")
    loaded = Shot.load(tmp_path / "shot.safetensors")
    assert loaded.classes == tuple(CLASSES) and loaded.gan_hash == tiny_gan.hash
    assert torch.equal(loaded.label_map, shot.label_map) and torch.equal(loaded.sample.ws, sample.ws)
    assert loaded.sample.noise.keys() == sample.noise.keys()
    columns = [tiny_gan.hypercolumns(s).dense() for s in (sample, loaded.sample)]
    assert torch.equal(*columns)


def test_several_shots_survive_one_file(tiny_gan, shot, tmp_path):
    other = Shot(tiny_gan.project(shot.sample.image, num_steps=1, noise=True, judge=False), shot.label_map, CLASSES)
    fewshot.save_shots(tmp_path / "shots.safetensors", [shot, other])
    loaded = fewshot.load_shots(tmp_path / "shots.safetensors")
    assert [s.gan_hash for s in loaded] == [tiny_gan.hash, None]
    assert [len(s.sample.noise) for s in loaded] == [0, len(other.sample.noise)]
    for a, b in zip(loaded, [shot, other]):
        assert torch.equal(a.sample.ws, b.sample.ws) and torch.equal(a.label_map, b.label_map)
    with pytest.raises(CheckpointError, match="Shot.load: expected a file of one shot; got 2 shots. Use load_shots"):
        Shot.load(tmp_path / "shots.safetensors")


def test_a_shot_file_that_lacks_something(shot, tmp_path):
    shot.save(tmp_path / "shot.safetensors")
    tensors, about = load_tensors(tmp_path / "shot.safetensors", "shot", "test")
    del tensors["0.ws"]
    save_tensors(tmp_path / "shot.safetensors", tensors, about)
    with pytest.raises(CheckpointError, match="load_shots: expected a whole shot file; got .* without 'ws'"):
        fewshot.load_shots(tmp_path / "shot.safetensors")


def test_fitting_step_by_step_ends_where_fit_does(tiny_gan, shot):
    steps = list(fewshot.fitting(tiny_gan, [shot], network="linear", num_steps=25, every=10))
    assert [done for done, *_ in steps] == [10, 20, 25] and {total for _, total, *_ in steps} == {25}
    whole = fit(tiny_gan, [shot], network="linear", num_steps=25)
    assert torch.equal(steps[-1][3].predict(shot.sample), whole.predict(shot.sample))


def test_segmenting_step_by_step_ends_where_segment_does(tiny_gan, shot):
    segmenter = fit(tiny_gan, [shot], network="linear", num_steps=5)
    picture = Image.fromarray(np.full((40, 60, 3), 90, np.uint8))
    options = {"num_steps": 4, "judge": False}
    steps = list(segmenter.segmenting(picture, every=2, **options))
    assert [done for done, *_ in steps][-1] == steps[-1][1]
    (last,) = steps[-1][2]
    assert torch.equal(last.label_map, segmenter.segment(picture, **options).label_map)
    assert last.full_label_map.shape == (40, 60)


def test_segment_takes_a_file_and_writes_one(tiny_gan, shot, tmp_path):
    segmenter = fit(tiny_gan, [shot], network="linear", num_steps=5)
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "photo.jpg")
    result = segmenter.segment(tmp_path / "photo.jpg", num_steps=3)
    assert result.label_map.shape == (16, 16) and result.image.shape == (3, 16, 16)
    assert 0 < result.psnr < 60 and 0 <= result.trust <= 1
    assert result.overlay().size == (60, 40)
    result.save_png(tmp_path / "parts.png")
    parts = np.asarray(Image.open(tmp_path / "parts.png"))
    assert parts.shape == (40, 60) and np.array_equal(parts, result.full_label_map.numpy())
    assert set(np.unique(parts[:, 10:50])) <= set(range(len(result.classes)))  # the centred square
    assert (parts[:, :10] == 255).all() and (parts[:, 50:] == 255).all()


def test_a_list_of_pictures_gives_a_list(tiny_gan, shot):
    segmenter = fit(tiny_gan, [shot], network="linear", num_steps=2)
    results = segmenter.segment([tiny_gan.sample(s).image for s in (1, 2)], num_steps=1)
    assert len(results) == 2
    assert len(segmenter.segment([tiny_gan.sample(1).image], num_steps=1)) == 1


def test_a_generated_sample_is_its_own_reconstruction(tiny_gan):
    assert tiny_gan.sample(2).psnr.isinf().all()


# ---- bad input: each refused at the door, in one line that says how to mend it ---------------


def test_wrong_size(tiny_gan):
    with pytest.raises(
        ShapeError, match=r"Shot: expected one picture and its label_map \(16, 16\); got .*\(1, 8, 16\).*own size"
    ):
        Shot(tiny_gan.sample(), torch.arange(128).view(8, 16) % 2, CLASSES)


def test_wrong_dtype(tiny_gan):
    with pytest.raises(ShapeError, match="Shot: expected label_map of integers; got Tensor .* float32"):
        Shot(tiny_gan.sample(), torch.zeros(16, 16), CLASSES)


def test_empty_label(tiny_gan):
    with pytest.raises(LabelError, match="Shot: expected at least two classes labelled; got no labelled pixel. Paint"):
        Shot(tiny_gan.sample(), torch.full((16, 16), 255), CLASSES)


def test_label_value_out_of_range(tiny_gan):
    with pytest.raises(
        LabelError, match=r"Shot: expected labels 0\.\.2, or 255 for unlabelled; got value 3\. Name every class"
    ):
        Shot(tiny_gan.sample(), torch.arange(256).view(16, 16) % 4, CLASSES)


def test_one_class_only(tiny_gan):
    with pytest.raises(
        LabelError, match="Shot: expected at least two classes labelled; got only class 1. Label some background"
    ):
        Shot(tiny_gan.sample(), torch.ones(16, 16, dtype=torch.int64), CLASSES)


def test_shot_of_another_gan(tiny_gan, shot):
    foreign = Shot(shot.sample, shot.label_map, CLASSES, "0123456789abcdef")
    with pytest.raises(
        CheckpointError, match=r"fit: expected shots of GAN \w{12}; got a shot of GAN 0123456789ab\. Load the GAN"
    ):
        fit(tiny_gan, [foreign])


def test_shot_of_another_size(tiny_gan, shot):
    sample = Sample(torch.zeros(1, 3, 32, 32), shot.sample.ws)
    label_map = torch.arange(32 * 32).view(32, 32) % 2
    with pytest.raises(ShapeError, match="fit: expected shots of 16 pixels; got Tensor"):
        fit(tiny_gan, [Shot(sample, label_map, CLASSES)])


def test_shots_that_disagree(tiny_gan, shot):
    other = Shot(shot.sample, shot.label_map, ["background", "right", "left"], tiny_gan)
    with pytest.raises(
        LabelError, match="fit: expected shots with classes .*; got .*. Label all shots with the same classes"
    ):
        fit(tiny_gan, [shot, other])


def test_no_shots_and_unknown_network(tiny_gan, shot):
    with pytest.raises(ToolkitError, match="fit: expected at least one shot and num_steps >= 1; got 0 shots"):
        fit(tiny_gan, [])
    with pytest.raises(ToolkitError, match="expected one of cnn-l, cnn-m, cnn-s, mlp, linear; got 'vit'"):
        fit(tiny_gan, [shot], network="vit")


def test_segmenter_of_another_gan(tiny_gan, shot, tmp_path, monkeypatch):
    fit(tiny_gan, [shot], network="linear", num_steps=1).save(tmp_path / "a.safetensors")
    monkeypatch.setattr(tiny_gan, "hash", "f" * 64)
    with pytest.raises(
        CheckpointError, match=r"Segmenter.load: expected GAN \w{12}; got GAN ffffffffffff. Load the GAN"
    ):
        Segmenter.load(tmp_path / "a.safetensors", tiny_gan)


def test_files_of_another_kind(tiny_gan_file, tmp_path):
    with pytest.raises(CheckpointError, match="Shot.load: expected a shot file; got a file of another kind"):
        Shot.load(tiny_gan_file)
    (tmp_path / "junk").write_bytes(b"\x80\x04junk")
    with pytest.raises(CheckpointError, match="Segmenter.load: expected a segmenter file; got .*junk"):
        Segmenter.load(tmp_path / "junk")


def test_a_picture_that_is_none(tiny_gan, shot, tmp_path):
    segmenter = fit(tiny_gan, [shot], network="linear", num_steps=1)
    with pytest.raises(ImageError, match="expected a picture file; got no file at"):
        segmenter.segment(tmp_path / "missing.jpg")


def test_unknown_gan():
    with pytest.raises(ToolkitError, match="expected one of portraits-64, .*got 'ffhq-9000'. Check the name"):
        fewshot.load_gan("ffhq-9000")
