"""Find what a GAN draws in a picture of anything, at any place, size and tilt: a small network, coarse to fine."""

from __future__ import annotations

import math
from collections.abc import Sequence
from os import PathLike
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor, nn

from toolkit.devices import check_device
from toolkit.errors import CheckpointError
from toolkit.files import load_tensors, save_tensors
from toolkit.pictures.frames import Frame
from toolkit.pictures.images import load_image

WINDOW = 64  # pixels a side of what the network sees
CHANNELS = (16, 32, 64, 128)
HIDDEN = 128
TURN = 45.0  # degrees: the unit of its angles
CANONICAL = 1.4  # side of a window that looks closely at a frame, in the frame's
SHORTEST = 256  # pixels of a picture's shorter side that are looked at
WINDOWS_ACROSS = (8.0, 5.6, 4.0, 2.8, 2.0, 1.4)  # shorter side of the picture over that of a quarter window
CHUNK = 64  # windows seen at once
STEPS = 4  # closer looks
SIZES, TURNS = (0.8, 0.9, 1.0, 1.1), (-10.0, 0.0, 10.0)  # of the last looks at a frame; each also in the mirror
ROUNDS = 3  # of them
CANDIDATES = 48  # windows that are looked at more closely
MOST = 16  # objects in a picture
NONE = (0.0, 0.0, 0.0, 0.0)  # off by nothing that is known
APART = 0.5  # frames whose centres are nearer than this, in sides, show the same object


class Placed(NamedTuple):
    """A frame that was found, and how sure the network is that the object is there: 0 to 1."""

    frame: Frame
    score: float


class Framer(nn.Module):
    """A window of a picture -> is the object there, and where.

    Args:
        channels: after each halving.
    """

    # Of its file; "channels" always. "off": what `corrected` takes off.
    metadata: dict[str, Any]

    def __init__(self, channels: tuple[int, ...] = CHANNELS) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(zip((3, *channels), channels)):
            layers += _conv(before, after, 2)
            if 0 < i < len(channels) - 1:
                layers += _conv(after, after, 1)
        self.trunk = nn.Sequential(*layers)
        side = WINDOW // 2 ** len(channels)
        self.hidden = nn.Linear(side * side * channels[-1], HIDDEN)
        self.out = nn.Linear(HIDDEN, 5)
        self.metadata = {"channels": list(channels)}

    def forward(self, windows: Tensor) -> Tensor:
        """Look at some windows.

        Args:
            windows: (N, 3, 64, 64) in [-1, 1].
        Returns:
            (N, 5): the logit that an object is there; its frame's centre, x and y from the window's in sides of
            the window; the binary logarithm of its side over the window's; its angle in `TURN`s.
        """
        x = self.trunk(windows.contiguous(memory_format=torch.channels_last))
        return self.out(F.relu(self.hidden(x.flatten(1))))

    @torch.inference_mode()
    def find(self, picture: Image.Image, threshold: float | None = None) -> list[Placed]:
        """Where the objects are in a picture.

        Args:
            picture: an upload, upright, in RGB.
            threshold: the least score; None for the one in its file.
        Returns:
            list of `Placed`, the surest first; empty where there is none.
        """
        threshold = self.metadata.get("threshold", 0.5) if threshold is None else threshold
        scale = min(1.0, SHORTEST / min(picture.size))
        size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
        device = next(self.parameters()).device
        small = picture.resize(size, Image.Resampling.BOX, reducing_gap=2) if size != picture.size else picture
        levels = pyramid(load_image(small).to(device))
        seen = self._look(levels, _windows(*size).to(device))
        seen = seen[seen[:, 4].argsort(descending=True)[:CANDIDATES]]
        for step in range(STEPS):
            seen = self._look(levels, closer(seen))
            if step == 0:
                seen = _different(seen)
        # A last look at several sizes: their mean is surer than one.
        looks = torch.stack([self._look(levels, closer(seen, wide)) for wide in (0.9, 1.0, 1.1)])
        seen = _different(looks.mean(0))
        seen = seen[seen[:, 4] >= threshold][:MOST]
        for _ in range(ROUNDS if len(seen) else 0):
            seen = self._settled(levels, seen)
        pixels = corrected(seen, self.metadata.get("off", NONE)).tolist()
        ratio = picture.width / size[0], picture.height / size[1]
        mean = (ratio[0] * ratio[1]) ** 0.5
        return [
            Placed(Frame.around((x * ratio[0], y * ratio[1]), side * mean, angle, picture.size), score)
            for x, y, side, angle, score in pixels
        ]

    def _look(self, levels, windows):
        """Frames (N, 5) that windows (N, 4) show: centre, side, angle; and the scores."""
        answers = torch.cat([self(view(levels, part)) for part in windows.split(CHUNK)])
        return torch.cat([placed(windows, answers), answers[:, :1].sigmoid()], 1)

    def _settled(self, levels, seen):
        """Frames (N, 5) where many looks at each place them in the mean; the scores stay."""
        around = torch.cat([closer(seen, size) + seen.new_tensor([0, 0, 0, turn]) for size in SIZES for turn in TURNS])
        frames = []
        for windows in around.split(CHUNK):
            shown = view(levels, windows)
            mirrored = self(shown.flip(3)) * shown.new_tensor([1, -1, 1, 1, -1])
            frames.append(placed(windows, (self(shown) + mirrored) / 2))
        mean = torch.cat(frames).view(len(SIZES) * len(TURNS), len(seen), 4).mean(0)
        return torch.cat([mean, seen[:, 4:]], 1)


