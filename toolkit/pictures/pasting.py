"""A picture laid on a photograph where a frame says."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from toolkit.pictures.frames import Frame
from toolkit.pictures.images import to_pil
from toolkit.pictures.margins import margins


def paste(photograph: Image.Image, image: Tensor, frame: Frame, fit: str = "crop") -> Image.Image:
    """A photograph with a picture laid on it.

    Args:
        photograph: RGB.
        image: (3, R, R) in [-1, 1].
        frame: where the picture goes.
        fit: how the picture was made square; "pad" leaves out the edges that were repeated.
    """
    (x, y), angle = frame.centre, math.radians(frame.angle)
    ys, xs = torch.meshgrid(*(torch.arange(n) + 0.5 for n in photograph.size[::-1]), indexing="ij")
    u = ((xs - x) * math.cos(angle) + (ys - y) * math.sin(angle)) / frame.side * 2
    v = ((ys - y) * math.cos(angle) - (xs - x) * math.sin(angle)) / frame.side * 2
    wide, high = (1 - 2 * margins(image[None]).cpu()).flatten().tolist() if fit == "pad" else (1, 1)
    inside = ((u.abs() < wide) & (v.abs() < high)).numpy()
    rows, columns = (slice(a.min(), a.max() + 1) for a in (np.flatnonzero(inside.any(k)) for k in (1, 0)))
    grid = torch.stack([u, v], 2)[rows, columns]
    shrink = max(1.0, image.shape[2] / frame.side)
    size = math.ceil(image.shape[2] / shrink)
    small = F.interpolate(image[None], size=(size, size), mode="bilinear", antialias=True)
    seen = F.grid_sample(small, grid[None], mode="bicubic", padding_mode="border", align_corners=False)
    pixels = np.array(photograph)
    within = inside[rows, columns]
    pixels[rows, columns][within] = np.asarray(to_pil(seen))[within]
    return Image.fromarray(pixels)
