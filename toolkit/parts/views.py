"""Views of a few labelled pictures, so that a network learns their parts and not these very pictures."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.parts import hypercolumns, motions
from toolkit.parts.hypercolumns import Hypercolumns
from toolkit.parts.sample import AnyGAN, Sample
from toolkit.parts.shots import Shot
from toolkit.pictures.labels import IGNORE_INDEX

VIEWS = 16  # of each shot
MIX_FROM = (0.3, 0.5, 0.7)  # shares of the rows of ws that a style-mixed view keeps
MAX_ELEMENTS = 1 << 28  # activations of all views together: 1 GB
# A moved view's motion, at most, where a framer lays all pictures alike: larger ones cost more where parts lie than
# they gain in what parts look like. Without a framer pictures lie as they come: they move by `motions`' own sizes.
FRAMED = {"scale": 1.08, "rotation": 5.0, "shift": 0.03}


@torch.no_grad()
def views_of(
    gan: AnyGAN, shots: Sequence[Shot], rng: torch.Generator, num: int | None = None
) -> list[tuple[Hypercolumns, Tensor]]:
    """Hypercolumns of the shots as they are, and of views of them, with their labels.

    Args:
        gan: the `GAN` the shots came from.
        shots: N `Shot`s.
        rng: on the GAN's device.
        num: of views, at most; >= 1. None for `VIEWS`.
    Returns:
        list of `Hypercolumns` of N pictures each and label maps (N, R, R), the first of the shots as they are; as
        many as `MAX_ELEMENTS` allows, up to num.
    """
    label_map = torch.cat([shot.label_map for shot in shots]).to(gan.device)
    views = [(hypercolumns.cat([gan.hypercolumns(shot.sample) for shot in shots]), label_map)]
    size = sum(a.numel() for a in views[0][0].activations.values())
    for i in range(1, max(1, min(num or VIEWS, MAX_ELEMENTS // size))):
        if gan.imagenet and gan.encoder is not None:
            view = _moved(gan, shots, label_map, rng)
            if (view[1] != IGNORE_INDEX).any():  # a scribble may have left the picture
                views.append(view)
        else:
            views.append((_mixed(gan, shots, MIX_FROM[i % len(MIX_FROM)], rng), label_map))
    return views


def _mixed(gan, shots, share, rng):
    """Style-mixed pictures: the first rows of ws, which control the layout, are kept.

    The later ones, which control colour and texture, and the noise are drawn at random. The labels still hold, and
    the network does not overfit to the colours of one picture. Karras et al. 2019, sec. 3.1 (arXiv:1812.04948).
    """
    rows = round(share * gan.generator.num_ws)
    looks = gan.generator.mapping(torch.randn(len(shots), gan.generator.z_dim, generator=rng, device=gan.device))
    mixed = [torch.cat([s.sample.ws[:, :rows].to(w), w[None, rows:]], 1) for s, w in zip(shots, looks, strict=True)]
    samples = [Sample(s.sample.image, ws) for s, ws in zip(shots, mixed, strict=True)]
    return hypercolumns.cat([gan.hypercolumns(sample, "random", rng) for sample in samples])


def _moved(gan, shots, label_map, rng):
    """Moved and mirrored pictures, as the encoder projects them, and their labels.

    What ImageNet's features see of a picture cannot be mixed with another's style. And where a GAN was trained
    briefly, its activations tell the place of a pixel better than what is there: labels that move teach the rest.
    """
    samples = [shot.sample for shot in shots]
    pictures = [(s.image if s.detail is None else s.detail).to(gan.device) for s in samples]
    side = max(picture.shape[-1] for picture in pictures)
    grid = motions.draw(len(shots), side, rng, **(FRAMED if gan.framer is not None else {}))
    moved = motions.move(torch.cat([_resized(picture, side) for picture in pictures]), grid, "border")
    image = _resized(moved, gan.resolution)
    sample = Sample(image, gan.encoder(image), detail=None if image is moved else moved)
    return gan.hypercolumns(sample), motions.move_labels(label_map, motions.coarser(grid, gan.resolution))


def _resized(image, side):
    """(N, C, side, side): enlarged bilinearly, or made smaller by the mean."""
    if image.shape[-1] == side:
        return image
    how = {"mode": "area"} if side < image.shape[-1] else {"mode": "bilinear", "align_corners": False}
    return F.interpolate(image, size=(side, side), **how)
