"""Options for trainings of seconds, and all pairs at once."""

import torch

CLASSES = ("background", "bright", "brighter")
SMALL = {"width": 2, "num_epochs": 2, "batch_size": 16, "mixed_precision": "no"}


def everything(pairs):
    """All pairs, dropped ones included: image, soft."""
    chosen = torch.ones(pairs.num_images, dtype=torch.bool)
    return tuple(map(torch.cat, zip(*(pairs.read(i, chosen) for i in range(pairs.num_shards)))))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)
