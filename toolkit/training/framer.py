"""Train a framer: a small network that finds in any picture what a GAN draws. No label is needed."""

import copy
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from toolkit.devices import check_device
from toolkit.errors import ToolkitError, check_count
from toolkit.files import replace_when_done
from toolkit.gan.stylegan2 import Generator
from toolkit.pictures.frames import Frame
from toolkit.pictures.images import as_float, check_fit, grid, to_pil
from toolkit.pictures.pasting import paste
from toolkit.projection.framing import APART, NONE, WINDOW, Framer, load_framer, save_framer
from toolkit.training.checkpoint import load_checkpoint, save_checkpoint, write_log
from toolkit.training.loop import MAX_SEED, Learner, Means, cool_down, run
from toolkit.training.scenes import Scene, backgrounds, clutter, draw

LEARNING_RATE = 2e-3
TURN_WEIGHT = 2.0  # of errors in `TURN`s, before they are squared
COOL_DOWN = 0.7  # last share of the windows, over which the learning rate falls to zero
LOG_KEEP = 0.98  # of the running means, from step to step
STATE = ("framer", "optimizer", "seen")  # a checkpoint
POOL = 4096  # backgrounds made beforehand, at most
CHUNK = 64  # of them at once
CALIBRATED_ON = 200  # pictures, each pasted on another
CANVAS, SIDES, TURNED = 256, (0.25, 0.6), 30.0  # that one's pixels a side; shares of it; degrees, either way
DRAWN_AT_ONCE = 16  # pictures of the GAN


class FramerPlan(NamedTuple):
    """How to train a framer."""

    num_windows: int = 120_000  # looked at in all
    batch_size: int = 64
    seed: int = 0

    def check(self) -> None:
        """Raise ToolkitError for a plan that cannot be carried out."""
        check_count("train_framer", "num_windows", self.num_windows, 0)
        check_count("train_framer", "batch_size", self.batch_size, 2)
        check_count("train_framer", "seed", self.seed, 0, MAX_SEED)


def check(key: str, plan: FramerPlan, out_dir: str | Path) -> None:
    """Raise at once what `train_framer` would, before pictures are made or read for it.

    Args, Raises: as `train_framer` takes and raises them.
    """
    plan.check()
    _starting_point(key, out_dir)


def train_framer(
    pictures: Tensor | np.ndarray,
    key: str,
    out_dir: str | Path,
    plan: FramerPlan | None = None,
    *,
    others: Tensor | np.ndarray | None = None,
    fit: str = "crop",
    metadata: dict | None = None,
    device: str | torch.device | None = None,
    save_every: float = 300,
    progress: bool = True,
) -> Path:
    """Train a framer, or go on where the last run in `out_dir` stopped.

    Writes `framer.safetensors`, `checkpoint.pt`, `windows.png` and `log.csv`.

    Args:
        pictures: (N, 3, R, R) uint8, framed as the GAN's: its own samples, or what it was trained on.
        key: says what was framed; a folder of another key's training is refused.
        out_dir: folder of this training.
        plan: `FramerPlan`; None for its defaults.
        others: (M, 3, S, S) uint8 pictures without the object, for backgrounds; None for drawn ones alone.
        fit: how the pictures were made square; of those padded, the edges that were repeated are left out.
        metadata: dict that JSON can hold, for the file.
        device: to train on; None for the best there is.
        save_every: seconds between checkpoints.
        progress: show a bar.
    Returns:
        Path of framer.safetensors.
    Raises:
        ToolkitError: a plan that cannot be carried out, no pictures, or a folder of another framer.
        CheckpointError: a checkpoint that cannot be read.
    """
    plan = plan or FramerPlan()
    check(key, plan, out_dir)
    place = check_device(device, "train_framer")
    for name, some in (("pictures", pictures), ("others", others)):
        if some is not None and (some.ndim != 4 or not len(some) or "uint8" not in str(some.dtype)):
            want, got = f"{name} (N, 3, R, R) uint8, N >= 1", f"{tuple(some.shape)} {some.dtype}"
            raise ToolkitError("train_framer", want, got, "Resize them first")
    job = _Job(pictures, key, Path(out_dir), plan, others, check_fit(fit, "train_framer"), metadata or {}, place)
    run(job, plan.num_windows, save_every=save_every, progress=progress)
    path = job.out_dir / "framer.safetensors"
    framer = load_framer(path)
    save_framer(path, framer, {"off": calibrate(framer, pictures, others, plan.seed, fit)})
    return path


