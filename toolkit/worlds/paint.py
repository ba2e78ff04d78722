"""The colours of a portrait, painted in each part's own coordinates.

Albedo is (N, 3, P) in linear light, masks are (N, P) in [0, 1]. Both eyes are painted at once,
in coordinates mirrored about the nose.
"""

import math
from typing import NamedTuple

import torch
from torch import Tensor

from toolkit.worlds.geometry import bump, hill, smoothstep
from toolkit.worlds.people import Person, lerp
from toolkit.worlds.randomness import noise
from toolkit.worlds.surfaces import Body, Face, Hair

IRIS = ((0.16, 0.08, 0.04), (0.28, 0.17, 0.08), (0.25, 0.33, 0.20), (0.22, 0.38, 0.52), (0.35, 0.42, 0.46))
LIPSTICK = ((0.55, 0.10, 0.12), (0.62, 0.18, 0.24), (0.42, 0.08, 0.16))
RIMS = ((0.02, 0.02, 0.02), (0.16, 0.08, 0.04), (0.35, 0.33, 0.30))
CLOTH = (
    (0.05, 0.06, 0.09),
    (0.75, 0.74, 0.72),
    (0.12, 0.18, 0.36),
    (0.45, 0.07, 0.08),
    (0.30, 0.30, 0.32),
    (0.12, 0.28, 0.20),
    (0.60, 0.50, 0.36),
    (0.55, 0.65, 0.75),
    (0.70, 0.40, 0.45),
)
BACKDROPS = (
    (0.62, 0.64, 0.66),
    (0.20, 0.22, 0.25),
    (0.32, 0.45, 0.28),
    (0.42, 0.55, 0.68),
    (0.60, 0.48, 0.36),
    (0.70, 0.66, 0.58),
    (0.30, 0.24, 0.22),
    (0.16, 0.26, 0.32),
)


class Features(NamedTuple):
    """Where the parts of the face are, each (N, P) in [0, 1]."""

    nose: Tensor
    mouth: Tensor
    eyes: Tensor
    brows: Tensor


def mix(albedo: Tensor, color: Tensor, mask: Tensor) -> Tensor:
    """Paint `color` (N, 3) or (N, 3, P) over albedo (N, 3, P) where mask (N, P)."""
    color = color[..., None] if color.dim() == 2 else color
    return torch.lerp(albedo, color, mask[:, None])


def face(p: Person, f: Face) -> tuple[Tensor, Tensor, Features]:
    """Albedo, shine (N, P) and `Features` of a `surfaces.Face`."""
    albedo, pores = _skin(p, f)
    albedo = _beard(p, f, albedo, pores)
    albedo, nose = _nose(p, f, albedo)
    albedo, mouth = _mouth(p, f, albedo)
    albedo, eyes = _eyes(p, f, albedo)
    albedo, brows = _brows(p, f, albedo)
    shine = 0.22 + 0.1 * pores + 0.08 * mouth
    return _glasses(p, f, albedo), shine, Features(nose, mouth, eyes, brows)


def _skin(p, f):
    d = p.dice
    blotches = noise(d.lattice("skin blotches"), f.x * 9, f.y * 9)
    pores = noise(d.lattice("pores", 64), f.x * 42, f.y * 42)
    skin = p.skin[..., None] * (1 + 0.05 * blotches + 0.025 * pores)[:, None]
    flush = bump(f.x.abs() - 0.22, f.y + 0.12, 0.12, 0.11) + bump(f.x, f.y - p.nose_y, 0.08, 0.07)
    skin = mix(skin, p.skin * p.color(1.04, 0.78, 0.76), (flush * d.uniform("flush", 0.1, 0.55)).clamp(0, 1))
    freckles = smoothstep(pores, 0.45, 0.75) * smoothstep(f.y, 0.15, 0.05) * smoothstep(f.y, -0.3, -0.15)
    skin = mix(skin, p.skin * 0.7, 0.5 * freckles * d.chance("freckled", 0.15))
    tired = bump(f.x.abs() - p.eye_x, f.y - p.eye_y + 0.085, 0.10, 0.035) * (0.04 + 0.10 * p.age)
    return skin * ((1 - tired) * (1 - 0.15 * f.fold * smoothstep(p.age, 0.3, 0.9)))[:, None], pores


