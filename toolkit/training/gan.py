"""Train StyleGAN2 on pictures alone: adversarial loss, lazy R1, EMA, growth by fading in.

The trainer takes uint8 pictures and nothing else: no label map can reach it.
"""

import copy
import csv
import time
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from tqdm import tqdm

from toolkit.errors import ToolkitError
from toolkit.files import replace_when_done
from toolkit.gan.files.checkpoints import load_discriminator, load_generator, save_gan
from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.pictures.images import grid

R1_INTERVAL = 16  # discriminator steps between two penalties
EMA_HALF_LIFE, EMA_RAMP = 8_000, 0.1  # pictures; and at most this share of those seen so far
STYLE_MIXING = 0.7  # share of pictures whose finer layers get another w
LEARNING_RATE = 2.5e-3
COOL_DOWN = 0.3  # last share of the pictures, over which the learning rate falls to a tenth


class Plan(NamedTuple):
    """What to train. `channels` maps every resolution from 4 on to a number of channels."""

    resolution: int = 64
    start_resolution: int = 32
    grow_after: int = 60_000  # pictures at each resolution below the last
    fade: int = 12_000  # pictures over which a new resolution comes in
    num_pictures: int = 400_000  # the discriminator sees, in all
    batch_size: int = 32
    z_dim: int = 256
    w_dim: int = 256
    num_mapping_layers: int = 4
    channels: tuple = ((4, 256), (8, 256), (16, 128), (32, 64), (64, 32))
    seed: int = 0


class GrowingDiscriminator(Discriminator):
    """A discriminator whose finest block is still fading in.

    `stem` is the colour layer of the next coarser resolution, as it was before growth; `fade` goes
    from 0 (only the stem counts) to 1 (a plain `Discriminator`).
    """

    def __init__(self, resolution, channels):
        super().__init__(resolution, channels)
        self.stem, self.fade = None, 1.0

    def features(self, image):
        """As `Discriminator.features`, with the stem's share blended into the first block's output."""
        if self.stem is None or self.fade >= 1:
            return super().features(image)
        features, x = [], image.contiguous(memory_format=torch.channels_last)
        for i, block in enumerate(self.blocks()):
            old = self.stem(F.avg_pool2d(x, 2)) if i == 0 else None
            x = block(x)
            x = x if old is None else old.lerp(x, self.fade)
            features.append(x)
        return features


def grow(generator, discriminator, channels):
    """Both networks at twice the resolution, computing at fade 0 what they computed before.

    Args:
        generator, discriminator: a `Generator` and a `GrowingDiscriminator`.
        channels: dict that has the new resolution as well.
    Returns:
        generator, discriminator: new ones; the old ones' parameters are shared by copy.
    """
    size, m = 2 * generator.resolution, generator.mapping
    bigger = Generator(size, generator.z_dim, generator.w_dim, channels, m.num_layers)
    _load(bigger, generator.state_dict())
    judge = GrowingDiscriminator(size, channels)
    judge.stem = copy.deepcopy(discriminator.blocks()[0].fromrgb)
    _load(judge, {k: v for k, v in discriminator.state_dict().items() if "stem." not in k and ".fromrgb." not in k})
    return bigger, judge


def _load(module, state):
    own = module.state_dict()
    module.load_state_dict({k: v for k, v in state.items() if k in own and own[k].shape == v.shape}, strict=False)


