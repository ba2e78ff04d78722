import pytest
import torch

from toolkit import fewshot
from toolkit.errors import CheckpointError, LabelError, ShapeError
from toolkit.files import load_tensors, save_tensors
from toolkit.parts.shots import Shot

CLASSES = ["background", "left", "right"]


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


def test_wrong_size(tiny_gan):
    with pytest.raises(
        ShapeError,
        match=r"Shot: expected a label map of the picture's size \(16, 16\); got one of another size: .*\(1, 8, 16\)",
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
