"""The bundled weights are what weights/README.md says, and what the default name loads."""

import hashlib

import pytest
import torch
from safetensors import safe_open

from toolkit import fewshot
from toolkit.autoshot import AutoShotSegmenter
from toolkit.experiments.scoring import score
from toolkit.gan.files import zoo
from toolkit.pictures import labels
from toolkit.worlds import portraits

README = (zoo.folder() / "README.md").read_text("utf-8")
FILES = sorted(zoo.folder().glob("*.safetensors"))


def test_every_bundled_name_has_its_file():
    names, kinds = (
        ("faces-64", "faces-128", "cars-64", "horses-64", "portraits-64"),
        ("", "-encoder", "-autoshot", "-framer", "-shots"),
    )
    assert set(zoo.bundled()) == set(names)
    files = {f"{name}{kind}" for name in names for kind in kinds}
    # A car's frame is the whole picture; one network finds the parts of faces, whichever GAN is asked; the last one's
    # discriminator is there to train it further.
    files -= {"cars-64-framer", "faces-128-autoshot"}
    assert {f.stem for f in FILES} == files | {"faces-128-discriminator"}


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_file_is_small_half_precision_and_documented(file):
    assert file.stat().st_size < 40 << 20
    assert hashlib.sha256(file.read_bytes()).hexdigest() in README and file.name in README
    with safe_open(file, "pt") as tensors:
        judges = "calibration", "layout.mean", "layout.root", "layout.usual"  # what trust is judged by
        counts = "num_batches", "label_map"
        weights = [n for n in tensors.keys() if n not in judges and not any(one in n for one in counts)]
        assert {tensors.get_tensor(name).dtype for name in weights} == {torch.float16}


def test_the_default_draws_faces_and_has_an_encoder():
    gan = fewshot.load_gan()
    assert gan.metadata["name"] == zoo.DEFAULT == zoo.bundled()[0] == "faces-128" and gan.encoder is not None


