"""Train StyleGAN2 on pictures alone: adversarial loss, lazy R1, EMA, growth by fading in.

The trainer takes uint8 pictures and nothing else: no label map can reach it.
"""

import copy
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from toolkit.errors import ToolkitError
from toolkit.files import replace_when_done
from toolkit.gan.files.checkpoints import save_gan
from toolkit.gan.stylegan2 import Generator
from toolkit.pictures.images import check_fit, grid
from toolkit.training.augmentation import augment, next_probability
from toolkit.training.batches import real_batch
from toolkit.training.checkpoint import save_checkpoint, write_log
from toolkit.training.gan_on_cuda import GraphedSteps
from toolkit.training.growth import GrowingDiscriminator, finished, grow
from toolkit.training.loop import Learner, Means, average, cool_down, run
from toolkit.training.plan import GROUP, Plan, starting_point
from toolkit.training.precision import check_precision, dtype_of
from toolkit.training.processes import processes, share_mean
from toolkit.training.styles import mixed_styles

R1_INTERVAL = 16  # discriminator steps between two penalties
EMA_HALF_LIFE = 8_000  # pictures
STYLE_MIXING = 0.7  # share of pictures whose finer layers get another w
LEARNING_RATE = 2.5e-3
COOL_DOWN, COOLED = 0.3, 0.1  # last share of the pictures, over which the learning rate falls to a tenth
LOG_KEEP = 0.99  # of the running means, from step to step


def check(
    plan: Plan, out_dir: str | Path, *, init_from: str | Path | None = None, mixed_precision: str = "auto"
) -> None:
    """Raise at once what `train` would, before pictures are made or read for it.

    Args, Raises: as `train` takes and raises them.
    """
    plan.check()
    check_precision("train", mixed_precision)
    starting_point(plan, out_dir, init_from)


def train(
    pictures: Tensor | np.ndarray,
    out_dir: str | Path,
    plan: Plan | None = None,
    *,
    init_from: str | Path | None = None,
    mixed_precision: str = "auto",
    fit: str = "crop",
    save_every: float = 300,
    progress: bool = True,
) -> Path:
    """Train a GAN, or go on training it where the last run in `out_dir` stopped.

    Writes `gan.safetensors` (EMA generator, discriminator), `checkpoint.pt` (to resume from),
    `samples-<pictures>.png` and `log.csv`, each replaced whole.

    Args:
        pictures: (N, 3, R, R) uint8 tensor or memory-mapped array, R = plan.resolution.
        out_dir: folder of this training.
        plan: `Plan`; None for its defaults.
        init_from: a `gan.safetensors` to start from, of plan.start_resolution; None starts anew.
        mixed_precision: "bf16" (convolutions; penalties and small layers stay float32), "no", or "auto":
            the faster of the two on this device, tried at the start and after growth; with CUDA graphs bf16, if
            the GPU has it.
        fit: how the pictures were made square, "crop" or "pad", for the file to say.
        save_every: seconds between checkpoints.
        progress: show a bar.
    Returns:
        Path of gan.safetensors.
    Raises:
        ToolkitError: a plan that cannot be carried out (see `Plan.check`), pictures, init_from or a
            training in `out_dir` that do not fit it.
        CheckpointError: a file that cannot be read.
    Source: Karras et al. 2020 (arXiv:1912.04958), progressive growing as in Karras et al. 2018
        (arXiv:1710.10196); differs: R1 only, no path length penalty.
    """
    plan = plan or Plan()
    plan.check()
    check_precision("train", mixed_precision)
    side = plan.resolution
    if not len(pictures) or tuple(pictures.shape[1:]) != (3, side, side) or str(pictures.dtype)[-5:] != "uint8":
        raise ToolkitError(
            "train",
            f"pictures (N, 3, {side}, {side}) uint8, N >= 1",
            f"{tuple(pictures.shape)} {pictures.dtype}",
            "Resize them first",
        )
    job = _kind(plan)(pictures, Path(out_dir), plan, init_from, mixed_precision, check_fit(fit, "train"))
    run(job, plan.num_pictures, save_every=save_every, progress=progress)
    return job.out_dir / "gan.safetensors"


def _kind(plan):
    """Which job: with CUDA graphs, if one process has a GPU to itself and groups of pictures come out even."""
    place = processes()
    alone = place.device.type == "cuda" and place.num_processes == 1
    return _GraphedJob if alone and plan.batch_size % GROUP == 0 else GANJob


