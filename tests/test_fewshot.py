import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit import fewshot
from toolkit.errors import CheckpointError, ImageError, ToolkitError
from toolkit.fewshot import Segmenter, Shot, fit
from toolkit.files import load_tensors, save_tensors

CLASSES = ["background", "left", "right"]


def test_sampling_is_seeded_and_truncation_reaches_the_mean(tiny_gan):
    assert torch.equal(tiny_gan.sample(3).image, tiny_gan.sample(3).image)
    assert not torch.equal(tiny_gan.sample(3).ws, tiny_gan.sample(4).ws)
    ws = tiny_gan.sample(3, num=2, truncation_psi=0.0).ws
    assert torch.allclose(ws, tiny_gan.generator.mapping.w_avg.expand_as(ws))


def test_a_segmenter_survives_its_file(tiny_gan, shot, tmp_path):
    segmenter = fit(tiny_gan, [shot], network="cnn-s", num_steps=5)
    segmenter.save(tmp_path / "parts.safetensors")
    for gan in (tiny_gan, None):  # the file names its GAN
        loaded = Segmenter.load(tmp_path / "parts.safetensors", gan)
        assert loaded.classes == tuple(CLASSES)
        assert torch.equal(loaded.predict(shot.sample), segmenter.predict(shot.sample))


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
    assert 0 < result.psnr < 60 and result.trust is None
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


# ---- bad input: each refused at the door, in one line that says how to mend it ---------------


def test_segmenter_of_another_gan(tiny_gan, shot, tmp_path, monkeypatch):
    fit(tiny_gan, [shot], network="linear", num_steps=1).save(tmp_path / "a.safetensors")
    monkeypatch.setattr(tiny_gan, "hash", "f" * 64)
    with pytest.raises(
        CheckpointError, match=r"Segmenter.load: expected GAN \w{12}; got GAN ffffffffffff. Load the GAN"
    ):
        Segmenter.load(tmp_path / "a.safetensors", tiny_gan)


def test_a_segmenter_file_that_lacks_something(tiny_gan, shot, tmp_path):
    path = tmp_path / "a.safetensors"
    fit(tiny_gan, [shot], network="mlp", num_steps=1).save(path)
    tensors, about = load_tensors(path, "segmenter", "test")
    wanted = "Segmenter.load: expected a whole segmenter file; got .*"
    for name in ("network", "classes", "gan", "gan_hash"):
        save_tensors(path, tensors, {k: v for k, v in about.items() if k != name})
        with pytest.raises(CheckpointError, match=wanted + rf"\(no {name}\)\. Fit it again"):
            Segmenter.load(path, tiny_gan)
    for changed in ({**tensors, "mix.bias": tensors["mix.bias"][1:]}, {"mix.bias": tensors["mix.bias"]}):
        save_tensors(path, changed, about)
        with pytest.raises(CheckpointError, match=wanted + r"\(Error.* state_dict"):
            Segmenter.load(path, tiny_gan)


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
    with pytest.raises(ToolkitError, match="expected one of faces-128, .*got 'ffhq-9000'. Check the name"):
        fewshot.load_gan("ffhq-9000")


def test_labelled_pictures_lie_beside_a_gan(tiny_gan, tiny_gan_file, shot, tmp_path):
    assert fewshot.examples(tiny_gan) == []
    file = shutil.copy(tiny_gan_file, tmp_path / "own.safetensors")
    gan = fewshot.load_gan(file)
    assert fewshot.examples(gan) == []
    shot.save(tmp_path / "own-shots.safetensors")
    (found,) = fewshot.examples(gan)
    assert torch.equal(found.label_map, shot.label_map)
    fewshot.Shot(shot.sample, shot.label_map, shot.classes, "another").save(tmp_path / "own-shots.safetensors")
    with pytest.raises(CheckpointError, match="a shot of GAN another"):
        fewshot.examples(gan)