def train(pictures, out_dir, plan=None, *, init_from=None, mixed_precision="no", save_every=300, progress=True):
    """Train a GAN, or go on training it where the last run in `out_dir` stopped.

    Writes `gan.safetensors` (EMA generator, discriminator), `checkpoint.pt` (to resume from),
    `samples-<pictures>.png` and `log.csv`, each replaced whole.

    Args:
        pictures: (N, 3, R, R) uint8 tensor or memory-mapped array, R = plan.resolution.
        out_dir: folder of this training.
        plan: `Plan`; None for its defaults.
        init_from: a `gan.safetensors` to start from, of plan.start_resolution; None starts anew.
        mixed_precision: "no" or "bf16" (convolutions; penalties and small layers stay float32).
        save_every: seconds between checkpoints.
        progress: show a bar.
    Returns:
        Path of gan.safetensors.
    Raises:
        ToolkitError: pictures that do not fit the plan.
    Source: Karras et al. 2020 (arXiv:1912.04958), progressive growing as in Karras et al. 2018
        (arXiv:1710.10196); differs: R1 only, no path length penalty.
    """
    plan = plan or Plan()
    if tuple(pictures.shape[1:]) != (3, plan.resolution, plan.resolution) or str(pictures.dtype)[-5:] != "uint8":
        raise ToolkitError(
            "train",
            f"pictures (N, 3, {plan.resolution}, {plan.resolution}) uint8",
            f"{tuple(pictures.shape)} {pictures.dtype}",
            "Resize them first",
        )
    job = _Job(pictures, Path(out_dir), plan, init_from, mixed_precision)
    with tqdm(total=plan.num_pictures, initial=job.seen, unit="picture", disable=not progress) as bar:
        saved = time.monotonic()
        while job.seen < plan.num_pictures:
            job.step()
            bar.update(plan.batch_size * job.accelerator.num_processes)
            if time.monotonic() - saved > save_every:
                job.save()
                saved = time.monotonic()
    job.save()
    return job.out_dir / "gan.safetensors"


