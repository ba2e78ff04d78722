"""The judges: a view moves pictures alike, and what judges learn and ask for point opposite ways."""

import torch

from toolkit.projection.imagenet import imagenet_features
from toolkit.training.judges import Heads, judges_loss, verdict, view


def drawn(num, seed=0, side=32):
    return torch.rand(num, 3, side, side, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_a_view_moves_pictures_of_one_state_alike_and_others_otherwise():
    image, rng = drawn(4), torch.Generator().manual_seed(3)
    same = rng.get_state()
    one = view(image, rng)
    other = view(image, rng)
    assert torch.equal(view(image, rng.set_state(same)), one) and not torch.equal(one, other)
    assert one.shape == image.shape and not torch.equal(one[0], one[1])


def test_a_gradient_comes_back_through_a_view():
    image = drawn(2).requires_grad_()
    view(image, torch.Generator().manual_seed(0)).sum().backward()
    assert (image.grad.flatten(1).abs().sum(1) > 0).all()


def test_no_verdict_grows_faster_than_its_features():
    """Each layer of a head stretches no direction by more than 1 (a 3x3 one: as the matrix it is normalised as)."""
    heads = Heads(4)
    for head in heads.heads:
        for layer in head[::2]:
            for _ in range(30):
                layer(torch.randn(1, layer.in_channels, 4, 4))  # each call in training mode refines the estimate
            assert torch.linalg.matrix_norm(layer.weight.flatten(1), 2) < 1.05


def test_judges_learn_to_tell_and_the_wish_undoes_it():
    torch.manual_seed(0)
    heads, features = Heads(2), imagenet_features()
    real, fake = drawn(8).mul(0.2), drawn(8, 1).mul(0.2)
    real[:, :, ::4], fake[:, :, :, ::4] = 0.9, 0.9  # stripes that lie, stripes that stand
    with torch.no_grad():
        on_real, on_fake = features(real, 2), features(fake, 2)
    adam = torch.optim.Adam(heads.parameters(), 2e-3)
    first = float(judges_loss(heads(on_real), heads(on_fake)).detach())
    for _ in range(60):
        loss = judges_loss(heads(on_real), heads(on_fake))
        adam.zero_grad()
        loss.backward()
        adam.step()
    assert float(loss.detach()) < 0.7 * first
    assert (verdict(heads(on_real)) > verdict(heads(on_fake)).max()).all()
    leaf = fake.clone().requires_grad_()
    verdict(heads(features(leaf, 2))).sum().backward()
    with torch.no_grad():
        better = leaf + 0.02 * leaf.grad / leaf.grad.flatten(1).norm(dim=1).view(-1, 1, 1, 1)
        assert (verdict(heads(features(better, 2))) > verdict(heads(on_fake))).all()
