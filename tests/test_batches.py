"""Batches of real pictures, and where the pictures are kept."""

import numpy as np
import pytest
import torch

from toolkit.training import batches
from toolkit.training.batches import MOVED, held, moved, real_batch


@pytest.fixture
def pictures():
    """Each of one shade of its own, brighter to the right."""
    shades = torch.arange(0, 250, 10, dtype=torch.uint8)[:, None, None, None].expand(25, 3, 4, 4).contiguous()
    shades[..., 3] += 5
    return shades


def test_a_batch_is_some_of_the_pictures_half_of_them_mirrored(pictures):
    batch = real_batch(pictures, 400, torch.Generator().manual_seed(0))
    colours = ((batch + 1) * 127.5).round().to(torch.uint8)
    mirrored = colours[:, 0, 0, 0] > colours[:, 0, 0, 1]
    assert 150 < int(mirrored.sum()) < 250
    colours[mirrored] = colours[mirrored].flip(3)
    assert {tuple(c.flatten().tolist()) for c in colours} == {tuple(p.flatten().tolist()) for p in pictures}


def test_an_array_gives_the_same_batch_as_a_tensor(pictures):
    ours, other = (real_batch(p, 9, torch.Generator().manual_seed(1)) for p in (pictures, pictures.numpy()))
    assert torch.equal(ours, other)


def test_a_memory_map_is_read_piece_by_piece(pictures, tmp_path, monkeypatch):
    np.save(tmp_path / "p.npy", pictures.numpy())
    monkeypatch.setattr(batches, "AT_ONCE", 7)
    there = held(np.load(tmp_path / "p.npy", mmap_mode="r"), torch.device("cpu"))
    assert torch.equal(there, pictures)


def test_pictures_that_would_fill_a_gpu_stay_where_they_are(pictures, monkeypatch):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2 * pictures.nbytes - 2, 10**9))
    for kind in (pictures, pictures.numpy()):
        assert held(kind, torch.device("cuda")) is kind


def some(num=400):
    return torch.rand(num, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_a_share_of_the_pictures_is_left_alone_to_the_last_bit():
    batch = some()
    after = moved(batch, torch.Generator().manual_seed(1))
    same = (after == batch).flatten(1).all(1)
    assert abs(float(same.float().mean()) - (1 - MOVED)) < 0.08
    assert float(after.abs().max()) <= 1 and after.shape == batch.shape


def test_it_is_the_rngs_doing():
    batch = some(20)
    first, again, other = (moved(batch, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_it_moves_by_a_few_pixels_at_most():
    """A bright square of 32 pixels stays within the reach of shift, size and turn together."""
    batch = -torch.ones(100, 3, 100, 100)
    batch[:, :, 34:66, 34:66] = 0.8
    where = (moved(batch, torch.Generator().manual_seed(3))[:, 0] > 0.2).nonzero()
    assert 25 <= int(where[:, 1:].min()) and int(where[:, 1:].max()) <= 74
    assert int(where[:, 1:].min()) < 34 and int(where[:, 1:].max()) > 65
