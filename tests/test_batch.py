"""`project` and `segment` as a person runs them: folders, a bad file among good ones."""

import io
import json
import os
import shutil
import tempfile
from pathlib import Path

import command_line
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from toolkit import batch, fewshot
from toolkit.batch import segmenting
from toolkit.batch.naming import ENDING
from toolkit.errors import CheckpointError, LabelError, ToolkitError, WriteError
from toolkit.pictures import images, labels

CLASSES = ["background", "top", "bottom"]


def run(*arguments):
    return command_line.run(*arguments, COLUMNS="200")


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
    assert torch.equal(sample.image, images.load_image(folder / "a.jpg", 16)) and sample.trust is None
    said = "project: 3 pictures of 2 steps, about "
    assert said in done.stderr and f"calibrate --gan {tiny_gan_file} --num-steps 2\n" in done.stderr
    assert done.stderr.index(said) < done.stderr.index("dB, trust unknown")
    again = tiny_gan.generator.synthesis(sample.ws, noise=sample.noise).clamp(-1, 1)
    assert torch.allclose(again, sample.reconstruction.clamp(-1, 1), atol=1e-4)
    drawn = images.load_image(tmp_path / "a.reconstruction.png")
    assert (drawn - sample.reconstruction.clamp(-1, 1)).abs().max() < 1 / 127
    beside = images.load_image(tmp_path / "a.side-by-side.png")
    assert (beside[..., :16] - sample.image).abs().max() < 1 / 127 and torch.equal(beside[..., -16:], drawn)


def test_segment_files_and_folders_in_the_uploads_own_pixels(folder, segmenter_file, tmp_path):
    done = run("segment", folder, folder / "a.jpg", "--segmenter", segmenter_file, "--out", tmp_path, "--num-steps", 3)
    assert done.returncode == 1 and "segment: 1 of 4 pictures failed." in done.stderr, done.stderr
    kinds = ("json", "overlay.png", "parts.png")
    assert sorted(os.listdir(tmp_path)) == sorted(f"{name}.{kind}" for name in ("a", "a-2", "b") for kind in kinds)
    for name, size in (("a", (40, 30)), ("b", (30, 40))):
        about = json.loads((tmp_path / f"{name}.json").read_text())
        assert about["size"] == list(size) and about["classes"] == CLASSES and about["trust"] is None
        label_map = labels.load_label_png(tmp_path / f"{name}.parts.png")
        assert sum(about["areas"].values()) == (label_map != 255).sum() == 30 * 30
        assert about["areas"] == {c: int((label_map == i).sum()) for i, c in enumerate(CLASSES)}
        assert label_map.shape == (1, *size[::-1])
        assert Image.open(tmp_path / f"{name}.overlay.png").size == size


def test_segment_with_an_autoshot_network(folder, tmp_path):
    from toolkit.autoshot import AutoShotSegmenter
    from toolkit.autoshot.unet import UNet

    AutoShotSegmenter(UNet(3, 4), CLASSES, 16).save(tmp_path / "auto.safetensors")
    out = tmp_path / "out"
    done = run("segment", folder / "a.jpg", "--segmenter", tmp_path / "auto.safetensors", "--out", out)
    assert done.returncode == 0, done.stderr
    about = json.loads((out / "a.json").read_text())
    assert sum(about["areas"].values()) == 40 * 30


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


class Whole:
    """A segmenter that needs no network: every pixel is background, of whatever can be read."""

    def __init__(self, fail=None):
        self.fail = fail

    def segment(self, path):
        picture = images.load_image(path)[0]
        if self.fail is not None:
            raise self.fail
        label_map = torch.zeros(picture.shape[1:], dtype=torch.int64)
        return fewshot.Result(picture, label_map, CLASSES, labels.default_palette(3), picture, 0.0)


def results_in(out):
    return sorted(path.name.removesuffix(".json") for path in out.glob("*.json"))


def test_long_names_are_cut_and_stay_apart(tmp_path):
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for name in ("图" * 78, "图" * 80 + "a", "图" * 80 + "b", "é", "E", "e"):
        Image.new("RGB", (4, 4)).save(folder / f"{name}.png")
    assert batch.segment_files(Whole(), [folder], out, progress=False) == 0
    assert set(results_in(out)) == {"图" * 78, "图" * 78 + "-2", "图" * 78 + "-3", "é", "E", "e-2"}
    assert len(os.listdir(out)) == 3 * 6
    # The longest ending fits as well.
    assert max(len(f"{name}{ENDING}".encode()) for _, name in batch.find([folder])) <= 255


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=["Cs"]), min_size=1, max_size=90)


