"""`project` and `segment` as a person runs them: real processes, folders, a bad file among good ones."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from toolkit import batch, fewshot
from toolkit.errors import CheckpointError, ToolkitError
from toolkit.pictures import images, labels

ROOT = Path(__file__).parent.parent
CLASSES = ["background", "top", "bottom"]


def run(*arguments):
    command = [sys.executable, "-m", "toolkit", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COLUMNS": "200"}
    return subprocess.run(command, capture_output=True, text=True, env=environment)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two photographs, one of them turned by its camera, a broken one, and a text."""
    folder = tmp_path_factory.mktemp("photos")
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "a.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(folder / "b.JPEG", exif=exif)
    (folder / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\nno more")
    (folder / "notes.txt").write_text("no picture")
    return folder


@pytest.fixture(scope="module")
def segmenter_file(tiny_gan, tmp_path_factory):
    label_map = torch.ones(16, 16, dtype=torch.int64)
    label_map[:2], label_map[8:] = 0, 2
    shot = fewshot.Shot(tiny_gan.sample(1), label_map, CLASSES, tiny_gan)
    path = tmp_path_factory.mktemp("segmenter") / "parts.safetensors"
    fewshot.fit(tiny_gan, [shot], network="linear", num_steps=20).save(path)
    return path


def test_project_a_folder_with_a_bad_file_in_it(tiny_gan, tiny_gan_file, folder, tmp_path):
    done = run("project", folder, "--gan", tiny_gan_file, "--out", tmp_path, "--num-steps", 2)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert done.stderr.count("expected a readable picture") == 1 and "project: 1 of 3 pictures failed." in done.stderr
    kinds = ("latent.safetensors", "reconstruction.png", "side-by-side.png")
    assert sorted(os.listdir(tmp_path)) == [f"{name}.{kind}" for name in "ab" for kind in kinds]
    sample = fewshot.load_sample(tmp_path / "a.latent.safetensors", tiny_gan)
    assert torch.equal(sample.image, images.load_image(folder / "a.jpg", 16)) and 0 <= sample.trust <= 1
    again = tiny_gan.generator.synthesis(sample.ws, noise=sample.noise).clamp(-1, 1)
    assert torch.allclose(again, sample.reconstruction.clamp(-1, 1), atol=1e-4)
    drawn = images.load_image(tmp_path / "a.reconstruction.png")
    assert (drawn - sample.reconstruction.clamp(-1, 1)).abs().max() < 1 / 127
    beside = images.load_image(tmp_path / "a.side-by-side.png")
    assert (beside[..., :16] - sample.image).abs().max() < 1 / 127 and torch.equal(beside[..., -16:], drawn)


def test_segment_files_and_folders_in_the_uploads_own_pixels(folder, segmenter_file, tmp_path):
    done = run("segment", folder, folder / "a.jpg", "--segmenter", segmenter_file, "--out", tmp_path)
    assert done.returncode == 1 and "segment: 1 of 4 pictures failed." in done.stderr, done.stderr
    kinds = ("json", "overlay.png", "parts.png")
    assert sorted(os.listdir(tmp_path)) == sorted(f"{name}.{kind}" for name in ("a", "a-2", "b") for kind in kinds)
    for name, size in (("a", (40, 30)), ("b", (30, 40))):
        about = json.loads((tmp_path / f"{name}.json").read_text())
        assert about["size"] == list(size) and about["classes"] == CLASSES and 0 <= about["trust"] <= 1
        label_map = labels.load_label_png(tmp_path / f"{name}.parts.png")
        assert sum(about["areas"].values()) == (label_map != 255).sum() == 30 * 30
        assert about["areas"] == {c: int((label_map == i).sum()) for i, c in enumerate(CLASSES)}
        assert label_map.shape == (1, *size[::-1])
        assert Image.open(tmp_path / f"{name}.overlay.png").size == size


def test_segment_with_an_autoshot_network(folder, tmp_path):
    from toolkit.autoshot import AutoShotSegmenter
    from toolkit.parts.networks import UNet

    AutoShotSegmenter(UNet(3, 4), CLASSES, 16).save(tmp_path / "auto.safetensors")
    out = tmp_path / "out"
    done = run("segment", folder / "a.jpg", "--segmenter", tmp_path / "auto.safetensors", "--out", out)
    assert done.returncode == 0, done.stderr
    about = json.loads((out / "a.json").read_text())
    assert about["trust"] is None and sum(about["areas"].values()) == 40 * 30


@pytest.mark.parametrize("command", ["project", "segment"])
def test_what_stops_all_is_one_line_and_status_2(command, folder, segmenter_file, tiny_gan_file, tmp_path):
    model = ["--gan", tiny_gan_file] if command == "project" else ["--segmenter", segmenter_file]
    (tmp_path / "empty").mkdir()
    done = run(command, tmp_path / "empty", *model, "--out", tmp_path / "out")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "find: expected pictures (.jpg," in done.stderr
    done = run(command, folder, model[0], folder / "notes.txt", "--out", tmp_path / "out")
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not (tmp_path / "out").exists()


def test_missing_files_are_bad_ones(tiny_gan_file, tmp_path):
    done = run("project", tmp_path / "no.jpg", "--gan", tiny_gan_file, "--out", tmp_path / "out")
    assert done.returncode == 1 and "expected a picture file; got no file at" in done.stderr


def test_find_keeps_order_and_makes_names_differ(tmp_path):
    for name in ("z.jpg", "b/x.png", "b/a.WEBP", "b/notes.txt", "b/c/deeper.png", "x.gif"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = batch.find([tmp_path / "z.jpg", str(tmp_path / "b"), tmp_path / "x.gif"])
    assert [(str(path.relative_to(tmp_path)), name) for path, name in found] == [
        ("z.jpg", "z"),
        ("b/a.WEBP", "a"),
        ("b/x.png", "x"),
        ("x.gif", "x-2"),
    ]
    with pytest.raises(ToolkitError, match=r"find: expected pictures \(.*\); got none in .*c/d"):
        (tmp_path / "c/d").mkdir(parents=True)
        batch.find([tmp_path / "c/d"])


def test_a_warning_names_its_picture(folder, tmp_path, capsys):
    class Doubtful:
        def segment(self, path):
            import warnings

            warnings.warn("unlike anything", stacklevel=1)
            raise ToolkitError("segment", "this", "that", "Mend it")

    assert batch.segment_files(Doubtful(), [folder / "a.jpg", folder / "b.JPEG"], tmp_path, progress=False) == 2
    printed = capsys.readouterr().err
    assert printed.count("unlike anything") == printed.count("expected this; got that") == 2
    assert f"{folder / 'a.jpg'}: unlike anything" in printed


def test_latents_of_another_gan_are_refused(tiny_gan, tmp_path, monkeypatch):
    fewshot.save_sample(tmp_path / "s.safetensors", tiny_gan.sample(1), tiny_gan)
    monkeypatch.setattr(tiny_gan, "hash", "f" * 64)
    with pytest.raises(CheckpointError, match=r"load_sample: expected latents of GAN f{12}; got those of \w{12}\."):
        fewshot.load_sample(tmp_path / "s.safetensors", tiny_gan)
    with pytest.raises(CheckpointError, match="load_segmenter: expected a segmenter or autoshot file; got a file"):
        fewshot.load_segmenter(tmp_path / "s.safetensors")
