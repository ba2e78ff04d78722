import torch

from toolkit.projection.perceptual import Distance, unit


def test_a_picture_is_at_no_distance_from_itself(tiny_gan):
    image = tiny_gan.sample(seed=1, num=2).image
    pixel, perceptual = Distance(image, tiny_gan.discriminator)(image)
    assert not pixel.any() and not perceptual.any()


def test_pixels_are_compared_by_their_mean_square():
    target = torch.zeros(2, 3, 16, 16)
    image = torch.stack([target[0] + 0.5, target[0] - 1])
    pixel, perceptual = Distance(target)(image)
    assert torch.equal(pixel, torch.tensor([0.25, 1.0])) and not perceptual.any()


def test_features_count_by_direction_not_size(tiny_gan):
    """Blocks whose features are k times as large count no more: each pixel's are at unit length."""
    target, image = (tiny_gan.sample(seed=s, num=2).image for s in (1, 2))

    class Louder:
        def features(self, x):
            return [f * (i + 2) for i, f in enumerate(tiny_gan.discriminator.features(x))]

    plain, louder = (Distance(target, d)(image)[1] for d in (tiny_gan.discriminator, Louder()))
    assert torch.allclose(plain, louder, rtol=1e-5) and (plain > 0).all()
    assert all(torch.allclose(f.norm(dim=1), torch.ones(())) for f in unit([torch.randn(1, 4, 3, 3)]))


def test_it_leads_back(tiny_gan):
    target = tiny_gan.sample(seed=1).image
    image = tiny_gan.sample(seed=2).image.requires_grad_()
    distance = Distance(target, tiny_gan.discriminator)
    before = sum(distance(image))
    before.sum().backward()
    with torch.no_grad():
        assert sum(distance(image - 1e-2 * image.grad / image.grad.abs().max())) < before
