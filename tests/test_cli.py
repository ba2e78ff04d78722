"""The command line as a person meets it."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from command_line import run
from PIL import Image
from typer.main import get_command

from toolkit import experiments, fewshot
from toolkit.cli import app
from toolkit.cli.experiments import TABLES
from toolkit.errors import ToolkitError
from toolkit.parts import fitting

ROOT = Path(__file__).parent.parent
GAN = ("train-gan", "--out", "x", "--world", "portraits")
REDRAW = ("train-autoencoder", "--out", "x")


def process(*arguments, cwd):
    """The command in a Python of its own, as a person starts it."""
    command = [sys.executable, "-m", "toolkit", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=environment)


@pytest.fixture
def quick(monkeypatch):
    """What a segmenter learns in ten steps is enough to be printed and drawn."""
    monkeypatch.setattr(fitting, "NUM_STEPS", dict.fromkeys(fitting.NUM_STEPS, 10))


def test_quickstart_prints_scores_and_draws_a_picture(quick, tiny_gan_file, tmp_path):
    few = ("--num-test", 2, "--num-steps", 2)
    done = run("quickstart", "--gan", tiny_gan_file, *few, "--out", tmp_path / "q.png", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "eyebrows" in done.stdout and "weighted" in done.stdout and "fit on one label" in done.stdout
    width, height = Image.open(tmp_path / "q.png").size
    assert width > 500 and height > 300


def test_evaluate_prints_one_json_object(quick, tiny_gan_file, tmp_path):
    few = ("--num-test", 1, "--num-steps", 2)
    done = run("evaluate", "--gan", tiny_gan_file, *few, "--network", "linear", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.strip().splitlines()[-1])
    assert {"weighted_iou", "mean_iou", "per_class", "psnr", "seconds"} <= report.keys()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--gan", "nowhere"], "load_gan: expected one of"),
        (
            ["evaluate", "--segmenter", "x", "--save", "y"],
            "evaluate: expected --segmenter alone; got --save beside it.",
        ),
        (["experiment", "alchemy"], "experiment: expected one of table1, table2, table3, "),
        (["experiment", "readme"], "experiment readme: expected tables in out/experiments that README.md or docs/"),
        (["alchemy"], "toolkit: expected one of quickstart, evaluate, "),
        (["benchmark", "trust"], "benchmark: expected a clone of the repository as the current folder; got no tests"),
        (["train-gan", "--out", "x"], "train-gan: expected either --world or --folder; got None and None."),
        ([*REDRAW, "--world", "portraits", "--fit", "pad"], "train-autoencoder: expected --fit with a folder of "),
        ([*REDRAW, "--folder", ".", "--fit", "zoom"], "train-autoencoder: expected fit to be crop or pad; got 'zoom'."),
        ([*GAN, "--resolution", "96"], "train: expected resolution a power of two; got 96. Use 64 or 128."),
        (
            ["train-encoder", "--out", "x", "--mixed-precision", "fp16"],
            'train_encoder: expected mixed_precision "auto"',
        ),
        (["experiment", "table2", "--epochs", "0"], "train: expected num_epochs >= 1, a whole number; got 0."),
        (["gan-info", "portraits-64", "--out", "."], "write: expected to write .; got a folder of that name. Name a"),
        (["gan-info", "portraits-64", "--num", "0"], "gan-info: expected num >= 1, a whole number; got 0."),
    ],
)
def test_an_error_is_one_line_and_status_2(arguments, message, tmp_path):
    done = run(*arguments, cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and message in done.stderr
    assert list(tmp_path.iterdir()) == []  # no pictures were made for it first


def test_what_two_folders_share_is_said(tmp_path):
    for name, seed in (("a", 0), ("b", 1)):
        (tmp_path / name).mkdir()
        Image.fromarray(np.random.default_rng(seed).integers(0, 255, (64, 64), np.uint8)).save(
            tmp_path / f"{name}/0.png"
        )
    apart = run("experiment", "overlap", "a", "b", cwd=tmp_path)
    assert apart.returncode == 0 and "found: none" in apart.stdout
    same = run("experiment", "overlap", "a", "a", cwd=tmp_path)
    assert same.returncode == 0 and same.stdout.count("0.png") == 2


def test_a_process_of_its_own_ends_as_the_other_tests_see_it(tmp_path):
    for command, status in ((("gan-info", "nowhere"), 2), (("gan-info", "portraits-64", "--json"), 0)):
        alone, here = process(*command, cwd=tmp_path), run(*command, cwd=tmp_path)
        assert (alone.returncode, alone.stdout, alone.stderr) == (status, here.stdout, here.stderr)
        assert here.returncode == status


def test_the_version_is_said(tmp_path):
    done = run("--version", cwd=tmp_path)
    assert done.returncode == 0 and re.fullmatch(r"one-shot-parts \S.*, torch \d+\.\S+\n", done.stdout), done.stdout


def test_examples_need_pictures_to_score_and_a_gan_that_has_some(tiny_gan_file, tmp_path):
    done = run("evaluate", "--examples", cwd=tmp_path)
    assert (
        done.returncode == 2 and "evaluate: expected --examples with --data to score on; got no --data" in done.stderr
    )
    for folder in ("images", "masks"):
        (tmp_path / "own" / folder).mkdir(parents=True)
        Image.new("L", (16, 16), 1).save(tmp_path / "own" / folder / "a.png")
    (tmp_path / "own" / "classes.txt").write_text("background\nleaf\n", "utf-8")
    done = run("evaluate", "--examples", "--data", "own", "--gan", str(tiny_gan_file), cwd=tmp_path)
    assert done.returncode == 2 and "expected a GAN that comes with labelled pictures" in done.stderr


def test_every_command_that_runs_a_network_takes_a_device():
    """All but those that only read and write files, and one that compares by processor time; and a device that is
    absent is one line at each."""

    def options(command):
        return {name for parameter in command.params for name in parameter.opts}

    commands = get_command(app).commands
    commands = {**commands, **{f"experiment {name}": c for name, c in commands["experiment"].commands.items()}}
    without = {name for name, command in commands.items() if "--device" not in options(command)}
    assert (
        without
        == {"experiment", "experiment overlap", "experiment readme", "experiment recipes"}
        | {"convert", "export", "bundle", "bundle-framer", "benchmark"} & commands.keys()
    )
    projecting = {
        "fit",
        "project",
        "segment",
        "calibrate",
        "quickstart",
        "evaluate",
        "experiment gap",
        "experiment all",
    }
    assert all("--num-steps" in options(commands[name]) for name in projecting)


@pytest.mark.parametrize("command", [("gan-info", "portraits-64"), ("calibrate",), ("quickstart",)])
def test_an_absent_device_is_one_line(command, tmp_path):
    done = run(*command, "--device", "cuda:7", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and not list(tmp_path.iterdir())
    assert "--device: expected a device that is there, one of cpu" in done.stderr and "got 'cuda:7'" in done.stderr


def test_calibrate_says_what_it_takes_and_trust_is_known(tiny_gan_file, tmp_path, monkeypatch):
    monkeypatch.setenv("TOOLKIT_CACHE", str(tmp_path))
    done = run("calibrate", "--gan", tiny_gan_file, "--num-steps", 1, "--num", 20)
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("calibrate: 20 samples, about ") and "20 pictures; median errors" in done.stdout
    gan = fewshot.load_gan(tiny_gan_file)
    assert gan.project(gan.sample(1).image, num_steps=1).trust is not None


def test_train_encoder_puts_its_file_beside_the_gan(tiny_gan_file, tmp_path):
    gan = shutil.copy(tiny_gan_file, tmp_path / "mine.safetensors")
    done = run("train-encoder", "--gan", gan, "--out", tmp_path / "run", "--num-pictures", 16, "--batch-size", 8)
    assert done.returncode == 0, done.stderr
    assert f"{tmp_path}/mine-encoder.safetensors: load_gan finds it beside its GAN" in done.stdout
    assert fewshot.load_gan(gan).calibration(0) is not None


def test_a_clone_knows_its_benchmarks():
    done = run("benchmark", "alchemy", cwd=ROOT)
    assert done.returncode == 2 and "benchmark: expected one of autoshot, checkpoints, " in done.stderr


def test_every_experiment_is_a_command():
    assert set(TABLES) == {*experiments.PLANS, "all"}


def test_train_gan_runs_resumes_and_its_gan_loads(quick, tmp_path):
    command = [
        "train-gan",
        "--world",
        "portraits",
        "--out",
        tmp_path / "run",
        "--resolution",
        16,
        "--batch-size",
        4,
        "--start-resolution",
        8,
        "--num-images",
        16,
        "--channel-base",
        128,
        "--grow-after",
        8,
        "--fade",
        8,
    ]
    for num_pictures in (12, 24):
        done = run(*command, "--num-pictures", num_pictures)
        assert done.returncode == 0, done.stderr
    rows = (tmp_path / "run" / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["pictures", "12", "24"]
    few = ("--num-test", 1, "--num-steps", 2)
    done = run("quickstart", "--gan", tmp_path / "run" / "gan.safetensors", *few, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def cars(tmp_path):
    """Two pictures twice as wide as high, red left and right of their centred square, which is blue."""
    (tmp_path / "cars").mkdir()
    for i in range(2):
        wide = Image.new("RGB", (64, 32), (255, i, 0))
        wide.paste((0, i, 255), (16, 0, 48, 32))
        wide.save(tmp_path / "cars" / f"{i}.png")
    return tmp_path / "cars"


def red(file):
    """Of cached pictures, which columns of the first row are red."""
    return np.flatnonzero(np.load(file)[0, 0, 0] > 127).tolist()


def test_train_gan_keeps_wide_pictures_whole_too(cars, tmp_path):
    few = ("--resolution", 16, "--start-resolution", 8, "--batch-size", 2, "--channel-base", 64, "--num-pictures", 2)
    for fit in ("pad", "crop"):
        done = run("train-gan", "--folder", cars, "--fit", fit, "--out", tmp_path / fit, *few)
        assert done.returncode == 0, done.stderr
        assert bool(red(tmp_path / fit / "pictures-16.npy")) == (fit == "pad")
        assert fewshot.load_gan(tmp_path / fit / "gan.safetensors").fit == fit
    done = run(*GAN, "--fit", "pad", cwd=tmp_path)
    assert "train-gan: expected --fit with a folder of pictures of any shape; got no folder." in done.stderr


def test_wide_pictures_are_kept_whole_and_the_gan_remembers(cars, tmp_path, monkeypatch):
    """From the folder to its label map: what is trained, bundled, and made with it, pads as it did."""
    from toolkit.cli.training import bundle
    from toolkit.gan.files import zoo

    ends = [0, 1, 2, 3, 12, 13, 14, 15]
    few = ("--resolution", 16, "--batch-size", 2, "--channel-base", 64, "--num-pictures", 2)
    redraw = ("train-autoencoder", *few, "--num-components", 2)
    done = run(*redraw, "--folder", cars, "--fit", "pad", "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert red(tmp_path / "run" / "pictures-16.npy") == ends
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(zoo, "folder", lambda: tmp_path / "weights")
    bundle(tmp_path / "run" / "gan.safetensors", "cars")
    gan = fewshot.load_gan("cars")
    assert gan.fit == "pad"
    learn = ("train-encoder", "--gan", "cars", "--folder", cars, "--num-pictures", 2, "--batch-size", 2)
    for name, options, columns in (("own", [], ends), ("other", ["--fit", "crop"], [])):
        done = run(*learn, "--out", tmp_path / name, *options)
        assert done.returncode == 0, done.stderr
        assert red(tmp_path / name / "pictures-16.npy") == columns
    label_map = np.zeros((16, 16), int)
    label_map[:8] = 1
    shot = fewshot.Shot(gan.sample(), label_map, ["background", "top"], gan)
    fewshot.fit(gan, [shot], network="linear", num_steps=2).save(tmp_path / "seg.safetensors")
    done = run("segment", cars, "--segmenter", tmp_path / "seg.safetensors", "--out", tmp_path / "o", "--num-steps", 1)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "o" / "0.json").read_text())["box"] == [0, -16, 64, 48]
    parts = np.asarray(Image.open(tmp_path / "o" / "0.parts.png"))
    assert parts.shape == (32, 64) and parts.max() < 2  # no pixel is left out


@pytest.mark.parametrize("pixels, read", [(32, 32), (31, 16)])
def test_autoshot_enlarges_no_photographs(pixels, read, tmp_path, monkeypatch):
    """A segmenter that looks at 32 pixels, of a GAN of 16, labels smaller photographs by the GAN's."""
    from toolkit.cli.pictures import autoshot
    from toolkit.pictures import cache

    class Enough(Exception):
        pass

    def from_folder(folder, size, *_):
        raise Enough(size)

    gan = SimpleNamespace(detail_resolution=32, resolution=16, fit="crop")
    monkeypatch.setattr(fewshot.Segmenter, "load", lambda *_: SimpleNamespace(gan=gan))
    monkeypatch.setattr(cache, "from_folder", from_folder)
    Image.new("RGB", (pixels, 40)).save(tmp_path / "photograph.png")
    with pytest.raises(Enough, match=f"^{read}$"):
        autoshot(tmp_path / "few.safetensors", tmp_path / "out.safetensors", folder=tmp_path, device="cpu")


