"""Surfaces seen from the front: everything is a depth z(x, y) on a grid of rays.

The camera is orthographic: x right, y up, z towards the viewer; the picture spans [-1, 1]
in x and y. Tensors are (N, P): N pictures, P rays.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

FAR = -3.0  # depth where a ray hits nothing


def smoothstep(x: Tensor, low: float | Tensor, high: float | Tensor) -> Tensor:
    """0 below `low`, 1 above `high`, smooth between; the other way round where low > high."""
    t = ((x - low) * (1 / (high - low))).clamp_(0, 1)
    return (t * -2).add_(3).mul_(t).mul_(t)


def rotation(yaw: Tensor, pitch: Tensor, roll: Tensor) -> Tensor:
    """(N, 3, 3) matrices, head frame -> camera frame; angles (N, 1) in radians."""
    zero, one = torch.zeros_like(yaw), torch.ones_like(yaw)

    def matrix(*entries):
        return torch.stack(entries, -1).view(-1, 3, 3)

    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw, pitch, roll) for f in (torch.cos, torch.sin))
    about_y = matrix(cy, zero, sy, zero, one, zero, -sy, zero, cy)
    about_x = matrix(one, zero, zero, zero, cp, -sp, zero, sp, cp)
    about_z = matrix(cr, -sr, zero, sr, cr, zero, zero, zero, one)
    return about_z @ about_x @ about_y


def ellipsoid(x: Tensor, y: Tensor, frame: Tensor, center: Tensor, radii: Tensor, tilt: Tensor | None = None) -> Tensor:
    """Depth of an ellipsoid's front, (N, P); falls off steeply, but continuously, outside it.

    Args:
        x, y: (N, P) rays.
        frame: (N, 3, 3) rotation of the body the ellipsoid belongs to.
        center, radii: (N, 3) in that body's frame.
        tilt: (N, 3, 3) rotation of the ellipsoid in that frame, or None.
    """
    axes = frame if tilt is None else frame @ tilt
    a = (axes * radii[:, None] ** -2) @ axes.transpose(1, 2)
    cx, cy, cz = (frame @ center[..., None]).unbind(1)
    a = a / a[:, 2:, 2:]  # then z^2 + 2bz + c = 0 along each ray
    level = 1 / ((axes[:, 2] / radii) ** 2).sum(1, keepdim=True)
    x, y = x - cx, y - cy
    b = torch.addcmul(a[:, 0, 2, None] * x, a[:, 1, 2, None], y)
    c = torch.addcmul((a[:, 0, 0, None] * x).add_(2 * a[:, 0, 1, None] * y).mul_(x), a[:, 1, 1, None] * y, y)
    disc = torch.addcmul(level - c, b, b)
    root = disc.abs().sqrt_().mul_(torch.where(disc > 0, 1.0, -30.0))
    return root.sub_(b).clamp_(min=FAR).add_(cz)


def hill(r2: Tensor) -> Tensor:
    """exp(-r2); the far tail is cut where it would turn into (slow) denormal numbers."""
    return torch.exp(-r2.clamp(max=20))


def bump(u: Tensor, v: Tensor, su: float | Tensor, sv: float | Tensor) -> Tensor:
    """A Gaussian hill of height 1 at (0, 0), (N, P)."""
    return hill((u / su) ** 2 + (v / sv) ** 2)


def blend(a: Tensor, b: Tensor, width: float) -> Tensor:
    """Smooth maximum of two depths, blended where they differ by less than `width`."""
    gap = a - b
    h = (gap * (0.5 / width)).add_(0.5).clamp_(0, 1)
    return torch.addcmul(b, h, gap).add_((h - h * h).mul_(width))


def to_body(x: Tensor, y: Tensor, z: Tensor, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Camera coordinates (N, P) -> the body's own coordinates, three (N, P)."""
    f = frame[..., None]
    right, up, front = (f[:, 0, i] * x + f[:, 1, i] * y + f[:, 2, i] * z for i in range(3))
    return right, up, front


def normals(z: Tensor, side: int) -> Tensor:
    """Unit normals (N, 3, P) of a depth field on a square grid over [-1, 1], by central differences."""
    spacing = 2 / side
    grid = F.pad(z.view(-1, 1, side, side), (1, 1, 1, 1), mode="replicate")[:, 0]
    dx = (grid[:, 1:-1, :-2] - grid[:, 1:-1, 2:]) / (2 * spacing)
    dy = (grid[:, 2:, 1:-1] - grid[:, :-2, 1:-1]) / (2 * spacing)
    length = (dx * dx + dy * dy + 1).rsqrt()
    return torch.stack([dx * length, dy * length, length], 1).flatten(2)


def shadow(z: Tensor, side: int, light: Tensor, softness: Tensor, reach: float = 0.7, steps: int = 9) -> Tensor:
    """How much of the key light each point gets, (N, P) in [0, 1], by marching the depth map.

    Args:
        z: (N, P) depth on a square grid over [-1, 1], row 0 at the top.
        light: (N, 3) unit vector towards the light, z > 0.
        softness: (N, 1) how wide the edge grows with distance.
    """
    depth = z.view(-1, 1, side, side)
    identity = torch.eye(2, 3, device=z.device).expand(len(z), 2, 3)
    grid = F.affine_grid(identity, list(depth.shape), align_corners=False)
    direction = torch.stack([light[:, 0], -light[:, 1]], -1)[:, None, None]
    blocked = torch.zeros_like(z)
    for step in range(1, steps + 1):
        t = reach * (step / steps) ** 1.6
        there = F.grid_sample(depth, grid + t * direction, padding_mode="border", align_corners=False)
        above = there.flatten(1) - z - t * light[:, 2:]
        blocked = torch.maximum(blocked, (above / (softness * t + 0.02)).clamp(0, 1))
    return 1 - blocked
