"""The people in the pictures: pose, traits, and the camera's rays in their coordinates."""

from collections.abc import Sequence

import torch
from torch import Tensor

from toolkit.worlds.geometry import ellipsoid, rotation, smoothstep
from toolkit.worlds.randomness import Dice

SKIN = (
    (0.90, 0.68, 0.56),
    (0.84, 0.60, 0.46),
    (0.76, 0.52, 0.37),
    (0.64, 0.41, 0.27),
    (0.45, 0.27, 0.17),
    (0.29, 0.17, 0.11),
)
HAIR = (
    (0.03, 0.025, 0.025),
    (0.08, 0.045, 0.03),
    (0.20, 0.11, 0.06),
    (0.42, 0.25, 0.11),
    (0.68, 0.50, 0.26),
    (0.40, 0.13, 0.05),
    (0.55, 0.54, 0.53),
)
GREY = (0.52, 0.51, 0.50)
BALD, BUZZ, SHORT, LONG = STYLES = ((0.0,), (1.0,), (2.0,), (3.0,))


def lerp(a: Tensor, b: Tensor, t: Tensor) -> Tensor:
    """a where t is 0, b where t is 1."""
    return a + (b - a) * t


class Person:
    """A batch of N people and the P rays that see them; lengths in picture half-widths.

    Traits are (N, 1), colours (N, 3) in linear light; (x, y) (N, P) are the rays in the person's
    frame, (sx, sy) the same rays in the picture's. Traits of one part alone are drawn in that part's code.

    Args:
        dice: `Dice` of N seeds.
        side: rays per row and column.
    """

    def __init__(self, dice: Dice, side: int) -> None:
        self.dice, self.side, self.spacing = dice, side, 2 / side
        line = (torch.arange(side, device=dice.seeds.device) + 0.5) * self.spacing - 1
        y, x = torch.meshgrid(-line, line, indexing="ij")
        self.sx, self.sy = (g.reshape(1, -1).expand(dice.num, -1) for g in (x, y))
        self._pose()
        self._skin_and_hair()
        self._face()

    def color(self, *rgb: float | Sequence[float]) -> Tensor:
        """An RGB triple as (3,) on this batch's device."""
        return self.sx.new_tensor(rgb)

    def solid(
        self,
        frame: Tensor,
        center: Sequence[float | Tensor],
        radii: Sequence[float | Tensor],
        tilt: Tensor | None = None,
    ) -> Tensor:
        """Depth (N, P) of an ellipsoid; numbers and (N, 1) traits may be mixed in center and radii."""
        at, size = (torch.cat([self.age * 0 + part for part in v], 1) for v in (center, radii))
        return ellipsoid(self.x, self.y, frame, at, size, tilt)

    def _pose(self):
        d = self.dice
        self.yaw, pitch, roll = (
            d.normal("yaw", 0, 0.27, 2.2),
            d.normal("pitch", 0, 0.12),
            d.normal("roll", 0, 0.06),
        )
        self.head = rotation(self.yaw, pitch, roll)
        self.body = rotation(0.45 * self.yaw + d.normal("body yaw", 0, 0.12), 0.2 * pitch, 0.3 * roll)
        scale = 1.07 * d.uniform("scale", 0.93, 1.07)
        # FFHQ's crop holds the middle of eyes and mouth still, whatever the head does
        anchor = (self.head @ self.color(0.0, -0.11, 0.40))[..., :2]
        shift = torch.cat([d.normal("shift x", 0, 0.025), d.normal("shift y", -0.09, 0.025)], 1) / scale
        self.x = self.sx / scale - shift[:, :1] + anchor[:, :1]
        self.y = self.sy / scale - shift[:, 1:] + anchor[:, 1:]

    def _skin_and_hair(self):
        d = self.dice
        self.age, self.male = d.uniform("age") ** 1.3, d.chance("male", 0.5)
        tone = d.uniform("tone") ** 1.2 * (len(SKIN) - 1.001)
        skins, low = self.color(*SKIN), tone.long()[:, 0]
        skin = lerp(skins[low], skins[(low + 1).clamp(max=len(SKIN) - 1)], tone - low[:, None])
        self.skin = skin * d.uniform("skin variation", 0.93, 1.07, 3)
        hair = d.choice("hair color", HAIR, [3, 4, 4, 3, 2, 1, 0.6])
        hair = lerp(hair, self.color(*HAIR[0]), smoothstep(tone, 2.0, 4.0))
        grey = smoothstep(self.age, 0.55, 1.0) * d.uniform("grey")
        self.hair = lerp(hair, self.color(*GREY), grey) * d.uniform("hair variation", 0.94, 1.06, 3)
        his, hers = (
            d.choice("style m", STYLES, [0.8, 1.2, 7, 1]),
            d.choice("style f", STYLES, [0, 0.2, 2.3, 7.5]),
        )
        style = torch.where(self.male > 0, his, hers)
        self.has_hair = (style > 0).float()
        self.buzz, self.long = ((style == s[0]).float() for s in (BUZZ, LONG))
        self.curly = d.chance("curly", 0.25) * (1 - self.buzz)
        rare = 1 - 0.7 * self.male * d.chance("no fringe", 0.6)
        self.fringe = d.chance("fringe", 0.35) * (1 - self.buzz) * rare

    def _face(self):
        d = self.dice
        self.width = d.uniform("face width", 0.93, 1.06)
        self.eye_x, self.eye_y = d.uniform("eye distance", 0.195, 0.225), d.uniform("eye height", 0.06, 0.10)
        self.mouth_y, self.nose_y = (
            d.uniform("mouth height", -0.36, -0.31),
            d.uniform("nose height", -0.14, -0.09),
        )
        self.eye_width = d.uniform("eye width", 0.100, 0.122)
        self.mouth_width = d.uniform("mouth width", 0.125, 0.165)
        self.nose_width = d.uniform("nose width", 0.85, 1.25)
        self.smile = d.normal("smile", 0.45, 0.35)
        self.mouth_open = (d.uniform("mouth open") * 1.8 - 0.9).clamp(min=0)