@pytest.fixture
def labelled_cars(cars):
    """Twelve of them as a data set, in both parts of its split."""
    for i in range(12):
        for folder in ("images", "masks"):
            (cars / "set" / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(cars / f"{i % 2}.png", cars / "set" / "images" / f"{i}.png")
        mask = Image.new("L", (64, 32))
        mask.paste(1, (16, 0, 48, 32))
        mask.save(cars / "set" / "masks" / f"{i}.png")
    (cars / "set" / "classes.txt").write_text("background\nbody\n")
    return cars / "set"


@pytest.mark.parametrize(
    "command",
    [
        "evaluate --data SET --gan GAN",
        "evaluate --data SET --segmenter SEGMENTER",
        "experiment table1 --data SET --gan GAN",
        "experiment table2 --data SET --gan GAN",
        "experiment gap --data SET --gan GAN",
        "experiment gan-quality --folder CARS --gan GAN",
        "experiment framing --folder CARS --gan GAN --framer FRAMER --segmenter SEGMENTER",
        "experiment refusals CARS --segmenter SEGMENTER",
        "experiment reconstruction CARS --gan GAN",
        "train-encoder --folder CARS --gan GAN --out OUT",
        "bundle-encoder ENCODER --folder CARS --gan GAN",
        "autoshot --folder CARS --segmenter SEGMENTER --out OUT",
        "calibrate-autoshot NETWORK --folder CARS --gan GAN",
        "fit --data SET --gan GAN --out OUT",
        "project CARS --gan GAN --out OUT",
        "segment CARS --segmenter SEGMENTER --out OUT",
        "segment CARS --segmenter NETWORK --out OUT",
    ],
)
def test_pictures_become_square_as_the_gans_own_unless_fit_says_otherwise(
    command, cars, labelled_cars, padded_gan_file, padded_gan, tmp_path, monkeypatch
):
    from toolkit.autoshot.unet import UNet
    from toolkit.gan.encoder import Encoder, save_encoder
    from toolkit.pictures import images
    from toolkit.projection.framing import Framer, save_framer

    files = {"GAN": padded_gan_file, "CARS": cars, "SET": labelled_cars, "OUT": tmp_path / "out" / "a.safetensors"}
    for name in ("SEGMENTER", "NETWORK", "FRAMER", "ENCODER"):
        files[name] = tmp_path / f"{name}.safetensors"
    label_map = np.zeros((16, 16), int)
    label_map[:8] = 1
    shot = fewshot.Shot(padded_gan.sample(), label_map, ["background", "body"], padded_gan)
    fewshot.fit(padded_gan, [shot], network="linear", num_steps=2).save(files["SEGMENTER"])
    fewshot.AutoShotSegmenter(UNet(2, 4), shot.classes, 16, fit="pad").save(files["NETWORK"])
    save_framer(files["FRAMER"], Framer((4, 8, 8, 16)), {})
    generator = padded_gan.generator
    encoder = Encoder(16, {4: 8, 8: 8, 16: 8}, generator.num_ws, generator.w_dim)
    save_encoder(files["ENCODER"], encoder, {"gan_hash": padded_gan.hash})

    def squared(how):
        def refuse(picture):
            raise ToolkitError("squared", "a picture", f"one to {how}", "Stop here")

        return refuse

    for how in ("crop", "pad"):
        monkeypatch.setitem(images.FITS, how, squared(how))
    words = [files.get(word, word) for word in command.split()]
    assert "squared: expected a picture; got one to pad." in run(*words, cwd=tmp_path).stderr
    if words[0] not in ("fit", "project", "segment"):
        assert "got one to crop." in run(*words, "--fit", "crop", cwd=tmp_path).stderr


def test_a_foreign_file_is_converted_and_described(tmp_path):
    golden = ROOT / "tests" / "golden" / "nvidia_c_cond3.pkl"
    done = run("convert", golden, tmp_path / "gan.safetensors", "--licence", "test data")
    assert done.returncode == 0, done.stderr
    assert "32 pixels, NVIDIA .pkl" in done.stdout
    done = run("gan-info", tmp_path / "gan.safetensors", "--num", 2, "--out", tmp_path / "samples.png", "--json")
    assert done.returncode == 0, done.stderr
    about = json.loads(done.stdout.strip().splitlines()[-1])
    assert (about["resolution"], about["mapping layers"], about["classes"], about["licence"]) == (32, 2, 3, "test data")
    assert about["hypercolumn channels"] == sum(layer["channels"] for layer in about["layers"]) == 7 * 16
    assert [layer["layer"] for layer in about["layers"]][:2] == ["b4.conv1", "b8.conv0"]
    assert Image.open(tmp_path / "samples.png").size == (2 * 32 + 2, 3 * 32 + 4)  # a row for each of three classes


def test_a_hostile_file_is_refused_in_one_line(tmp_path):
    done = run("convert", ROOT / "tests" / "golden" / "mal_reduce.pkl", tmp_path / "x.safetensors", cwd=tmp_path)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "posix.system" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_discriminator_is_bundled_in_a_file_of_its_own(tmp_path, tiny_gan, tiny_gan_file, monkeypatch):
    from toolkit.cli.training import bundle
    from toolkit.gan.files import checkpoints, zoo

    monkeypatch.setattr(zoo, "folder", lambda: tmp_path)
    bundle(tiny_gan_file, "my-cats", discriminator_apart=True)
    assert zoo.bundled() == ("my-cats",) and fewshot.load_gan("my-cats").discriminator is None
    judge = checkpoints.load_discriminator(tmp_path / "my-cats-discriminator.safetensors")
    image = tiny_gan.sample(1, 4).image
    torch.testing.assert_close(judge(image), tiny_gan.discriminator(image), rtol=0.05, atol=0.05)
    with pytest.raises(ToolkitError, match="bundle: expected a GAN with a discriminator; got .*my-cats.* without"):
        bundle(tmp_path / "my-cats.safetensors", "again", discriminator_apart=True)


def test_an_encoder_is_bundled_with_its_own_gan_only(tmp_path, tiny_gan, tiny_gan_file, monkeypatch):
    """Also where the GAN, in float16 now, has another hash than the one that the encoder was made for."""
    from toolkit.cli.training import bundle, bundle_encoder
    from toolkit.gan.encoder import Encoder, save_encoder
    from toolkit.gan.files import checkpoints, zoo
    from toolkit.projection.framing import Framer, save_framer

    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(zoo, "folder", lambda: tmp_path / "weights")
    bundle(tiny_gan_file, "my-cats")
    encoder = Encoder(16, {4: 8, 8: 8, 16: 8}, tiny_gan.generator.num_ws, tiny_gan.generator.w_dim)
    for name, of in (("right", tiny_gan.hash), ("wrong", "0" * 64)):
        save_encoder(tmp_path / f"{name}.safetensors", encoder, {"gan_hash": of})
    with pytest.raises(ToolkitError, match="bundle-encoder: expected an encoder of GAN .*; got one of GAN 0000"):
        bundle_encoder(tmp_path / "wrong.safetensors", gan="my-cats", num=4)
    bundle_encoder(tmp_path / "right.safetensors", gan="my-cats", num=4)
    gan = fewshot.load_gan("my-cats")
    assert gan.hash != tiny_gan.hash and len(gan.encoder.calibration) == 4
    # The same GAN keeps it; another of that name puts it aside, for `load_gan` would refuse both.
    bundle(tiny_gan_file, "my-cats")
    assert fewshot.load_gan("my-cats").encoder is not None
    save_framer(
        tmp_path / "weights" / "my-cats-framer.safetensors", Framer((4, 8, 8, 16)), {}
    )  # of a folder: any GAN's
    generator, _ = checkpoints.load_networks(tiny_gan_file, call="test")
    generator.mapping.w_avg.add_(1)
    checkpoints.save_gan(tmp_path / "other.safetensors", generator, None, {})
    bundle(tmp_path / "other.safetensors", "my-cats")
    gan = fewshot.load_gan("my-cats")
    assert gan.encoder is None and gan.framer is not None
    assert (tmp_path / "weights" / "my-cats-encoder.safetensors.former").exists()


def test_a_framer_is_bundled_with_what_it_is_off_by(tmp_path, tiny_gan_file, cars):
    """On pictures that it never saw, where they are given; and no other GAN's is bundled."""
    from toolkit.cli.training import bundle_framer
    from toolkit.projection.framing import Framer, save_framer

    shutil.copy(tiny_gan_file, tmp_path / "cats.safetensors")
    file = tmp_path / "framer.safetensors"
    save_framer(file, Framer((4, 8, 8, 16)), {"off": [0.1, 0.0, 0.0, 0.0], "threshold": 2.0})
    bundle_framer(file, str(tmp_path / "cats.safetensors"))
    assert fewshot.load_gan(tmp_path / "cats.safetensors").framer.metadata["off"] == [0.1, 0, 0, 0]
    bundle_framer(file, str(tmp_path / "cats.safetensors"), folder=cars, backgrounds=cars)
    found = fewshot.load_gan(tmp_path / "cats.safetensors").framer.metadata
    assert found["off"] == [0, 0, 0, 0] and found["threshold"] == 2.0  # so sure it is of nothing
    with pytest.raises(ToolkitError, match="bundle-framer: expected --folder with --backgrounds; got no --folder"):
        bundle_framer(file, str(tmp_path / "cats.safetensors"), backgrounds=cars)
    save_framer(file, Framer((4, 8, 8, 16)), {"gan_hash": "0" * 64})
    with pytest.raises(ToolkitError, match="bundle-framer: expected a framer of GAN .*; got one of GAN 0000"):
        bundle_framer(file, str(tmp_path / "cats.safetensors"))


def test_a_bundled_gan_has_a_name_and_segment_takes_pictures_and_latents(tmp_path, tiny_gan_file, monkeypatch):
    """What `bundle` names is loaded by that name; without it `segment` asks for --gan."""
    from toolkit.cli.pictures import segment
    from toolkit.cli.training import bundle
    from toolkit.gan.files import zoo

    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(zoo, "folder", lambda: tmp_path / "weights")
    bundle(tiny_gan_file, "my-cats")
    gan = fewshot.load_gan("my-cats")
    label_map = np.zeros((16, 16), int)
    label_map[:8] = 1
    shot = fewshot.Shot(gan.sample(), label_map, ["background", "top"], gan)
    fewshot.fit(gan, [shot], network="linear", num_steps=2).save(tmp_path / "seg.safetensors")
    np.savez(tmp_path / "found.npz", w=gan.sample(seed=2, num=2).ws.double().numpy())
    segment([tmp_path / "found.npz"], tmp_path / "seg.safetensors", tmp_path / "out", latents=True)
    parts = sorted(file.name for file in (tmp_path / "out").glob("*.parts.png"))
    assert parts == ["found-2.parts.png", "found.parts.png"]
    moved = (tmp_path / "weights/my-cats.safetensors").rename(tmp_path / "moved.safetensors")
    gan.path.unlink(missing_ok=True)
    with pytest.raises(ToolkitError, match="--gan"):
        segment([tmp_path / "found.npz"], tmp_path / "seg.safetensors", tmp_path / "out", latents=True)
    segment([tmp_path / "found.npz"], tmp_path / "seg.safetensors", tmp_path / "b", gan=str(moved), latents=True)
    assert (tmp_path / "b/found.json").exists()
    for name in ("../cats", "ffhq-1024", ".cats"):
        with pytest.raises(ToolkitError, match="bundle: expected a name that is no path"):
            bundle(moved, name)
    assert not gan.imagenet
    bundle(moved, "my-cats", imagenet_features=True)
    assert fewshot.load_gan("my-cats").imagenet
