import pytest
import torch

from toolkit import fewshot
from toolkit.errors import CheckpointError, LabelError, ShapeError, ToolkitError
from toolkit.fewshot import Sample, Shot, fit
from toolkit.parts import fitting, networks
from toolkit.parts.fitting import AGAIN

CLASSES = ["background", "left", "right"]


def test_a_network_learns_its_shot(tiny_gan, shot):
    segmenter = fit(tiny_gan, [shot], network="mlp", num_steps=400)
    assert (segmenter.predict(shot.sample).argmax(1) == shot.label_map).float().mean() > 0.95


@pytest.mark.parametrize("network", ["cnn-l", "cnn-m", "cnn-s", "mlp", "linear"])
def test_same_seed_same_segmenter(tiny_gan, shot, network):
    a, b, other = (fit(tiny_gan, [shot], network=network, num_steps=3, seed=s) for s in (5, 5, 6))
    assert torch.equal(a.predict(shot.sample), b.predict(shot.sample))
    assert not torch.equal(a.predict(shot.sample), other.predict(shot.sample))


def test_a_cnns_steps_see_two_of_many_shots_and_a_label_in_them(tiny_gan, shot):
    """Each shot is labelled with its number; of the second view only one keeps its scribble."""
    view = fitting.views_of(tiny_gan, [shot] * 5, torch.Generator(), 1)[0][0]
    labels = torch.arange(5)[:, None, None].expand(5, 16, 16).clone()
    empty = labels.clone()
    empty[1:] = 255
    views, rng, seen = [(view, labels), (view, empty)], torch.Generator().manual_seed(0), []
    for step in range(60):
        some, label_map = fitting._some(views, step, 2, rng)
        assert len(some) == len(label_map) == 2 and (label_map != 255).any()
        assert (label_map[0] != label_map[1]).any()
        seen += label_map[:, 0, 0].tolist()
    assert set(seen) - {255} == set(range(5))
    whole, label_map = fitting._some(views, 0, None, rng)
    assert whole is view and label_map is labels


def test_what_imagenet_sees_does_alone_in_some_steps(tiny_gan, seeing, shot, monkeypatch):
    """And of a GAN that sees nothing none of all its own channels are hidden at once."""
    hidden, hide = [], networks.Mix.hide

    def watched(mix, share, *others):
        hide(mix, share, *others)
        if share:
            parts = mix.shown.split(list(mix.channels.values()))
            hidden.append({name for name, part in zip(mix.channels, parts) if not part.any()})

    monkeypatch.setattr(networks.Mix, "hide", watched)
    own = set(tiny_gan.channels)
    steps, wide = 60, {name for name, channels in tiny_gan.channels.items() if channels >= 16}
    fit(tiny_gan, [shot], num_steps=steps)
    assert not any(names >= wide for names in hidden)
    hidden.clear()
    fit(seeing, [shot], num_steps=steps)
    alone = [names & own for names in hidden if names >= own & set(seeing.channels)]
    assert abs(len(alone) / steps - fitting.ALONE) < 0.2
    assert not any(name.startswith("imagenet") for names in hidden for name in names)


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


def test_fitting_step_by_step_ends_where_fit_does(tiny_gan, shot):
    steps = list(fewshot.fitting(tiny_gan, [shot], network="linear", num_steps=25, every=10))
    assert [done for done, *_ in steps] == [10, 20, 25] and {total for _, total, *_ in steps} == {25}
    whole = fit(tiny_gan, [shot], network="linear", num_steps=25)
    assert torch.equal(steps[-1][3].predict(shot.sample), whole.predict(shot.sample))


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


def test_a_start_is_gone_on_from_and_stays_as_it_is(tiny_gan, shot):
    first = fit(tiny_gan, [shot], num_steps=60)
    before = {name: value.clone() for name, value in first.network.state_dict().items()}
    losses = [loss for _, _, loss, _ in fewshot.fitting(tiny_gan, [shot], start=first, every=1)]
    assert len(losses) == fewshot.NUM_STEPS["mlp"] // AGAIN
    anew = next(fewshot.fitting(tiny_gan, [shot], every=1))[2]
    assert losses[0] < 0.7 * anew
    label_map = shot.label_map.clone()
    label_map[label_map == 1] = 2  # a correction
    other = fit(tiny_gan, [Shot(shot.sample, label_map, shot.classes, tiny_gan)], start=first, num_steps=60)
    assert (other.predict(shot.sample).argmax(1) == label_map).float().mean() > 0.85
    assert all(torch.equal(value, before[name]) for name, value in first.network.state_dict().items())
    again = fit(tiny_gan, [shot], start=first, seed=3), fit(tiny_gan, [shot], start=first, seed=3)
    assert torch.equal(*[one.predict(shot.sample) for one in again])


def test_a_start_of_another_kind_is_refused(tiny_gan, shot, monkeypatch):
    start = fit(tiny_gan, [shot], network="linear", num_steps=1)
    with pytest.raises(ToolkitError, match="fit: expected a start that is mlp; got one that is linear"):
        fit(tiny_gan, [shot], start=start)
    start.classes = ("background", "a", "b")
    with pytest.raises(LabelError, match="fit: expected a start with classes"):
        fit(tiny_gan, [shot], network="linear", start=start)
    start.gan = type("Other", (), {"hash": "0" * 64})
    with pytest.raises(CheckpointError, match="fit: expected a start of GAN"):
        fit(tiny_gan, [shot], network="linear", start=start)