@torch.no_grad()
def calibrate(
    framer: Framer,
    pictures: Tensor | np.ndarray,
    others: Tensor | np.ndarray | None = None,
    seed: int = 0,
    fit: str = "crop",
) -> list[float]:
    """How far off the frames lie as a rule in which a framer finds pictures that it should know.

    Args:
        framer: what is judged; the "off" of its metadata is left alone.
        pictures: (N, 3, R, R) uint8, framed exactly; as many as `CALIBRATED_ON` of them are pasted and found again.
        others: (M, 3, S, S) uint8, what they are pasted on; None for drawn backgrounds.
        seed: of places, sizes, tilts and backgrounds.
        fit: as of `train_framer`.
    Returns:
        Median errors, as `toolkit.projection.framing.corrected` takes them off: x, y, octaves, degrees. All 0 where
        nothing is found.
    """
    rng, plain = torch.Generator().manual_seed(seed), copy.copy(framer)
    plain.metadata = {**framer.metadata, "off": NONE}
    errors = []
    for picture in as_float(pictures[:: math.ceil(len(pictures) / CALIBRATED_ON)]):
        pick = 0 if others is None else int(torch.randint(len(others), (), generator=rng))
        other = clutter(1, rng) if others is None else as_float(others[pick : pick + 1])
        photograph = to_pil(F.interpolate(other, size=(CANVAS, CANVAS), mode="bicubic").clamp(-1, 1))
        size, x, y, turn = torch.rand(4, generator=rng).tolist()
        side = CANVAS * SIDES[0] * (SIDES[1] / SIDES[0]) ** size
        centre = side / 2 + x * (CANVAS - side), side / 2 + y * (CANVAS - side)
        frame = Frame.around(centre, side, (2 * turn - 1) * TURNED, photograph.size)
        found = [one.frame for one in plain.find(paste(photograph, picture, frame, fit))]
        nearest = min(found, key=lambda one: math.dist(one.centre, frame.centre), default=None)
        if nearest is not None and math.dist(nearest.centre, frame.centre) < APART * side:
            errors.append(_off(nearest, frame))
    return [round(float(e), 4) for e in np.median(errors, 0)] if errors else list(NONE)


def _off(found, frame):
    """How a found frame differs from the true one: x, y, octaves, degrees."""
    cos, sin = math.cos(math.radians(frame.angle)), math.sin(math.radians(frame.angle))
    x, y = ((a - b) / frame.side for a, b in zip(found.centre, frame.centre, strict=True))
    turn = (found.angle - frame.angle + 180) % 360 - 180
    return x * cos + y * sin, y * cos - x * sin, math.log2(found.side / frame.side), turn


@torch.no_grad()
def drawn(generator: Generator, num: int, seed: int = 0) -> Tensor:
    """Pictures of a GAN to train a framer on.

    Args:
        generator: a `Generator`.
        num: how many.
        seed: of z.
    Returns:
        (num, 3, R, R) uint8, R at most 64.
    """
    rng, found = torch.Generator().manual_seed(seed), []
    for start in range(0, num, DRAWN_AT_ONCE):
        z = torch.randn(min(DRAWN_AT_ONCE, num - start), generator.z_dim, generator=rng)
        image = generator.synthesis(generator.mapping(z.to(generator.mapping.w_avg.device))).expand(-1, 3, -1, -1)
        side = min(image.shape[3], WINDOW)
        image = F.interpolate(image, size=(side, side), mode="area").clamp(-1, 1).cpu()
        found.append(((image + 1) * 127.5).round().to(torch.uint8))
    return torch.cat(found)


def _starting_point(key, out_dir):
    """The checkpoint there, or None; it must be of the same framer."""
    path = Path(out_dir) / "checkpoint.pt"
    state = load_checkpoint(path, STATE, "train_framer")
    if state is not None and state.get("key") != key:
        want, got = f"a training for {key[:40]}", f"one for {str(state.get('key'))[:40]} in {path}"
        raise ToolkitError("train_framer", want, got, "Choose another folder, or what it began with")
    return state