def pyramid(image: Tensor) -> list[Tensor]:
    """A picture (N, 3, H, W), and it halved again and again."""
    levels = [image]
    while min(levels[-1].shape[2:]) >= 16:
        levels.append(F.avg_pool2d(levels[-1], 2))
    return levels


def view(levels: list[Tensor], windows: Tensor) -> Tensor:
    """What windows show of a picture, antialiased; beyond its edges the edge repeats.

    Args:
        levels: `pyramid` of one picture, or of as many as there are windows.
        windows: (N, 4) centre x and y and side, in pixels of the picture, and angle in degrees.
    Returns:
        (N, 3, 64, 64).
    """
    height, width = levels[0].shape[2:]
    grid = places(windows) / windows.new_tensor([width, height]) * 2 - 1
    level = (windows[:, 2] / WINDOW).log2().round().clamp(0, len(levels) - 1)
    seen = windows.new_empty(len(windows), 3, WINDOW, WINDOW)
    for i in level.unique().int().tolist():
        of = level == i
        num, image = int(of.sum()), levels[i]
        if len(image) == 1:  # one tall picture of all windows, so that it need not be copied for each
            tall = F.grid_sample(image, grid[of].view(1, -1, WINDOW, 2), padding_mode="border", align_corners=False)
            seen[of] = tall.view(3, num, WINDOW, WINDOW).transpose(0, 1)
        else:
            seen[of] = F.grid_sample(image[of], grid[of], padding_mode="border", align_corners=False)
    return seen


def places(windows: Tensor) -> Tensor:
    """Where the pixels of windows (N, 4) lie: (N, 64, 64, 2), x and y."""
    unit = (torch.arange(WINDOW, device=windows.device) + 0.5) / WINDOW - 0.5
    u, v = unit[None, None, :] * windows[:, 2, None, None], unit[None, :, None] * windows[:, 2, None, None]
    angle = windows[:, 3, None, None] * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([u * cos - v * sin, u * sin + v * cos], 3) + windows[:, None, None, :2]


def placed(windows: Tensor, answers: Tensor) -> Tensor:
    """The frames (N, 4) that a network's answers (N, 5) mean in its windows (N, 4)."""
    angle = windows[:, 3] * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    x, y = answers[:, 1] * windows[:, 2], answers[:, 2] * windows[:, 2]
    centre = windows[:, :2] + torch.stack([x * cos - y * sin, x * sin + y * cos], 1)
    side = windows[:, 2] * answers[:, 3].clamp(-3, 3).exp2()
    return torch.cat([centre, side[:, None], (windows[:, 3] + answers[:, 4] * TURN)[:, None]], 1)


