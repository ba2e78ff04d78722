"""What trainings share: closed forms for the average and the cool-down, and a job that counts."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from toolkit.training import loop
from toolkit.training.loop import LateMeans, Learner, Means, average, cool_down, run


class Counting:
    """A job that learns nothing, and notes when it was saved."""

    def __init__(self, seen=0, batch=4):
        self.seen, self.batch, self.saved = seen, batch, []

    def step(self):
        self.seen += self.batch

    def save(self):
        self.saved.append(self.seen)


@pytest.mark.parametrize("seen, end", [(0, 12), (8, 12), (12, 12), (40, 40)])
def test_it_goes_on_to_the_end_and_saves(seen, end):
    job = Counting(seen)
    run(job, 10, progress=False)
    assert job.saved == [job.seen] == [end]


def test_it_saves_now_and_then(monkeypatch):
    clock = iter(range(0, 1000, 60))  # a step takes a minute, twice so after a save
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    job = Counting()
    run(job, 24, save_every=100, progress=False)
    assert job.saved == [8, 16, 24, 24]


@pytest.mark.parametrize("seen, half_life", [(2, 1), (40, 4), (8_000, 800), (80_000, 8_000), (1_000_000, 8_000)])
def test_an_average_halves_its_distance_every_half_life(seen, half_life):
    slow, fast = nn.BatchNorm1d(3), nn.BatchNorm1d(3)
    nn.init.zeros_(slow.weight)
    fast.running_mean.fill_(5.0)
    average(slow, fast, 2 * half_life, 8_000, seen)
    assert torch.allclose(slow.weight, torch.full((3,), 0.75))
    assert torch.equal(slow.running_mean, fast.running_mean)


@given(st.integers(1, 10**6), st.floats(0.01, 1), st.floats(0, 1))
def test_a_rate_stays_and_then_falls_in_a_straight_line(total, share, lowest):
    factor = [cool_down(done, total, share, lowest) for done in (0, (1 - share) * total, total)]
    assert factor == pytest.approx([1, 1, lowest])
    assert cool_down((1 - share / 2) * total, total, share, lowest) == pytest.approx(max(lowest, 0.5))


def test_a_learner_steps_against_the_loss_at_its_rate():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    learner = Learner(network, 0.1)
    learner.learn(network.weight.sum())  # Adam's first step is as long as the rate
    assert network.weight.item() == pytest.approx(-0.1, rel=1e-4)
    learner.cool_down(0.5)
    learner.learn(network.weight.sum())  # and so are those along a gradient that stays: no sum of the two
    assert network.weight.item() == pytest.approx(-0.15, rel=1e-4)


def test_parts_learn_each_at_their_rate():
    net = nn.ModuleList([nn.Linear(1, 1), nn.Linear(1, 1)])
    learner = Learner(net, 0.1, {net[0]: 2.0, net[1]: 0.5})
    learner.cool_down(0.5)
    before = [part.weight.detach().clone() for part in net]
    learner.learn(sum(part.weight.sum() for part in net))
    moved = [(old - part.weight).item() for old, part in zip(before, net, strict=True)]
    assert moved == pytest.approx([0.1, 0.025])  # Adam's first step is the rate, whatever the gradient


def test_parameters_the_loss_does_not_reach_are_left_alone():
    network = nn.Linear(2, 1)
    before = network.bias.item()
    Learner(network, 0.1).learn(network.weight.sum())
    assert network.bias.item() == before


def test_running_means_begin_at_the_first_value():
    means = Means(0.9)
    means.add(a=1.0)
    means.add(a=2.0, b=-1 / 3)
    assert means == pytest.approx({"a": 1.1, "b": -1 / 3})
    assert means.rounded(2) == {"a": 1.1, "b": -0.33}


def test_an_average_of_many_is_each_ones_own_to_the_last_bit():
    torch.manual_seed(0)
    slow, fast = (nn.Sequential(nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.Linear(7, 2)) for _ in range(2))
    slow[0].to(memory_format=torch.channels_last)
    expected = [old.detach().lerp(new.detach(), 1 - 0.5**0.3) for old, new in zip(slow.parameters(), fast.parameters())]
    average(slow, fast, 30, 100, 10**6)
    assert all(map(torch.equal, slow.parameters(), expected))


@given(st.lists(st.tuples(*[st.floats(-9, 9, width=32)] * 2), min_size=1, max_size=9))
def test_late_means_are_the_means(values):
    early, late = Means(0.9), LateMeans(0.9)
    assert late.read() == late.rounded() == {}
    for a, b in values:
        early.add(a=a, b=b)
        numbers = torch.tensor([a, b], requires_grad=True)
        late.add(a=numbers[0], b=numbers[1])
        with torch.no_grad():
            numbers.fill_(99.0)  # as what a graph puts out is overwritten
    assert late.read() == pytest.approx(early, abs=1e-5)
    assert late.rounded(2) == {name: round(value, 2) for name, value in late.read().items()}
