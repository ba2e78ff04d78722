"""Where a segmenter is unsure, and which picture a person should therefore label next."""

import math
from typing import Any

import torch
from torch import Tensor

from toolkit.parts.sample import Sample


def entropy(logits: Tensor) -> Tensor:
    """Normalised entropy of the class probabilities at each pixel.

    Args:
        logits: (N, K, H, W), K >= 2.
    Returns:
        entropy (N, H, W) in [0, 1]: 1 when all K are equally likely.
    """
    log_p = logits.log_softmax(1)
    return -(log_p.exp() * log_p).sum(1) / math.log(logits.shape[1])


def next_to_label(
    segmenter: Any, *, num: int = 64, seed: int = 0, truncation_psi: float = 0.7
) -> tuple[Sample, Tensor]:
    """Among generated pictures the one whose labels would teach most: that of the highest mean entropy.

    Args:
        segmenter: a `fewshot.Segmenter`.
        num: candidates, >= 1.
        seed, truncation_psi: of `GAN.sample`.
    Returns:
        `Sample` of one picture; its entropy (H, W) in [0, 1].
    Source: uncertainty sampling, Lewis and Gale 1994 (arXiv:cmp-lg/9407020).
    """
    candidates = segmenter.gan.sample(seed, num, truncation_psi)
    with torch.no_grad():
        unsure = entropy(segmenter.predict(candidates))
    best = int(unsure.mean((1, 2)).argmax())
    return candidates[best], unsure[best]