@settings(max_examples=25, deadline=None)
@given(st.dictionaries(NAMES, st.sampled_from(["good", "empty", "cut"]), min_size=1, max_size=5))
def test_any_names_and_any_bad_files(kinds):
    with tempfile.TemporaryDirectory() as place:
        folder, out = Path(place) / "in", Path(place) / "out"
        folder.mkdir()
        file = io.BytesIO()
        Image.new("RGB", (4, 4)).save(file, "PNG")
        contents = {"good": file.getvalue(), "empty": b"", "cut": file.getvalue()[:40]}
        taken = {n: k for n, k in kinds.items() if not n.startswith(".") and len(f"{n}.png".encode()) <= 255}
        for name in taken:
            (folder / f"{name}.png").write_bytes(contents[taken[name]])
        if not taken:
            return
        good = sum(kind == "good" for kind in taken.values())
        assert batch.segment_files(Whole(), [folder], out, progress=False) == len(taken) - good
        assert len(results_in(out)) == good


def test_its_own_results_are_not_taken_again(tmp_path, capsys):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    for _ in range(2):
        assert batch.segment_files(Whole(), [tmp_path], tmp_path, progress=False) == 0
    assert sorted(os.listdir(tmp_path)) == ["a.json", "a.overlay.png", "a.parts.png", "a.png"]
    assert f"{tmp_path}: 1 pictures; left out: 1 .json, 2 results of this toolkit." in capsys.readouterr().err


@pytest.mark.parametrize("error", [RuntimeError("out of memory\nand more"), ZeroDivisionError("division by zero")])
def test_whatever_one_picture_does_the_others_are_done(error, folder, tmp_path, capsys):
    assert batch.segment_files(Whole(error), [folder], tmp_path, progress=False) == 3
    printed = capsys.readouterr().err
    assert f"{folder / 'a.jpg'}: segment failed ({type(error).__name__}: {str(error).splitlines()[0]})." in printed
    assert "segment: 3 of 3 pictures failed." in printed and "and more" not in printed


def test_an_out_that_cannot_be_written_is_refused_before_any_work(folder, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="write: expected to write .*; got a file, and no folder, at .*file. Name a"):
        batch.segment_files(None, [folder], tmp_path / "file", progress=False)


def test_a_full_disk_ends_it_in_one_line_and_keeps_what_was_done(folder, tmp_path, monkeypatch, capsys):
    written = []

    def full(path, image):
        written.append(path)
        if len(written) > 1:
            raise WriteError("write", f"to write {path}", "a full disk", "Make room, and run it again")
        save_png(path, image)

    save_png = images.save_png
    monkeypatch.setattr(images, "save_png", full)
    with pytest.raises(WriteError, match="b.overlay.png; got a full disk"):
        batch.segment_files(Whole(), [folder], tmp_path, progress=False)
    assert results_in(tmp_path) == ["a"]
    assert f"segment: stopped at {folder / 'b.JPEG'}; 1 of 3 done." in capsys.readouterr().err


def test_latents_of_another_gan_are_refused(tiny_gan, tmp_path, monkeypatch):
    fewshot.save_sample(tmp_path / "s.safetensors", tiny_gan.sample(1), tiny_gan)
    monkeypatch.setattr(tiny_gan, "hash", "f" * 64)
    with pytest.raises(CheckpointError, match=r"load_sample: expected latents of GAN f{12}; got those of \w{12}\."):
        fewshot.load_sample(tmp_path / "s.safetensors", tiny_gan)
    with pytest.raises(CheckpointError, match="load_segmenter: expected a segmenter or autoshot file; got a file"):
        fewshot.load_segmenter(tmp_path / "s.safetensors")


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """Three labelled photographs, as `OwnFolder` reads them: one of them it would keep for scoring."""
    folder = tmp_path_factory.mktemp("labelled")
    for kind in ("images", "masks"):
        (folder / kind).mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"images/{i}.jpg")
        mask = np.zeros((40, 40), np.uint8)
        mask[10:30, 10:30] = 1 + i % 2
        Image.fromarray(mask).save(folder / f"masks/{i}.png")
    (folder / "classes.txt").write_text("background\nleaf\nroot\n")
    return folder


