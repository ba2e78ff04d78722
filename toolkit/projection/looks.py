"""Several looks at an object whose frame was found: a little smaller and larger, for a found frame is a little off."""

import torch
import torch.nn.functional as F
from torch import Tensor

LOOKS = (1.0, 0.9, 1.1)  # times a frame's size
WIDER = max(LOOKS)  # times a found frame's size: what is labelled, as one found too small would cut off what is there


def together(scores: Tensor, wider: float = WIDER) -> Tensor:
    """The mean of what is seen by those looks that see a place at all.

    Args:
        scores: (L, K, h, w), probabilities or sums of such, one for each of `LOOKS`; the largest sees all.
        wider: times the frame's size, what the mean covers, up to `WIDER`.
    Returns:
        (K, h, w).
    """
    # A place in the frame is nearer the centre of a larger one.
    theta = torch.tensor([[[wider / by, 0.0, 0.0], [0.0, wider / by, 0.0]] for by in LOOKS]).to(scores)
    grid = F.affine_grid(theta, list(scores.shape), align_corners=False)
    sure = F.grid_sample(scores, grid, padding_mode="border", align_corners=False)
    seeing = (grid.abs().amax(3) < 1).to(sure)[:, None]
    return (sure * seeing).sum(0) / seeing.sum(0)
