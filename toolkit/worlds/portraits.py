"""Procedural portraits with exact part labels: the world this toolkit can be tested in.

Head, hair, neck and clothes are blended ellipsoids seen by an orthographic camera, painted in their
own coordinates, so that features turn with the head, and lit by a key light with cast shadows.
Framing follows FFHQ: eyes and mouth sit where FFHQ's alignment puts them. Labels follow
CelebAMask-HQ: a beard belongs to the face, glasses to what they cover.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.errors import ShapeError
from toolkit.worlds import paint, surfaces
from toolkit.worlds.geometry import FAR, hill, normals, shadow, smoothstep
from toolkit.worlds.people import Person
from toolkit.worlds.randomness import Dice

CLASSES = ("background", "face", "hair", "eyes", "eyebrows", "nose", "mouth", "ears", "neck", "clothes")
BACKGROUND, FACE, HAIR, EYES, EYEBROWS, NOSE, MOUTH, EARS, NECK, CLOTHES = range(10)
SUPERSAMPLING = 2  # rays per pixel, along each axis
CHUNK_RAYS = 1 << 17  # rays traced at once: the working set then stays in a core's cache


def render(num: int, resolution: int, seed: int, device: str | torch.device = "cpu") -> tuple[Tensor, Tensor]:
    """Render portraits and their part labels.

    Args:
        num: how many, >= 1. Picture i depends on `seed + i` alone.
        resolution: side in pixels, >= 8; the same seed shows the same person at any size.
        seed: first picture's seed, >= 0.
        device: where to render.
    Returns:
        image (N, 3, H, W) float32 in [-1, 1]; label_map (N, H, W) int64 in 0..9, see `CLASSES`.
    Raises:
        ShapeError: num, resolution or seed out of range.
    """
    if num < 1 or resolution < 8 or seed < 0:
        raise ShapeError(
            "portraits.render",
            "num >= 1, resolution >= 8 and seed >= 0",
            f"num {num}, resolution {resolution}, seed {seed}",
            "Ask for at least one picture of at least 8 pixels",
        )
    chunk = max(1, CHUNK_RAYS // (resolution * SUPERSAMPLING) ** 2)
    seeds = torch.arange(seed, seed + num, dtype=torch.int64, device=device)
    parts = [_photograph(Person(Dice(s), resolution * SUPERSAMPLING)) for s in seeds.split(chunk)]
    image, label_map = zip(*parts, strict=True)
    return torch.cat(image), torch.cat(label_map)


def _photograph(p):
    """Compose the layers by depth, light them, and bin the rays into pixels."""
    face, ear_depth, body = surfaces.face(p), surfaces.ears(p), surfaces.body(p)
    head_depth, is_ear = torch.maximum(face.depth, ear_depth), ear_depth > face.depth
    hair = surfaces.hair(p, head_depth)
    hair_depth = torch.where(hair.mask > 0.5, hair.depth, FAR)
    body_front = body.depth > head_depth
    hair_front = (hair_depth > head_depth) & (hair_depth > body.depth)
    depth = torch.maximum(torch.maximum(head_depth, body.depth), hair_depth)
    solid = depth > -1.2

    skin, shine, features = paint.face(p, face)
    skin = paint.mix(skin, p.skin * p.color(0.98, 0.86, 0.84), is_ear * 0.8)
    label = torch.full(is_ear.shape, FACE, dtype=torch.uint8, device=is_ear.device)
    for mask, part in zip(features, (NOSE, MOUTH, EYES, EYEBROWS), strict=True):
        label[mask > 0.5] = part
    label[is_ear] = EARS
    label[body_front] = NECK
    label[body_front & (body.dressed > 0.5)] = CLOTHES
    label[hair_front] = HAIR
    label[~solid] = BACKGROUND

    def front(of_head, of_body, of_hair):
        where = (hair_front, body_front) if of_head.dim() == 2 else (hair_front[:, None], body_front[:, None])
        return torch.where(where[0], of_hair, torch.where(where[1], of_body, of_head))

    normal = front(*(normals(z, p.side) for z in (head_depth, body.depth, hair.depth + 0.006 * hair.strand)))
    albedo = front(skin, paint.body(p, body), paint.hair(p, hair, skin))
    shine = front(shine, torch.full_like(shine, 0.05), 0.10 + 0.15 * hair.strand.clamp(min=0))
    light = _light(p, albedo, normal, shine, torch.where(solid, depth, FAR), hair_front)
    return _expose(p, torch.where(solid[:, None], light, paint.backdrop(p))), _vote(label, p.side)


def _light(p, albedo, normal, shine, depth, is_hair):
    """Key light with shadows, sky, gloss and a rim: linear colour (N, 3, P)."""
    d = p.dice
    azimuth, height = d.normal("light azimuth", 0, 0.65, 1.8), d.uniform("light height", 0.3, 0.95)
    flat = torch.cos(height)
    towards = torch.cat([torch.sin(azimuth) * flat, torch.sin(height), torch.cos(azimuth) * flat], 1)
    warm = d.normal("warmth", 0.03, 0.06)
    key = torch.cat([1 + warm, torch.ones_like(warm), 1 - 1.4 * warm], 1) * d.uniform("key", 0.80, 1.15)

    pixels = p.side // SUPERSAMPLING  # shadows are soft: march them at the picture's own resolution
    coarse = F.avg_pool2d(depth.view(-1, 1, p.side, p.side), SUPERSAMPLING).flatten(1)
    lit = shadow(coarse, pixels, towards, d.uniform("softness", 0.35, 0.9)).view(-1, 1, pixels, pixels)
    lit = F.interpolate(lit, scale_factor=SUPERSAMPLING, mode="bilinear").flatten(1)

    cosine = (normal * towards[..., None]).sum(1)
    diffuse = ((cosine + 0.18) / 1.18).clamp(min=0) * (0.12 + 0.88 * lit)
    ambient = d.uniform("ambient", 0.20, 0.38) * (0.65 + 0.35 * (0.5 + 0.5 * normal[:, 1]))
    color = albedo * (key[..., None] * diffuse[:, None] + ambient[:, None])
    # light that entered the skin leaves it redder where the key light grazes
    graze = hill((cosine / 0.25) ** 2) * lit * ~is_hair
    color = color + albedo * graze[:, None] * p.color(0.09, 0.02, 0.01)[:, None]
    half = F.normalize(towards + p.color(0, 0, 1), dim=1)
    gloss = smoothstep((normal * half[..., None]).sum(1), 0.80, 1.02) ** 2 * shine * lit
    rim = (1 - normal[:, 2]).clamp(min=0) ** 3 * d.uniform("rim", 0.0, 0.25)
    return color + key[..., None] * (gloss + 0.5 * rim * shine)[:, None]


def _expose(p, light):
    """Linear light (N, 3, P) -> image (N, 3, R, R) in [-1, 1], with a soft shoulder, as film has."""
    light = F.avg_pool2d(light.view(-1, 3, p.side, p.side), SUPERSAMPLING)
    film = 1 - torch.exp(-1.7 * light.clamp(min=0) * p.dice.uniform("exposure", 0.64, 0.98)[..., None, None])
    return (film / (1 - math.exp(-1.7))).clamp(0, 1) ** (1 / 2.2) * 2 - 1


def _vote(label, side):
    """Labels of rays (N, P) -> label_map (N, R, R): the commonest label in each pixel."""
    r, s = side // SUPERSAMPLING, SUPERSAMPLING
    votes = label.view(-1, r, s, r, s).permute(2, 4, 0, 1, 3).reshape(s * s, -1, r, r)
    support = (votes[:, None] == votes[None]).sum(1, dtype=torch.uint8)
    return votes.gather(0, support.argmax(0, keepdim=True))[0].long()