def test_fit_learns_from_all_labelled_photographs(labelled, tiny_gan, tiny_gan_file, tmp_path):
    out = tmp_path / "parts.safetensors"
    options = ["--gan", tiny_gan_file, "--num-steps", 2, "--network", "linear"]
    done = run("fit", "--data", labelled, "--out", out, *options)
    assert done.returncode == 0, done.stderr
    assert "background, leaf, root; learned from the 3 shots" in done.stdout
    assert "fit: 3 pictures of 2 steps, about " in done.stderr and done.stderr.count("dB, trust unknown") == 3
    assert fewshot.load_segmenter(out).classes == ("background", "leaf", "root")
    shots = fewshot.load_shots(tmp_path / "parts-shots.safetensors")
    assert [sorted(shot.label_map.unique().tolist()) for shot in shots] == [[0, 1], [0, 2], [0, 1]]
    assert torch.equal(shots[0].sample.image, images.load_image(labelled / "images/0.jpg", 16))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--network", "oracle"], "fit: expected one of cnn-l, "),
        (["--device", "cuda:9"], "--device: expected a device that is there, one of cpu"),
        (["--gan", "nowhere"], "load_gan: expected one of"),
    ],
)
def test_fit_is_refused_before_the_work(options, message, labelled, tmp_path):
    done = run("fit", "--data", labelled, "--out", tmp_path / "parts.safetensors", *options)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_photograph_with_nothing_to_learn_is_named_before_any_step(labelled, tiny_gan, tmp_path, monkeypatch):
    shutil.copytree(labelled, tmp_path / "data")
    Image.new("L", (40, 40), 0).save(tmp_path / "data/masks/1.png")
    monkeypatch.setattr(tiny_gan, "project", None)
    with pytest.raises(LabelError, match=r"fit \(1\): expected at least two classes labelled; got only class 0"):
        batch.shots_from(tiny_gan, tmp_path / "data")


def test_labelled_photographs_teach_by_their_own_pixels(labelled, seeing, monkeypatch):
    seeing.encoder.calibration = None
    monkeypatch.setattr(seeing.encoder, "hash", "f" * 64, raising=False)
    side = seeing.detail_resolution
    for i, shot in enumerate(batch.shots_from(seeing, labelled, num_steps=0, progress=False)):
        assert torch.equal(shot.sample.detail, images.load_image(labelled / f"images/{i}.jpg", side))


def test_steps_are_refused_where_nothing_is_projected(tmp_path, folder):
    from toolkit.autoshot import AutoShotSegmenter
    from toolkit.autoshot.unet import UNet

    auto = AutoShotSegmenter(UNet(3, 4), CLASSES, 16)
    with pytest.raises(ToolkitError, match="segment: expected no num_steps for a network that projects nothing; got 5"):
        batch.segment_files(auto, [folder], tmp_path, num_steps=5)


# ---- thousands of pictures: resumed, shared, put together ----------------------------------------------


class Counting(Whole):
    """Remembers how many pictures it was asked for."""

    classes = tuple(CLASSES)

    def __init__(self, fail=None):
        super().__init__(fail)
        self.asked = 0

    def segment(self, picture, **options):
        self.asked += 1
        result = super().segment(picture)
        result.label_map[:1, :2], result.label_map[1:, 1:] = 1, 2
        return result


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for i in range(5):
        Image.new("RGB", (4 + i, 3), (40 * i, 9, 9)).save(folder / f"{i}.png")
    return folder


def test_it_goes_on_where_it_stopped(many, tmp_path, monkeypatch):
    out, full = tmp_path / "out", WriteError("write", "to write it", "a full disk", "Make room")
    write, written = segmenting._write, []

    def stop(*arguments):
        if len(written) == 2:
            raise full
        written.append(write(*arguments))

    monkeypatch.setattr(segmenting, "_write", stop)
    with pytest.raises(WriteError):
        batch.segment_files(Counting(), [many], out, progress=False)
    monkeypatch.undo()
    segmenter = Counting()
    assert batch.segment_files(segmenter, [many], out, progress=False) == 0 and segmenter.asked == 3
    assert results_in(out) == list("01234")
    times = {path: path.stat().st_mtime_ns for path in out.iterdir()}
    assert batch.segment_files(segmenter, [many], out, progress=False) == 0 and segmenter.asked == 3
    assert times == {path: path.stat().st_mtime_ns for path in out.iterdir()}


