"""Batches of real pictures, and where the pictures are kept."""

import numpy as np
import pytest
import torch

from toolkit.training import batches
from toolkit.training.batches import held, real_batch


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
