"""Train a generator to redraw pictures, and only then to please judges: what a few processors can do in an hour.

Adversarial steps are slow, and their first hundred thousands go into finding out what the pictures show at all. Here
the generator is told: an encoder reads a picture's principal components, the generator draws from its answer, and both
learn to come near the picture, in pixels and in the features of a network trained on ImageNet. Codes stay near a
normal distribution, so that a mapping can draw new ones. Then judges join, who make blurred pictures sharp; what they
ask for is held to a share of what the redrawing asks for. No label is read.
"""

import copy
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from toolkit.devices import check_device
from toolkit.errors import ToolkitError, check_count
from toolkit.files import replace_when_done
from toolkit.gan.encoder import PrincipalEncoder, save_encoder
from toolkit.gan.files.checkpoints import load_generator, save_gan
from toolkit.gan.stylegan2 import Generator
from toolkit.pictures.images import as_float, check_fit, grid
from toolkit.projection.imagenet import imagenet_features
from toolkit.projection.perceptual import apart, unit
from toolkit.training.batches import real_batch
from toolkit.training.checkpoint import load_checkpoint, save_checkpoint, write_log
from toolkit.training.codes import draw_like, root
from toolkit.training.judges import Heads, held, judges_loss, verdict, view
from toolkit.training.loop import MAX_SEED, Learner, Means, average, learn_together, run
from toolkit.training.plan import Plan
from toolkit.training.principal import principal_components

LEARNING_RATE, BETAS = 4e-3, (0.5, 0.99)
ENCODER_SLOWER = 0.25  # its rate against the generator's
WARM_UP, WARM_FROM = 2_000, 0.25  # pictures over which the rates rise, and the share they begin at
FEATURE_WEIGHT, NUM_STAGES = 0.15, 4  # of ImageNet's features against the squared error
CODE_NOISE = 0.2  # standard deviation added to w: codes near each other must look alike
CODE_WEIGHT = 5e-3  # of w's mean square
# From when there are judges:
JUDGED_RATE, JUDGED_BETAS, JUDGED_ENCODER_SLOWER = 2e-3, (0.0, 0.99), 0.1
JUDGES_RATE = 2e-4
JUDGES_SHARE = 0.3  # of their gradient at a picture, against that of the redrawing
JUDGED_FEATURE_WEIGHT, JUDGED_CODE_NOISE = 0.3, 0.1
STYLE_MIXING = 0.5  # share of steps whose new pictures have another w in the finer layers
CODES_KEPT = 4_000  # pictures for which the distribution of codes is taken to stay as it is
EMA_HALF_LIFE = 4_000  # pictures
LOG_KEEP = 0.95  # of the running means, from step to step
STATE = ("encoder", "generator", "encoder_ema", "generator_ema", "optimizers", "seen")  # a checkpoint
NUM_CODES, CODES_AT_ONCE = 20_000, 500  # pictures whose codes tell how codes are distributed
SHOWN = 24  # pictures on the sheet


class AutoencoderPlan(NamedTuple):
    """What to train; the generator's sizes are those of a `Plan`."""

    resolution: int = 64
    num_pictures: int = 100_000  # seen, in all
    judged_after: int = 60_000  # of them
    batch_size: int = 16
    num_components: int = 512  # of a picture, that the encoder reads
    w_dim: int = 256
    num_mapping_layers: int = 4
    channels: tuple[tuple[int, int], ...] = Plan().channels
    seed: int = 0

    def check(self) -> None:
        """Raise ToolkitError for a plan that cannot be carried out."""
        check_count("train_autoencoder", "num_pictures", self.num_pictures, 0)
        check_count("train_autoencoder", "judged_after", self.judged_after, 0)
        check_count("train_autoencoder", "batch_size", self.batch_size, 2)  # half of it is new pictures, when judged
        check_count("train_autoencoder", "num_components", self.num_components)
        check_count("train_autoencoder", "seed", self.seed, 0, MAX_SEED)
        check_count("train_autoencoder", "num_mapping_layers", self.num_mapping_layers, 2)
        check_count("train_autoencoder", "resolution", self.resolution, 16)  # the features need so many pixels
        Plan(self.resolution, self.resolution, w_dim=self.w_dim, channels=self.channels).check()


def check(plan: AutoencoderPlan, out_dir: str | Path, device: str | torch.device | None = None) -> torch.device:
    """Raise at once what `train_autoencoder` would, before pictures are made or read for it.

    Args, Raises: as `train_autoencoder` takes and raises them.
    Returns:
        The device.
    """
    plan.check()
    _starting_point(plan, out_dir)
    return check_device(device, "train_autoencoder")


