"""Trust: could this GAN have made such a picture? Its reconstruction error among those of in-world ones.

Projection finds a latent for any picture, and a segmenter labels whatever that latent synthesises: its
parts are right only where the reconstruction shows the same picture. The error of the encoder's first
guess tells best whether it does. The guess is always a picture typical of the GAN, while optimisation
in W+ reproduces pictures of anything, a grey wall for instance.
"""

import torch
from torch import Tensor

LOW = 0.05  # below this a picture is unlike anything the GAN makes
LEAST = 20  # pictures of a calibration: with fewer, no share is below `LOW` but 0


def trust(errors: Tensor, calibration: Tensor) -> Tensor:
    """The share of in-world pictures that came out no better than these.

    Args:
        errors: (N, 2), pixel and perceptual, as `Projection.errors`.
        calibration: (M, 2), the same of M in-world pictures, got in the same way.
    Returns:
        (N,) in [0, 1]: 0 for a picture worse than all of them, 1 for one better than all.
    """
    usual = _excess(calibration, calibration).sort().values
    found = _excess(errors, calibration)
    below = torch.searchsorted(usual, found.contiguous())
    return 1 - below.to(errors.dtype) / len(usual)


def _excess(errors, calibration):
    """How far errors lie above the usual, in deviations, both kinds together; signed, (N,)."""
    log, usual = errors.clamp_min(1e-8).log(), calibration.clamp_min(1e-8).log()
    return ((log - usual.mean(0)) / usual.std(0).clamp_min(1e-6)).amax(1)