def _beard(p, f, albedo, pores):
    d = p.dice
    amount = p.male * d.choice("beard", ((0.0,), (0.25,), (0.8,), (0.95,)), [5, 2, 1.4, 1.2])
    top = p.mouth_y + 0.16 + 0.55 * (f.x.abs() - 0.36).clamp(min=-0.2)
    jaw = smoothstep(f.y, top, p.mouth_y - 0.01)
    moustache = smoothstep((f.x / 0.16) ** 2 + ((f.y - p.mouth_y - 0.085) / 0.042) ** 2, 1.15, 0.75)
    lips = smoothstep((f.x / (p.mouth_width * 1.05)) ** 2 + ((f.y - p.mouth_y) / 0.062) ** 2, 1.0, 1.5)
    zone = torch.maximum(jaw, moustache * d.chance("moustache", 0.8)) * lips * smoothstep(f.z, -0.02, 0.1)
    return mix(albedo, p.hair * 0.9 + 0.02, (zone * amount * (1 + 0.35 * pores)).clamp(0, 1) * 0.9)


def _nose(p, f, albedo):
    nostrils = bump(f.x.abs() - 0.036 * p.nose_width, f.y - p.nose_y + 0.045, 0.020, 0.014)
    slope = smoothstep(f.y, p.nose_y + 0.02, p.eye_y + 0.02)
    half = lerp(0.105 * p.nose_width, 0.048 * p.nose_width, slope)
    inside = (smoothstep(f.y, p.nose_y - 0.07, p.nose_y) > 0.25) * (f.y < p.eye_y + 0.015)
    return mix(albedo, p.skin * 0.22, 0.85 * nostrils), smoothstep(f.x.abs(), half + 0.01, half - 0.01) * inside


def _mouth(p, f, albedo):
    """Lips above and below a smiling line, and what shows between them when the mouth is open."""
    d = p.dice
    u = f.x / p.mouth_width
    v = (f.y - p.mouth_y - p.smile * 0.075 * u * u + p.smile * 0.02) / p.mouth_width
    bow = (1 - u * u).clamp(min=0)
    gap, full = p.mouth_open * 0.42 * bow, d.uniform("lips", 0.75, 1.25) * (1 - 0.3 * p.male)
    upper = 0.5 * gap + 0.30 * full * bow**0.75 * (1 - 0.28 * hill((u / 0.2) ** 2))
    lower = -0.5 * gap - 0.40 * full * bow**0.6
    mouth = smoothstep(torch.minimum(upper - v, v - lower), -0.05, 0.05) * (u.abs() < 1)
    made_up = (1 - p.male) * d.chance("made up", 0.5) * d.uniform("made up how much", 0.35, 0.9)
    lips = lerp(p.skin * p.color(0.80, 0.47, 0.46), d.choice("lipstick", LIPSTICK), made_up)
    albedo = mix(albedo, lips, mouth)
    line = hill((v / (0.05 + 0.5 * gap)) ** 2) * (u.abs() < 1.02)
    albedo = mix(albedo, lips * 0.38, 0.75 * line * mouth)
    teeth = smoothstep(v, 0.5 * gap - 0.24, 0.5 * gap - 0.12) * bow.clamp(max=1)
    dark, white = p.color(0.10, 0.03, 0.03)[:, None], p.color(0.82, 0.79, 0.73)[:, None]
    inside = smoothstep(0.5 * gap - v.abs(), -0.03, 0.05) * (gap > 0.02)
    return mix(albedo, lerp(dark, white, teeth[:, None]), inside * mouth), mouth