def test_the_portraits_gan_draws_portraits(bundled_gan):
    """Untruncated samples have a portrait's make-up: a calm backdrop above, something else in the middle."""
    assert bundled_gan.metadata["name"] == "portraits-64" and bundled_gan.metadata["pictures_seen"] > 100_000
    image = bundled_gan.sample(seed=0, num=16, truncation_psi=1.0).image
    assert image.shape == (16, 3, bundled_gan.resolution, bundled_gan.resolution)
    side = bundled_gan.resolution
    corner, middle = image[:, :, : side // 8, : side // 8], image[:, :, side // 4 : -side // 4, side // 4 : -side // 4]
    assert corner.std((2, 3)).mean() < 0.5 * middle.std((2, 3)).mean()
    assert image.std(0).mean() > 0.1  # sixteen people, not one


@pytest.mark.parametrize("name", ["faces-64", "faces-128"])
def test_the_gans_of_faces_say_their_terms_and_what_they_draw_they_can_redraw(name):
    gan = fewshot.load_gan(name)
    assert gan.resolution == int(name.removeprefix("faces-"))
    assert "research use only" in gan.metadata["licence"] and "research use only" in gan.encoder.metadata["licence"]
    faces = gan.sample(seed=5, num=32)
    assert faces.image.std(0).mean() > 0.15  # they differ
    guess = gan.project(faces.image, num_steps=0)
    # Not the same latents, but near: the encoder learned from photographs, never from samples.
    assert guess.psnr.mean() > 20 and (guess.trust > 0.05).float().mean() > 0.9


PARTS = {
    "cars-64": ("background", "body", "plate", "light", "wheel", "window"),
    "horses-64": ("background", "head", "neck", "torso", "legs", "tail"),
}


@pytest.mark.parametrize("name", PARTS)
def test_the_gans_of_cars_and_horses_say_their_terms_and_redraw_what_they_draw(name):
    gan = fewshot.load_gan(name)
    assert gan.fit == "pad" and "research use only" in gan.metadata["licence"]
    drawn = gan.sample(seed=5, num=16)
    assert drawn.image.std(0).mean() > 0.15  # they differ
    guess = gan.project(drawn.image, num_steps=0)
    error = (guess.reconstruction[:, None] - drawn.image).square().mean((2, 3, 4))
    assert torch.equal(error.argmin(1), torch.arange(16)) and (guess.trust > 0.05).float().mean() > 0.8


@pytest.mark.parametrize("name", PARTS)
def test_ten_of_their_own_pictures_are_labelled_and_their_autoshot_networks_agree(name):
    gan = fewshot.load_gan(name)
    shots = fewshot.examples(gan)
    assert len(shots) == 10 and {shot.classes for shot in shots} == {PARTS[name]}
    assert set(shots[0].label_map.unique().tolist()) == set(range(6))  # the first shows all, for one shot
    for shot in shots:
        redrawn = gan.generator.synthesis(shot.sample.ws, noise=shot.sample.noise or None).clamp(-1, 1)
        assert (redrawn - shot.sample.reconstruction).abs().mean() < 0.02
    auto = AutoShotSegmenter.load(zoo.folder() / f"{name}-autoshot.safetensors")
    found = auto.segment(torch.cat([shot.sample.image for shot in shots]))
    truth = torch.cat([shot.label_map for shot in shots])
    scores = score(torch.stack([result.label_map for result in found]), truth, auto.classes)
    assert auto.classes == PARTS[name] and auto.fit == "pad" and scores["weighted_iou"] > 75


def test_the_labelled_photographs_of_horses_name_their_parts():
    folder = zoo.folder() / "horse-parts"
    assert tuple((folder / "classes.txt").read_text("utf-8").split()) == PARTS["horses-64"]
    masks = {file.stem: labels.load_label_png(file)[0] for file in (folder / "masks").glob("*.png")}
    scored = set((folder / "test.txt").read_text("utf-8").split())
    assert len(masks) == 20 and scored == masks.keys() - {"horse193"}  # mirrored, it is among what horses-64 learned
    for label_map in masks.values():
        assert set(label_map.unique().tolist()) == set(range(6))


def test_its_discriminator_tells_portraits_from_noise(bundled_gan):
    portraits = bundled_gan.sample(seed=1, num=8).image
    noise = torch.rand(portraits.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert (bundled_gan.discriminator(portraits) > bundled_gan.discriminator(noise).max()).all()


def test_the_encoder_guesses_pictures_it_never_saw(bundled_gan):
    """Closer to each unseen portrait than to any other, and closer than the average portrait is."""
    image, _ = portraits.render(8, bundled_gan.resolution, 1_600_000)
    guess = bundled_gan.project(image, num_steps=0)
    error = (guess.reconstruction[:, None] - image).square().mean((2, 3, 4))
    assert torch.equal(error.argmin(1), torch.arange(8))
    average = bundled_gan.generator.synthesis(bundled_gan.encoder.w_avg.expand(1, bundled_gan.generator.num_ws, -1))
    assert (error.diag() < 0.3 * (average - image).square().mean((1, 2, 3))).all()
    assert bundled_gan.encoder.calibration.shape == (2000, 2)


def test_trust_tells_portraits_from_noise(bundled_gan):
    image, _ = portraits.render(8, bundled_gan.resolution, 1_600_000)
    noise = torch.rand(image.shape, generator=torch.Generator().manual_seed(0)) * 2 - 1
    assert bundled_gan.project(image, num_steps=0).trust.median() > 0.1
    with pytest.warns(UserWarning, match="unlike anything portraits-64 makes"):
        assert not bundled_gan.project(noise, num_steps=0).trust.any()


def test_the_bundled_autoshot_network_trusts_portraits_and_no_scribbles():
    auto = AutoShotSegmenter.load(zoo.folder() / "portraits-64-autoshot.safetensors")
    image, _ = portraits.render(8, 64, 1_600_000)
    assert min(result.trust for result in auto.segment(image)) > 0.05
    rng = torch.Generator().manual_seed(0)
    scribbles = torch.nn.functional.interpolate(torch.rand(8, 3, 8, 8, generator=rng) * 2 - 1, size=(64, 64))
    with pytest.warns(UserWarning, match="of 8 pictures are unlike anything"):
        assert sorted(result.trust for result in auto.segment(scribbles))[4] < 0.05


def test_the_autoshot_network_of_faces_trusts_faces_finds_their_parts_and_knows_no_scribbles():
    auto = AutoShotSegmenter.load(zoo.folder() / "faces-64-autoshot.safetensors")
    shots = fewshot.examples(fewshot.load_gan("faces-64"))  # labelled by hand; it never saw them
    found = auto.segment(torch.cat([shot.sample.image for shot in shots]))
    assert min(result.trust for result in found) > 0.3
    truth = torch.cat([shot.label_map for shot in shots])
    scores = score(torch.stack([result.label_map for result in found]), truth, auto.classes)
    assert scores["weighted_iou"] > 60 and scores["per_class"]["eyes"] > 35
    rng = torch.Generator().manual_seed(0)
    scribbles = torch.nn.functional.interpolate(torch.rand(8, 3, 8, 8, generator=rng) * 2 - 1, size=(64, 64))
    with pytest.warns(UserWarning, match="8 of 8 pictures are unlike anything"):
        assert not any(result.trust for result in auto.segment(scribbles))


@pytest.mark.parametrize("name", ["faces-64", "faces-128", "portraits-64"])
def test_its_labelled_pictures_are_what_their_latents_draw_and_show_every_part(name):
    gan = fewshot.load_gan(name)
    shots = fewshot.examples(gan)
    assert len(shots) == 6 and {shot.classes for shot in shots} == {labels.PORTRAIT_CLASSES}
    assert set(torch.cat([shot.label_map for shot in shots]).unique().tolist()) == set(range(10))
    for shot in shots:
        redrawn = gan.generator.synthesis(shot.sample.ws, noise=shot.sample.noise or None)
        assert (redrawn.clamp(-1, 1) - shot.sample.reconstruction).abs().mean() < 0.02
        eyes = (shot.label_map[0] == labels.PORTRAIT_CLASSES.index("eyes")).nonzero()[:, 1]
        assert (eyes < gan.resolution // 2).any() and (eyes >= gan.resolution // 2).any()
