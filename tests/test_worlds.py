import pytest
import torch
import torch.nn.functional as F

from toolkit.errors import ShapeError
from toolkit.pictures.labels import PORTRAIT_CLASSES
from toolkit.worlds import geometry, portraits
from toolkit.worlds.randomness import Dice, noise


def seeds(*values):
    return torch.tensor(values)


def test_a_picture_depends_on_its_own_seed_alone():
    image, label_map = portraits.render(3, 32, 40)
    alone, alone_labels = portraits.render(1, 32, 42)
    assert torch.equal(image[2:], alone) and torch.equal(label_map[2:], alone_labels)
    assert not torch.allclose(image[0], image[1], atol=0.1)


def test_shapes_ranges_and_classes():
    image, label_map = portraits.render(4, 24, 7)
    assert image.shape == (4, 3, 24, 24) and image.dtype == torch.float32
    assert label_map.shape == (4, 24, 24) and label_map.dtype == torch.int64
    assert image.isfinite().all() and -1 <= image.min() and image.max() <= 1
    assert portraits.CLASSES == PORTRAIT_CLASSES and set(label_map.unique().tolist()) <= set(range(10))


def test_every_part_occurs_and_sits_where_ffhq_has_it():
    _, label_map = portraits.render(64, 64, 100)
    present = {c: (label_map == i).flatten(1).any(1).float().mean() for i, c in enumerate(PORTRAIT_CLASSES)}
    assert min(present[c] for c in ("background", "face", "eyes", "nose", "mouth")) > 0.98
    assert all(share > 0.5 for share in present.values())
    rows = torch.arange(64).float()
    height = {
        c: ((label_map == i).sum((0, 2)) * rows).sum() / (label_map == i).sum() for i, c in enumerate(PORTRAIT_CLASSES)
    }
    order = ["eyebrows", "eyes", "nose", "mouth", "neck", "clothes"]
    assert [height[c] for c in order] == sorted(height[c] for c in order)
    assert 26 < height["eyes"] < 34  # FFHQ's alignment puts them just above the middle


def test_the_same_person_at_any_size():
    small, small_labels = portraits.render(4, 32, 900)
    large, large_labels = portraits.render(4, 128, 900)
    assert (F.avg_pool2d(large, 4) - small).abs().mean() < 0.05
    assert (large_labels[:, 2::4, 2::4] == small_labels).float().mean() > 0.95


def test_edges_are_antialiased():
    """Between hair or head and background there are pixels of neither's colour: not a hard cut-out."""
    image, _ = portraits.render(8, 32, 3)
    hard = F.interpolate(portraits.render(8, 64, 3)[0], scale_factor=0.5)
    step = (image[..., 1:] - image[..., :-1]).abs().amax()
    assert step < (hard[..., 1:] - hard[..., :-1]).abs().amax()


@pytest.mark.parametrize("arguments", [(0, 32, 0), (1, 4, 0), (1, 32, -1)])
def test_refuses_impossible_orders(arguments):
    with pytest.raises(ShapeError, match="portraits.render: expected num >= 1, resolution >= 8 and seed >= 0; got"):
        portraits.render(*arguments)


def test_dice_are_uniform_and_independent_by_name():
    dice = Dice(torch.arange(20_000))
    a, b = dice.uniform("a"), dice.uniform("b")
    assert abs(a.mean() - 0.5) < 0.01 and abs(a.var() - 1 / 12) < 0.002
    assert abs(torch.corrcoef(torch.cat([a, b], 1).T)[0, 1]) < 0.03
    assert abs(torch.corrcoef(torch.cat([a[1:], a[:-1]], 1).T)[0, 1]) < 0.03
    assert abs(dice.normal("n", 2.0, 0.5).mean() - 2) < 0.02
    assert abs(dice.chance("c", 0.3).mean() - 0.3) < 0.02
    shares = (dice.choice("k", [[0.0], [1.0], [2.0]], [1, 2, 1]) == 1).float().mean()
    assert abs(shares - 0.5) < 0.02


def test_noise_reads_the_lattice_at_its_nodes():
    lattice = Dice(seeds(5)).lattice("x", 8)
    nodes = torch.arange(8) - 3.5
    assert torch.allclose(noise(lattice, nodes[None], torch.full((1, 8), -1.5)), lattice[:, 0, 2], atol=1e-5)


def test_a_sphere_has_its_depth_and_normals():
    side = 64
    line = (torch.arange(side) + 0.5) * 2 / side - 1
    y, x = torch.meshgrid(-line, line, indexing="ij")
    x, y = x.reshape(1, -1), y.reshape(1, -1)
    one = torch.ones(1, 1)
    frame = geometry.rotation(0.4 * one, 0.2 * one, -0.3 * one)  # turning a sphere changes nothing
    depth = geometry.ellipsoid(x, y, frame, torch.zeros(1, 3), torch.full((1, 3), 0.8))
    inside = x**2 + y**2 < 0.5
    truth = (0.64 - x**2 - y**2).clamp(min=0).sqrt()
    assert (depth - truth)[inside].abs().max() < 1e-5
    normal = geometry.normals(depth, side)
    expected = torch.stack([x, y, truth], 1) / 0.8
    assert (normal - expected).abs().amax(1)[inside].max() < 0.01


def test_an_ellipsoid_obeys_its_equation():
    one = torch.ones(1, 1)
    frame = geometry.rotation(0.5 * one, -0.2 * one, 0.1 * one)
    x, y = torch.tensor([[0.05, 0.2]]), torch.tensor([[0.1, -0.15]])
    center, radii = torch.tensor([[0.1, 0.0, -0.2]]), torch.tensor([[0.5, 0.4, 0.3]])
    q = torch.stack(geometry.to_body(x, y, geometry.ellipsoid(x, y, frame, center, radii), frame), -1)
    assert torch.allclose((((q - center) / radii) ** 2).sum(-1), torch.ones(1, 2), atol=1e-5)


def test_rotation_keeps_lengths_and_returns():
    one = torch.ones(2, 1)
    frame = geometry.rotation(0.5 * one, 0.3 * one, 0.2 * one)
    assert torch.allclose(frame @ frame.transpose(1, 2), torch.eye(3).expand(2, 3, 3), atol=1e-6)
    point = torch.tensor([0.3, -0.2, 0.7])
    x, y, z = (frame @ point)[..., None].unbind(1)
    assert torch.allclose(torch.cat(geometry.to_body(x, y, z, frame), 1), point.expand(2, 3), atol=1e-6)


def test_blend_is_the_maximum_far_from_the_seam():
    a, b = torch.tensor([0.0, 1.0, 0.5]), torch.tensor([1.0, 0.0, 0.5])
    assert torch.allclose(geometry.blend(a, b, 0.1), torch.tensor([1.0, 1.0, 0.525]))


def test_a_wall_throws_its_shadow_away_from_the_light():
    depth = torch.zeros(1, 32, 32)
    depth[:, :, 14:16] = 0.4
    light = F.normalize(torch.tensor([[1.0, 0.0, 1.0]]), dim=1)  # from the right
    lit = geometry.shadow(depth.flatten(1), 32, light, torch.tensor([[0.3]])).view(32, 32)
    assert lit[16, 10] < 0.2 and lit[16, 20] == 1
