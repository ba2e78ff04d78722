"""How much of a square picture is its own: a whole picture of another shape was made square by repeating its edges."""

import torch
from torch import Tensor

SAME = 1.5 / 127.5  # rows that differ by no more are repetitions: what rounding to 8 bits leaves between them


def margins(image: Tensor) -> Tensor:
    """How wide the repeated edges of pictures are, found in the pictures themselves.

    `pad_box` puts a picture in the middle, so an edge is repeated on both sides or on none: a clear sky is no margin.

    Args:
        image: (N, 3, R, R) in [-1, 1].
    Returns:
        (N, 2), shares of the side, 0 to below 0.5: left and right of the picture, above and below it.
    """
    side = image.shape[3]
    across = torch.minimum(_repeated(image.transpose(2, 3)), _repeated(image.transpose(2, 3).flip(2)))
    along = torch.minimum(_repeated(image), _repeated(image.flip(2)))
    wide = torch.stack([across, along], 1)
    return torch.where(wide < side // 2, wide, torch.zeros_like(wide)) / side  # a flat picture has no edges


def _repeated(image):
    """How many rows from the top repeat the one that follows them (N,)."""
    same = (image - image[:, :, :1]).abs().amax((1, 3)) <= SAME
    return same.long().cumprod(1).sum(1) - 1  # the last of them is the picture's own