class GANJob:
    """Networks, their learners and the pictures: what `run` trains; CPUs, or several processes."""

    def __init__(
        self,
        pictures: Tensor | np.ndarray,
        out_dir: Path,
        plan: Plan,
        init_from: str | Path | None = None,
        mixed_precision: str = "auto",
        fit: str = "crop",
    ) -> None:
        self.pictures, self.out_dir, self.plan, self.fit = pictures, out_dir, plan, fit
        self.processes = processes()
        self.device = self.processes.device
        self.batch = plan.batch_size * self.processes.num_processes  # pictures a step, of all processes
        self.mixed_precision = mixed_precision
        self.seen = self.steps = 0
        self.seen_before = 0  # by the GAN this one started from
        self.grown_at = 0  # pictures seen when the present resolution began
        self.changed = 0.0  # probability that a picture is changed before it is judged
        self.started, self.means = time.monotonic(), Means(LOG_KEEP)
        self.rng, self.noise_rng = torch.Generator(), torch.Generator(self.device)
        torch.manual_seed(plan.seed)
        state, networks = starting_point(plan, out_dir, init_from)
        self._build(state["resolution"] if state else plan.start_resolution)
        if state:
            self._restore(state)
        elif networks:
            self._start_from(*networks)
        self._choose_dtype()

    # ---- networks ------------------------------------------------------------------------
    def _build(self, resolution):
        p, channels = self.plan, dict(self.plan.channels)
        generator = Generator(resolution, p.z_dim, p.w_dim, channels, p.num_mapping_layers)
        self._adopt(generator, GrowingDiscriminator(resolution, channels))

    def _adopt(self, generator, discriminator, ema=None):
        place = {"device": self.device, "memory_format": torch.channels_last}
        self.generator, self.discriminator = generator.to(**place), discriminator.to(**place)
        self.ema = (copy.deepcopy(generator) if ema is None else ema).to(**place).requires_grad_(False).eval()
        lazy = R1_INTERVAL / (R1_INTERVAL + 1)  # the penalty's own steps count as well
        self.drawing = Learner(generator, LEARNING_RATE, betas=(0.0, 0.99), fused=True)
        self.judging = Learner(discriminator, LEARNING_RATE * lazy, betas=(0.0, 0.99**lazy), fused=True)

    def _start_from(self, generator, discriminator):
        for network in (self.generator, self.ema):
            network.load_state_dict(generator.state_dict())
        self.discriminator.load_state_dict(discriminator.state_dict())
        self.seen_before = generator.metadata.get("pictures_seen", 0)

    def _choose_dtype(self):
        z = torch.randn(self.plan.batch_size, self.plan.z_dim, generator=torch.Generator().manual_seed(0))

        def trial(dtype):  # leaves gradients, which the next step clears
            image = self.generator.synthesis(self.generator.mapping(z.to(self.device)), dtype=dtype)
            self.discriminator(image.to(dtype)).mean().backward()

        self.dtype = dtype_of(self.mixed_precision, trial, self.device)

    def _grow(self):
        channels = dict(self.plan.channels)
        torch.manual_seed(self.plan.seed)  # new layers alike in every process, and after a resume
        ema, _ = grow(self.ema, self.discriminator, channels)
        generator, discriminator = grow(self.generator, self.discriminator, channels)
        for name, value in generator.state_dict().items():  # the newest layers start alike
            if name not in self.ema.state_dict():
                ema.state_dict()[name].copy_(value)
        self._adopt(generator, discriminator, ema)
        self._choose_dtype()
        self.grown_at = self.seen

    def _fade(self):
        grown = self.generator.resolution > self.plan.start_resolution
        self._set_fade(min(1.0, (self.seen - self.grown_at) / self.plan.fade) if grown else 1.0)

    def _set_fade(self, fade):
        self.discriminator.fade = fade
        for network in (self.generator, self.ema):
            network.synthesis.fade.fill_(fade)

    # ---- one step ------------------------------------------------------------------------
    def step(self) -> None:
        """One discriminator step, one generator step, and now and then the penalty."""
        # Seeded by the step: a resumed run draws what an unbroken one would, and processes differ.
        seed = (self.plan.seed * 1_000_003 + self.steps) * self.processes.num_processes + self.processes.process_index
        self.rng.manual_seed(seed)
        size = self.generator.resolution
        if size < self.plan.resolution and self.seen - self.grown_at >= self.plan.grow_after:
            self._grow()
        self._fade()
        for learner in (self.drawing, self.judging):
            learner.cool_down(cool_down(self.seen, self.plan.num_pictures, COOL_DOWN, COOLED))
        real = self._real()
        with torch.no_grad():
            fake = self._fake()
        loss_d, sign = self._discriminate(real, fake)
        if self.steps % R1_INTERVAL == 0:
            self._penalise(real)
        loss_g = self._generate()
        average(self.ema, self.generator, self.batch, EMA_HALF_LIFE, self.seen - self.grown_at)
        self.steps += 1
        self.seen += self.batch
        self._note(loss_d, loss_g, sign)

    def _note(self, loss_d, loss_g, sign):
        """Count a step's results (), and change pictures as often as they ask for."""
        share_mean([sign])  # so that all processes change as many
        self.means.add(loss_d=float(loss_d), loss_g=float(loss_g), real_sign=float(sign))
        self.changed = next_probability(self.changed, float(sign), self.batch)

    def _real(self):
        """A random batch of pictures at the present resolution, half of them mirrored."""
        batch = real_batch(self.pictures, self.plan.batch_size, self.rng, self.device)
        if self.generator.resolution < self.plan.resolution:
            batch = F.interpolate(batch, size=(self.generator.resolution,) * 2, mode="area")
        if self.discriminator.fade < 1:  # real pictures sharpen as the generator learns to
            blurred = F.interpolate(F.avg_pool2d(batch, 2), scale_factor=2, mode="bilinear")
            batch = blurred.lerp(batch, self.discriminator.fade)
        return batch

    def _fake(self):
        ws = mixed_styles(self.generator, self.plan.batch_size, STYLE_MIXING, self.rng, self.device)
        with torch.no_grad():
            self.generator.mapping.w_avg.lerp_(ws[:, 0].mean(0), 0.005)
        return self._draw(ws)

    def _draw(self, ws):
        self.noise_rng.manual_seed(int(torch.randint(2**31, (), generator=self.rng)))
        return self.generator.synthesis(ws, noise_mode="random", rng=self.noise_rng, dtype=self.dtype)

    def _discriminate(self, real, fake):
        self.discriminator.requires_grad_(True)
        on_real, on_fake = self._verdicts(self._seen(real), self._seen(fake))
        loss = (F.softplus(-on_real) + F.softplus(on_fake)).mean()
        self.judging.learn(loss)
        return loss.detach(), on_real.detach().sign().mean()

    def _verdicts(self, real, fake):
        return self.discriminator(real.to(self.dtype)), self.discriminator(fake.to(self.dtype))

    def _seen(self, image):
        """What the discriminator sees of pictures."""
        return augment(image, self.changed, self.rng)

    def _penalise(self, real):
        gamma = 0.0002 * self.generator.resolution**2 / self.plan.batch_size
        real = self._seen(real).detach().requires_grad_(True)
        self.judging.learn(R1_INTERVAL * r1_penalty(self.discriminator, real, gamma))

    def _generate(self):
        self.discriminator.requires_grad_(False)
        loss = F.softplus(-self.discriminator(self._seen(self._fake()).to(self.dtype))).mean()
        self.drawing.learn(loss)
        return loss.detach()

    # ---- files ---------------------------------------------------------------------------
    def save(self) -> None:
        """Write weights, the state to resume from, samples and a line of log; the first process does."""
        if not self.processes.is_main_process:
            return
        state = {
            "resolution": self.generator.resolution,
            "seen": self.seen,
            "steps": self.steps,
            "grown_at": self.grown_at,
            "seen_before": self.seen_before,
            "fade": self.discriminator.fade,
            "changed": self.changed,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [learner.adam.state_dict() for learner in (self.drawing, self.judging)],
        }
        save_checkpoint(self.out_dir / "checkpoint.pt", state)
        metadata = {"pictures_seen": self.seen_before + self.seen, "plan": self.plan._asdict(), "fit": self.fit}
        save_gan(self.out_dir / "gan.safetensors", *finished(self.ema, self.discriminator), metadata)
        z = torch.randn(48, self.plan.z_dim, generator=torch.Generator().manual_seed(1)).to(self.device)
        with torch.no_grad():
            image = self.ema(z)
        with replace_when_done(self.out_dir / f"samples-{self.seen:07d}.png") as temporary:
            grid(image, columns=8).save(temporary)
        row = {"pictures": self.seen, "resolution": self.generator.resolution}
        row["seconds"] = round(time.monotonic() - self.started)
        write_log(self.out_dir / "log.csv", row | self.means.rounded() | {"changed": round(self.changed, 4)})

    def _restore(self, state):
        if "stem.weight" in state["discriminator"]:
            self.discriminator.add_stem()
            self._adopt(self.generator, self.discriminator)
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.ema.load_state_dict(state["ema"])
        for learner, saved in zip((self.drawing, self.judging), state["optimizers"], strict=True):
            learner.adam.load_state_dict(saved)
        self.seen, self.steps, self.grown_at = state["seen"], state["steps"], state["grown_at"]
        self.seen_before = state.get("seen_before", 0)  # checkpoints from before there was one
        self._set_fade(state.get("fade", 1.0))
        self.changed = state.get("changed", 0.0)


class _GraphedJob(GraphedSteps, GANJob):
    pass


def r1_penalty(discriminator: nn.Module, real: Tensor, gamma: float) -> Tensor:
    """gamma / 2 times the mean squared gradient of the logits at real pictures (N, 3, R, R).

    Args:
        real: requires grad.
        gamma: weight, >= 0.
    Returns:
        () differentiable in the discriminator's parameters.
    Source: Mescheder et al. 2018 (arXiv:1801.04406).
    """
    (gradient,) = torch.autograd.grad(discriminator(real).sum(), real, create_graph=True)
    return gamma / 2 * gradient.square().sum((1, 2, 3)).mean()
