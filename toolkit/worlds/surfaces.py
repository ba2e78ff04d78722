"""The shapes of a portrait: head, ears, body and hair, each a depth and its own coordinates."""

from typing import NamedTuple

import torch
from torch import Tensor

from toolkit.worlds.geometry import FAR, blend, bump, hill, rotation, smoothstep, to_body
from toolkit.worlds.people import Person, lerp
from toolkit.worlds.randomness import noise


class Face(NamedTuple):
    """Depth, the surface point in the head's frame, and the folds beside the mouth; all (N, P)."""

    depth: Tensor
    x: Tensor
    y: Tensor
    z: Tensor
    fold: Tensor


class Body(NamedTuple):
    """Depth, the surface point in the body's frame, where clothes and collar are; all (N, P)."""

    depth: Tensor
    x: Tensor
    y: Tensor
    dressed: Tensor
    collar: Tensor


class Hair(NamedTuple):
    """Depth, where there is hair, and the pattern of its strands; all (N, P)."""

    depth: Tensor
    mask: Tensor
    strand: Tensor


def face(p: Person) -> Face:
    """Head without ears: skull, jaw and nose as ellipsoids, the rest as hills on them."""
    d = p.dice
    jaw, fat = d.uniform("jaw", 0.85, 1.05) + 0.06 * p.male, d.uniform("cheeks", 0.0, 1.0)
    skull = p.solid(p.head, (0, 0.20, -0.08), (0.47 * p.width, 0.50, 0.53))
    chin = 0.45 * d.uniform("chin", 0.95, 1.07)
    depth = blend(skull, p.solid(p.head, (0, -0.20, 0.06), (0.405 * p.width * jaw, chin, 0.40)), 0.16)
    x, y, _ = to_body(p.x, p.y, depth, p.head)
    ax = x.abs()
    depth = depth + (0.020 + 0.035 * fat) * bump(ax - 0.20 * p.width, y + 0.13, 0.12, 0.12)  # cheeks
    depth = depth + 0.045 * bump(x, y + 0.56, 0.12 * jaw, 0.075)  # chin
    depth = depth + 0.03 * bump(x, y - p.eye_y - 0.14, 0.28, 0.07)  # brow ridge
    depth = depth - 0.060 * bump(ax - p.eye_x, y - p.eye_y, 0.105, 0.080)  # eye sockets
    for dy, height in ((0.030, 0.030), (-0.038, 0.034)):  # lips
        depth = depth + 0.030 * bump(x, y - p.mouth_y - dy, p.mouth_width * 0.75, height)
    depth = blend(depth, _nose(p), 0.05)
    x, y, z = to_body(p.x, p.y, depth, p.head)
    # age: lines on the forehead and the folds beside the mouth
    ax, old = x.abs(), smoothstep(p.age, 0.45, 1.0)
    lines = torch.sin(y * 95 + 3 * torch.cos(x * 7)) * smoothstep(y, p.eye_y + 0.2, p.eye_y + 0.3)
    fold = hill(((ax - 0.13 - 0.25 * (p.nose_y - y).clamp(min=0)) / 0.018) ** 2)
    fold = fold * smoothstep(y, p.mouth_y - 0.08, p.mouth_y) * smoothstep(y, p.nose_y + 0.04, p.nose_y)
    fold = fold * (0.25 + 0.75 * old)
    return Face(depth + old * 0.0022 * lines * smoothstep(ax, 0.34, 0.2) - 0.010 * fold, x, y, z, fold)


def _nose(p):
    length, zero = p.dice.uniform("nose length", 0.95, 1.1), torch.zeros_like(p.age)
    lean = rotation(zero, zero + 0.28, zero)
    bridge = p.solid(p.head, (0, p.nose_y + 0.12, 0.425), (0.056 * p.nose_width, 0.19 * length, 0.09), lean)
    tip = p.solid(p.head, (0, p.nose_y + 0.005, 0.515), (0.066 * p.nose_width, 0.058, 0.085))
    nose = blend(bridge, tip, 0.03)
    for side in (-1, 1):
        center = (side * 0.062 * p.nose_width, p.nose_y - 0.018, 0.455)
        nose = blend(nose, p.solid(p.head, center, (0.042, 0.038, 0.055)), 0.015)
    return nose


def ears(p: Person) -> Tensor:
    """Depth of both ears, (N, P)."""
    out = p.dice.uniform("ear angle", 0.45, 0.49) * p.width
    left, right = (p.solid(p.head, (s * out, 0.02, -0.05), (0.055, 0.125, 0.085)) for s in (-1, 1))
    return torch.maximum(left, right)


