"""Views of the shots: which rows they keep, how they move, how many there are."""

import pytest
import torch
from PIL import Image

from toolkit import fewshot
from toolkit.errors import CheckpointError
from toolkit.fewshot import Segmenter, Shot, fit
from toolkit.files import load_tensors, save_tensors
from toolkit.gan import features
from toolkit.gan.files.checkpoints import save_gan
from toolkit.gan.model import GAN
from toolkit.gan.stylegan2 import Generator
from toolkit.parts import views
from toolkit.pictures.images import save_png, to_pil
from toolkit.pictures.labels import IGNORE_INDEX
from toolkit.projection.imagenet import CHANNELS, detail_at, looked_at

CLASSES = ["background", "left", "right"]


def test_views_keep_the_rows_that_place_the_parts(tiny_gan, shot, monkeypatch):
    other, seen = Shot(tiny_gan.sample(seed=2), shot.label_map, CLASSES), []
    read = tiny_gan.hypercolumns
    monkeypatch.setattr(
        tiny_gan, "hypercolumns", lambda sample, *noise: seen.append((sample, noise)) or read(sample, *noise)
    )
    found = views.views_of(tiny_gan, [shot, other], torch.Generator().manual_seed(0))
    assert len(found) == views.VIEWS and all(len(columns) == 2 for columns, _ in found)
    seen = seen[-2 * views.VIEWS :]  # two pictures in each view
    assert seen[0] == (shot.sample, ()) and seen[1] == (other.sample, ())
    for i, (sample, (noise_mode, _)) in enumerate(seen[2:]):
        same = (sample.ws == (shot, other)[i % 2].sample.ws).all(2)[0].tolist()
        kept = round(views.MIX_FROM[(1 + i // 2) % 3] * len(same))
        assert same == [True] * kept + [False] * (len(same) - kept) and noise_mode == "random"


def test_views_stay_within_their_memory(tiny_gan, shot, monkeypatch):
    one = sum(a.numel() for a in tiny_gan.hypercolumns(shot.sample).activations.values())
    for room, number in ((one // 2, 1), (one, 1), (3 * one, 3)):
        monkeypatch.setattr(views, "MAX_ELEMENTS", room)
        assert len(views.views_of(tiny_gan, [shot], torch.Generator())) == number


@pytest.mark.parametrize("resolution, finest", [(32, 16), (64, 32), (128, 32)])
def test_of_a_gan_of_any_size_coarse_layers_join_what_imagenet_sees(resolution, finest):
    generator = Generator(resolution, 4, 4, {4 << i: 2 for i in range(6)}, 1)
    own = [name for name in features.channels(generator, imagenet=True) if not name.startswith("imagenet")]
    assert max(int(name.split(".")[0][1:]) for name in own) == finest
    assert own == list(features.channels(generator, imagenet=False))[: len(own)]


@pytest.mark.parametrize("resolution, side", [(32, 32), (64, 64), (128, 64), (256, 128)])
def test_hypercolumns_are_no_finer_than_what_is_in_them(resolution, side):
    generator = Generator(resolution, 4, 4, {4 << i: 2 for i in range(7)}, 1)
    assert features.side_of(generator, imagenet=True) == side
    assert features.side_of(generator, imagenet=False) == resolution


@pytest.mark.parametrize("network", ["mlp", "cnn-s"])
def test_a_large_gan_is_taught_and_answers_in_its_own_pixels(network, tmp_path, monkeypatch):
    """Its hypercolumns have half as many; the border between two parts lies between two of theirs."""
    torch.manual_seed(0)
    save_gan(tmp_path / "large.safetensors", Generator(128, 4, 4, {4 << i: 2 for i in range(6)}, 1), None, {})
    gan = fewshot.load_gan(tmp_path / "large.safetensors")
    gan.imagenet = True
    monkeypatch.setattr(views, "VIEWS", 1)
    monkeypatch.setattr(features, "SEEN_PICTURES", 2)
    sample = gan.sample(1)
    label_map = (torch.arange(128).expand(1, 128, 128) >= 63).long()
    sample.image = label_map[:, None].float().expand(-1, 3, -1, -1) * 2 - 1
    assert gan.hypercolumns(sample).resolution == 64
    scores = fit(gan, [Shot(sample, label_map, CLASSES[:2])], network=network, num_steps=40).predict(sample)
    assert scores.shape == (1, 2, 128, 128)
    wrong = scores.argmax(1) != label_map
    assert wrong.float().mean() < 0.02 and not wrong[..., :60].any() and not wrong[..., 67:].any()


def test_what_imagenet_sees_joins_the_activations(seeing, tiny_gan):
    sample = tiny_gan.sample(seed=3, num=2)
    own, both = (gan.hypercolumns(sample) for gan in (tiny_gan, seeing))
    added = {name: channels for name, channels in both.channels.items() if name not in own.channels}
    assert added == {f"imagenet96.{2**i}": channels for i, channels in enumerate(CHANNELS[1:], start=2)}
    finest = f"b{seeing.resolution}."
    for name, activation in own.activations.items():
        assert name.startswith(finest) or torch.equal(both.activations[name], activation)
    assert list(both.channels)[: -len(added)] == [name for name in own.channels if not name.startswith(finest)]
    assert len(seeing.statistics[0]) == both.num_channels
    # One synthesis gives the same; but only the sample's own picture is looked at, whatever its latents draw.
    image, columns = seeing.drawn(sample.ws)
    torch.testing.assert_close(columns.dense(), both.dense())
    torch.testing.assert_close(image.clamp(-1, 1), sample.image)
    sample.image = sample.image.flip(3)
    again = seeing.hypercolumns(sample).activations
    assert torch.equal(again["b8.conv1"], both.activations["b8.conv1"])
    assert not torch.allclose(again["imagenet96.4"], both.activations["imagenet96.4"])


def test_a_segmenter_that_sees_pictures_survives_its_file(seeing, shot, tmp_path):
    assert seeing.channels == seeing.hypercolumns(shot.sample).channels
    segmenter = fit(seeing, [shot], num_steps=3)
    segmenter.save(tmp_path / "parts.safetensors")
    loaded = Segmenter.load(tmp_path / "parts.safetensors", seeing)
    assert torch.equal(loaded.predict(shot.sample), segmenter.predict(shot.sample))


def test_labels_move_with_the_picture(seeing, shot, monkeypatch):
    """The picture shows its own label map: so must every view."""
    shown = Shot(shot.sample, shot.label_map, CLASSES, seeing)
    shown.sample.image = (shot.label_map[:, None] - 1).float().repeat(1, 3, 1, 1)
    seen = []
    read = seeing.hypercolumns
    monkeypatch.setattr(seeing, "hypercolumns", lambda sample: seen.append(sample.image) or read(sample))
    found = views.views_of(seeing, [shown], torch.Generator().manual_seed(0))
    assert len(found) == views.VIEWS
    for image, (_, label_map) in zip(seen[-views.VIEWS :], found, strict=True):
        known = label_map != IGNORE_INDEX
        agree = (image[:, 0].round().long() + 1 == label_map)[known].float().mean()
        assert agree > 0.9 and known.float().mean() > 0.2
    moved = [label_map for _, label_map in found[1:]]
    assert sum(not torch.equal(one, shot.label_map) for one in moved) > len(moved) / 2  # some move by less than a pixel
    columns = [((one == 1).nonzero()[:, 2].float().mean() < (one == 2).nonzero()[:, 2].float().mean()) for one in moved]
    assert any(columns) and not all(columns)  # some are mirrored


def test_pictures_that_no_framer_lays_alike_move_further(seeing, shot, monkeypatch):
    """With labels everywhere, what a view lacks came from outside the picture."""
    label_map = torch.ones_like(shot.label_map)
    label_map[..., 0, 0] = 0

    def least_known(framer):
        monkeypatch.setattr(seeing, "framer", framer)
        found = views.views_of(
            seeing, [Shot(shot.sample, label_map, CLASSES, seeing)], torch.Generator().manual_seed(0)
        )
        return min(float((one != IGNORE_INDEX).float().mean()) for _, one in found)

    assert least_known(framer="any") > 0.85 and least_known(framer=None) < 0.75


def test_without_a_discriminator_trust_looks_through_imagenet(seeing, tiny_gan):
    """What the encoder guesses looks like itself; its mirror image does not."""
    guess = tiny_gan.generator.synthesis(tiny_gan.sample(1).ws, noise_mode="none").clamp(-1, 1)
    plain = GAN(tiny_gan.generator, encoder=seeing.encoder)
    errors, pixels = seeing.measure(guess, 0), plain.measure(guess, 0)
    assert errors[0, 1] < 1e-6 and not pixels[:, 1].any()
    flipped = guess.flip(3)
    seen, pixels = seeing.measure(flipped, 0), plain.measure(flipped, 0)
    assert torch.allclose(seen[:, 0], pixels[:, 0]) and not pixels[:, 1].any() and seen[0, 1] > 0.01
    torch.testing.assert_close(seen, seeing.measure(torch.cat([guess, flipped]), 0)[1:])


def test_a_segmenter_of_other_layers_is_refused(seeing, tiny_gan, shot, tmp_path):
    """As many channels as these, but of other sights: it would see wrong parts without a word."""
    path = tmp_path / "parts.safetensors"
    segmenter = fit(seeing, [shot], num_steps=3)
    segmenter.save(path)
    tensors, about = load_tensors(path, "segmenter", "test")
    for change in (["imagenet.1"], None):
        other = {key: value for key, value in about.items() if key != "layers"} | ({"layers": change} if change else {})
        save_tensors(path, tensors, other)
        with pytest.raises(CheckpointError, match="other layers in .* Fit it again"):
            Segmenter.load(path, seeing)
    fit(tiny_gan, [shot], num_steps=3).save(path)
    tensors, about = load_tensors(path, "segmenter", "test")
    del about["layers"]
    save_tensors(path, tensors, about)  # without ImageNet's features an older file is as good
    assert torch.equal(Segmenter.load(path, tiny_gan).network.mix.weight, tensors["mix.weight"])


def test_photographs_are_looked_at_in_their_own_pixels(seeing, tmp_path):
    """A pattern too fine for the GAN's own pixels: hypercolumns and their moved views know it, the GAN does not."""
    side = detail_at(seeing.resolution)
    stripes = torch.ones(1, 3, side, side)
    stripes[..., ::2] = -1
    files = {"plain": torch.zeros(1, 3, side, side), "striped": stripes}
    samples = {}
    for name, image in files.items():
        save_png(tmp_path / f"{name}.png", to_pil(image[0]))
        samples[name] = seeing.project(tmp_path / f"{name}.png", num_steps=0, judge=False)
    plain, striped = samples["plain"], samples["striped"]
    assert striped.detail.shape == (1, 3, side, side) and (plain.image - striped.image).abs().mean() < 0.05
    columns = {name: seeing.hypercolumns(sample).activations for name, sample in samples.items()}
    own = [name for name in seeing.channels if not name.startswith("imagenet")]
    assert all((columns["plain"][n] - columns["striped"][n]).abs().mean() < 0.05 for n in own)
    fine = f"imagenet{looked_at(seeing.resolution)}.4"
    assert (columns["plain"][fine] - columns["striped"][fine]).abs().mean() > 0.1
    label_map = torch.arange(256).view(1, 16, 16) % 3
    for name, sample in samples.items():
        found = views.views_of(seeing, [Shot(sample, label_map, CLASSES)], torch.Generator().manual_seed(0), 3)
        columns[name] = torch.cat([view.activations[fine] for view, _ in found])
    apart = (columns["plain"] - columns["striped"]).abs().mean((1, 2, 3))
    assert (apart > 0.1).all()
    tensor = seeing.project(striped.image, num_steps=0, judge=False)  # has no more pixels than these
    assert tensor.detail is None and striped[0].detail.shape == striped.detail.shape
    fewshot.save_sample(tmp_path / "sample.safetensors", striped, seeing)
    assert torch.equal(fewshot.load_sample(tmp_path / "sample.safetensors", seeing).detail, striped.detail)


def test_shots_with_and_without_detail_share_views(seeing, shot, tmp_path):
    save_png(tmp_path / "photograph.png", to_pil(shot.sample.image[0].clamp(-1, 1)))
    photograph = Shot(seeing.project(tmp_path / "photograph.png", num_steps=0, judge=False), shot.label_map, CLASSES)
    found = views.views_of(seeing, [shot, photograph], torch.Generator().manual_seed(0))
    assert all(len(columns) == 2 and len(label_map) == 2 for columns, label_map in found)


def test_a_tensor_beside_a_photograph_costs_it_no_detail(seeing, tmp_path):
    save_png(tmp_path / "photograph.png", Image.effect_noise((64, 64), 90))
    alone = seeing.project(tmp_path / "photograph.png", num_steps=0, judge=False)
    both = seeing.project([seeing.sample(1).image, tmp_path / "photograph.png"], num_steps=0, judge=False)
    assert torch.equal(both[1].detail, alone.detail) and both[0].detail.shape == alone.detail.shape