def corrected(frames: Tensor, off: Sequence[float]) -> Tensor:
    """Frames without what a framer is off by as a rule.

    Args:
        frames: (N, 4 or more) centre x and y, side, angle, as found.
        off: how far the found ones lie off the true: x and y, in sides and along the edges of these, the binary
            logarithm of the ratio of the sides, and degrees; see `toolkit.training.framer.calibrate`.
    """
    x, y, octaves, turn = off
    side, angle = frames[:, 2] / 2**octaves, frames[:, 3] - turn
    cos, sin = (angle * (math.pi / 180)).cos() * side, (angle * (math.pi / 180)).sin() * side
    centre = frames[:, :2] - torch.stack([x * cos - y * sin, x * sin + y * cos], 1)
    return torch.cat([centre, side[:, None], angle[:, None], frames[:, 4:]], 1)


def closer(frames: Tensor, wide: float = 1.0) -> Tensor:
    """Windows (N, 4) that look closely at frames (N, 4 or more)."""
    return torch.cat([frames[:, :2], frames[:, 2:3] * (CANONICAL * wide), frames[:, 3:4]], 1)


def save_framer(
    path: str | PathLike, framer: Framer, metadata: dict[str, Any], dtype: torch.dtype = torch.float32
) -> None:
    """Write a framer, whole or not at all.

    Args:
        path: the .safetensors file.
        framer: `Framer`.
        metadata: dict that JSON can hold; "gan_hash" says which GAN it belongs to, "threshold" the least score.
        dtype: of the stored weights; float16 halves the file.
    """
    save_tensors(path, framer_state(framer, dtype), {"format": "framer", **framer.metadata, **metadata})


def load_framer(path: str | PathLike, device: str | torch.device = "cpu") -> Framer:
    """Read a file written by `save_framer`.

    Returns:
        `Framer` in eval mode, without gradients, with its `metadata`.
    Raises:
        CheckpointError: not such a file.
    """
    device = check_device(device, "load_framer")
    tensors, metadata = load_tensors(path, "framer", "load_framer")
    try:
        return framer_of(tensors, metadata).to(device)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).split("\n")[0][:120]
        raise CheckpointError("load_framer", "a whole framer file", f"{path} ({reason})", "Train it again") from error


def framer_state(framer: Framer, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Its tensors as a file keeps them."""
    return {k: v.to(dtype) if v.is_floating_point() else v for k, v in framer.state_dict().items()}


def framer_of(tensors: dict[str, Tensor], metadata: dict[str, Any]) -> Framer:
    """Inverse of `framer_state`: in eval mode, without gradients."""
    framer = Framer(tuple(metadata["channels"]))
    framer.load_state_dict(tensors)
    framer.metadata = metadata
    return framer.eval().requires_grad_(False)


def _windows(width: int, height: int) -> Tensor:
    """Upright windows of several sizes all over a picture: (N, 4)."""
    found = []
    for across in WINDOWS_ACROSS:
        step = min(width, height) / across
        columns, rows = (max(1, math.ceil(length / step)) for length in (width, height))
        xs = (torch.arange(columns) + 0.5) * (width / columns)
        ys = (torch.arange(rows) + 0.5) * (height / rows)
        centres = torch.cartesian_prod(xs, ys)
        rest = torch.tensor([4 * step, 0.0]).expand(len(centres), 2)
        found.append(torch.cat([centres, rest], 1))
    return torch.cat(found)


def _different(frames: Tensor) -> Tensor:
    """Of frames (N, 5) that show the same object the surest, in order of their scores."""
    kept: list[Tensor] = []
    for frame in frames[frames[:, 4].argsort(descending=True)]:
        if all(
            float((frame[:2] - other[:2]).norm()) > APART * float(torch.maximum(frame[2], other[2])) for other in kept
        ):
            kept.append(frame)
    return torch.stack(kept)


def _conv(before, after, stride):
    return [nn.Conv2d(before, after, 3, stride, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