def test_a_changed_picture_and_another_way_are_done_again(many, tmp_path):
    segmenter = Counting()
    batch.segment_files(segmenter, [many], tmp_path / "out", progress=False)
    later = (tmp_path / "out" / "3.json").stat().st_mtime + 5
    os.utime(many / "3.png", (later, later))
    batch.segment_files(segmenter, [many], tmp_path / "out", progress=False)
    assert segmenter.asked == 6
    (tmp_path / "out" / "0.json").write_text("{}")  # not of this toolkit
    batch.segment_files(segmenter, [many], tmp_path / "out", progress=False)
    assert segmenter.asked == 8  # it, and the one that is still newer
    batch.segment_files(segmenter, [many], tmp_path / "out", align="centre", progress=False)
    assert segmenter.asked == 13


def test_processes_share_a_folder(many, tmp_path, monkeypatch):
    asked = []
    for index in range(2):
        state = type("State", (), {"process_index": index, "num_processes": 2, "is_main_process": not index})()
        state.device = torch.device("cpu")
        monkeypatch.setattr(segmenting, "processes", lambda state=state: state)
        monkeypatch.setattr(segmenting, "reduce", lambda value, how: value)
        segmenter = Counting()
        assert batch.segment_files(segmenter, [many], tmp_path / "out", progress=False) == 0
        asked.append(segmenter.asked)
    assert asked == [3, 2] and results_in(tmp_path / "out") == list("01234")


def test_only_a_few_pictures_are_open_at_once(many, monkeypatch):
    files = [(path, path.stem) for path in sorted(many.iterdir())]
    monkeypatch.setattr(segmenting, "GROUP", 2)
    assert [len(group) for group in segmenting._groups(files)] == [2, 2, 1]
    monkeypatch.setattr(segmenting, "GROUP_PIXELS", 13)
    assert [len(group) for group in segmenting._groups(files)] == [2, 1, 1, 1]


def test_one_picture_that_fails_takes_no_other_of_its_batch(many, tmp_path, monkeypatch, capsys):
    from toolkit.autoshot import AutoShotSegmenter
    from toolkit.autoshot.unet import UNet

    network = AutoShotSegmenter(UNet(3, 4), CLASSES, 16)
    result = network._result

    def picky(upload, *more):
        if upload.size == (6, 3):
            raise RuntimeError("this one")
        return result(upload, *more)

    monkeypatch.setattr(network, "_result", picky)
    assert batch.segment_files(network, [many], tmp_path / "out", progress=False) == 1
    assert results_in(tmp_path / "out") == list("0134")
    assert "2.png: segment failed (RuntimeError: this one)." in capsys.readouterr().err


def test_all_of_a_folder_for_other_tools(many, tmp_path):
    from test_rle import decoded

    out, segmenter = tmp_path / "out", Counting()
    (many / "4.png").write_bytes(b"broken")
    assert batch.segment_files(segmenter, [many], out, progress=False) == 1
    files = {"coco": tmp_path / "coco.json", "label_studio": tmp_path / "ls.json", "masks": tmp_path / "set"}
    assert batch.gather(segmenter, [many], out, **files) == 4
    maps = {name: labels.load_label_png(out / f"{name}.parts.png")[0].numpy() for name in "0123"}
    COCO = pytest.importorskip("pycocotools.coco").COCO
    coco = COCO(str(files["coco"]))
    assert {"info", "licenses"} <= set(coco.dataset) and len(coco.anns) == 8
    for picture in coco.loadImgs(coco.getImgIds()):
        label_map = maps[Path(picture["file_name"]).stem]
        assert (picture["height"], picture["width"]) == label_map.shape
        for annotation in coco.loadAnns(coco.getAnnIds(imgIds=[picture["id"]])):
            np.testing.assert_array_equal(coco.annToMask(annotation), label_map == annotation["category_id"])
    for task in json.loads(files["label_studio"].read_text()):
        label_map = maps[Path(task["data"]["image"]).stem]
        for part in task["predictions"][0]["result"]:
            size = part["original_height"], part["original_width"]
            mask = decoded(part["value"]["rle"]).reshape(*size, 4)[..., 3] > 0
            np.testing.assert_array_equal(mask, label_map == CLASSES.index(part["value"]["brushlabels"][0]))
    assert (files["masks"] / "classes.txt").read_text().split() == CLASSES
    for name, label_map in maps.items():
        with Image.open(files["masks"] / "masks" / f"{name}.png") as mask:
            assert mask.mode == "L" and (np.asarray(mask) == label_map).all()
