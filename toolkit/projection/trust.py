"""Trust: could this GAN have made such a picture? Its reconstruction error among those of in-world ones.

A GAN draws something for every picture, and a segmenter labels whatever it draws. Before a mask is
believed, one has to know whether the drawing is the picture. The encoder's first guess tells best: it
stays among what the GAN knows, where optimisation in W+ ends up drawing even a grey wall.
"""

import torch

LOW = 0.05  # below this a picture is unlike anything the GAN makes


def trust(errors, calibration):
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