class _Job:
    def __init__(self, pictures, out_dir, plan, init_from, mixed_precision):
        self.pictures, self.out_dir, self.plan = pictures, out_dir, plan
        self.accelerator = Accelerator()
        self.device = self.accelerator.device
        self.dtype = torch.bfloat16 if mixed_precision == "bf16" else torch.float32
        self.seen = self.steps = 0
        self.grown_at = 0  # pictures seen when the present resolution began
        self.seen_before = load_generator(init_from).metadata.get("pictures_seen", 0) if init_from else 0
        self.started, self.log = time.monotonic(), {}
        self.rng, self.noise_rng = torch.Generator(), torch.Generator(self.device)
        torch.manual_seed(plan.seed)
        path = out_dir / "checkpoint.pt"
        state = torch.load(path, map_location="cpu", weights_only=True) if path.exists() else None
        self._build(state["resolution"] if state else plan.start_resolution)
        if state:
            self._restore(state)
        elif init_from:
            self._start_from(init_from)

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
        self.rates = LEARNING_RATE, LEARNING_RATE * lazy
        self.optimizers = [
            torch.optim.Adam(generator.parameters(), LEARNING_RATE, (0.0, 0.99), eps=1e-8, fused=True),
            torch.optim.Adam(discriminator.parameters(), LEARNING_RATE * lazy, (0.0, 0.99**lazy), eps=1e-8, fused=True),
        ]

    def _start_from(self, path):
        for network, given in ((self.generator, load_generator(path)), (self.discriminator, load_discriminator(path))):
            own, state = network.state_dict(), given.state_dict()
            if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in state.items()}:
                want = f"init_from of {network.resolution} pixels with channels {network.channels}"
                raise ToolkitError(
                    "train",
                    want,
                    f"{given.resolution} pixels with channels {given.channels}",
                    "Make the plan's start_resolution and channels the file's",
                )
            network.load_state_dict(state)
        self.ema.load_state_dict(self.generator.state_dict())

    def _grow(self):
        channels = dict(self.plan.channels)
        torch.manual_seed(self.plan.seed)  # new layers alike in every process, and after a resume
        ema, _ = grow(self.ema, self.discriminator, channels)
        generator, discriminator = grow(self.generator, self.discriminator, channels)
        for name, value in generator.state_dict().items():  # the newest layers start alike
            if name not in self.ema.state_dict():
                ema.state_dict()[name].copy_(value)
        self._adopt(generator, discriminator, ema)
        self.grown_at = self.seen

    def _fade(self):
        grown = self.generator.resolution > self.plan.start_resolution
        fade = min(1.0, (self.seen - self.grown_at) / self.plan.fade) if grown else 1.0
        self.discriminator.fade = fade
        for network in (self.generator, self.ema):
            network.synthesis.fade.fill_(fade)

    def _cool_down(self):
        left = (1 - self.seen / self.plan.num_pictures) / COOL_DOWN
        for optimizer, base in zip(self.optimizers, self.rates, strict=True):
            for group in optimizer.param_groups:
                group["lr"] = base * min(1.0, max(0.1, left))

    # ---- one step ------------------------------------------------------------------------
    def step(self):
        """One discriminator step, one generator step, and now and then the penalty."""
        # Seeded by the step: a resumed run draws what an unbroken one would, and processes differ.
        run = self.accelerator
        seed = (self.plan.seed * 1_000_003 + self.steps) * run.num_processes + run.process_index
        self.rng.manual_seed(seed)
        size = self.generator.resolution
        if size < self.plan.resolution and self.seen - self.grown_at >= self.plan.grow_after:
            self._grow()
        self._fade()
        self._cool_down()
        real = self._real()
        with torch.no_grad():
            fake = self._fake()
        loss_d, sign = self._discriminate(real, fake)
        if self.steps % R1_INTERVAL == 0:
            self._penalise(real)
        loss_g = self._generate()
        self._average()
        self.steps += 1
        self.seen += self.plan.batch_size * self.accelerator.num_processes
        for name, value in (("loss_d", loss_d), ("loss_g", loss_g), ("real_sign", sign)):
            self.log[name] = self.log.get(name, value) * 0.99 + value * 0.01

    def _real(self):
        """A random batch of pictures at the present resolution, half of them mirrored."""
        pick = torch.randint(len(self.pictures), (self.plan.batch_size,), generator=self.rng)
        batch = torch.as_tensor(self.pictures[pick.numpy()]).to(self.device).float() / 127.5 - 1
        mirrored = torch.rand(len(batch), 1, 1, 1, generator=self.rng).to(self.device) < 0.5
        batch = torch.where(mirrored, batch.flip(3), batch)
        if self.generator.resolution < self.plan.resolution:
            batch = F.interpolate(batch, size=(self.generator.resolution,) * 2, mode="area")
        if self.discriminator.fade < 1:  # real pictures sharpen as the generator learns to
            blurred = F.interpolate(F.avg_pool2d(batch, 2), scale_factor=2, mode="bilinear")
            batch = blurred.lerp(batch, self.discriminator.fade)
        return batch

    def _fake(self):
        n, p = self.plan.batch_size, self.plan
        z = torch.randn(2, n, p.z_dim, generator=self.rng).to(self.device)
        ws, other = self.generator.mapping(z[0]), self.generator.mapping(z[1])
        with torch.no_grad():
            self.generator.mapping.w_avg.lerp_(ws[:, 0].mean(0), 0.005)
        rows = torch.arange(ws.shape[1])
        cut = torch.randint(1, ws.shape[1], (n, 1), generator=self.rng)
        mixed = (torch.rand(n, 1, generator=self.rng) < STYLE_MIXING) & (rows >= cut)
        ws = torch.where(mixed.to(self.device)[..., None], other, ws)
        self.noise_rng.manual_seed(int(torch.randint(2**31, (), generator=self.rng)))
        return self.generator.synthesis(ws, noise_mode="random", rng=self.noise_rng, dtype=self.dtype)

    def _discriminate(self, real, fake):
        self.discriminator.requires_grad_(True)
        on_real, on_fake = (self.discriminator(x.to(self.dtype)) for x in (real, fake))
        loss = (F.softplus(-on_real) + F.softplus(on_fake)).mean()
        self._update(1, loss)
        return float(loss.detach()), float(on_real.detach().sign().mean())

    def _penalise(self, real):
        gamma = 0.0002 * self.generator.resolution**2 / self.plan.batch_size
        real = real.detach().requires_grad_(True)
        self._update(1, R1_INTERVAL * r1_penalty(self.discriminator, real, gamma))

    def _generate(self):
        self.discriminator.requires_grad_(False)
        loss = F.softplus(-self.discriminator(self._fake().to(self.dtype))).mean()
        self._update(0, loss)
        return float(loss.detach())

    def _update(self, which, loss):
        optimizer = self.optimizers[which]
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self.accelerator.num_processes > 1:  # every process drew its own pictures
            for group in optimizer.param_groups:
                for p in group["params"]:
                    p.grad = self.accelerator.reduce(torch.zeros_like(p) if p.grad is None else p.grad, "mean")
        optimizer.step()

    @torch.no_grad()
    def _average(self):
        half_life = max(1.0, min(EMA_HALF_LIFE, EMA_RAMP * (self.seen - self.grown_at)))
        decay = 0.5 ** (self.plan.batch_size * self.accelerator.num_processes / half_life)
        for slow, fast in zip(self.ema.parameters(), self.generator.parameters(), strict=True):
            slow.lerp_(fast, 1 - decay)
        for slow, fast in zip(self.ema.buffers(), self.generator.buffers(), strict=True):
            slow.copy_(fast)

    # ---- files ---------------------------------------------------------------------------
    def save(self):
        """Write weights, the state to resume from, samples and a line of log; the first process does."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "resolution": self.generator.resolution,
            "seen": self.seen,
            "steps": self.steps,
            "grown_at": self.grown_at,
            "generator": self.generator.state_dict(),
            "discriminator": self.discriminator.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizers": [o.state_dict() for o in self.optimizers],
        }
        with replace_when_done(self.out_dir / "checkpoint.pt") as temporary:
            torch.save(state, temporary)
        metadata = {"pictures_seen": self.seen_before + self.seen, "plan": self.plan._asdict()}
        judge = Discriminator(self.discriminator.resolution, self.discriminator.channels)
        _load(judge, self.discriminator.state_dict())
        save_gan(self.out_dir / "gan.safetensors", _finished(self.ema), judge, metadata)
        z = torch.randn(48, self.plan.z_dim, generator=torch.Generator().manual_seed(1)).to(self.device)
        with torch.no_grad():
            image = self.ema(z)
        with replace_when_done(self.out_dir / f"samples-{self.seen:07d}.png") as temporary:
            grid(image, columns=8).save(temporary)
        self._write_log()

    def _write_log(self):
        path = self.out_dir / "log.csv"
        row = {"pictures": self.seen, "resolution": self.generator.resolution}
        row["seconds"] = round(time.monotonic() - self.started)
        row |= {name: round(value, 4) for name, value in self.log.items()}
        new = not path.exists()
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, row)
            if new:
                writer.writeheader()
            writer.writerow(row)

    def _restore(self, state):
        if state["grown_at"]:
            self.discriminator.stem = copy.deepcopy(self.discriminator.blocks()[0].fromrgb)
            if "stem.weight" in state["discriminator"]:
                shape = state["discriminator"]["stem.weight"].shape
                stem = self.discriminator.stem
                stem.weight, stem.bias = (torch.nn.Parameter(torch.zeros(s)) for s in (shape, shape[:1]))
            self._adopt(self.generator, self.discriminator)
        self.generator.load_state_dict(state["generator"])
        self.discriminator.load_state_dict(state["discriminator"])
        self.ema.load_state_dict(state["ema"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.seen, self.steps, self.grown_at = state["seen"], state["steps"], state["grown_at"]


@torch.no_grad()
def _finished(generator, num=10_000):
    """A copy fit for a file: w_avg is its own mapping's, and the newest colours carry the fade."""
    generator = copy.deepcopy(generator)
    z = torch.randn(num, generator.z_dim, generator=torch.Generator().manual_seed(0))
    generator.mapping.w_avg.copy_(generator.mapping(z.to(generator.mapping.w_avg.device))[:, 0].mean(0))
    newest = getattr(generator.synthesis, f"b{generator.resolution}").torgb
    newest.weight.mul_(generator.synthesis.fade)
    newest.bias.mul_(generator.synthesis.fade)
    generator.synthesis.fade.fill_(1.0)
    return generator


def r1_penalty(discriminator, real, gamma):
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