def _eyes(p, f, albedo):
    d = p.dice
    u, v = (f.x.abs() - p.eye_x) / p.eye_width, (f.y - p.eye_y) / p.eye_width
    v = v - d.uniform("eye tilt", -0.02, 0.14) * u  # outer corner up
    almond = (1 - u * u).clamp(min=0)
    wide = d.uniform("eye open", 0.42, 0.72) - 0.10 * p.smile.clamp(0, 1)
    top, bottom = wide * almond**0.8, -0.36 * almond**0.9
    eyes = smoothstep(torch.minimum(top - v, v - bottom), -0.07, 0.07) * (u.abs() < 1) * (f.z > 0)
    crease = hill(((v - top - 0.22) / 0.09) ** 2) * (u.abs() < 1.05)
    lid = smoothstep(v, 0.42, 1.1) * smoothstep(v, 1.5, 1.0) * (u.abs() < 1.2)
    under = hill(((v - bottom) / 0.07) ** 2) * (u.abs() < 1)
    albedo = albedo * ((1 - 0.22 * crease) * (1 - 0.05 * lid) * (1 - 0.22 * under))[:, None]
    # both irises look the same way in the picture, so mirrored coordinates need the sign
    look = d.normal("gaze x", 0, 0.16) - 0.25 * p.yaw.clamp(-0.6, 0.6)
    albedo = mix(albedo, *_eyeball(p, u - look * torch.sign(f.x), v - d.normal("gaze y", 0.06, 0.06), top - v, eyes))
    made_up = (1 - p.male) * d.chance("mascara", 0.7)
    lashes = hill(((v - top) / (0.075 + 0.04 * made_up)) ** 2) * (u.abs() < 1.02)
    return mix(albedo, p.hair * 0.25, (0.6 + 0.3 * made_up) * lashes), eyes


def _eyeball(p, u, v, below_lid, eyes):
    """Colour (N, 3, P) and mask of white, iris, pupil and the light's reflection."""
    d = p.dice
    radius = (u * u + v * v).sqrt()
    white = p.color(0.80, 0.77, 0.75) * d.uniform("white", 0.9, 1.08)
    iris = d.choice("iris", IRIS, [4, 3, 1.2, 1.6, 1]) * d.uniform("iris variation", 0.8, 1.2)
    iris = lerp(iris, p.color(*IRIS[0]), smoothstep(p.skin[:, :1], 0.6, 0.45))
    eye = mix(white[..., None].expand(-1, 3, u.shape[1]), iris * 0.35, smoothstep(radius, 0.50, 0.42))
    eye = mix(eye, iris, smoothstep(radius, 0.42, 0.34))
    eye = mix(eye, torch.full_like(iris, 0.01), smoothstep(radius, 0.22, 0.15))
    eye = eye * (1 - 0.55 * smoothstep(below_lid, 0.32, 0.0))[:, None]
    glint = smoothstep((u - 0.16) ** 2 + (v - 0.20) ** 2, 0.030, 0.010)
    return mix(eye, torch.full_like(iris, 1.0), 0.9 * glint), eyes


def _brows(p, f, albedo):
    d = p.dice
    u = (f.x.abs() - p.eye_x - 0.008) / (0.135 + 0.01 * p.male)
    arch = d.uniform("brow arch", 0.0, 0.025) * (1 - (u - 0.3) ** 2 * torch.where(u < 0.3, 0.45, 1.0))
    center = p.eye_y + 0.118 + d.normal("brow raise", 0.0, 0.012) + arch + d.normal("frown", -0.005, 0.007) * u
    thick = (0.017 + 0.008 * p.male) * d.uniform("brow thickness", 0.8, 1.3)
    inside = thick * (1 - 0.45 * smoothstep(u, 0.1, 1.0)) - (f.y - center).abs()
    brows = smoothstep(inside, -0.006, 0.006) * (u.abs() < 1) * (f.z > 0)
    hairs = 0.85 + 0.25 * noise(d.lattice("brow hairs", 64), f.x * 60, f.y * 30)
    density = (brows * d.uniform("brow density", 0.6, 0.95) * hairs).clamp(0, 1)
    return mix(albedo, p.hair * 0.6 + 0.015, density), brows