def body(p: Person) -> Body:
    """Neck and shoulders, dressed below a neckline."""
    d = p.dice
    broad = d.uniform("shoulders", 0.92, 1.08) * (0.93 + 0.12 * p.male)
    thick = (0.205 + 0.05 * p.male) * d.uniform("neck", 0.94, 1.06)
    neck = p.solid(p.body, (0, -0.72, -0.16), (thick, 0.85, 0.24))
    depth = blend(neck, p.solid(p.body, (0, -1.51, -0.16), (1.02 * broad, 0.74, 0.48)), 0.12)
    x, y, _ = to_body(p.x, p.y, depth, p.body)
    v_neck, shirt, base = (
        d.chance("v neck", 0.35),
        d.chance("shirt", 0.3),
        d.uniform("neckline", -0.82, -0.69),
    )
    line = torch.where(v_neck + shirt > 0, base - 0.16 + 0.85 * x.abs(), base + 0.55 * x * x)
    line = line + 0.01 * torch.sin(x * 9 + d.uniform("hem", 0, 6))
    dressed = smoothstep(y, line + 0.006, line - 0.006)
    collar = smoothstep(line - y, 0.10, 0.07) * dressed * torch.maximum(shirt, 0.6 * d.chance("hem seen", 0.5))
    return Body(depth + dressed * (0.03 + 0.02 * collar), x, y, dressed, collar)


def hair(p: Person, head_depth: Tensor) -> Hair:
    """A cap over the skull, and for long hair a curtain behind and two locks beside the face."""
    d = p.dice
    lattice, fine = d.lattice("hair lumps"), d.lattice("strands", 64)
    volume = d.uniform("hair volume", 0.03, 0.075) * (1 - 0.8 * p.buzz) + 0.07 * p.curly + 0.02 * p.long
    radii = (0.475 * p.width + volume, 0.515 + volume * 0.9, 0.545 + 0.55 * volume)
    cap, curtain = p.solid(p.head, (0, 0.215, -0.09), radii), _curtain(p, volume)
    depth = torch.maximum(cap, curtain)
    x, y, z = to_body(p.x, p.y, depth, p.head)
    lumps = noise(lattice, x * (9 + 5 * p.curly), y * (7 + 7 * p.curly) + z * 5, "bicubic")
    depth = depth + lumps * (0.012 + 0.04 * p.curly) * (1 - p.buzz)

    azimuth, part = torch.atan2(x.abs(), z + 0.12), d.normal("parting", 0.0, 0.22)
    edge = _hairline(p, x, azimuth, part, noise(fine, x * 26 + 9, y * 2))
    on_cap = smoothstep(y, edge - 0.008, edge + 0.008) * (cap > curtain)
    falls = (curtain >= cap).float() * smoothstep(z, 0.36, 0.30)
    past_the_head = (head_depth < -0.6) & (y > torch.where(p.long > 0, -3.0, -0.10))
    mask = torch.maximum(torch.maximum(on_cap, falls), past_the_head.float()) * p.has_hair * (depth > -0.7)
    # strands run down from the crown: fine across, slow along
    across = torch.where(curtain >= cap, x * 3, azimuth * 2.2 * torch.sign(x) + part) * 9
    strand = noise(fine, across + 2 * p.curly * lumps, y * 3 + lumps * 1.2 * p.curly)
    return Hair(depth, mask, 0.6 * strand + 0.4 * lumps)


def _curtain(p, volume):
    reach = p.dice.uniform("hair length", 0.55, 1.25)
    radii = (0.55 * p.width + 0.6 * volume, 0.15 + 0.85 * reach, 0.30)
    curtain = p.solid(p.head, (0, 0.05 - 0.5 * reach, -0.22), radii)
    for side in (-1, 1):
        center = (side * (0.46 * p.width + 0.3 * volume), 0.05 - 0.45 * reach, -0.02)
        lock = p.solid(p.head, center, (0.115 + 0.3 * volume, 0.15 + 0.72 * reach, 0.20))
        curtain = torch.maximum(curtain, lock)
    return torch.where(p.long > 0, curtain, FAR)


def _hairline(p, x, azimuth, part, jag):
    """Height above which hair grows, by azimuth: forehead, temple, sideburn, ear, nape."""
    d = p.dice
    sweep = (1 - smoothstep((x - part).abs(), 0.0, 0.16)) * 0.09 * d.chance("parted", 0.6)
    receding = 0.10 * p.male * smoothstep(p.age, 0.4, 1.0) * d.uniform("receding")
    high = d.uniform("hairline", 0.46, 0.56) + receding - 0.10 * (x / 0.4) ** 2
    low = p.eye_y + d.uniform("fringe length", 0.115, 0.24) + sweep
    front = lerp(high, low, p.fringe) + 0.022 * jag * (1 - 0.7 * p.buzz)
    side = d.uniform("sideburn", -0.10, 0.10) - 0.25 * p.long
    edge = lerp(front, side, smoothstep(azimuth, 0.95, 1.28))
    edge = lerp(edge, 0.17 - 0.35 * p.long, smoothstep(azimuth, 1.36, 1.46))
    return lerp(edge, torch.where(p.long > 0, -3.0, -0.14), smoothstep(azimuth, 1.72, 1.85))