class _Job:
    def __init__(self, pictures, key, out_dir, plan, others, fit, metadata, device):
        self.pictures, self.key, self.out_dir, self.plan, self.others = pictures, key, out_dir, plan, others
        self.fit, self.metadata, self.device = fit, metadata, device
        self.seen, self.means = 0, Means(LOG_KEEP)
        with torch.random.fork_rng():
            torch.manual_seed(plan.seed)
            self.framer = Framer().to(device, memory_format=torch.channels_last)
        self.learner = Learner(self.framer, LEARNING_RATE)
        state = _starting_point(key, out_dir)
        if state:
            self.framer.load_state_dict(state["framer"])
            self.learner.adam.load_state_dict(state["optimizer"])
            self.seen = state["seen"]
        rng = torch.Generator().manual_seed(plan.seed)
        num = min(POOL, max(plan.num_windows // 8, CHUNK)) // CHUNK if self.seen < plan.num_windows else 1
        self.pool = torch.cat([self._backgrounds(rng) for _ in range(num)])

    def step(self):
        """One batch of windows."""
        # Seeded by the step: a resumed run draws what an unbroken one would.
        rng = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + self.seen + 1)
        self.learner.cool_down(cool_down(self.seen, self.plan.num_windows, COOL_DOWN))
        scene = self._scene(rng, self.plan.batch_size)
        self.framer.train()
        parts = losses(self.framer(scene.image.to(self.device)), scene.target.to(self.device))
        self.learner.learn(sum(parts.values()))
        self.seen += self.plan.batch_size
        self.means.add(**{name: float(value.detach()) for name, value in parts.items()})

    def _scene(self, rng, num) -> Scene:
        pool = self.pool[torch.randint(len(self.pool), (num,), generator=rng)]
        return draw(self._some(self.pictures, rng, num), as_float(pool), rng, self.fit)

    def _some(self, pictures, rng, num):
        pick = torch.randint(len(pictures), (num,), generator=rng)
        return as_float(pictures[pick.numpy()])

    def _backgrounds(self, rng):
        objects = self._some(self.pictures, rng, CHUNK)
        others = clutter(CHUNK, rng) if self.others is None else self._some(self.others, rng, CHUNK)
        return ((backgrounds(objects, others, rng, self.fit) + 1) * 127.5).round().to(torch.uint8)

    def save(self):
        """Write the framer, the state to resume from, windows with what it sees in them, and a line of log."""
        state = {
            "framer": self.framer.state_dict(),
            "optimizer": self.learner.adam.state_dict(),
            "seen": self.seen,
            "key": self.key,
        }
        save_checkpoint(self.out_dir / "checkpoint.pt", state)
        metadata = {"windows_seen": self.seen, "plan": self.plan._asdict(), **self.metadata}
        save_framer(self.out_dir / "framer.safetensors", self.framer, metadata)
        rng = torch.Generator().manual_seed(1)
        with replace_when_done(self.out_dir / "windows.png") as temporary:
            grid(self._scene(rng, 2 * CHUNK).image, columns=16).save(temporary, format="PNG")
        write_log(self.out_dir / "log.csv", {"windows": self.seen} | self.means.rounded())


def losses(answers: Tensor, target: Tensor) -> dict[str, Tensor]:
    """By name: cross-entropy of its being there, and of those that are, errors in sides of the object and of turns.

    Args:
        answers, target: (N, 5), as `Framer` answers.
    """
    there = target[:, 0]
    seen = F.binary_cross_entropy_with_logits(answers[:, 0], there)
    off = (answers[:, 1:] - target[:, 1:]).abs()
    side = target[:, 3].exp2()
    num = there.sum().clamp(min=1)
    place = (off[:, :2].sum(1) / side * there).sum() / num
    zoom = (off[:, 2] * np.log(2) * there).sum() / num
    # Squared: most turns are small, so that the mean of absolute errors is least, and stays, where none is ever told.
    turn = ((TURN_WEIGHT * off[:, 3]).square() * there).sum() / num
    return {"there": seen, "place": place, "zoom": zoom, "turn": turn}