def _glasses(p, f, albedo):
    """Two rims, a bridge and the temples, painted on what they cover."""
    d = p.dice
    u, v = (f.x.abs() - p.eye_x * 1.04) / 0.145, (f.y - p.eye_y + 0.015) / d.uniform("lens", 0.095, 0.125)
    rim = ((u.abs() ** 3 + v.abs() ** 3) ** (1 / 3) - 1).abs() * 0.12
    bridge = (v - 0.35).abs() * 0.1 + 0.3 * ((u + 1.5).abs() - 0.5).clamp(min=0)
    temple = (v - 0.3).abs() * 0.1 + 0.3 * (1 - u).clamp(min=0)
    frame = smoothstep(torch.minimum(rim, torch.minimum(bridge, temple)), 0.017, 0.009)
    return mix(albedo, d.choice("frame color", RIMS), frame * d.chance("glasses", 0.16) * (f.z > -0.1))


def body(p: Person, b: Body) -> Tensor:
    """Albedo of neck and clothes, of a `surfaces.Body`."""
    d = p.dice
    skin = p.skin[..., None] * (0.97 + 0.03 * noise(d.lattice("neck skin"), b.x * 12, b.y * 12))[:, None]
    first, second = d.choice("cloth", CLOTH), d.choice("cloth 2", CLOTH)
    stripes = torch.sin(b.y * d.uniform("stripe width", 30, 60)) * d.chance("striped", 0.2)
    checks = torch.sin(b.x * 30) * torch.sin(b.y * 30) * d.chance("checked", 0.12)
    cloth = mix(first[..., None].expand(-1, 3, b.x.shape[1]), second, smoothstep(stripes + checks, 0.15, 0.35))
    cloth = mix(cloth, lerp(first, second, d.chance("second collar", 0.5)) * 1.12, b.collar)
    folds = noise(d.lattice("folds"), b.x * 5 + b.y * 2, b.y * 3 - b.x)
    return mix(skin, cloth * (1 + 0.16 * folds)[:, None], b.dressed)


def hair(p: Person, h: Hair, under: Tensor) -> Tensor:
    """Albedo of a `surfaces.Hair`; cropped hair lets the skin `under` it (N, 3, P) through."""
    color = p.hair[..., None] * (1 + 0.55 * h.strand)[:, None].clamp(min=0.2)
    return mix(under, color, 1 - p.buzz * 0.45 * (0.7 + 0.3 * h.strand))


def backdrop(p: Person) -> Tensor:
    """Colour of what is behind: two tones, soft shapes and sometimes lights out of focus."""
    d = p.dice
    first, second = d.choice("backdrop", BACKDROPS), d.choice("backdrop 2", BACKDROPS)
    color = lerp(first, second, d.uniform("two colors", 0, 1) ** 2)
    angle = d.uniform("backdrop angle", 0, 2 * math.pi)
    ramp = smoothstep(p.sx * torch.cos(angle) + p.sy * torch.sin(angle), -1.2, 1.2)
    shapes = noise(d.lattice("backdrop shapes", 16), p.sx * 2.2, p.sy * 2.2)
    back = mix(first[..., None].expand(-1, 3, p.sx.shape[1]), color, ramp)
    back = back * (1 + d.uniform("backdrop contrast", 0.03, 0.35) * shapes)[:, None]
    lights = torch.zeros_like(p.x)
    for i in range(3):
        x, y = d.uniform(f"spot {i}", -1, 1), d.uniform(f"spot y {i}", -0.6, 1)
        r = d.uniform(f"spot r {i}", 0.08, 0.25)
        lights = lights + smoothstep((p.sx - x) ** 2 + (p.sy - y) ** 2, (1.15 * r) ** 2, (0.7 * r) ** 2)
    glow = (color + 0.35) * d.uniform("glow", 0.9, 1.3)
    return mix(back, glow, 0.3 * lights.clamp(max=1) * d.chance("bokeh", 0.35))