def train_autoencoder(
    pictures: Tensor | np.ndarray,
    out_dir: str | Path,
    plan: AutoencoderPlan | None = None,
    *,
    fit: str = "crop",
    device: str | torch.device | None = None,
    save_every: float = 300,
    progress: bool = True,
) -> Path:
    """Train an encoder and a generator together, or go on where the last run in `out_dir` stopped.

    Writes `gan.safetensors` (EMA generator, with a mapping that draws codes as the pictures' are
    distributed; also a start for `train(init_from=)`), `encoder.safetensors`,
    `checkpoint.pt`, `pairs.png`, `samples.png` and `log.csv`.

    Args:
        pictures: (N, 3, R, R) uint8 tensor or memory-mapped array, R = plan.resolution.
        out_dir: folder of this training.
        plan: `AutoencoderPlan`; None for its defaults.
        fit: how the pictures were made square, "crop" or "pad", for the file to say.
        device: to train on; None for the best there is.
        save_every: seconds between checkpoints.
        progress: show a bar.
    Returns:
        Path of gan.safetensors.
    Raises:
        ToolkitError: a plan that cannot be carried out, or pictures that do not fit it.
        CheckpointError: a checkpoint that cannot be read.
    Source: Larsen et al. 2016 (arXiv:1512.09300), an autoencoder with a judge; the features as in Johnson
        et al. 2016 (arXiv:1603.08155); the share held at the picture as Esser et al. 2021 (arXiv:2012.09841)
        hold it at the last layer.
    """
    plan = plan or AutoencoderPlan()
    place = check(plan, out_dir, device)
    side = plan.resolution
    if not len(pictures) or tuple(pictures.shape[1:]) != (3, side, side) or str(pictures.dtype)[-5:] != "uint8":
        want, got = f"pictures (N, 3, {side}, {side}) uint8, N >= 1", f"{tuple(pictures.shape)} {pictures.dtype}"
        raise ToolkitError("train_autoencoder", want, got, "Resize them first")
    job = AutoencoderJob(pictures, Path(out_dir), plan, check_fit(fit, "train_autoencoder"), place)
    run(job, plan.num_pictures, save_every=save_every, progress=progress)
    return job.out_dir / "gan.safetensors"


def _starting_point(plan, out_dir):
    """The checkpoint there, or None; it must be of networks as planned."""
    path = Path(out_dir) / "checkpoint.pt"
    state = load_checkpoint(path, STATE, "train_autoencoder")
    if state is not None:
        with torch.device("meta"):  # shapes only
            own = {name: network.state_dict() for name, network in zip(STATE, _networks(plan))}
        for name, tensors in own.items():
            shapes, saved = ({k: tuple(v.shape) for k, v in s.items()} for s in (tensors, state[name]))
            if shapes != saved:
                odd = sorted(set(shapes.items()) ^ set(saved.items()))[0][0]
                want, got = "a training of networks as planned", f"another {name}, at {odd}, in {path}"
                raise ToolkitError("train_autoencoder", want, got, "Give it the plan it began with, or another folder")
    return state


def _networks(plan):
    """An encoder and a generator, untrained."""
    w = plan.w_dim
    generator = Generator(plan.resolution, w, w, dict(plan.channels), plan.num_mapping_layers)
    return PrincipalEncoder(plan.resolution, plan.num_components, generator.num_ws, w), generator


