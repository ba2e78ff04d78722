"""Train an encoder for any GAN on pictures the GAN itself generates: any number of them, no labels, no downloads."""

import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from toolkit.errors import ToolkitError, check_count
from toolkit.files import replace_when_done
from toolkit.gan.encoder import Encoder, load_encoder, save_encoder
from toolkit.gan.stylegan2 import Discriminator, Generator
from toolkit.pictures.images import grid
from toolkit.projection.imagenet import Judge
from toolkit.projection.perceptual import PERCEPTUAL_WEIGHT, Distance
from toolkit.training.batches import moved, real_batch
from toolkit.training.checkpoint import load_checkpoint, save_checkpoint, write_log
from toolkit.training.encoder_on_cuda import GraphedSteps
from toolkit.training.loop import MAX_SEED, Learner, Means, average, cool_down, run
from toolkit.training.precision import check_precision, dtype_of
from toolkit.training.processes import processes
from toolkit.training.styles import mixed_styles

LEARNING_RATE = 1e-3
COOL_DOWN = 0.5  # last share of the pictures, over which the learning rate falls to zero
LATENT_WEIGHT = 0.03  # of the latent error, in variances of w, against the picture's
IMAGENET_WEIGHT = 0.025  # of ImageNet's features, where there is no discriminator, against the mean squared pixel error
STYLE_MIXING = 0.5  # share of generated pictures whose finer layers get another w
EMA_HALF_LIFE = 4_000  # pictures
LOG_KEEP = 0.98  # of the running means, from step to step
STATE = ("encoder", "ema", "optimizer", "seen")  # a checkpoint
TRUNK_CHANNELS = {r: min(4096 // r, 256) for r in (4, 8, 16, 32, 64, 128, 256)}


class EncoderPlan(NamedTuple):
    """How to train an encoder."""

    num_pictures: int = 100_000  # drawn by the GAN, in all
    batch_size: int = 16
    seed: int = 0

    def check(self) -> None:
        """Raise ToolkitError for a plan that cannot be carried out."""
        check_count("train_encoder", "num_pictures", self.num_pictures, 0)
        check_count("train_encoder", "batch_size", self.batch_size)
        check_count("train_encoder", "seed", self.seed, 0, MAX_SEED)


def check(
    generator: Generator,
    plan: EncoderPlan,
    out_dir: str | Path,
    *,
    init_from: str | Path | None = None,
    mixed_precision: str = "auto",
) -> None:
    """Raise at once what `train_encoder` would, before pictures are made or read for it.

    Args, Raises: as `train_encoder` takes and raises them.
    """
    plan.check()
    check_precision("train_encoder", mixed_precision)
    _starting_point(generator, out_dir, init_from)


def train_encoder(
    generator: Generator,
    discriminator: Discriminator | None,
    out_dir: str | Path,
    plan: EncoderPlan | None = None,
    *,
    pictures: Tensor | np.ndarray | None = None,
    init_from: str | Path | None = None,
    mixed_precision: str = "auto",
    save_every: float = 300,
    progress: bool = True,
) -> Path:
    """Train an encoder, or go on where the last run in `out_dir` stopped.

    Half of each batch may be real pictures without latents: for these only the reconstruction counts, and many are
    moved a little, for nobody frames a picture exactly.
    Writes `encoder.safetensors` (EMA), `checkpoint.pt`, `pairs.png` and `log.csv`.

    Args:
        generator: a `Generator`; left alone.
        discriminator: the GAN's own, start of the encoder's weights and perceptual distance; None compares what
            ImageNet's features see.
        out_dir: folder of this training.
        plan: `EncoderPlan`; None for its defaults.
        pictures: (N, 3, R, R) uint8 tensor or array of unlabelled pictures; None for none.
        init_from: file of an encoder of this GAN to start from; None starts anew.
        mixed_precision: "bf16" (convolutions only), "no", or "auto": the faster of the two on this device;
            with CUDA graphs bf16, if the GPU has it.
        save_every: seconds between checkpoints.
        progress: show a bar.
    Returns:
        Path of encoder.safetensors.
    Raises:
        ToolkitError: a plan that cannot be carried out, pictures that do not fit the generator, or a
            folder or init_from of another GAN's encoder.
        CheckpointError: a file that cannot be read.
    Source: Richardson et al. 2021, pSp (arXiv:2008.00951), for image -> W+ by image losses; Zhu et
        al. 2020 (arXiv:2004.00049) for the discriminator's view of it; differs: trained on samples.
    """
    plan, size = plan or EncoderPlan(), generator.resolution
    check(generator, plan, out_dir, init_from=init_from, mixed_precision=mixed_precision)
    if pictures is not None:
        fits = len(pictures) and tuple(pictures.shape[1:]) == (3, size, size)
        if not fits or "uint8" not in str(pictures.dtype):
            want, got = f"pictures (N, 3, {size}, {size}) uint8, N >= 1", f"{tuple(pictures.shape)} {pictures.dtype}"
            raise ToolkitError("train_encoder", want, got, "Resize them first")
    kind = _kind(generator, discriminator)
    job = kind(generator, discriminator, Path(out_dir), plan, pictures, mixed_precision, init_from)
    run(job, plan.num_pictures, save_every=save_every, progress=progress)
    return job.out_dir / "encoder.safetensors"


def _starting_point(generator, out_dir, init_from=None):
    """The checkpoint there, or None; the encoder to begin with, or None. Both must be of this GAN."""
    path = Path(out_dir) / "checkpoint.pt"
    state = load_checkpoint(path, STATE, "train_encoder")
    if state is not None and state.get("gan_hash", generator.hash) != generator.hash:
        want, got = f"a training for GAN {generator.hash[:12]}", f"one for GAN {state['gan_hash'][:12]} in {path}"
        raise ToolkitError("train_encoder", want, got, "Choose another folder, or the GAN it began with")
    if state is not None or init_from is None:
        return state, None
    first = load_encoder(init_from)
    if not isinstance(first, Encoder) or first.metadata.get("gan_hash") != generator.hash:
        of = str(first.metadata.get("gan_hash"))[:12]
        want, got = f"a convolutional encoder of GAN {generator.hash[:12]}", f"{type(first).__name__} of {of}"
        raise ToolkitError("train_encoder", want, f"{got}, {init_from}", "Take another file, or start anew")
    return None, first


def _kind(generator, discriminator):
    """Which job: with CUDA graphs, if one process has a GPU to itself."""
    alone = generator.mapping.w_avg.is_cuda and processes().num_processes == 1
    # One that reads its picture at every resolution makes its filters anew each time, of numbers of Python's.
    as_graph = discriminator is None or discriminator.architecture != "skip"
    return _GraphedJob if alone and as_graph else _Job


class _Job:
    def __init__(self, generator, discriminator, out_dir, plan, pictures, mixed_precision, init_from=None):
        self.generator, self.out_dir, self.plan = generator, out_dir, plan
        self.pictures = pictures
        self.device = generator.mapping.w_avg.device
        self.judge = discriminator or Judge(self.device)
        self.judge_weight = PERCEPTUAL_WEIGHT if discriminator else IMAGENET_WEIGHT
        self.seen, self.means, self.rng = 0, Means(LOG_KEEP), torch.Generator()
        self.seen_before = 0  # by the encoder this one started from
        state, first = _starting_point(generator, out_dir, init_from)
        torch.manual_seed(plan.seed)
        encoder = Encoder(generator.resolution, TRUNK_CHANNELS, generator.num_ws, generator.w_dim)
        # Of its own kind only: others lack a branch, or read the picture otherwise.
        kind = (generator.resolution, "resnet", 3)
        if discriminator and (encoder.side, discriminator.architecture, discriminator.img_channels) == kind:
            encoder = Encoder(generator.resolution, discriminator.channels, generator.num_ws, generator.w_dim)
            encoder.blocks.load_state_dict(torch.nn.ModuleList(discriminator.blocks()).state_dict())
        if first is not None:
            encoder, self.seen_before = copy.deepcopy(first), first.metadata.get("pictures_seen", 0)
        for target, value in zip((encoder.w_avg, encoder.w_std), generator.w_statistics()):
            target.copy_(value)
        self.encoder = encoder.to(self.device, memory_format=torch.channels_last)
        self.encoder.requires_grad_(True)
        self.ema = copy.deepcopy(self.encoder).requires_grad_(False)
        self.learner = Learner(self.encoder, LEARNING_RATE, betas=(0.9, 0.99), fused=True)
        if state:
            self._restore(state)
        self._choose_dtype(mixed_precision)

    def _choose_dtype(self, mixed_precision):
        self.dtype = dtype_of(mixed_precision, self._trial, self.device)

    def step(self):
        """One batch: generated pictures with their latents, and real ones without."""
        # Seeded by the step: a resumed run draws what an unbroken one would.
        self.rng.manual_seed(self.plan.seed * 1_000_003 + self.seen)
        self.learner.cool_down(cool_down(self.seen, self.plan.num_pictures, COOL_DOWN))
        loss, parts = self._loss(self.rng)
        self.learner.learn(loss)
        self.seen += self.plan.batch_size
        average(self.ema, self.encoder, self.plan.batch_size, EMA_HALF_LIFE, self.seen)
        self._note(parts)

    def _note(self, parts):
        self.means.add(**{name: float(value.detach().float().mean()) for name, value in parts.items()})

    def _trial(self, dtype):
        self.dtype = dtype
        loss, _ = self._loss(torch.Generator().manual_seed(0))
        loss.backward()  # leaves gradients, which the first step clears

    def _loss(self, rng):
        """Of one batch; and its parts, unweighted, by name."""
        return self._compare(*self._batch(rng))

    def _batch(self, rng):
        """Pictures, and the latents of the first of them."""
        image, latents = self._drawn(rng)
        return image if self.pictures is None else torch.cat([image, self._real(rng)]), latents

    def _compare(self, image, latents):
        half = self.dtype != torch.float32
        with torch.autocast(self.device.type, self.dtype, enabled=half, cache_enabled=False):
            ws = self.encoder(image)
        again = self.generator.synthesis(ws, noise_mode="none", dtype=self.dtype)
        pixel, perceptual = Distance(image.to(self.dtype), self.judge)(again.to(self.dtype))
        latent = ((ws[: len(latents)] - latents) / self.encoder.w_std).square().sum(2).mean()
        distance = pixel.float().mean() + self.judge_weight * perceptual.mean()
        return distance + LATENT_WEIGHT * latent, {"pixel": pixel, "perceptual": perceptual, "latent": latent}

    def _num_real(self):
        return 0 if self.pictures is None else self.plan.batch_size // 2

    @torch.no_grad()
    def _drawn(self, rng):
        n, g = self.plan.batch_size - self._num_real(), self.generator
        ws, noise_rng = mixed_styles(g, n, STYLE_MIXING, rng, self.device), rng
        if rng.device.type == "cpu":  # noise is drawn where the generator is
            noise_rng = torch.Generator(self.device).manual_seed(int(torch.randint(2**31, (), generator=rng)))
        image = g.synthesis(ws, noise_mode="random", rng=noise_rng, dtype=self.dtype)
        return image.clamp(-1, 1).expand(-1, 3, -1, -1), ws  # the encoder reads colours, of a grayscale GAN too

    def _real(self, rng):
        return moved(real_batch(self.pictures, self._num_real(), rng, self.device), rng)

    def save(self):
        """Write the encoder, the state to resume from, pictures beside their reconstructions, and a line of log."""
        state = {
            "encoder": self.encoder.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.learner.adam.state_dict(),
            "seen": self.seen,
            "seen_before": self.seen_before,
            "gan_hash": self.generator.hash,
        }
        save_checkpoint(self.out_dir / "checkpoint.pt", state)
        metadata = {
            "gan": self.generator.metadata.get("name"),
            "gan_hash": self.generator.hash,
            "pictures_seen": self.seen_before + self.seen,
            "plan": self.plan._asdict(),
        }
        save_encoder(self.out_dir / "encoder.safetensors", self.ema, metadata)
        rng = torch.Generator().manual_seed(1)
        with torch.no_grad():
            image = self._drawn(rng)[0] if self.pictures is None else torch.cat([self._drawn(rng)[0], self._real(rng)])
            again = self.generator.synthesis(self.ema(image), noise_mode="none").expand(-1, 3, -1, -1)
        with replace_when_done(self.out_dir / "pairs.png") as temporary:
            grid(torch.stack([image, again], 1).flatten(0, 1), columns=8).save(temporary)
        write_log(self.out_dir / "log.csv", {"pictures": self.seen} | self.means.rounded())

    def _restore(self, state):
        shapes, saved = ({k: v.shape for k, v in s.items()} for s in (self.encoder.state_dict(), state["encoder"]))
        if shapes != saved:
            want, got = f"an encoder as {self.out_dir} has it", "another GAN's, or one without its discriminator"
            raise ToolkitError("train_encoder", want, got, "Choose another folder, or the GAN it began with")
        self.encoder.load_state_dict(state["encoder"])
        self.ema.load_state_dict(state["ema"])
        self.learner.adam.load_state_dict(state["optimizer"])
        self.seen, self.seen_before = state["seen"], state.get("seen_before", 0)  # some checkpoints are older


class _GraphedJob(GraphedSteps, _Job):
    pass