class AutoencoderJob:
    """Networks, their learners and the pictures: what `run` trains."""

    def __init__(
        self, pictures: Tensor | np.ndarray, out_dir: Path, plan: AutoencoderPlan, fit: str, device: torch.device
    ) -> None:
        self.pictures, self.out_dir, self.plan, self.fit, self.device = pictures, out_dir, plan, fit, device
        self.features = imagenet_features(device)
        self.seen, self.means = 0, Means(LOG_KEEP)
        state = _starting_point(plan, out_dir)
        torch.manual_seed(plan.seed)
        encoder, generator = _networks(plan)
        self.generator = generator.to(device, memory_format=torch.channels_last)
        self.encoder = encoder.to(device)
        if state is None:
            encoder.start(*self._components())
        else:
            generator.load_state_dict(state["generator"])
            encoder.load_state_dict(state["encoder"])
        self.generator_ema, self.encoder_ema = (copy.deepcopy(n).requires_grad_(False) for n in (generator, encoder))
        self.judges, self.learners, self.code = None, self._learners(LEARNING_RATE, ENCODER_SLOWER, BETAS), None
        if state is not None:
            self._restore(state)

    def _learners(self, rate, slower, betas):
        rates = {self.generator.synthesis: rate, self.encoder: rate * slower}
        return [Learner(network, rate, betas=betas, fused=True) for network, rate in rates.items()]

    def _judge(self):
        """Let judges join; from here on Adam has another memory."""
        torch.manual_seed(self.plan.seed)
        self.judges = Heads(NUM_STAGES).to(self.device, memory_format=torch.channels_last)
        self.judged_from = self.seen
        self.judging = Learner(self.judges, JUDGES_RATE, betas=JUDGED_BETAS, fused=True)
        self.learners = self._learners(JUDGED_RATE, JUDGED_ENCODER_SLOWER, JUDGED_BETAS)

    def _restore(self, state):
        if state.get("judges") is not None:
            self._judge()
            self.judges.load_state_dict(state["judges"])
            self.judged_from = state.get("judged_from", self.plan.judged_after)
            self.code = state["code"] and {k: v.to(self.device) if k != "seen" else v for k, v in state["code"].items()}
        self.generator_ema.load_state_dict(state["generator_ema"])
        self.encoder_ema.load_state_dict(state["encoder_ema"])
        for learner, saved in zip(self._all_learners(), state["optimizers"], strict=True):
            learner.adam.load_state_dict(saved)
        self.seen = state["seen"]

    def _all_learners(self):
        return self.learners if self.judges is None else [*self.learners, self.judging]

    def _components(self):
        num = self.plan.num_components
        most = min(2 * len(self.pictures), self.encoder.mean.numel())
        if num > most:
            want, got = f"num_components <= {most} for {len(self.pictures)} pictures", num
            raise ToolkitError("train_autoencoder", want, got, "Ask for fewer, or add pictures")
        return principal_components(self.pictures, num, self.encoder.side, self.plan.seed)

    def step(self) -> None:
        """Redraw one batch; with judges, half of one, beside as many new pictures."""
        rng = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + self.seen)  # a resumed run draws the same
        image = real_batch(self.pictures, self.plan.batch_size, rng, self.device)
        if self.judges is None and self.seen >= self.plan.judged_after:
            self._judge()
        since = self.seen - (0 if self.judges is None else self.judged_from)
        for learner in self.learners:
            learner.cool_down(min(1.0, WARM_FROM + since / WARM_UP))
        (self._redraw if self.judges is None else self._please)(image, rng)
        self.seen += len(image)
        for slow, fast in ((self.generator_ema, self.generator), (self.encoder_ema, self.encoder)):
            average(slow, fast, len(image), EMA_HALF_LIFE, self.seen)

    def _redraw(self, image, rng):
        w = self._code(image)
        drawn = self._draw(self._rows(w + CODE_NOISE * torch.randn(w.shape, generator=rng).to(w)))
        pixel = (drawn - image).square().mean()
        with torch.no_grad():
            wanted = self.features(image, NUM_STAGES)
        perceptual = _distance(self.features(drawn, NUM_STAGES), wanted)
        learn_together(self.learners, pixel + FEATURE_WEIGHT * perceptual + CODE_WEIGHT * w.square().mean())
        self.means.add(pixel=float(pixel.detach()), perceptual=float(perceptual.detach()))

    def _please(self, image, rng):
        half = len(image) // 2
        w = self._code(image[:half])
        known = self._rows(w + JUDGED_CODE_NOISE * torch.randn(w.shape, generator=rng).to(w))
        drawn = self._draw(torch.cat([known, self._new(len(image) - half, rng)]))
        leaf = drawn.detach().requires_grad_()
        same = rng.get_state()  # a picture and its redrawing are looked at alike
        with torch.no_grad():
            real = self.features(view(image, rng), NUM_STAGES)
        fake = self.features(view(leaf, rng.set_state(same)), NUM_STAGES)
        judged = judges_loss(self.judges(real), self.judges([f.detach() for f in fake]))
        self.judging.learn(judged)
        pixel = (leaf[:half] - image[:half]).square().mean()
        perceptual = _distance([f[:half] for f in fake], [f[:half] for f in real])
        (task,) = torch.autograd.grad(pixel + JUDGED_FEATURE_WEIGHT * perceptual, leaf, retain_graph=True)
        (wish,) = torch.autograd.grad(-verdict(self.judges(fake)).sum(), leaf)
        gradient = task + held(wish, task[:half], JUDGES_SHARE)
        # Its gradient at the picture is the one wanted.
        learn_together(self.learners, (drawn * gradient).sum() + CODE_WEIGHT * w.square().mean())
        self.means.add(
            pixel=float(pixel.detach()), perceptual=float(perceptual.detach()), judges=float(judged.detach())
        )

    def _new(self, num, rng):
        """Latents (num, num_ws, w_dim) as the codes of pictures are distributed, some of them of two."""
        if self.code is None or self.seen - self.code["seen"] >= CODES_KEPT:
            w = self._codes(self.encoder_ema)
            self.code = {"seen": self.seen, "mean": w.mean(0), "root": root(w.T.cov())}
        z = torch.randn(num, self.plan.w_dim, generator=rng).to(self.device)
        ws = self._rows(self.code["mean"] + z @ self.code["root"])
        cut = int(torch.randint(1, ws.shape[1], (), generator=rng))
        mixed = bool(torch.rand((), generator=rng) < STYLE_MIXING)
        return torch.cat([ws[:, :cut], ws.flip(0)[:, cut:]], 1) if mixed else ws

    def _code(self, image):
        return self.encoder.codes(self.encoder.components(image))

    def _rows(self, w):
        return w[:, None].repeat(1, self.generator.num_ws, 1)

    def _draw(self, ws):
        return self.generator.synthesis(ws, noise_mode="none")

    @torch.no_grad()
    def _codes(self, encoder):
        """w (N, w_dim) of some of the pictures."""
        pick = torch.randperm(len(self.pictures), generator=torch.Generator().manual_seed(0))[:NUM_CODES].sort().values
        return torch.cat(
            [encoder(as_float(self.pictures[part.numpy()], self.device))[:, 0] for part in pick.split(CODES_AT_ONCE)]
        )

    # ---- files ---------------------------------------------------------------------------
    def save(self) -> None:
        """Write the networks, the state to resume from, pictures and samples, and a line of log."""
        networks = {"encoder": self.encoder, "generator": self.generator}
        networks |= {"encoder_ema": self.encoder_ema, "generator_ema": self.generator_ema}
        state = {name: network.state_dict() for name, network in networks.items()}
        state |= {"optimizers": [learner.adam.state_dict() for learner in self._all_learners()], "seen": self.seen}
        if self.judges is not None:
            state |= {"judges": self.judges.state_dict(), "code": self.code, "judged_from": self.judged_from}
        save_checkpoint(self.out_dir / "checkpoint.pt", state)
        generator, encoder = self.finished()
        metadata = {"pictures_seen": self.seen, "plan": self.plan._asdict(), "fit": self.fit}
        metadata["imagenet_features"] = True
        save_gan(self.out_dir / "gan.safetensors", generator, None, metadata)
        facts = {"gan_hash": load_generator(self.out_dir / "gan.safetensors").hash, **metadata}
        save_encoder(self.out_dir / "encoder.safetensors", encoder, facts)
        self._show(generator, encoder)
        write_log(self.out_dir / "log.csv", {"pictures": self.seen} | self.means.rounded())

    @torch.no_grad()
    def finished(self) -> tuple[Generator, PrincipalEncoder]:
        """Copies of the averages to write: the mapping draws codes as the training pictures' are distributed."""
        generator, encoder = copy.deepcopy(self.generator_ema), copy.deepcopy(self.encoder_ema)
        encoder.linear.bias.add_(draw_like(generator, self._codes(encoder)))
        encoder.w_avg.copy_(generator.mapping.w_avg)
        encoder.w_std.copy_(generator.w_statistics()[1])
        return generator, encoder

    @torch.no_grad()
    def _show(self, generator, encoder):
        """Pictures of the training beside what they are redrawn as, and pictures drawn at random."""
        image = as_float(self.pictures[:SHOWN], self.device)
        again = generator.synthesis(encoder(image), noise_mode="none")
        z = torch.randn(2 * SHOWN, self.plan.w_dim, generator=torch.Generator().manual_seed(1)).to(self.device)
        sheets = {"pairs": torch.stack([image, again], 1).flatten(0, 1), "samples": generator(z, noise_mode="none")}
        for name, sheet in sheets.items():
            with replace_when_done(self.out_dir / f"{name}.png") as temporary:
                grid(sheet, columns=8).save(temporary)


def _distance(found, wanted):
    """Distance of pictures' features, (), the mean over pictures and scales."""
    return apart(unit(found), unit(wanted)).mean() / len(found)
